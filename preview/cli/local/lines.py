"""Format log lines for a person, in a terminal or a pipe."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TextIO

from rich.cells import get_character_cell_size

from preview.cli.exits import ApiRefused
from preview.cli.terminal import paint, say, strip_colours
from preview.core.quoting import SGR, visible


def say_last_lines(error: ApiRefused) -> None:
    """Print the error's last log lines on stderr, indented; nothing if there are none."""
    lines: Any = error.facts.get("last_lines")
    for line in lines if isinstance(lines, list) else ():
        say(f"  {line}")


_DIM = "2"
_MARKS = {"DEBUG": "2", "INFO": "34", "WARNING": "33", "ERROR": "31"}
_TEXTS = {"DEBUG": "2", "WARNING": "33", "ERROR": "31"}
_SYSTEM = "36"

# If a terminal has less space than this for the text, rows begin with the mark alone.
_LEAST_COLUMNS = 20
_TAB_COLUMNS = 8
# Maximum number of colours repeated on the next row: the last ones since a reset. More have no visible effect.
_MOST_OPEN = 8
_PARTS = re.compile(f"({SGR})|(.)", re.DOTALL)
_RESETS = {"\x1b[m", "\x1b[0m"}
# DECAWM. A terminal may consider a character wider than this module does; the excess must not begin a new row.
_NO_WRAP, _WRAP = "\x1b[?7l", "\x1b[?7h"


@dataclass(frozen=True, slots=True)
class ShownLine:
    """One line of output, from any source.

    Attributes:
        level: ``DEBUG``, ``INFO``, ``WARNING`` or ``ERROR``.
        system: True for a line of the service, false for one of the preview.
        message: Text without line end; may contain colours.
        is_stderr: The program is known to have written it to standard error.
    """

    seq: int
    time: datetime
    level: str
    system: bool
    message: str
    is_stderr: bool = False


def columns_of(stream: TextIO) -> Callable[[], int] | None:
    """Return a function that returns the terminal's current width; None for a pipe or a dumb terminal."""
    if not stream.isatty() or os.environ.get("TERM") == "dumb":
        return None
    return lambda: shutil.get_terminal_size().columns


@dataclass(frozen=True, slots=True)
class LinePrinter:
    """Formats lines as text, with times in the local time zone.

    In colour, a mark shows the level: a bar before the preview's own lines, a broken bar before those of standard
    error, a dot before the service's. A line with its own colours keeps them. Without colour the level is a word.

    Invariant: each row of a terminal begins with the mark of its line, including the wrapped rows of long lines. No
    output can therefore imitate a line of the service. In a pipe a line is one line.

    Attributes:
        colour: Write colours.
        columns: Returns the terminal's width; None in a pipe.
    """

    colour: bool
    columns: Callable[[], int] | None = None

    def text(self, line: ShownLine) -> str:
        """Return the line without a line end, and without terminal controls."""
        clock = f"{line.time.astimezone():%H:%M:%S}.{line.time.microsecond // 1000:03d}"
        message = line.message if self.colour else strip_colours(line.message)
        message = visible(message, colours=self.colour).replace("\n", " ")
        if not self.colour:
            mark = "*" if line.system else "!" if line.is_stderr and self.columns is not None else "|"
            return self._rows(f"{clock} {line.level:<7} {mark} ", f"{'':<20} {mark} ", f"{mark} ", message)
        if line.system:
            style = _TEXTS.get(line.level, _SYSTEM)
            mark, message = paint("●", style), paint(message, style)
        else:
            mark = paint("┆" if line.is_stderr else "│", _MARKS.get(line.level, _DIM))
            if "\x1b[" in message:
                message += "\x1b[0m"  # end a colour that the line left open
            elif line.level in _TEXTS:
                message = paint(message, _TEXTS[line.level])
        return self._rows(f"{paint(clock, _DIM)} {mark} ", f"{'':<12} {mark} ", f"{mark} ", message)

    def note(self, message: str, *, style: str = _DIM) -> str:
        """Return a remark between lines, such as a gap or the end."""
        return paint(message, style) if self.colour else message

    def _rows(self, first: str, other: str, narrow: str, message: str) -> str:
        """Return the message after its mark, wrapped at the terminal's width."""
        if self.columns is None:
            return f"{first}{message}"
        width = self.columns()
        room = width - len(strip_colours(first))
        if room < _LEAST_COLUMNS:
            first, other, room = narrow, narrow, max(1, width - len(strip_colours(narrow)))
        if message.isascii() and "\t" not in message and len(strip_colours(message)) <= room:
            return f"{first}{message}"
        rows = f"\n{other}".join(_folded(message, room))
        return f"{_NO_WRAP}{first}{rows}{_WRAP}"


def _folded(message: str, room: int) -> Iterator[str]:
    """Yield rows of at most ``room`` cells. Each begins with the colours open at that point, and ends with a reset."""
    row: list[str] = []
    opened: list[str] = []
    used = 0
    for part in _PARTS.finditer(message):
        colour, character = part.groups()
        if colour is not None:
            opened = [] if colour in _RESETS else [*opened, colour][-_MOST_OPEN:]
            row.append(colour)
            continue
        is_tab = character == "\t"
        cells = min(room, _TAB_COLUMNS - used % _TAB_COLUMNS if is_tab else get_character_cell_size(character))
        if used + cells > room and used:
            yield "".join(row) + ("\x1b[0m" if opened else "")
            row, used = list(opened), 0
        row.append(" " * cells if is_tab else character)
        used += cells
    yield "".join(row)
