"""Search of failures in lines. Pure, in time linear in the length of the lines; accepts any text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from preview.logs.failures.model import Language, Raised
from preview.logs.failures.node import is_frame, opens_bare, read_node
from preview.logs.failures.own import Own
from preview.logs.failures.python import TRACEBACK, opens, opens_syntax_error, read_python
from preview.logs.failures.unpack import opens_packed, unpack

_MOST_CHARACTERS = 4_000
# A turn is about a millisecond: a thousand plain lines, or a packed line of 64 KiB.
_TURN_WORK, _LINE_WORK, _READ_WORK = 65_536, 64, 512


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
    """Return the failures in the lines of one request or program, in order; see ``scan_in_turns``."""
    return [one for one in scan_in_turns(lines, own) if one is not None and one.exceptions]


def scan_in_turns(lines: Sequence[str], own: Own) -> Iterator[Found | None]:
    """Yield the failures in the lines of one request or program, in order, with a bounded amount of work between.

    Args:
        lines: Texts without colours, oldest first. Longer ones than 4,000 characters are cut, unless they are JSON.
        own: Decides which code is the project's.

    Yields:
        A failure; one without exceptions if a traceback has no end yet, or is none; None when some work was done.
    """
    cut = [line if len(line) <= _MOST_CHARACTERS or line[:1] == "{" else line[:_MOST_CHARACTERS] for line in lines]
    position = floor = work = 0
    while position < len(cut):
        # A packed line costs more: it is parsed whole.
        work += _LINE_WORK + len(cut[position])
        one = _read(cut, position, floor, own)
        if one is not None:
            position = floor = one.end
            work += (one.end - one.first) * _READ_WORK
            yield one
        else:
            position += 1
        if work > _TURN_WORK:
            work = 0
            yield None


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
