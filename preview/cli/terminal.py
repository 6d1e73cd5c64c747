"""What goes to the person's terminal, and what to a pipe: colours, progress, machine output."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

from rich.console import Console
from rich.table import Table

from preview.core.quoting import SGR, visible

_SGR = re.compile(SGR)


def wants_colour(stream: TextIO) -> bool:
    """Whether to write colours: a terminal has them, unless NO_COLOR (no-color.org); FORCE_COLOR overrides both."""
    if os.environ.get("FORCE_COLOR", "") not in {"", "0"}:
        return True
    if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return False
    return stream.isatty()


def paint(text: str, style: str) -> str:
    """The text in an SGR style, for instance ``"1;31"``; the style ends with it."""
    return f"\x1b[{style}m{text}\x1b[0m"


def strip_colours(text: str) -> str:
    """The text without colours."""
    return _SGR.sub("", text)


def json_line(value: object) -> str:
    """The value as JSON without a character that could act on a terminal: each is written as its escape."""
    return visible(json.dumps(value, ensure_ascii=False, separators=(", ", ": ")))


def print_json(value: object) -> None:
    """One JSON document on stdout, on one line, at once; see ``json_line``."""
    print(json_line(value), flush=True)


def say(message: str) -> None:
    """A remark for the person, on stderr: it never mixes with what a pipe reads."""
    print(visible(message, colours=True), file=sys.stderr, flush=True)


def show(text: str) -> None:
    """A result on stdout. Nothing in it acts on a terminal but colours."""
    print(visible(text, colours=True), flush=True)


@contextmanager
def progress(message: str) -> Iterator[None]:
    """A spinner on stderr while the body works; nothing where stderr is no terminal."""
    console = Console(stderr=True)
    if not console.is_terminal or console.is_dumb_terminal:
        yield
        return
    with console.status(f"[dim]{message}[/dim]", spinner="dots"):
        yield


def listing(*headings: str) -> Table:
    """A table without lines, whose columns fold."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    for heading in headings:
        table.add_column(heading, overflow="fold")
    return table


def table_console() -> Console:
    """Where tables go: stdout; in a pipe as wide as they need and without colours."""
    if sys.stdout.isatty():
        return Console(highlight=False)
    return Console(highlight=False, width=240, no_color=not wants_colour(sys.stdout))
