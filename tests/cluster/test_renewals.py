"""Renewals of a lease in a thread: what the event loop may miss, and when the thread ends."""

from __future__ import annotations

import os
import socket
import threading
from contextlib import ExitStack
from typing import Any

import pytest
import trio
import trio.testing
from structlog.testing import capture_logs

from preview.cluster.leases import Lease, boot_clock
from preview.cluster.nodes import Renewal
from preview.cluster.renewals import Renewals, Seen
from preview.errors import DatabaseUnavailable
from preview.storage.calls import Wire, current_call

LEASE_S = 0.4
SEEN = Seen(Renewal(False, 0), {}, {})


class Renewing:
    """A database that always renews, unless a test says otherwise."""

    def __init__(self, lease_s: float = LEASE_S) -> None:
        self.lease = Lease(lease_s, node="one")
        self.lease.begin(boot_clock())
        self.asked = 0
        self.enough = threading.Event()
        self.threads = set[int]()
        self.notes: list[Seen] = []

    def renew(self) -> Seen | None:
        self.asked += 1
        self.threads.add(threading.get_ident())
        if self.asked >= 8:
            self.enough.set()
        return SEEN if self.lease.renewed(boot_clock()) else None

    async def note(self, seen: Seen) -> None:
        self.notes.append(seen)


async def test_a_busy_event_loop_does_not_cost_the_lease() -> None:
    node = Renewing()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(Renewals(node.lease, node.renew).run, node.note)
        await trio.testing.wait_all_tasks_blocked()
        # Nothing else runs in the event loop for two leases.
        assert node.enough.wait(30)
        assert node.lease.holds
        assert node.lease.losses == 0
        nursery.cancel_scope.cancel()
    assert threading.get_ident() not in node.threads


async def test_what_a_renewal_saw_is_noted_in_the_event_loop() -> None:
    node = Renewing()
    noted = trio.Event()

    async def note(seen: Seen) -> None:
        assert threading.get_ident() not in node.threads
        node.notes.append(seen)
        noted.set()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(Renewals(node.lease, node.renew).run, note)
        with trio.fail_after(30):
            await noted.wait()
        nursery.cancel_scope.cancel()
    assert node.notes[0] is SEEN


async def test_an_event_loop_that_stands_still_loses_the_lease() -> None:
    node = Renewing(0.2)
    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(Renewals(node.lease, node.renew).run, node.note)
            await trio.testing.wait_all_tasks_blocked()
            while node.lease.holds:
                os.sched_yield()
    # Three leases, four renewals in each; a slow machine has fewer.
    assert 1 <= node.asked <= 16


async def test_a_renewal_that_fails_is_repeated() -> None:
    node = Renewing()
    renew = node.renew

    def fail_at_first() -> Seen | None:
        if node.asked == 0:
            node.asked += 1
            raise DatabaseUnavailable("The database does not respond.")
        return renew()

    with trio.fail_after(30), capture_logs() as logs:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(Renewals(node.lease, fail_at_first).run, node.note)
            await trio.to_thread.run_sync(node.enough.wait)
            nursery.cancel_scope.cancel()
    assert node.lease.losses == 0
    assert [one["node"] for one in logs if one["event"] == "cluster lease not renewed"] == ["one"]


async def test_a_machine_without_a_free_thread_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    node = Renewing()
    start, refusals = trio.lowlevel.start_thread_soon, iter([True])

    def refuse_once(*given: Any) -> None:
        if given[2:] == ("lease",) and next(refusals, False):
            raise RuntimeError("can't start new thread")
        start(*given)

    monkeypatch.setattr(trio.lowlevel, "start_thread_soon", refuse_once)
    with trio.fail_after(30):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(Renewals(node.lease, node.renew).run, node.note)
            await trio.to_thread.run_sync(node.enough.wait)
            nursery.cancel_scope.cancel()
    assert next(refusals, None) is None
    assert node.lease.losses == 0


async def test_the_end_of_the_lease_ends_the_thread() -> None:
    node = Renewing()

    def has_another_owner() -> None:
        node.lease.end()

    with trio.fail_after(30):
        await Renewals(node.lease, has_another_owner).run(node.note)
    assert not node.notes


class Hanging:
    """A server that does not answer: the call waits for its socket until that is cut."""

    def __init__(self, opened: ExitStack) -> None:
        self.ours, self.theirs = (opened.enter_context(one) for one in socket.socketpair())
        self.waits, self.ended = threading.Event(), threading.Event()

    def renew(self) -> Any:
        call = current_call()
        assert call is not None
        call.use(Wire(self.ours.fileno()))
        self.waits.set()
        try:
            assert self.ours.recv(1) == b""
        finally:
            self.ended.set()
        raise DatabaseUnavailable("The connection was cut.")


@pytest.mark.parametrize("is_cancelled", [True, False], ids=["at the end", "after a lease"])
async def test_a_renewal_without_an_answer_is_cut(*, is_cancelled: bool) -> None:
    node = Renewing(4.0 if is_cancelled else 0.2)
    node.lease._deadline = boot_clock() + 600
    with ExitStack() as opened, trio.fail_after(30):
        server = Hanging(opened)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(Renewals(node.lease, server.renew).run, node.note)
            await trio.to_thread.run_sync(server.waits.wait)
            if not is_cancelled:
                await trio.to_thread.run_sync(server.ended.wait)
            nursery.cancel_scope.cancel()
        assert server.ended.is_set()


async def test_a_look_that_fails_does_not_end_the_service() -> None:
    node = Renewing()
    again = trio.Event()

    async def note(seen: Seen) -> None:
        await node.note(seen)
        if len(node.notes) > 1:
            again.set()
        raise ValueError("unexpected")

    def renew() -> Seen | None:
        return SEEN._replace() if node.renew() else None

    with trio.fail_after(30):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(Renewals(node.lease, renew).run, note)
            await again.wait()
            nursery.cancel_scope.cancel()
    assert node.lease.losses == 0


async def test_a_look_is_noted_once() -> None:
    node = Renewing()
    renewals = Renewals(node.lease, node.renew)
    renewals._seen = SEEN
    async with trio.open_nursery() as nursery:
        nursery.start_soon(renewals._note_all, node.note)
        for _ in range(2):
            await trio.testing.wait_all_tasks_blocked()
            renewals._wake()
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    assert node.notes == [SEEN]


async def test_a_renewal_that_begins_at_the_end_is_none() -> None:
    node = Renewing()
    renewals = Renewals(node.lease, node.renew)

    class Stopping(threading.Event):
        """Is set just after the thread has looked: the cut comes before the call."""

        def wait(self, timeout: float | None = None) -> bool:
            was = self.is_set()
            self.set()
            renewals._cut()
            return was

    renewals._stopped = Stopping()
    renewals._renew_all(trio.lowlevel.current_trio_token())
    assert node.asked == 0
