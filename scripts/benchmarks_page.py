"""Write the figures of benchmarks into docs/benchmarks.md.

    uv run python benchmarks/launch.py --save launch.json
    uv run python scripts/benchmarks_page.py launch.json …

Each file replaces what stands between `<!-- figures: launch -->` and the next `<!-- end -->`; for a file of root's,
`<!-- figures: launch, root -->` comes first. The rest stays.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TypedDict

PAGE = Path(__file__).resolve().parent.parent / "docs" / "benchmarks.md"
MARKED = r"(<!-- figures: {} -->\n).*?(<!-- end -->)"
# Columns, and the names of their values in a saved figure; a column without any value is left out.
COLUMNS = {
    "variant": "name", "median": "median", "unit": "unit", "ratio": "ratio", "lower quartile": "low",
    "upper quartile": "high", "p95": "p95", "p99": "p99",
}  # fmt: skip


class Run(TypedDict):
    """A saved file, as `save` in benchmarks/_measure.py writes it."""

    benchmark: str
    command: list[str]
    date: str
    machine: dict[str, str | int]
    user: str
    tables: dict[str, list[dict[str, str | float | None]]]


def main(arguments: Sequence[str] | None = None) -> int:
    """Rewrite the sections of all given files, or none of them."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("files", nargs="+", type=Path, help="written by a benchmark's --save")
    text = PAGE.read_text("utf-8")
    for file in parser.parse_args(arguments).files:
        text = rewrite(text, json.loads(file.read_text("utf-8")))
    PAGE.write_text(text, "utf-8")
    return 0


def rewrite(text: str, run: Run) -> str:
    """Return the page with the section of this run's benchmark written again."""
    section = "\n".join([caption(run), "", *table(run), ""])
    # A section of this user's runs comes before one of all users'.
    names = [f"{run['benchmark']}, {run['user']}", run["benchmark"]]
    for name in names:
        marked = re.compile(MARKED.format(re.escape(name)), re.DOTALL)
        changed, count = marked.subn(lambda found: f"{found[1]}{section}{found[2]}", text)
        if count == 1:
            return changed
    raise SystemExit(f"{PAGE.name} needs one section of {names[1]}: {MARKED.format(names[1])}")


def caption(run: Run) -> str:
    """Return what the figures depend on."""
    machine = run["machine"]
    counts = sorted({int(one["rounds"] or 0) for rows in run["tables"].values() for one in rows})
    rounds = f"{counts[0]} to {counts[-1]}" if len(counts) > 1 else f"{counts[0]}"
    # What follows the first hyphen is the name of a distribution or a provider.
    kernel = str(machine["kernel"]).partition("-")[0]
    return (
        f"`{command(run['command'])}`\non {run['date']}, as {run['user']}; rounds: {rounds}; "
        f"{machine['cores']} cores, Linux {kernel}, Python {machine['python']}."
    )


def command(words: Sequence[str]) -> str:
    """Return the command line without `--save`, and without the folders of this machine."""
    rest, shown = iter(words), []
    for word in rest:
        if word == "--save":
            next(rest, None)
        elif not word.startswith("--save="):
            shown.append(re.sub(r"^(--[\w-]+=)?/.*/", r"\1…/", word))
    return " ".join(shown)


def table(run: Run) -> Iterator[str]:
    """Yield the lines of the table; a title stands in the first of its rows only."""
    figures = [one for rows in run["tables"].values() for one in rows]
    columns = {name: key for name, key in COLUMNS.items() if any(one.get(key) is not None for one in figures)}
    yield f"| what | {' | '.join(columns)} |"
    yield f"| --- |{' --- |' * len(columns)}"
    for title, rows in run["tables"].items():
        for number, one in enumerate(rows):
            cells = ["" if number else title, *(one.get(key) for key in columns.values())]
            yield f"| {' | '.join(map(cell, cells))} |"


def cell(value: str | float | None) -> str:
    """Return three digits of a number, and of large ones the thousands; text as it is."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value.replace("|", "\\|")
    rounded = float(f"{value:.3g}")
    exponent = int(f"{rounded:e}".partition("e")[2])
    return f"{rounded:,.{max(0, 2 - exponent)}f}" if rounded else "0"


if __name__ == "__main__":
    raise SystemExit(main())
