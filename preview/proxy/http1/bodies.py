"""Read framed message content piece by piece, and frame content as chunks. No I/O.

Source: RFC 9112 sections 6.2, 6.3 and 7.1.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Protocol

from preview.proxy.http1.heads import CHUNKED, UNTIL_CLOSE, Field, Unclean, read_fields

Payload = bytes | bytearray | memoryview

LAST_CHUNK = b"0\r\n\r\n"

# Includes chunk extensions, which are unused in practice; they are skipped and not forwarded.
_MAX_SIZE_LINE = 256
_MAX_TRAILERS = 16 * 1024
# A 64-bit reader takes 16 digits without overflow; further leading zeros could deceive other readers.
_SIZE = re.compile(rb"([0-9A-Fa-f]{1,15})(?:[ \t]*;[\t -~\x80-\xff]*)?")


class Body(Protocol):
    """Reader of framed content.

    Attributes:
        is_over: Whether all content has been fed.
        rest: Bytes received after the end of the content.
        trailers: Fields received after the content.
    """

    is_over: bool
    rest: bytes
    trailers: list[Field]

    def feed(self, data: memoryview) -> list[memoryview]:
        """Return the content in the received data, as parts of ``data`` itself.

        Raises:
            Unclean: The framing is broken.
        """

    def end(self) -> bool:
        """Handle the end of the connection; return whether the content is complete."""


class Counted:
    """Content with a length announced in the head."""

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
    """Content that ends when the connection closes."""

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
    """Chunks, read strictly: plain hexadecimal sizes, CR LF where required, bounded lines and trailers."""

    __slots__ = ("_held", "_left", "_state", "is_over", "rest", "trailers")

    _AT_SIZE, _IN_DATA, _BEHIND_DATA, _AT_TRAILERS = range(4)

    def __init__(self) -> None:
        self._state = self._AT_SIZE
        # Bytes of the current chunk that are missing.
        self._left = 0
        # The beginning of an incomplete line.
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
        """Read the bytes between chunk contents. Return the number of bytes used; 0 if more are needed."""
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
                raise Unclean("a chunk's size is malformed")
            return 0
        found = _SIZE.fullmatch(text, 0, end)
        if found is None:
            raise Unclean("a chunk's size is malformed")
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
    """Return the reader for content of this length (see ``heads``)."""
    if length == CHUNKED:
        return InChunks()
    return UntilClose() if length == UNTIL_CLOSE else Counted(length)


def chunk(pieces: Sequence[Payload]) -> list[Payload]:
    """Frame the content as one chunk. Empty content gives nothing, because an empty chunk means the end."""
    size = sum(map(len, pieces))
    return [b"%x\r\n" % size, *pieces, b"\r\n"] if size else []
