"""Compare the routes that are read from the source of small projects with the running applications' own tables.

    uv venv /tmp/frameworks
    uv pip install -p /tmp/frameworks quart quart-schema litestar pydantic aiohttp sanic tornado blacksheep falcon \
        bottle
    uv run python benchmarks/route_tables.py --python /tmp/frameworks/bin/python [--only NAME] [--write]

The projects are those of ``tests/endpoints/shapes``, one text each. ``--write`` stores the true routes in them, where
the tests find them. ``--dump FOLDER`` writes projects and truth in the form that ``benchmarks/endpoints.py`` reads.
Each application is imported in a process of its own. Routes of the framework's own (documentation, files) are left out.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path

from endpoints import Score, normalise, score

SHAPES = Path(__file__).parent.parent / "tests" / "endpoints" / "shapes"
FRESH = Path(__file__).parent / "fresh"


def read_shape(text: str) -> tuple[str, dict[str, str], list[str]]:
    """The application, the files and the true routes of one text."""
    head, *parts = text.split("\n--- ")
    files = {name: body for name, _, body in (part.partition("\n") for part in parts)}
    routes = files.pop("routes", "").split("\n")
    return head.partition(":")[2].strip(), files, [line for line in routes if line]


def lay(folder: Path, files: dict[str, str]) -> None:
    """Write the files of a project."""
    for name, body in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(body + "\n")


def table(python: str, folder: Path, framework: str, app: str) -> list[str]:
    """The running application's own routes, one a line: method and path."""
    program = Path(__file__).with_name("_route_table.py")
    done = subprocess.run(
        [python, str(program), framework, app],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    if done.returncode:
        sys.exit(f"{framework} {app}: {done.stderr[-2000:]}")
    return done.stdout.splitlines()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", default=sys.executable, help="interpreter with the frameworks")
    parser.add_argument("--only", default="")
    parser.add_argument("--fresh", action="store_true", help="the projects of benchmarks/fresh instead")
    parser.add_argument("--write", action="store_true", help="store the true routes in the texts")
    parser.add_argument("--dump", type=Path, help="folder for benchmarks/endpoints.py")
    options = parser.parse_args()
    totals: dict[str, Score] = defaultdict(Score)
    for file in sorted((FRESH if options.fresh else SHAPES).rglob("*.txt")):
        framework, name = file.parent.name, f"{file.parent.name}-{file.stem}"
        if options.only not in name:
            continue
        text = file.read_text()
        app, files, _ = read_shape(text)
        with tempfile.TemporaryDirectory() as folder:
            lay(Path(folder), files)
            lines = table(options.python, Path(folder), framework, app)
            routes = [(line.split(" ")[0], line.split(" ", 1)[1]) for line in lines]
            result = score(Path(folder), normalise(routes))
        print(f"{name:32} {result}")
        print(*result.lines, sep="\n", end="\n" * bool(result.lines))
        totals[framework].add(result)
        if options.write:
            file.write_text(
                text.partition("\n--- routes\n")[0].rstrip("\n") + "\n--- routes\n" + "\n".join(lines) + "\n"
            )
        if options.dump:
            lay(options.dump / "projects" / name, files)
            facts = {"name": name, "framework": framework, "workdir": "."}
            truth = {**facts, "routes": [{"method": method, "path": path} for method, path in routes]}
            lay(options.dump / "truth", {f"{name}.json": json.dumps(truth, indent=1)})
    print()
    for framework, total in sorted(totals.items()):
        print(f"{framework:32} {total}")


if __name__ == "__main__":
    main()
