"""Reading the first messages of a connection within limits of size and time."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import trio

# A driver sends its first message at once.
FIRST_S = 20.0
_CHUNK_BYTES = 64 * 1024


# Forwards bytes between two streams until both sides have ended.
Join = Callable[[trio.SocketStream, trio.SocketStream], Awaitable[None]]


class SessionEnded(Exception):
    """The client, or the server, has closed the connection before the session began."""


async def read_exactly(stream: trio.SocketStream, size: int) -> bytes:
    """Read ``size`` bytes; the caller bounds size and time.

    Raises:
        SessionEnded: The stream ended before.

    Cancellation: what was read is lost.
    """
    read = bytearray()
    while len(read) < size:
        try:
            chunk = await stream.receive_some(size - len(read))
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            chunk = b""
        if not chunk:
            raise SessionEnded
        read += chunk
    return bytes(read)


class Reader:
    """Reads a stream by numbers of bytes, which the caller bounds, as it bounds the time.

    Args:
        stream: The stream; the caller closes it.
    """

    def __init__(self, stream: trio.SocketStream) -> None:
        self._stream = stream
        self._read = bytearray()

    async def read(self, size: int) -> bytes:
        """Read ``size`` bytes.

        Raises:
            SessionEnded: The stream ended before.

        Cancellation: what was read is lost.
        """
        while len(self._read) < size:
            await self._more()
        found = bytes(self._read[:size])
        del self._read[:size]
        return found

    async def skip(self, size: int) -> None:
        """Leave ``size`` bytes out. Raises and is cancelled like ``read``."""
        while len(self._read) < size:
            size -= len(self._read)
            self._read.clear()
            await self._more()
        del self._read[:size]

    async def _more(self) -> None:
        try:
            chunk = await self._stream.receive_some(_CHUNK_BYTES)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            chunk = b""
        if not chunk:
            raise SessionEnded
        self._read += chunk
