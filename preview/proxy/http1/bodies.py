"""Content as it is framed on the wire, read piece by piece and framed again. Nothing here touches a socket.

Source: RFC 9112 sections 6.2, 6.3 and 7.1.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Protocol

from preview.proxy.http1.heads import CHUNKED, UNTIL_CLOSE, Field, Unclean, read_fields

Payload = bytes | bytearray | memoryview

LAST_CHUNK = b"0\r\n\r\n"

# With its extensions, which nobody has found a use for: they are read over and not passed on.
_MAX_SIZE_LINE = 256
_MAX_TRAILERS = 16 * 1024
# 16 digits are what a 64-bit reader takes without overflowing; more leading zeros than that deceive.
_SIZE = re.compile(rb"([0-9A-Fa-f]{1,15})(?:[ \t]*;[\t -~\x80-\xff]*)?")


class Body(Protocol):
    """Content that comes in framed.

    Attributes:
        is_over: All of it has been fed.
        rest: What came behind its end.
        trailers: Fields behind it.
    """

    is_over: bool
    rest: bytes
    trailers: list[Field]

    def feed(self, data: memoryview) -> list[memoryview]:
        """Return the content in the received data; parts of ``data`` itself.

        Raises:
            Unclean: The framing is broken.
        """

    def end(self) -> bool:
        """End the connection; return whether that is the end of the content."""


class Counted:
    """A length that was said ahead."""

    __slots__ = ("_left", "is_over", "rest", "trailers")

    def __init__(self, length: int) -> None:
        self._left = length
        self.is_over = not length
        self.rest = b""
        self.trailers: list[Field] = []

    def feed(self, data: memoryview) -> list[memoryview]:
        """See ``Body``."""
        size = len(data)
        if size < self._left:
            self._left -= size
            return [data]
        taken, self._left, self.is_over = self._left, 0, True
        if size > taken:
            self.rest = bytes(data[taken:])
        return [data[:taken]]

    def end(self) -> bool:
        """See ``Body``."""
        return self.is_over


class UntilClose:
    """Content until the connection closes."""

    __slots__ = ("is_over", "rest", "trailers")

    def __init__(self) -> None:
        self.is_over = False
        self.rest = b""
        self.trailers: list[Field] = []

    def feed(self, data: memoryview) -> list[memoryview]:
        """See ``Body``."""
        return [data]

    def end(self) -> bool:
        """See ``Body``."""
        self.is_over = True
        return True


class InChunks:
    """Chunks, read strictly: sizes in hexadecimal digits alone, CR LF where it belongs, bounded lines and trailers."""

    __slots__ = ("_held", "_left", "_state", "is_over", "rest", "trailers")

    _AT_SIZE, _IN_DATA, _BEHIND_DATA, _AT_TRAILERS = range(4)

    def __init__(self) -> None:
        self._state = self._AT_SIZE
        # Bytes of the chunk that are to come.
        self._left = 0
        # The beginning of a line that has not come whole.
        self._held = b""
        self.is_over = False
        self.rest = b""
        self.trailers: list[Field] = []

    def feed(self, data: memoryview) -> list[memoryview]:
        """See ``Body``."""
        if self._held:
            data, self._held = memoryview(self._held + data), b""
        pieces: list[memoryview] = []
        at, size = 0, len(data)
        while at < size and not self.is_over:
            if self._state == self._IN_DATA:
                taken = min(self._left, size - at)
                pieces.append(data[at : at + taken])
                at += taken
                self._left -= taken
                if not self._left:
                    self._state = self._BEHIND_DATA
                continue
            used = self._line(data[at:])
            if not used:
                self._held = bytes(data[at:])
                return pieces
            at += used
        if self.is_over:
            self.rest = bytes(data[at:])
        return pieces

    def end(self) -> bool:
        """See ``Body``."""
        return self.is_over

    def _line(self, data: memoryview) -> int:
        """Read what stands between contents; how many bytes were used, 0 where more has to come."""
        if self._state == self._BEHIND_DATA:
            if bytes(data[:2]) == b"\r\n":
                self._state = self._AT_SIZE
                return 2
            if bytes(data[:2]) == b"\r":
                return 0
            raise Unclean("a chunk is longer than it says")
        if self._state == self._AT_SIZE:
            return self._size(bytes(data[: _MAX_SIZE_LINE + 2]))
        return self._trailers(bytes(data[: _MAX_TRAILERS + 4]))

    def _size(self, text: bytes) -> int:
        end = text.find(b"\r\n")
        if end < 0:
            if len(text) > _MAX_SIZE_LINE or b"\n" in text or b"\r" in text[:-1]:
                raise Unclean("a chunk's size is not written strictly")
            return 0
        found = _SIZE.fullmatch(text, 0, end)
        if found is None:
            raise Unclean("a chunk's size is not written strictly")
        self._left = int(found[1], 16)
        self._state = self._IN_DATA if self._left else self._AT_TRAILERS
        return end + 2

    def _trailers(self, text: bytes) -> int:
        if text.startswith(b"\r\n"):
            self.is_over = True
            return 2
        end = text.find(b"\r\n\r\n")
        if end < 0:
            if len(text) > _MAX_TRAILERS:
                raise Unclean("the trailers are too long")
            return 0
        self.trailers = read_fields(text[:end])
        self.is_over = True
        return end + 4


def body_of(length: int) -> Body:
    """Return the content of a message whose length is this (see ``heads``)."""
    if length == CHUNKED:
        return InChunks()
    return UntilClose() if length == UNTIL_CLOSE else Counted(length)


def chunk(pieces: Sequence[Payload]) -> list[Payload]:
    """Frame the content as one chunk; nothing for no content, as an empty chunk is the last."""
    size = sum(map(len, pieces))
    return [b"%x\r\n" % size, *pieces, b"\r\n"] if size else []
