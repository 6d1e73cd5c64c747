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

__all__ = ["clean", "paint", "print_json", "progress", "say", "strip_colours", "table_console", "wants_colour"]

# CSI sequences whose final byte is "m" (SGR: colours and weight) are kept; all other control sequences could move the
# cursor, change the title or answer as if typed (ECMA-48 sections 5.4 and 8.3.117), so they are dropped.
_SGR = re.compile(r"\x1b\[[0-9;:]*m")
_CONTROL = re.compile(
    r"\x1b\[(?![0-9;:]*m)[0-?]*[ -/]*[@-~]?"  # CSI, other than SGR
    r"|\x1b[PX^_\]][^\x07\x1b]*(?:\x07|\x1b\\)?"  # strings: DCS, SOS, PM, APC, OSC
    r"|\x1b(?!\[)[ -/]*[0-~]?"  # two-character escapes
    r"|[\x00-\x08\x0b-\x1a\x1c-\x1f\x7f-\x9f]"  # C0 but tab and line feed, DEL, C1
)


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


def clean(text: str) -> str:
    """The text without control characters and sequences; colours, tabs and line feeds stay."""
    return _CONTROL.sub("", text)


def strip_colours(text: str) -> str:
    """The text without colours."""
    return _SGR.sub("", text)


def print_json(value: object) -> None:
    """One JSON document on stdout, on one line, at once."""
    print(json.dumps(value, ensure_ascii=False, separators=(", ", ": ")), flush=True)


def say(message: str) -> None:
    """A remark for the person, on stderr: it never mixes with what a pipe reads."""
    print(message, file=sys.stderr, flush=True)


@contextmanager
def progress(message: str) -> Iterator[None]:
    """A spinner on stderr while the body works; nothing where stderr is no terminal."""
    console = Console(stderr=True)
    if not console.is_terminal or console.is_dumb_terminal:
        yield
        return
    with console.status(f"[dim]{message}[/dim]", spinner="dots"):
        yield


def table_console() -> Console:
    """Where tables go: stdout; in a pipe as wide as they need and without colours."""
    if sys.stdout.isatty():
        return Console(highlight=False)
    return Console(highlight=False, width=240, no_color=not wants_colour(sys.stdout))
