"""Connections carried between two networks: accepted on one side, asked for on the other, and joined."""

from __future__ import annotations

import errno
import socket
import struct
from collections.abc import Awaitable, Callable
from functools import partial

import structlog
import trio

from preview.runtime.inbound import without_linger

log = structlog.get_logger(__name__)

Connect = Callable[[], Awaitable[trio.SocketStream]]
Handler = Callable[[trio.SocketStream], Awaitable[None]]

# SO_LINGER with no time: closing is a reset (socket(7)).
_RESET = struct.pack("ii", 1, 0)
# After an error that may last (no descriptor left).
_PAUSE_S = 1.0
# Whoever holds it has made it a socket that does not listen any more (shutdown(2)).
_OVER = frozenset({errno.EINVAL, errno.EBADF, errno.ENOTSOCK, errno.EOPNOTSUPP})


async def carry_all(
    listener: socket.socket, connect: Connect, limiter: trio.CapacityLimiter, *, pace_s: float = 0.0
) -> None:
    """Accept for ever, and join each connection with one that ``connect`` opens; where it cannot, it is reset.

    Args:
        listener: As in ``accept_all``.
        connect: Opens the other side.
        limiter: As in ``accept_all``.
        pace_s: Likewise.

    Returns only when the socket listens no more. Cancellation: every connection is closed.
    """
    await accept_all(listener, partial(_carry, connect), limiter, pace_s=pace_s)


async def accept_all(
    listener: socket.socket, handle: Handler, limiter: trio.CapacityLimiter, *, pace_s: float = 0.0
) -> None:
    """Accept for ever, and have each connection handled by a task of its own.

    Args:
        listener: Listens; closed at the end.
        handle: Serves one connection, and closes it.
        limiter: Bounds how many are open; one more waits in the kernel's queue.
        pace_s: Seconds between two that are accepted.

    Returns only when the socket listens no more. Cancellation: every connection is closed.
    """
    listener.setblocking(False)
    with trio.socket.from_stdlib_socket(listener) as accepting:
        async with trio.open_nursery() as nursery:
            while True:
                place = object()
                await limiter.acquire_on_behalf_of(place)
                try:
                    connection, _ = await accepting.accept()
                except OSError as error:
                    limiter.release_on_behalf_of(place)
                    if error.errno in _OVER:
                        break
                    log.warning("a preview's connection was not taken", error=str(error))
                    await trio.sleep(_PAUSE_S)
                    continue
                # What it has from its listening socket, which may be a preview's: its close could wait for that.
                without_linger(connection.fileno())
                release = partial(limiter.release_on_behalf_of, place)
                nursery.start_soon(_handle, trio.SocketStream(connection), handle, release)
                await trio.sleep(pace_s)


async def _handle(near: trio.SocketStream, handle: Handler, release: Callable[[], None]) -> None:
    try:
        async with near:
            await handle(near)
    finally:
        release()


async def _carry(connect: Connect, near: trio.SocketStream) -> None:
    try:
        far = await connect()
    except OSError:
        # Nobody is there: whoever asked learns it as a reset.
        near.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        await trio.aclose_forcefully(near)
        return
    async with far:
        await join(near, far)


async def join(near: trio.SocketStream, far: trio.SocketStream) -> None:
    """Carry bytes both ways until both sides have ended; the caller closes the streams.

    Cancellation: nothing is sent any more.
    """
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_pump, near, far)
        nursery.start_soon(_pump, far, near)


async def _pump(source: trio.SocketStream, sink: trio.SocketStream) -> None:
    try:
        async for chunk in source:
            await sink.send_all(chunk)
        await sink.send_eof()
    except (trio.BrokenResourceError, trio.ClosedResourceError):
        # One side is gone: neither has anything to say to the other any more.
        await trio.aclose_forcefully(source)
        await trio.aclose_forcefully(sink)
