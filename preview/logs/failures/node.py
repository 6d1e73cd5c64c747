"""Stacks of Node: of errors with causes and members, of uncaught ones with an arrow, of TypeScript.

One pass over the lines; the look back to the line of the error is bounded. Accepts any text.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from preview.logs.failures.heads import is_log_head, node_head, node_other_head
from preview.logs.failures.model import MAX_EXCEPTIONS, MAX_FRAMES, MAX_MESSAGE, MAX_NAME, Frame, Raised, Relation
from preview.logs.failures.own import Own

_MOST_BACK = 12
_MOST_READ = 2_000
_PLACE = re.compile(r"(.{1,4096}?):(\d{1,9})(?::\d{1,9})?$")
_ARROW = re.compile(r"\s*[\^~]+\s*$")
_REJECTION = "[UnhandledPromiseRejection: "
# Compilers: esbuild (tsx), ts-node, tsc.
_COMPILED = re.compile(r"(?::(\d{1,9}):\d{1,9}|\((\d{1,9}),\d{1,9}\))(?:: ERROR:|: error | - error )")
_MOST_PATH = 400
_ALIAS = re.compile(r" \[as [^\]]{1,200}\]$")
_LINKS = {"[cause]: ": Relation.CAUSE, "caused by: ": Relation.CAUSE, "Caused by: ": Relation.CAUSE}
_SAME = re.compile(r"\s{0,64}\.\.\. \d{1,9} lines matching cause stack trace")


def is_frame(text: str) -> bool:
    """Return True if the line is a frame of a stack."""
    bare = text.lstrip()
    return bare.startswith("at ") and text[:1] in " \t" and (":" in bare or bare.rstrip(" ,{").endswith(")"))


def opens_bare(text: str) -> bool:
    """Return True if an error without a stack of its own starts here."""
    return text.startswith("[") and (text.startswith(_REJECTION) or ("Error" in text and text.endswith("] {")))


@dataclass
class _Open:
    """An exception that is being read."""

    type: str
    message: str
    relation: Relation
    frames: list[Frame] = field(default_factory=list)


def read_node(lines: Sequence[str], at: int, floor: int, own: Own) -> tuple[tuple[Raised, ...], int, int]:
    """Read the error whose first frame, or whose bare line, is at ``at``.

    Args:
        lines: Texts without colours.
        at: Position of the line.
        floor: First position that belongs to no earlier failure.
        own: Decides which code is the project's.

    Returns:
        Its exceptions, see ``Failure``; its first position, and the position after its last line.
    """
    is_bare = opens_bare(lines[at])
    head = at if is_bare else _find_head(lines, at, floor)
    named = node_head(lines[head]) if head < at or is_bare else None
    if named is None:
        rejected = lines[head].startswith(_REJECTION)
        named = ("UnhandledPromiseRejection", lines[head][len(_REJECTION) :].rstrip("] {")) if rejected else (
            node_other_head(lines[head])
        )  # fmt: skip
    reader = _Reader(lines, own, _Open(named[0], named[1], Relation.RAISED))
    end = reader.read(head, at)
    first, place = _find_place(lines, head, floor, own)
    exceptions = [Raised(one.type[:MAX_NAME], one.message[:MAX_MESSAGE], _kept(one.frames), one.relation)
                  for one in reader.found[:MAX_EXCEPTIONS]]  # fmt: skip
    exceptions[0] = _with_place(exceptions[0], place, own)
    return tuple(exceptions), first, _with_version(lines, end)


def _find_head(lines: Sequence[str], at: int, floor: int) -> int:
    """Return the position of the line that names the error: messages may have several lines."""
    lowest = max(floor, at - _MOST_BACK)
    for position in range(at - 1, lowest - 1, -1):
        if node_head(lines[position]) is not None:
            return position
        if is_log_head(lines[position]):
            break
    return max(at - 1, floor)


class _Reader:
    """Reads an error and what is printed below it.

    Attributes:
        found: The error, then its causes and members.
    """

    def __init__(self, lines: Sequence[str], own: Own, first: _Open) -> None:
        self.found = [first]
        self._lines = lines
        self._own = own
        self._braces = False
        self._has_members = False

    def read(self, head: int, at: int) -> int:
        """Read from the line of the error, whose first frame is at ``at``; return the position after the last line."""
        self._braces = self._lines[head].endswith("{")
        for line in self._lines[head + 1 : at]:
            self._add_message(line)
        position = max(at, head + 1)
        stop = min(len(self._lines), position + _MOST_READ)
        while position < stop and self._take(self._lines[position]):
            position += 1
        return position

    def _take(self, line: str) -> bool:
        """Take a line; returns False after the last one."""
        bare = line.strip()
        if is_frame(line):
            self._add_frame(bare)
        elif _SAME.match(line):
            pass
        elif link := next((word for word in _LINKS if bare.startswith(word)), None):
            self._add(bare[len(link) :], _LINKS[link])
        elif self._braces:
            if line[:1] in ("}", "]"):
                self._braces = False
            elif bare.startswith("[errors]: ["):
                self._has_members = True
            elif self._has_members and node_head(bare) is not None:
                self._add(bare, Relation.MEMBER)
        else:
            return False
        return True

    def _add(self, text: str, relation: Relation) -> None:
        named = node_head(text) or node_other_head(text)
        self.found.append(_Open(*named, relation))
        self._braces = self._braces or text.endswith("{")

    def _add_message(self, line: str) -> None:
        one = self.found[-1]
        if len(one.message) < MAX_MESSAGE:
            one.message = f"{one.message}\n{line.rstrip()}"

    def _add_frame(self, bare: str) -> None:
        if bare.endswith("{"):
            self._braces = True
        function, path, line = _parts(bare[3:].rstrip(" ,{"))
        frames = self.found[-1].frames
        if path and len(frames) < MAX_FRAMES:
            frames.append(self._own.frame(path, line, function))


def _parts(text: str) -> tuple[str, str, int]:
    """Return function, path and line of a frame; the path is empty without one."""
    function, place = "", text.removeprefix("async ")
    if place.endswith(")"):
        function, _, place = place[:-1].partition(" (") if " (" in place else ("", "", place)
    match = _PLACE.match(place)
    if match is None:
        return function, place if place.startswith("<") else "", 0
    return _function(function), match[1], int(match[2])


def _function(name: str) -> str:
    name = _ALIAS.sub("", name).removeprefix("new ").removesuffix(".<anonymous>").removesuffix("<anonymous>")
    return "" if name == "Object" else name


def _kept(frames: Sequence[Frame]) -> tuple[Frame, ...]:
    return tuple(frames[:MAX_FRAMES])


def _find_place(lines: Sequence[str], head: int, floor: int, own: Own) -> tuple[int, Frame | None]:
    """Return the first position of an error, and the place that Node shows above it with an arrow."""
    at = head - 1
    while at >= max(floor, head - 2) and not lines[at].strip():
        at -= 1
    if at - 2 < floor or not _ARROW.match(lines[at]):
        return head, None
    match = _PLACE.match(lines[at - 2])
    if match is None:
        return head, None
    return at - 2, own.frame(match[1], int(match[2]), "", lines[at - 1].strip())


def _with_place(raised: Raised, place: Frame | None, own: Own) -> Raised:
    """Add the place that is printed outside of the stack, if the stack lacks it, or the text of its line."""
    first = raised.deepest_own
    if place is not None and place.is_own:
        if first is not None and (first.path, first.line) == (place.path, place.line):
            frames = tuple(replace(one, code=place.code) if one is first else one for one in raised.frames)
            return replace(raised, frames=frames)
        if first is None or raised.type.startswith("SyntaxError"):
            return replace(raised, frames=(place, *raised.frames))
    if first is None and (match := _COMPILED.search(raised.message)):
        before = raised.message[max(0, match.start() - _MOST_PATH) : match.start()]
        frame = own.frame(before.rpartition("\n")[2].strip(), int(match[1] or match[2]))
        return replace(raised, frames=(frame, *raised.frames)) if frame.is_own else raised
    return raised


def _with_version(lines: Sequence[str], end: int) -> int:
    """Return the position after the version that Node prints when it ends."""
    for position in range(end, min(end + 3, len(lines))):
        if lines[position].startswith("Node.js v"):
            return position + 1
        if lines[position].strip():
            break
    return end
