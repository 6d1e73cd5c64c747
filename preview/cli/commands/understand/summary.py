"""Results as Markdown, for the summary of a CI job.

Source: GitHub's job summaries (GITHUB_STEP_SUMMARY takes 1 MiB of a step).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from preview.cli.commands.understand.junit import Case
from preview.cli.exits import CommandFailed
from preview.core.quoting import visible

# Most rows and characters of a cell; 1 MiB is the most that GitHub shows.
_MOST_ROWS = 500
_MOST_CHARACTERS = 500
# Failures in full below a table, with their characters: 200 KB at most.
_MOST_DETAILS = 50
_MOST_DETAIL = 4000
_SPECIAL = str.maketrans({one: f"\\{one}" for one in "\\`*_[]<>|#"})


def markdown_summary(title: str, cases: Sequence[Case]) -> str:
    """Return a table of the cases, those that failed first; text of the application is only text in it."""
    ordered = sorted(cases, key=lambda case: case.failure is None)
    lines = [f"### {_text(title)}", "", "| result | check | ms | |", "| --- | --- | ---: | --- |"]
    for case in ordered[:_MOST_ROWS]:
        word = "broke" if case.failure is not None else "skipped" if case.skipped is not None else "ok"
        remark = case.failure or case.skipped or ""
        lines.append(f"| {word} | {_text(case.name)} | {case.elapsed_ms:.0f} | {_text(remark)} |")
    if len(ordered) > _MOST_ROWS:
        lines += ["", f"and {len(ordered) - _MOST_ROWS} more"]
    return "\n".join(lines) + "\n\n"


def markdown_failures(cases: Sequence[Case]) -> str:
    """Return the failures in full, each a block of code; empty without any."""
    failed = [case for case in cases if case.failure is not None]
    blocks = []
    for case in failed[:_MOST_DETAILS]:
        text = "\n".join(visible(line) for line in (case.failure or "")[:_MOST_DETAIL].splitlines())
        # CommonMark 4.5: only a fence that is at least as long ends the block.
        fence = "`" * (1 + max(map(len, re.findall("`+", text)), default=2))
        blocks.append(f"**{_text(case.name)}**\n\n{fence}text\n{text}\n{fence}\n\n")
    if len(failed) > _MOST_DETAILS:
        blocks.append(f"and {len(failed) - _MOST_DETAILS} more\n\n")
    return "".join(blocks)


def append_summary(file: Path | None, text: str) -> None:
    """Append the summary to a file, as GitHub expects; None writes nothing.

    Raises:
        CommandFailed: The file cannot be written.
    """
    if file is None:
        return
    try:
        with file.open("a", encoding="utf-8", errors="replace") as opened:
            opened.write(text)
    except OSError as error:
        raise CommandFailed(f"{file} cannot be written: {error.strerror or error}.") from error


def _text(text: str) -> str:
    """Return foreign text as one line without any meaning in Markdown or HTML."""
    return visible(" ".join(text.split())[:_MOST_CHARACTERS]).translate(_SPECIAL)
