"""How many connections are open, in all and from one address."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from resource import RLIM_INFINITY, RLIMIT_NOFILE, getrlimit

import structlog
import trio

from preview.settings import Settings

log = structlog.get_logger(__name__)

# Descriptors that previews, the database and the listeners need beside the connections.
_RESERVED_FILES = 256
# Time to read the refusal; of so many at once, the others are just closed.
_GOODBYE_S = 1.0
_GOODBYES = 64
_REFUSAL = (
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/problem+json\r\n"
    b"Retry-After: 2\r\nConnection: close\r\n\r\n"
    b'{"type":"urn:preview:problem:too_many_connections","title":"Too many connections","status":503,'
    b'"detail":"Too many connections are open; close some, or come back in a moment.",'
    b'"code":"too_many_connections"}'
)


class ConnectionLimiter:
    """Counts connections within two bounds.

    Args:
        limit: Connections in all.
        limit_per_address: Connections from one address.
        exempt: Addresses that the second bound does not concern; None is a peer without an address.
    """

    def __init__(
        self, limit: int, limit_per_address: int, *, exempt: Callable[[str | None], bool] = lambda _: False
    ) -> None:
        self._limit = limit
        self._limit_per_address = limit_per_address
        self._exempt = exempt
        self._by_address: Counter[str | None] = Counter()
        self._total = 0
        self.goodbyes = trio.CapacityLimiter(_GOODBYES)

    def has_room_for(self, address: str | None) -> bool:
        """Whether one more connection from this address may be served."""
        if self._total >= self._limit:
            return False
        return self._exempt(address) or self._by_address[address] < self._limit_per_address

    @contextmanager
    def counted(self, address: str | None) -> Iterator[None]:
        """Count one connection for as long as this is open."""
        self._total += 1
        self._by_address[address] += 1
        try:
            yield
        finally:
            self._total -= 1
            self._by_address[address] -= 1
            if not self._by_address[address]:
                del self._by_address[address]


def connection_limit(settings: Settings) -> int:
    """``max_connections``, or what the limit of open files leaves, whichever is less."""
    soft, _ = getrlimit(RLIMIT_NOFILE)
    left = settings.max_connections if soft == RLIM_INFINITY else max(soft - _RESERVED_FILES, soft // 2)
    if left < settings.max_connections:
        log.info("connections bounded by the limit of open files", max_connections=left, open_files=soft)
    return min(settings.max_connections, left)


async def reject(stream: trio.abc.Stream, crowd: ConnectionLimiter) -> None:
    """Say that there is no space, where somebody can read it, and close. Cancellation: it is closed at once."""
    try:
        crowd.goodbyes.acquire_nowait()
    except trio.WouldBlock:
        await trio.aclose_forcefully(stream)
        return
    try:
        with trio.move_on_after(_GOODBYE_S):
            await stream.send_all(_REFUSAL)
            if isinstance(stream, trio.abc.HalfCloseableStream):
                await stream.send_eof()
            # Closing upon unread bytes would reset the connection, and the answer with it.
            while await stream.receive_some(4096):
                pass
    except (trio.BrokenResourceError, trio.ClosedResourceError):
        pass
    finally:
        crowd.goodbyes.release()
        await trio.aclose_forcefully(stream)
