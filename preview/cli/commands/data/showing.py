"""Rows, sizes and questions, as the commands for data show them."""

from __future__ import annotations

import sys
from typing import Any

import typer
from rich.text import Text

from preview.cli.exits import UsageMistake
from preview.cli.terminal import listing, table_console
from preview.core.quoting import visible

_UNITS = ("B", "KB", "MB", "GB")
_STEP = 1024


def size(number: int | None) -> str:
    """Return a number of bytes for people; empty if unknown."""
    if number is None:
        return ""
    amount, unit = float(number), 0
    while amount >= _STEP and unit < len(_UNITS) - 1:
        amount, unit = amount / _STEP, unit + 1
    return f"{amount:.0f} {_UNITS[unit]}" if unit == 0 else f"{amount:.1f} {_UNITS[unit]}"


def print_rows(found: dict[str, Any]) -> None:
    """Print columns and rows as a table; NULL is dim."""
    shown = listing(*(visible(column["name"]) for column in found["columns"]))
    for row in found["rows"]:
        shown.add_row(*(Text("NULL", "dim") if value is None else Text(visible(value)) for value in row))
    table_console().print(shown)


def ask(question: str, *, is_agreed: bool) -> None:
    """Ask before a change that removes something; ends the command unless the user agrees.

    Args:
        question: What will happen, as a question.
        is_agreed: Whether ``--yes`` was given.

    Raises:
        UsageMistake: There is no terminal to ask at.
    """
    if is_agreed:
        return
    if not sys.stdin.isatty():
        raise UsageMistake(f"{question} Add --yes to confirm: there is no terminal to ask on.")
    if not typer.confirm(question, err=True):
        raise typer.Abort
