"""Level and source of each line, with the state that keeps a traceback together.

``line_marks`` looks at one line; this module adds its neighbours. All lines of a traceback (Python, chained, exception
groups, syntax errors, Node's stack) have level ERROR. The source line below a Python warning has level WARNING. All
parts of an overlong line have the first part's level.
"""

from __future__ import annotations

import re
from enum import Enum

from preview.core.escapes import without_colours
from preview.logs.ingest.framing import CONTINUES
from preview.logs.ingest.line_marks import mark_by_looks
from preview.logs.model.events import ERROR, INFO, WARNING

_TRACEBACK = "Traceback (most recent call last)"
_CHAINED = ("During handling of the above exception", "The above exception was the direct cause")
_FILE_LINE = re.compile(r'\s{0,64}File "[^"]{1,4096}", line \d')
# The exception line at the end of a traceback: a dotted name, then nothing or a colon and the message.
_EXCEPTION = re.compile(r"[A-Za-z_][\w.]{0,300}(?::|$)")
# Pydantic's message continues over unindented lines.
_MANY_LINES = re.compile(r"\d{1,9} validation errors? for ")
_PART_CHARACTERS = 256  # minimum length of a part of an overlong line: 1024 bytes (lowest limit), 4 per character


class _Block(Enum):
    """The block of lines that earlier lines have started."""

    NONE = 0
    FRAMES = 1  # in a traceback, before its exception line
    GROUP = 2  # in an exception group, drawn with | and +
    RAISED = 3  # after an exception line: its message may continue, indented
    MESSAGE = 4  # after an exception line whose message continues unindented
    SPACE = 5  # after the empty line that follows a traceback: a chained one may follow
    WARNED = 6  # after a Python warning: its source line follows
    PART = 7  # after a part of an overlong line


# Looking up an enum member costs as much as two substring checks.
_NONE = _Block.NONE
_SERIOUS = frozenset((WARNING, ERROR))


class Recogniser:
    """Recognises the lines of one preview, in order. Accepts any text, in time linear in its length."""

    def __init__(self) -> None:
        self._block = _NONE
        self._part_mark = INFO

    def marks(self, lines: list[str]) -> bytes:
        """Return one mark per line, for the ``running`` phase: level, and whether it is an access line."""
        return bytes(map(self.mark, lines))

    def mark(self, line: str) -> int:
        """Return the mark of the next line."""
        text = without_colours(line) if "\x1b" in line else line
        if self._block is not _NONE:
            mark = self._within(text)
            if mark is not None:
                return mark
        mark = mark_by_looks(text)
        # Only lines that can start a block need a second look: serious, indented or very long lines.
        if mark in _SERIOUS or text[:2] == "  " or len(text) >= _PART_CHARACTERS:
            mark = self._begin(text, mark)
        return mark

    def _begin(self, text: str, mark: int) -> int:
        """Start a block if ``text`` starts one; return the line's mark, which is ERROR for a traceback's head."""
        if _is_part(text):
            self._block, self._part_mark = _Block.PART, mark
        elif _opens_traceback(text):
            self._block = _Block.GROUP if text.lstrip()[0] in "+|" else _Block.FRAMES
            return ERROR
        elif text.startswith("  File ") and _FILE_LINE.match(text):
            self._block = _Block.FRAMES
            return ERROR
        elif mark == INFO or _is_log_head(text):
            return mark
        elif mark == ERROR and _EXCEPTION.match(text):
            self._block = _Block.RAISED
        elif mark == WARNING and "Warning: " in text:
            self._block = _Block.WARNED
        return mark

    def _within(self, text: str) -> int | None:
        """Return the mark of a line within the current block; None ends the block."""
        block = self._block
        if block is _Block.PART:
            if not _is_part(text):
                self._block = _NONE
            return self._part_mark
        if block is _Block.WARNED:
            self._block = _NONE
            return WARNING if text.startswith("  ") else None
        if self._in_frames(text) if block is _Block.FRAMES else self._behind_frames(block, text):
            return ERROR
        self._block = _NONE
        return None

    def _in_frames(self, text: str) -> bool:
        # Empty lines and "> File" occur in loguru's annotated tracebacks.
        if not text or text[0] in " \t>" or _TRACEBACK in text:
            return True
        if not _EXCEPTION.match(text) or mark_by_looks(text) not in (INFO, ERROR) or _is_log_head(text):
            return False
        self._block = _Block.MESSAGE if _MANY_LINES.search(text, 0, 400) else _Block.RAISED
        return True

    def _behind_frames(self, block: _Block, text: str) -> bool:
        if not text.strip():
            self._block = _Block.SPACE
            return True
        match block:
            case _Block.GROUP:
                goes_on = text[0] in " \t" and text.lstrip()[0] in "|+"
            case _Block.RAISED:
                goes_on = text[0] in " \t" or text == "}"
            case _Block.MESSAGE:
                goes_on = mark_by_looks(text) == INFO and not _is_log_head(text)
            case _:
                goes_on = False
        return goes_on or self._chained(text)

    def _chained(self, text: str) -> bool:
        bare = text.lstrip(" |+")
        if bare.startswith(_CHAINED):
            self._block = _Block.SPACE
            return True
        if _opens_traceback(text):
            self._block = _Block.GROUP if bare != text else _Block.FRAMES
            return True
        return False


_LOG_HEAD = re.compile(r"[\[(<]?(?:DEBUG|INFO|WARNING|WARN|ERROR|CRITICAL|FATAL)\b|\d{4}-\d\d-\d\d|\[?\d\d:\d\d")


def _is_log_head(text: str) -> bool:
    """Return True if a new log record starts here."""
    return _LOG_HEAD.match(text) is not None


def _opens_traceback(text: str) -> bool:
    """Return True if the line is a traceback's head, not only a mention of one."""
    if _TRACEBACK not in text:
        return False
    head = text.lstrip(" |+")
    return head.startswith((_TRACEBACK, "Exception Group " + _TRACEBACK))


def _is_part(text: str) -> bool:
    return len(text) >= _PART_CHARACTERS and text.endswith(CONTINUES)
