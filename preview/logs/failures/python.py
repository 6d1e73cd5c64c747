"""Tracebacks of Python: plain, chained, of groups, of syntax errors; in the forms of loguru and rich too.

One pass over the lines, with a bounded look at the next ones. Accepts any text.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from enum import Enum

from preview.logs.failures.heads import is_log_head, python_end
from preview.logs.failures.model import MAX_EXCEPTIONS, MAX_FRAMES, MAX_MESSAGE, MAX_NAME, Frame, Raised, Relation
from preview.logs.failures.own import Own

TRACEBACK = "Traceback (most recent call last)"
_CAUSE = "The above exception was the direct cause"
_CONTEXT = "During handling of the above exception"
_FILE = re.compile(r'(?:> )?File "([^"]{1,4096})", line (\d{1,9})(?:, in (.{1,400}))?')
_RICH = re.compile(r"(\S.{0,1000}?):(\d{1,9})(?: in (\S.{0,400}))?$")
_RICH_CODE = re.compile(r"❱ {0,8}\d{1,9} (.*)")
_RICH_ASIDE = re.compile(r"(?<! ) {3,}[│╭╰].*")
_MEMBER = re.compile(r"\+(?:-\+)?-{4,} (?:\d{1,9}|\.\.\.) -{4,}")
_GROUP_END = re.compile(r"\+-{8,}$")
_SYNTAX = ("SyntaxError", "IndentationError", "TabError")
_NO_CODE = re.compile(r"[\s^~│└·]*(?:[│└].*)?$")
# Lines that belong to a message although they are not indented: of SQLAlchemy, of drivers, of pydantic.
_MORE = ("[SQL: ", "[parameters: ", "(Background on this error", "DETAIL:", "HINT:", "LINE ", "CONTEXT:")
_MANY = re.compile(r"\d{1,9} validation errors? for |\d{1,9} validation errors?:")
# Lines of other programs' parts between those of a traceback.
_MOST_FOREIGN = 5
_MOST_MESSAGE_LINES = 60
_MOST_READ = 5_000


class _Mode(Enum):
    FRAMES = 0
    MESSAGE = 1
    CHAINED = 2


def opens(text: str) -> bool:
    """Return True if a traceback starts in this line."""
    if TRACEBACK not in text:
        return False
    head = text.lstrip(" |+╭─")
    return head.startswith((TRACEBACK, f"Exception Group {TRACEBACK}")) or text.endswith(f"{TRACEBACK}:")


def opens_syntax_error(lines: Sequence[str], at: int) -> bool:
    """Return True if a syntax error without a traceback starts in this line."""
    return _FILE.match(lines[at].lstrip()) is not None and any(
        line.startswith(_SYNTAX) for line in lines[at + 1 : at + 5]
    )


def read_python(lines: Sequence[str], at: int, own: Own) -> tuple[tuple[Raised, ...], int]:
    """Read the traceback that starts at ``at``.

    Args:
        lines: Texts without colours.
        at: Position of its first line.
        own: Decides which code is the project's.

    Returns:
        Its exceptions, see ``Failure``, none if it is unfinished; and the position after its last line.
    """
    reader = _Reader(lines, own)
    end = reader.read(at)
    return _arrange(reader.chains), end


class _Reader:
    """Reads one traceback.

    Attributes:
        chains: Exceptions in the order of the lines: of the whole, then of each member of a group.
    """

    def __init__(self, lines: Sequence[str], own: Own) -> None:
        self.chains: list[list[Raised]] = [[]]
        self._lines = lines
        self._own = own
        self._frames: list[Frame] = []
        self._mode = _Mode.FRAMES
        self._is_group = False
        self._is_rich = False
        self._foreign = 0
        self._message_lines = 0
        self._is_many = False
        self._rich_path = ""

    def read(self, at: int) -> int:
        """Read from ``at``; return the position after the last line."""
        position = last = at
        stop = min(len(self._lines), at + _MOST_READ)
        while position < stop:
            goes_on = self._take(self._lines[position], position, is_first=position == at)
            if goes_on is None:
                break
            position += 1
            if goes_on:
                last = position
        return max(last, at + 1)

    def _take(self, line: str, position: int, *, is_first: bool) -> bool | None:
        """Take a line. Returns True if it is of the traceback, False if it may be of others, None at the end."""
        if opens(line):
            if self._mode is _Mode.MESSAGE and not (self._is_group and line.lstrip()[:1] in "|+"):
                return None  # another traceback
            if self._mode is _Mode.FRAMES and not is_first and self._frames:
                return None  # this one is unfinished
            self._open(line)
            return True
        text = self._bare(line)
        if self._is_group and self._take_mark(text):
            return True
        if text.startswith((_CAUSE, _CONTEXT)):
            return self._take_link(text)
        if self._mode is _Mode.FRAMES:
            return self._take_frame(text)
        return self._take_message(text, position)

    def _open(self, line: str) -> None:
        head = line.lstrip()
        self._is_group = self._is_group or head[:1] in ("+", "|")
        self._is_rich = head[:1] == "╭"
        self._mode, self._frames, self._foreign = _Mode.FRAMES, [], 0

    def _bare(self, line: str) -> str:
        """Return the line without the drawing of groups and boxes."""
        if self._is_group:
            head = line.lstrip()
            if head[:1] == "|":
                return head[2:]
            return head
        return line

    def _take_mark(self, text: str) -> bool:
        if _MEMBER.match(text):
            self.chains.append([])
            self._mode, self._frames = _Mode.FRAMES, []
            return True
        return _GROUP_END.match(text) is not None

    def _take_link(self, text: str) -> bool | None:
        chain = self.chains[-1]
        if not chain:
            return None
        chain[-1] = replace(chain[-1], relation=Relation.CAUSE if text.startswith(_CAUSE) else Relation.CONTEXT)
        self._mode = _Mode.CHAINED
        return True

    # Frames

    def _take_frame(self, text: str) -> bool | None:
        if self._is_rich and text[:1] in "│╭╰ ":
            self._take_rich(text.strip())
            self._is_rich = text[:1] != "╰"
            return True
        stripped = text.lstrip()
        if not stripped:
            return True
        if match := _FILE.match(stripped):
            if text[0] in " >" or not self._frames:
                self._add(match[1], int(match[2]), match[3] or "")
            return True
        if text[0] in " \t":
            self._add_code(stripped)
            return True
        ended = python_end(text)
        if ended is not None and (self._frames or self._looks_raised(ended[0])):
            self._finish(*ended)
            return True
        self._foreign += 1
        return False if self._foreign <= _MOST_FOREIGN else None

    @staticmethod
    def _looks_raised(name: str) -> bool:
        return name.endswith(("Error", "Exception", "Exit", "Interrupt", "Group", "Warning"))

    def _add(self, path: str, line: int, function: str) -> None:
        self._frames.append(self._own.frame(path, line, "" if function == "<module>" else function))

    def _add_code(self, text: str) -> None:
        if self._frames and not self._frames[-1].code and not _NO_CODE.match(text) and text[0] != "[":
            self._frames[-1] = replace(self._frames[-1], code=text[:MAX_NAME])

    def _take_rich(self, text: str) -> None:
        text = text.strip("│ ")
        if text.startswith("❱"):
            if (code := _RICH_CODE.match(text)) and self._frames:
                shown = _RICH_ASIDE.sub("", code[1][: 4 * MAX_NAME]).strip(" │")
                self._add_code(shown or "…")
            return
        if match := _RICH.match(self._rich_path + text) or _RICH.match(text):
            if "│" not in text and (match[1][0] in "/<" or match[3]):
                self._add(match[1], int(match[2]), match[3] or "")
            self._rich_path = ""
        else:
            self._rich_path = text if text.startswith("/") else ""

    # Messages

    def _finish(self, name: str, message: str) -> None:
        chain = self.chains[-1]
        total = sum(map(len, self.chains))
        if total < MAX_EXCEPTIONS:
            chain.append(Raised(name[:MAX_NAME], message[:MAX_MESSAGE], _kept(self._frames)))
        elif chain:
            # The last one of a chain is the one that reached the server.
            chain[-1] = Raised(name[:MAX_NAME], message[:MAX_MESSAGE], _kept(self._frames), chain[-1].relation)
        self._mode, self._frames, self._message_lines = _Mode.MESSAGE, [], 0
        self._is_many = _MANY.search(message, 0, MAX_NAME) is not None

    def _take_message(self, text: str, position: int) -> bool | None:
        if not text.strip():
            return None if self._ends_after(position) else True
        if self._mode is _Mode.CHAINED:
            return None
        is_more = text[0] in " \t" or text.startswith(_MORE) or (self._is_many and not is_log_head(text))
        if not is_more or self._message_lines >= _MOST_MESSAGE_LINES:
            return None
        self._message_lines += 1
        chain = self.chains[-1]
        if chain and len(chain[-1].message) < MAX_MESSAGE:
            message = f"{chain[-1].message}\n{text.rstrip()}"[:MAX_MESSAGE]
            chain[-1] = replace(chain[-1], message=message)
        return True

    def _ends_after(self, position: int) -> bool:
        """Return True if the traceback does not go on after this empty line."""
        for line in self._lines[position + 1 : position + 3]:
            text = self._bare(line)
            if text.strip():
                is_linked = text.startswith((_CAUSE, _CONTEXT, "[SQL: ")) or (
                    self._mode is _Mode.CHAINED and opens(line)
                )
                return not (is_linked or (self._is_group and line.lstrip()[:1] in ("|", "+")))
        return True


def _kept(outermost_first: Sequence[Frame]) -> tuple[Frame, ...]:
    """Return the frames to keep, innermost first: the project's own and the innermost ones."""
    frames = list(reversed(outermost_first))
    if len(frames) <= MAX_FRAMES:
        return tuple(frames)
    own = [at for at, frame in enumerate(frames) if frame.is_own][: MAX_FRAMES // 2]
    chosen = set(own)
    for at in range(len(frames)):
        if len(chosen) >= MAX_FRAMES:
            break
        chosen.add(at)
    return tuple(frames[at] for at in sorted(chosen))


def _arrange(chains: Sequence[Sequence[Raised]]) -> tuple[Raised, ...]:
    """Return the exceptions of chains, the one that reached the server first; a group of one is its member."""
    found = [list(reversed(chain)) for chain in chains if chain]
    if not found:
        return ()
    groups: list[Raised] = []
    while len(found) > 1 and found[0][0].message.endswith("(1 sub-exception)"):
        groups += [replace(one, relation=Relation.GROUP) for one in found.pop(0)[:1]]
    top, *members = found
    top[0] = replace(top[0], relation=Relation.RAISED)
    for member in members:
        member[0] = replace(member[0], relation=Relation.MEMBER)
    return tuple(one for chain in (top, *members, groups) for one in chain)[:MAX_EXCEPTIONS]
