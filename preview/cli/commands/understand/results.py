"""Verdicts, differences and reports, as several commands show them."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.text import Text

from preview.cli.exits import CommandFailed, UsageMistake
from preview.cli.terminal import listing, say, table_console
from preview.core.quoting import quoted, visible

FilterOption = Annotated[
    str | None, typer.Option("--filter", metavar="TEXT", help="Recorded requests that match. Default: the last 50.")
]
IgnoreOption = Annotated[
    list[str] | None,
    typer.Option("--ignore", metavar="PATH", help="Do not compare this path ('$.items[*].at'); may be repeated."),
]
SecretOption = Annotated[
    list[str] | None,
    typer.Option("--secret", metavar="NAME=VALUE", help="A value that was not recorded, such as a password."),
]
JunitOption = Annotated[
    Path | None, typer.Option("--junit", metavar="FILE", help="Also write the results as a JUnit report.")
]
# Launches of trials, and all requests.
TIMEOUT_S = 600.0

_STYLES = {"same": "green", "ok": "green", "noisy": "dim", "skipped": "dim", "changed": "yellow", "broke": "red"}
_MOST_DIFFERENCES = 10


def print_verdicts(rows: Sequence[tuple[str, str, str]]) -> None:
    """Print a table of verdict, request and remark."""
    shown = listing("RESULT", "REQUEST", "")
    for verdict, request, remark in rows:
        shown.add_row(Text(verdict, _STYLES.get(verdict, "")), Text(visible(request)), Text(visible(remark)))
    table_console().print(shown)


def difference_lines(found: Sequence[dict[str, Any]]) -> list[str]:
    """Return differences, one a line."""
    lines = []
    for one in found[:_MOST_DIFFERENCES]:
        if one["kind"] == "changed":
            lines.append(f"{one['path']}: {one['before']} → {one['after']}")
        else:
            lines.append(f"{one['path']}: {one['kind']}, {one['after'] if one['before'] is None else one['before']}")
    if len(found) > _MOST_DIFFERENCES:
        lines.append(f"… and {len(found) - _MOST_DIFFERENCES} more")
    return lines


def secrets_of(given: Sequence[str] | None) -> dict[str, str]:
    """Return ``--secret`` options as a dictionary.

    Raises:
        UsageMistake: One is not ``NAME=VALUE``.
    """
    found = {}
    for text in given or ():
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise UsageMistake(f"{quoted(text)} is not a secret; write it as --secret NAME=VALUE.")
        found[name] = value
    return found


def write_report(file: Path | None, text: str) -> None:
    """Write a JUnit report, if one is wanted.

    Raises:
        CommandFailed: The file cannot be written.
    """
    if file is None:
        return
    try:
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise CommandFailed(f"The report {file} cannot be written: {error.strerror or error}.") from error
    if sys.stderr.isatty():
        say(f"report: {file}")
