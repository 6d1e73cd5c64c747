"""One watch for all relayed connections: it notices arriving data, disconnects and passed deadlines.

A task or timer per connection would cost more than a small request. One edge-triggered epoll instance watches all
sockets and costs nothing while idle; deadlines are checked four times a second.
"""

from __future__ import annotations

import select
from collections.abc import Callable
from functools import partial
from time import monotonic
from typing import Protocol, Self

import structlog
import trio

from preview.proxy.pool import UpstreamConnection

log = structlog.get_logger(__name__)

# Most seconds by which a passed deadline is noticed late.
_TICK_S = 0.25
# 10 s, longer than anything is cached.
_QUIET_TICKS = 40
# Seconds of handling sockets, at about 20 us each, before other tasks run; the last round may take as long again.
_TURN_S = 0.001
_MAX_EVENTS = 32
_GONE = select.EPOLLRDHUP | select.EPOLLHUP | select.EPOLLERR
_COME = select.EPOLLIN


class Watched(Protocol):
    """A client's connection.

    Attributes:
        fd: File descriptor of the socket.
        deadline: By ``time.monotonic``; infinite for no deadline.
    """

    fd: int
    deadline: float

    def gone(self) -> None:
        """Handle that the client has closed its side, or its connection broke. Called once."""

    def came(self) -> bool:
        """Handle arrived data; return False to get no further calls until ``listen``."""

    def failed(self, error: Exception) -> None:
        """Handle an unexpected error of this service in another method."""

    def expired(self) -> None:
        """Handle that the deadline has passed."""


class Watch:
    """Notifies connections of events. A context manager that owns one descriptor.

    Invariant: every connection in ``_clients`` or ``_upstreams`` has an open descriptor registered with epoll. While
    events are handled, connections are closed but none is opened, so no descriptor number is reused.

    Args:
        each_tick: Called regularly, for work that is not urgent.
    """

    def __init__(self, each_tick: Callable[[], None]) -> None:
        self._epoll = select.epoll()
        self._clients: dict[int, Watched] = {}
        self._upstreams: dict[int, UpstreamConnection] = {}
        self._each_tick = each_tick
        self._some = trio.Event()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._epoll.close()

    def add(self, one: Watched) -> None:
        """Watch for the end of this client's connection."""
        self._clients[one.fd] = one
        self._epoll.register(one.fd, _GONE | select.EPOLLET)
        self._some.set()

    def listen(self, one: Watched) -> None:
        """Also notify the connection of data, including data that has already arrived."""
        self._epoll.modify(one.fd, _COME | _GONE | select.EPOLLET)

    def remove(self, one: Watched) -> None:
        """Stop watching the connection; call this before closing its descriptor."""
        if self._clients.pop(one.fd, None) is not None:
            self._epoll.unregister(one.fd)

    def all(self) -> list[Watched]:
        """Return the watched client connections."""
        return list(self._clients.values())

    def listen_to(self, upstream: UpstreamConnection) -> None:
        """Notify a preview connection's reader when data arrives; none may have arrived yet."""
        if upstream.forget is None:
            self._epoll.register(upstream.fd, _COME | select.EPOLLET)
            self._upstreams[upstream.fd] = upstream
            upstream.forget = partial(self._forget, upstream)

    def _forget(self, upstream: UpstreamConnection) -> None:
        # Closing alone is not enough: a child before its exec may keep the socket open, so epoll would report it under
        # a descriptor number that another connection may use by then.
        self._epoll.unregister(upstream.fd)
        del self._upstreams[upstream.fd]
        upstream.forget = None

    async def look(self) -> None:
        """Handle events until cancelled. Cancellation: connections get no further notifications."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._look_at_the_clock)
            while True:
                await trio.lowlevel.wait_readable(self._epoll.fileno())
                self._take_turn()

    def _take_turn(self) -> None:
        # Data that arrives meanwhile is handled as well: yielding costs as much as an event.
        until = monotonic() + _TURN_S
        while events := self._epoll.poll(0, _MAX_EVENTS):
            for fd, flags in events:
                if (client := self._clients.get(fd)) is not None:
                    self.see_to(client, flags)
                elif (upstream := self._upstreams.get(fd)) is not None:
                    self._read_for(upstream)
            if monotonic() > until:
                return

    def see_to(self, client: Watched, flags: int = _COME) -> None:
        """Notify a client's connection of its events; an error in that affects only this connection."""
        try:
            if flags & _GONE:
                client.gone()
            elif not client.came():
                self._epoll.modify(client.fd, _GONE | select.EPOLLET)
        except Exception as error:  # noqa: BLE001  raised in this connection's task, affects no other
            client.failed(error)

    def _read_for(self, upstream: UpstreamConnection) -> None:
        if upstream.reader is None:
            self._forget(upstream)
            return
        try:
            upstream.reader.came(upstream)
        except Exception:  # as above; the task that waits for the response ends with it
            log.exception("preview connection failed")
            upstream.close()

    async def _look_at_the_clock(self) -> None:
        idle_ticks = 0
        while True:
            await trio.sleep(_TICK_S)
            now = monotonic()
            for one in [one for one in self._clients.values() if one.deadline < now]:
                one.expired()
            self._each_tick()
            # Stop the ticks after a quiet time; the next connection starts them again.
            idle_ticks = 0 if self._clients else idle_ticks + 1
            if idle_ticks > _QUIET_TICKS:
                self._some = trio.Event()
                await self._some.wait()
                idle_ticks = 0
