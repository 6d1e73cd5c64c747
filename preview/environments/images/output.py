"""Read the answer of a build: JSON texts, one a line, whose streams are the lines that people read."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Final

from preview.runtime.container.builds import without_hiding

_MOST_PENDING: Final = 1024 * 1024
_MOST_LINE: Final = 2000
_MOST_LINES: Final = 2000
_RUNNING: Final = re.compile(r" ---> Running in ([0-9a-f]{12})")
_COLOUR: Final = re.compile(r"\x1b\[[0-9;]{0,20}m")
_NOISE: Final = re.compile(
    r" ---> [0-9a-f]{12}|--> [0-9a-f]{11}|Removing intermediate container [0-9a-f]{12}|Successfully built .*"
)


class BadOutput(Exception):
    """The engine's answer is none of a build."""


class BuildOutput:
    """The output of a build so far.

    Attributes:
        image: Id of the finished image; empty until then.
        error: The engine's reason for a failure; empty if there is none.
        container: Short id of the container that runs now.
        last: The last lines of output.
        size: Bytes of the answer so far.
    """

    def __init__(self) -> None:
        self.image = ""
        self.error = ""
        self.container = ""
        self.last: list[str] = []
        self.size = 0
        self._pending = b""
        self._line = ""
        self._count = 0

    def feed(self, piece: bytes) -> Iterator[str]:
        """Yield the complete lines for people that a piece of the answer ends; a bounded number in all.

        Raises:
            BadOutput: The answer is none of a build.
        """
        self.size += len(piece)
        *texts, self._pending = (self._pending + piece).split(b"\n")
        if len(self._pending) > _MOST_PENDING:
            raise BadOutput
        for text in texts:
            if text.strip():
                yield from self._read(text)

    def rest(self) -> Iterator[str]:
        """Yield the last line, if it has no end."""
        if self._line.strip():
            yield from self._say(self._line)

    def _read(self, text: bytes) -> Iterator[str]:
        try:
            said = json.loads(text)
        except (ValueError, RecursionError):
            raise BadOutput from None
        if not isinstance(said, dict):
            raise BadOutput
        aux = said.get("aux")
        if isinstance(aux, dict) and isinstance(aux.get("ID"), str):
            self.image = aux["ID"]
        if isinstance(said.get("error"), str):
            self.error = without_hiding(said["error"])
        stream = said.get("stream")
        if isinstance(stream, str):
            *lines, self._line = (self._line + stream).replace("\r", "\n").split("\n")
            self._line = self._line[:_MOST_LINE]
            for line in lines:
                yield from self._say(line)

    def _say(self, line: str) -> Iterator[str]:
        line = without_hiding(_COLOUR.sub("", line[: 2 * _MOST_LINE]))
        line = "".join(one if one.isprintable() or one == "\t" else " " for one in line[:_MOST_LINE]).rstrip()
        if found := _RUNNING.fullmatch(line):
            self.container = found[1]
            return
        if not line.strip() or _NOISE.fullmatch(line):
            return
        self.last = [*self.last[-4:], line]
        self._count += 1
        if self._count <= _MOST_LINES:
            yield line
        elif self._count == _MOST_LINES + 1:
            yield f"further output of the build is not shown: it has more than {_MOST_LINES} lines"
