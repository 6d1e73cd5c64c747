"""Reading the first messages of a connection within limits of size and time."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import trio

# A driver sends its first message at once.
FIRST_S = 20.0


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
