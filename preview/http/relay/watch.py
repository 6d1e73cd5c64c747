"""One eye on all relayed connections: what has come, which client is gone, and which has been waited for too long.

A task or a timer for each would cost more than a small request does. One epoll instance sees all of it, edge triggered,
and so costs nothing while nothing happens; the deadlines are looked at four times a second.
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

# How late a deadline may be noticed.
_TICK_S = 0.25
# 10 s: longer than anything is kept.
_QUIET_TICKS = 40
# How long sockets are seen to, at some 20 us each, before everybody else in the service has a turn; the last of its
# rounds may take as long again.
_TURN_S = 0.001
_MAX_EVENTS = 32
_GONE = select.EPOLLRDHUP | select.EPOLLHUP | select.EPOLLERR
_COME = select.EPOLLIN


class Watched(Protocol):
    """A client's connection.

    Attributes:
        fd: Its descriptor.
        deadline: By ``time.monotonic``; infinite where nothing is waited for.
    """

    fd: int
    deadline: float

    def gone(self) -> None:
        """Note that the client has closed its side, or is lost. Called once."""

    def came(self) -> bool:
        """Something has come; False where nobody wants to be told (until ``listen``)."""

    def failed(self, error: Exception) -> None:
        """Seeing to it has failed by a mistake of ours."""

    def expired(self) -> None:
        """Note that the deadline has passed."""


class Watch:
    """Tells connections what happens to them. A context manager that holds one descriptor.

    Invariant: whatever is in ``_clients`` or ``_upstreams`` has an open descriptor, registered with the epoll instance.
    While events are seen to connections are closed but none is opened: a number is not used again among them.

    Args:
        each_tick: Called now and then, for what has no hurry.
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
        """Look at this client's connection from now on, whether it ends."""
        self._clients[one.fd] = one
        self._epoll.register(one.fd, _GONE | select.EPOLLET)
        self._some.set()

    def listen(self, one: Watched) -> None:
        """Tell it also when something comes, or has come already."""
        self._epoll.modify(one.fd, _COME | _GONE | select.EPOLLET)

    def remove(self, one: Watched) -> None:
        """Look at it no more; before its descriptor is closed."""
        if self._clients.pop(one.fd, None) is not None:
            self._epoll.unregister(one.fd)

    def all(self) -> list[Watched]:
        """Those that are looked at."""
        return list(self._clients.values())

    def listen_to(self, upstream: UpstreamConnection) -> None:
        """Tell the reader of a connection to a preview, on which nothing has come yet, when something does."""
        if upstream.forget is None:
            self._epoll.register(upstream.fd, _COME | select.EPOLLET)
            self._upstreams[upstream.fd] = upstream
            upstream.forget = partial(self._forget, upstream)

    def _forget(self, upstream: UpstreamConnection) -> None:
        # Closing would take it out as well, but not while a child that has not come to its exec holds it: the number
        # may be another connection's by then.
        self._epoll.unregister(upstream.fd)
        del self._upstreams[upstream.fd]
        upstream.forget = None

    async def look(self) -> None:
        """Look until cancelled. Cancellation: nobody looks any more."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._look_at_the_clock)
            while True:
                await trio.lowlevel.wait_readable(self._epoll.fileno())
                self._take_turn()

    def _take_turn(self) -> None:
        # Bytes that come meanwhile are handled as well: giving the turn away costs as much as an event.
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
        """Tell a client's connection what has happened to it; a mistake in that is its own."""
        try:
            if flags & _GONE:
                client.gone()
            elif not client.came():
                self._epoll.modify(client.fd, _GONE | select.EPOLLET)
        except Exception as error:  # noqa: BLE001  one connection's, and so its task's, not everybody's
            client.failed(error)

    def _read_for(self, upstream: UpstreamConnection) -> None:
        if upstream.reader is None:
            self._forget(upstream)
            return
        try:
            upstream.reader.came(upstream)
        except Exception:  # as above; the task that waits for the answer ends with it
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
            # What is looked at now and then needs no look any more when all has been quiet for a while.
            idle_ticks = 0 if self._clients else idle_ticks + 1
            if idle_ticks > _QUIET_TICKS:
                self._some = trio.Event()
                await self._some.wait()
                idle_ticks = 0
