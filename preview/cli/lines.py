"""Log lines as a person reads them in a terminal or a pipe."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from preview.cli.terminal import clean, paint, strip_colours

__all__ = ["LinePrinter", "ShownLine"]

_DIM = "2"
_MARKS = {"DEBUG": "2", "INFO": "34", "WARNING": "33", "ERROR": "31"}
_TEXTS = {"DEBUG": "2", "WARNING": "33", "ERROR": "31"}
_SYSTEM = "36"


@dataclass(frozen=True, slots=True)
class ShownLine:
    """One line, from wherever it comes.

    Attributes:
        seq: Its number.
        time: Aware.
        level: ``DEBUG``, ``INFO``, ``WARNING`` or ``ERROR``.
        system: Whether the service said it, not the preview.
        message: Text without line end; may hold colours.
    """

    seq: int
    time: datetime
    level: str
    system: bool
    message: str


@dataclass(frozen=True, slots=True)
class LinePrinter:
    """Turns lines into text, one per line, in the terminal's local time.

    In colour, a mark in front shows the level: the preview's own lines follow a bar, the service's a dot. A line that
    brings its own colours keeps them. Without colour the level is a word.
    """

    colour: bool

    def text(self, line: ShownLine) -> str:
        """The line, without a line end and without anything that could steer a terminal."""
        clock = f"{line.time.astimezone():%H:%M:%S}.{line.time.microsecond // 1000:03d}"
        message = clean(line.message).replace("\n", " ")
        if not self.colour:
            return f"{clock} {line.level:<7} {'*' if line.system else '|'} {strip_colours(message)}"
        if line.system:
            style = _TEXTS.get(line.level, _SYSTEM)
            return f"{paint(clock, _DIM)} {paint('●', style)} {paint(message, style)}"
        if "\x1b[" in message:
            message += "\x1b[0m"  # a colour that the line left open ends here
        elif line.level in _TEXTS:
            message = paint(message, _TEXTS[line.level])
        return f"{paint(clock, _DIM)} {paint('│', _MARKS.get(line.level, _DIM))} {message}"

    def note(self, message: str, *, style: str = _DIM) -> str:
        """A remark among the lines: a gap, the end."""
        return paint(message, style) if self.colour else message
