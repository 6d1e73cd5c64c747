"""Connections to previews for all but the relay: endpoint calls, and browsers on the ordinary way.

Kept by the relay's rules (``relay.pool``): by address and process, the last used first, closed before a preview's
server would do so, and not used again where anything has come that no request asked for.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio

from preview.errors import PreviewUnavailable
from preview.proxy.pool import Pool, Refused, UpstreamConnection
from preview.proxy.pool import connect as connect_socket

Address = tuple[str, int]

# A preview on this machine accepts at once or not at all; its backlog may be full for a moment.
_CONNECT_TIMEOUT_S = 5.0
# As often as the pool's own limit could pass.
_SWEEP_S = 4.0


class Connections:
    """Idle connections. Made by ``open_connections``."""

    def __init__(self) -> None:
        self._pool = Pool()
        self._is_open = True

    @property
    def idle(self) -> int:
        """How many are kept."""
        return self._pool.idle

    def take(self, address: Address, process: int, *, may_repeat: bool) -> UpstreamConnection | None:
        """See ``Pool.take``: one to this process, on which nothing is under way."""
        return self._pool.take(_key(address, process), may_repeat=may_repeat)

    def give(self, link: UpstreamConnection) -> None:
        """Keep one on which an answer has ended cleanly."""
        if self._is_open:
            self._pool.give(link)
        else:
            link.close()

    def sweep(self) -> None:
        """Close what has been idle for too long."""
        self._pool.sweep()

    def close(self) -> None:
        """Close all that are idle; those in use end with their requests."""
        self._is_open = False
        self._pool.close()


async def connect(address: Address, process: int = 0) -> UpstreamConnection:
    """A new connection, which only the caller closes.

    Args:
        address: Host and port of the preview itself.
        process: Which process serves there now.

    Raises:
        PreviewUnavailable: Nobody accepts one there.

    Cancellation: none is left.
    """
    try:
        with trio.fail_after(_CONNECT_TIMEOUT_S):
            return await connect_socket(address, _key(address, process))
    except (OSError, Refused, trio.TooSlowError) as error:
        raise PreviewUnavailable("The preview does not accept connections: it may be starting or gone.") from error


def _key(address: Address, process: int) -> tuple[str, int]:
    host, port = address
    return f"{host}:{port}", process


@asynccontextmanager
async def open_connections() -> AsyncIterator[Connections]:
    """Connections, for as long as requests may be made; idle ones are closed in time and at the end.

    Cancellation: they are closed.
    """
    made = Connections()
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_sweep, made)
            yield made
            nursery.cancel_scope.cancel()
    finally:
        made.close()


async def _sweep(connections: Connections) -> None:
    """Those to a preview that is gone would else stay until the next request to it: each a descriptor."""
    while True:
        await trio.sleep(_SWEEP_S)
        connections.sweep()
