"""Output to terminals and pipes: colours, progress, JSON."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TextIO

from rich.console import Console
from rich.table import Table
from rich.text import Text

from preview.core.quoting import SGR, visible

_SGR = re.compile(SGR)


def wants_colour(stream: TextIO) -> bool:
    """Return true if colours are wanted: on a terminal, unless NO_COLOR (no-color.org). FORCE_COLOR overrides both."""
    if os.environ.get("FORCE_COLOR", "") not in {"", "0"}:
        return True
    if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return False
    return stream.isatty()


def paint(text: str, style: str) -> str:
    """Return the text in an SGR style such as ``"1;31"``, with a reset at the end."""
    return f"\x1b[{style}m{text}\x1b[0m"


def strip_colours(text: str) -> str:
    """Return the text without colours."""
    return _SGR.sub("", text)


def json_line(value: object) -> str:
    """Return the value as JSON on one line, with characters that affect terminals escaped."""
    return visible(json.dumps(value, ensure_ascii=False, separators=(", ", ": ")))


def print_json(value: object) -> None:
    """Print one JSON document as a line on stdout, and flush; see ``json_line``."""
    print(json_line(value), flush=True)


def say(message: str) -> None:
    """Print a message on stderr, so that it never mixes with piped output."""
    print(_for(sys.stderr, message), file=sys.stderr, flush=True)


def show(text: str) -> None:
    """Print a result on stdout. Only colours affect the terminal."""
    print(_for(sys.stdout, text), flush=True)


def _for(stream: TextIO, text: str) -> str:
    """Return the text for the stream: colours only where they are wanted, so never in a pipe."""
    return visible(text, colours=True) if wants_colour(stream) else visible(strip_colours(text))


@contextmanager
def progress(message: str) -> Iterator[Callable[[str], None]]:
    """Show a spinner on stderr while the body runs; nothing if stderr is not a terminal.

    Yields a function that replaces the message.
    """
    console = Console(stderr=True)
    if not console.is_terminal or console.is_dumb_terminal:
        yield lambda _: None
        return
    with console.status(Text(message, style="dim"), spinner="dots") as status:
        yield lambda text: status.update(Text(visible(strip_colours(text)), style="dim"))


def counted(number: int, one: str, many: str | None = None) -> str:
    """Return the number with its noun: ``1 file``, ``1,200 files``; ``many`` is for other plurals than an "s"."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def listing(*headings: str) -> Table:
    """Make a table without borders, whose columns fold."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    for heading in headings:
        table.add_column(heading, overflow="fold")
    return table


def table_console() -> Console:
    """Return the console for tables: stdout; in a pipe 240 columns wide, without colours unless forced."""
    if sys.stdout.isatty():
        return Console(highlight=False)
    return Console(highlight=False, width=240, no_color=not wants_colour(sys.stdout))
