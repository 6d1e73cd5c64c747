"""Search of failures in lines. Pure, in time linear in the length of the lines; accepts any text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from preview.logs.failures.model import Language, Raised
from preview.logs.failures.node import is_frame, opens_bare, read_node
from preview.logs.failures.own import Own
from preview.logs.failures.python import TRACEBACK, opens, opens_syntax_error, read_python
from preview.logs.failures.unpack import opens_packed, unpack

_MOST_CHARACTERS = 4_000


@dataclass(frozen=True, slots=True)
class Found:
    """A failure in a sequence of lines.

    Attributes:
        first: Position of its first line.
        end: Position after its last line.
        language: Language of the program.
        exceptions: See ``Failure``.
    """

    first: int
    end: int
    language: Language
    exceptions: tuple[Raised, ...]


def scan(lines: Sequence[str], own: Own) -> list[Found]:
    """Return the failures in the lines of one request or program, in order.

    Args:
        lines: Texts without colours, oldest first. Longer ones than 4,000 characters are cut, unless they are JSON.
        own: Decides which code is the project's.
    """
    cut = [line if len(line) <= _MOST_CHARACTERS or line[:1] == "{" else line[:_MOST_CHARACTERS] for line in lines]
    found: list[Found] = []
    position = floor = 0
    while position < len(cut):
        one = _read(cut, position, floor, own)
        if one is None:
            position += 1
            continue
        if one.exceptions:
            found.append(one)
        position = floor = one.end
    return found


def _read(lines: Sequence[str], at: int, floor: int, own: Own) -> Found | None:
    """Read the failure that starts at this line, or whose stack does; None if there is none."""
    line = lines[at]
    if TRACEBACK in line:
        if opens(line):
            exceptions, end = read_python(lines, at, own)
            return Found(at, end, Language.PYTHON, exceptions)
    elif line.startswith("  File ") and opens_syntax_error(lines, at):
        exceptions, end = read_python(lines, at, own)
        return Found(at, end, Language.PYTHON, exceptions)
    elif (line.lstrip()[:3] == "at " and is_frame(line)) or (line[:1] == "[" and opens_bare(line)):
        exceptions, first, end = read_node(lines, at, floor, own)
        return Found(first, end, Language.NODE, exceptions)
    if opens_packed(line) and (inner := unpack(line)):
        packed = scan([one for one in inner if not opens_packed(one)], own)
        if packed:
            return Found(at, at + 1, packed[-1].language, packed[-1].exceptions)
    return None
