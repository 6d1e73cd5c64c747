"""Renewals of a node's lease, in a thread of their own: a busy event loop does not cost the node its lease."""

from __future__ import annotations

import threading
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import NamedTuple

import outcome
import structlog
import trio

from preview.cluster.leases import RENEWED_AFTER, Lease
from preview.cluster.nodes import Renewal
from preview.errors import PreviewError
from preview.storage.calls import Call

log = structlog.get_logger(__name__)

# Leases: a node whose event loop has stood still for so long is lost, although its thread could renew.
_UNSEEN = 3
# Of a lease: how often the event loop says that it runs, and the pause after a renewal that failed.
_LOOK, _AGAIN = 1 / 20, 1 / 20
# How long a lease may be renewed after its end: a failover of PostgreSQL takes 10 to 30 s, and clients wait as long for
# an answer. What stands still meanwhile costs memory alone, and keeps no other node from taking it.
_LATE_S = 30.0
# The longest time that the end waits for the thread, whose connection is cut by then.
_GRACE_S = 0.5


class Seen(NamedTuple):
    """The view of one renewal.

    Attributes:
        renewal: Its answer.
        known: Fences of the previews that the node knew when it asked, by preview.
        running: Fences of the node's rows in the database, by preview.
    """

    renewal: Renewal
    known: Mapping[str, int]
    running: Mapping[str, int]


class Renewals:
    """Renews a lease while it holds.

    Args:
        lease: The lease.
        renew: Renews it once, in the database and here; None if there is nothing to note. Called in the thread.
    """

    def __init__(self, lease: Lease, renew: Callable[[], Seen | None]) -> None:
        self._lease, self._renew = lease, renew
        self._stopped = threading.Event()
        self._call: Call[Seen | None] | None = None
        self._called_at = self._alive_at = lease.clock()
        self._seen: Seen | None = None
        self._noted = trio.Event()

    async def run(self, note: Callable[[Seen], Awaitable[None]]) -> None:
        """Renew until the lease is over, or cancelled.

        Args:
            note: Called with the newest renewal, as soon as the event loop has time.

        Cancellation: a renewal under way is cut; the thread ends, or is given up after half a second.
        """
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._note_all, note)
            nursery.start_soon(self._look_after)
            await self._run_thread()
            nursery.cancel_scope.cancel()

    async def _run_thread(self) -> None:
        token, over = trio.lowlevel.current_trio_token(), trio.Event()

        def deliver(result: outcome.Outcome[None]) -> None:
            _soon(token, over.set)
            result.unwrap()

        await self._start_thread(lambda: self._renew_all(token), deliver)
        try:
            await over.wait()
        finally:
            self._stopped.set()
            self._cut()
            with trio.CancelScope(shield=True, deadline=trio.current_time() + _GRACE_S):
                await over.wait()

    async def _start_thread(self, work: Callable[[], None], deliver: Callable[[outcome.Outcome[None]], None]) -> None:
        """Start the thread, as soon as the machine has one. Cancellation: nothing is started."""
        while True:
            try:
                trio.lowlevel.start_thread_soon(work, deliver, "lease")
            except RuntimeError as error:
                log.warning("cluster lease not renewed", node=self._lease.node, reason=str(error))
                await trio.sleep(_AGAIN * self._lease.lease_s)
            else:
                return

    def _renew_all(self, token: trio.lowlevel.TrioToken) -> None:
        """Renew until stopped. Runs in the thread."""
        again_s = _AGAIN * self._lease.lease_s
        while self._lease.holds and not self._stopped.wait(max(self._lease.renewal_in_s, again_s)):
            if self._lease.clock() - self._alive_at > _UNSEEN * self._lease.lease_s:
                continue
            self._called_at = self._lease.clock()
            self._call = call = Call(self._renew)
            # The end may have come before it could cut this call.
            if self._stopped.is_set():
                return
            try:
                self._seen = call.run() or self._seen
            except Exception as error:
                unexpected = not isinstance(error, PreviewError)
                node = self._lease.node
                log.warning("cluster lease not renewed", node=node, reason=str(error), exc_info=unexpected)
            else:
                _soon(token, self._wake)
            finally:
                self._call = None

    def _wake(self) -> None:
        self._noted.set()

    async def _look_after(self) -> None:
        """Say that the event loop runs, and cut a renewal that takes longer than a lease."""
        while True:
            self._alive_at = self._lease.clock()
            if self._alive_at - self._called_at > self._lease.lease_s:
                self._cut()
            await trio.sleep(_LOOK * self._lease.lease_s)

    def _cut(self) -> None:
        if (call := self._call) is not None:
            call.give_up()

    async def _note_all(self, note: Callable[[Seen], Awaitable[None]]) -> None:
        newest: Seen | None = None
        while True:
            await self._noted.wait()
            self._noted, before, newest = trio.Event(), newest, self._seen
            # Two wake-ups may find the same one.
            if newest is None or newest is before or not self._lease.holds:
                continue
            try:
                await note(newest)
            except Exception as error:
                unexpected = not isinstance(error, PreviewError)
                node = self._lease.node
                log.warning("cluster renewal not followed", node=node, reason=str(error), exc_info=unexpected)


async def wait_over(lease: Lease) -> None:
    """Wait for the lease's end by the local clock, which trio's does not follow while the machine sleeps.

    Cancellation: nothing changes.
    """
    while lease.holds:  # noqa: ASYNC110  the lease has no event: time ends it
        await trio.sleep(min(max(lease.left_s, 0.01), lease.lease_s / 10))


async def renew_late(lease: Lease, renew: Callable[[], Awaitable[Seen | None]]) -> Seen | None:
    """Renew a lease that is over, within half a minute; None if that is not possible.

    Args:
        lease: The lease. It holds at the return, unless the answer is None.
        renew: Renews it once in the database; None if another process has joined with this node's name.

    Cancellation: the lease is over.
    """
    until = lease.clock() + _LATE_S
    while lease.clock() < until:
        asked_at = lease.clock()
        try:
            seen = await renew()
        except Exception as error:
            unexpected = not isinstance(error, PreviewError)
            log.info("cluster lease not renewed", node=lease.node, reason=str(error), exc_info=unexpected)
            await trio.sleep(_AGAIN * lease.lease_s)
            continue
        if seen is None:
            return None
        if (doubt_s := lease.trusted_in_s) > 0:
            # These rows may be of a time before another node took the previews.
            until = max(until, lease.clock() + doubt_s + lease.lease_s)
            await trio.sleep(min(doubt_s, RENEWED_AFTER * lease.lease_s))
            continue
        lease.begin(asked_at)
        if lease.holds:
            return seen
    return None


def _soon(token: trio.lowlevel.TrioToken, call: Callable[[], None]) -> None:
    """Call something in the event loop, if that still runs."""
    with suppress(trio.RunFinishedError):
        token.run_sync_soon(call)
