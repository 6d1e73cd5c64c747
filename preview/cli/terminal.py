"""Output to terminals and pipes: colours, progress, JSON."""

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
    """Return whether to write colours: on a terminal, unless NO_COLOR (no-color.org); FORCE_COLOR overrides both."""
    if os.environ.get("FORCE_COLOR", "") not in {"", "0"}:
        return True
    if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return False
    return stream.isatty()


def paint(text: str, style: str) -> str:
    """Return the text in an SGR style, for instance ``"1;31"``; the style ends with it."""
    return f"\x1b[{style}m{text}\x1b[0m"


def strip_colours(text: str) -> str:
    """Return the text without colours."""
    return _SGR.sub("", text)


def json_line(value: object) -> str:
    """Return the value as JSON without a character that could act on a terminal: each is written as its escape."""
    return visible(json.dumps(value, ensure_ascii=False, separators=(", ", ": ")))


def print_json(value: object) -> None:
    """One JSON document on stdout, on one line, at once; see ``json_line``."""
    print(json_line(value), flush=True)


def say(message: str) -> None:
    """Print a message on stderr, so that it never mixes with piped output."""
    print(visible(message, colours=True), file=sys.stderr, flush=True)


def show(text: str) -> None:
    """Print a result on stdout. Only colours affect the terminal."""
    print(visible(text, colours=True), flush=True)


@contextmanager
def progress(message: str) -> Iterator[None]:
    """Provide a spinner on stderr while the body works; nothing if stderr is no terminal."""
    console = Console(stderr=True)
    if not console.is_terminal or console.is_dumb_terminal:
        yield
        return
    with console.status(f"[dim]{message}[/dim]", spinner="dots"):
        yield


def listing(*headings: str) -> Table:
    """Make a table without lines, whose columns fold."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    for heading in headings:
        table.add_column(heading, overflow="fold")
    return table


def table_console() -> Console:
    """Return the console for tables: stdout; in a pipe as wide as needed and without colours."""
    if sys.stdout.isatty():
        return Console(highlight=False)
    return Console(highlight=False, width=240, no_color=not wants_colour(sys.stdout))
