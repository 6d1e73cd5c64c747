"""Folding of tracebacks for people at a terminal: the project's own frames stay, those of packages become one note."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from preview.cli.local.lines import ShownLine
from preview.cli.terminal import strip_colours

_PYTHON_HEAD = re.compile(
    r"[\s|+]{0,40}(?:Exception Group )?Traceback \(most recent call last\)|"
    r".{0,400}Traceback \(most recent call last\):$"
)
_PYTHON_FRAME = re.compile(r'([\s|]{0,40})File "([^"]{1,4096})", line \d{1,9}')
_PYTHON_END = re.compile(r"[A-Za-z_][\w.]{0,300}+(?:: |:?$)")
_NODE_FRAME = re.compile(r"\s{2,40}at (?:.{1,400} \()?([^\s()]{1,1500}?)(?::\d{1,9}:\d{1,9})?\)?(?: \{)?$")
_FOREIGN = re.compile(r"(?:^|/)(?:site-packages|dist-packages|node_modules|\.pnpm)/|/lib(?:64)?/python\d|\.pyx$")
_NO_FILE = ("<", "node:", "internal/", "native", "[")
_COPY = re.compile(r"(?:file://)?/[^\s\"]{0,1000}/preview_[2-9a-z]{16}/project/")
# Longer lines are no frames.
_MOST_READ = 5000


@dataclass(slots=True)
class TracebackFolder:
    """Folds tracebacks of Python and Node in a sequence of lines, without delay.

    Lines of the service and lines that are no part of a traceback stay as they are. No line waits for a later one, so
    a program that stops in the middle of a traceback hides nothing.

    Attributes:
        is_on: False returns each line unchanged.
    """

    is_on: bool = True
    _is_python: bool = False
    _is_hiding: bool = False
    _hidden: int = 0

    def take(self, line: ShownLine) -> Iterator[ShownLine]:
        """Yield what is to be shown once this line has come: nothing, the line, or a note and the line."""
        if not self.is_on or line.system:
            yield line
            return
        text = strip_colours(line.message)
        if len(text) <= _MOST_READ and not self._is_python and (node := _NODE_FRAME.match(text)):
            if _is_own(node[1]):
                yield from self._note(line)
                yield _shortened(line, text)
            else:
                self._hidden += 1
            return
        if _PYTHON_HEAD.match(text):
            yield from self._note(line)
            self._is_python, self._is_hiding = True, False
            yield line
            return
        if not self._is_python:
            yield from self._note(line)
            yield line
            return
        yield from self._of_python(line, text)

    def _of_python(self, line: ShownLine, text: str) -> Iterator[ShownLine]:
        frame = _PYTHON_FRAME.match(text) if len(text) <= _MOST_READ else None
        if frame is not None:
            self._is_hiding = not _is_own(frame[2])
            if self._is_hiding:
                self._hidden += 1
            else:
                yield from self._note(line)
                yield _shortened(line, text)
        elif not text[:1].isspace() and not text.startswith(("|", "+")):
            # The message, or a line that is no part of the traceback.
            yield from self._note(line)
            self._is_python = False
            yield line
        elif _is_message(text):
            yield from self._note(line)
            self._is_hiding = False
            yield line
        elif not self._is_hiding:
            yield line

    def _note(self, line: ShownLine) -> Iterator[ShownLine]:
        if self._hidden:
            frames = "1 frame" if self._hidden == 1 else f"{self._hidden} frames"
            self._hidden = 0
            yield replace(line, level="DEBUG", message=f"  … {frames} of packages hidden (`preview logs --no-fold`)")


def _is_message(text: str) -> bool:
    """Return True for a line of an exception group that is not indented within the group's marks."""
    bare = text.lstrip(" ")
    return bare[:1] in ("|", "+") and not bare[1:].startswith("   ")


def _is_own(path: str) -> bool:
    return not path.startswith(_NO_FILE) and _FOREIGN.search(path) is None


def _shortened(line: ShownLine, text: str) -> ShownLine:
    return replace(line, message=_COPY.sub("", text, count=1))
