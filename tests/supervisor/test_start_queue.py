from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable
from functools import partial

import pytest
import trio
import trio.testing
from hypothesis import given
from hypothesis import strategies as st
from supervisor_kit import NEVER_ANSWERS, SERVER, Rig, open_rig

from preview.core.lifecycle import State
from preview.settings import Settings
from preview.supervisor import LivePreview
from preview.supervisor.launch import start_queue as queue_module
from preview.supervisor.launch.start_queue import StartQueue, StartSlot

# The longest that a slot counts.
LONGEST_S = 1.0
MakeSettings = Callable[..., Settings]


def said(preview: LivePreview) -> list[str]:
    return [line.message for line in preview.log.last_lines(50)]


class Worker:
    """Takes queue, and notes when each begins and ends."""

    def __init__(self, queue: StartQueue) -> None:
        self.queue = queue
        self.begun: list[str] = []
        self.ended: list[str] = []
        self.under_way: dict[str, float] = {}
        self.ahead: dict[str, int] = {}

    async def work(self, name: str, seconds: float) -> None:
        def waits(ahead: int) -> None:
            self.ahead[name] = ahead

        async with self.queue.open_slot(waits):
            self.begun.append(name)
            self.under_way[name] = trio.current_time()
            try:
                await trio.sleep(seconds)
            finally:
                del self.under_way[name]
                self.ended.append(name)


async def test_so_many_work_at_a_time_in_the_order_in_which_they_came(autojump_clock: trio.testing.MockClock) -> None:
    worker = Worker(StartQueue(2))
    started = trio.current_time()
    async with trio.open_nursery() as nursery:
        for name in "abcdef":
            nursery.start_soon(worker.work, name, 0.25)
            await trio.testing.wait_all_tasks_blocked()
        assert worker.begun == ["a", "b"]
    assert worker.begun == list("abcdef")
    assert trio.current_time() - started == pytest.approx(0.75)
    assert worker.ahead == {"c": 2, "d": 3, "e": 4, "f": 5}


async def test_who_takes_long_stands_in_nobodys_way(autojump_clock: trio.testing.MockClock) -> None:
    worker = Worker(StartQueue(2))
    async with trio.open_nursery() as nursery:
        for name, seconds in (("hangs", 60), ("too", 60), ("quick", 0.1), ("next", 0.1)):
            nursery.start_soon(worker.work, name, seconds)
            await trio.testing.wait_all_tasks_blocked()
        await trio.sleep(LONGEST_S + 0.11)
        assert set(worker.ended) == {"quick", "next"}
        nursery.cancel_scope.cancel()


async def test_a_slot_that_is_given_back_is_the_next_ones() -> None:
    queue, order = StartQueue(1), list[str]()

    async def second() -> None:
        async with queue.open_slot():
            order.append("second")

    async with trio.open_nursery() as nursery, queue.open_slot() as slot:
        nursery.start_soon(second)
        await trio.testing.wait_all_tasks_blocked()
        assert order == []
        slot.release()
        await trio.testing.wait_all_tasks_blocked()
        assert order == ["second"]
        # It has none any more, and takes none of the next one's.
        slot.release()


async def test_those_that_have_served_before_go_first_in_their_order() -> None:
    queue, order, ahead = StartQueue(1), list[str](), list[int]()

    async def work(name: str, *, is_urgent: bool) -> None:
        async with queue.open_slot(ahead.append, is_urgent=is_urgent):
            order.append(name)

    async with trio.open_nursery() as nursery, queue.open_slot():
        for name, is_urgent in (("one", False), ("two", False), ("lost", True), ("lost too", True)):
            nursery.start_soon(partial(work, name, is_urgent=is_urgent))
            await trio.testing.wait_all_tasks_blocked()
    assert order == ["lost", "lost too", "one", "two"]
    assert ahead == [1, 2, 1, 2]


@pytest.mark.parametrize("who", ["the first that waits", "another one"])
async def test_the_place_of_one_that_is_cancelled_is_the_next_ones(who: str) -> None:
    queue = StartQueue(1)
    worker, scopes = Worker(queue), {name: trio.CancelScope() for name in ("one", "two", "three")}

    async def work(name: str) -> None:
        with scopes[name]:
            await worker.work(name, 0)

    async with trio.open_nursery() as nursery, queue.open_slot():
        for name in scopes:
            nursery.start_soon(work, name)
            await trio.testing.wait_all_tasks_blocked()
        scopes["one" if who == "the first that waits" else "two"].cancel()
        await trio.testing.wait_all_tasks_blocked()
        assert worker.begun == []
    assert worker.begun == (["two", "three"] if who == "the first that waits" else ["one", "three"])


@pytest.mark.parametrize("seconds", [0.3, 60], ids=["given back", "takes long"])
async def test_it_is_idle_when_the_last_slot_is_given_back_or_counts_no_more(
    seconds: float, autojump_clock: trio.testing.MockClock
) -> None:
    queue = StartQueue(1)
    worker = Worker(queue)
    async with trio.open_nursery() as nursery:
        for name in ("one", "two"):
            nursery.start_soon(worker.work, name, seconds)
        await trio.testing.wait_all_tasks_blocked()
        began = trio.current_time()
        await queue.wait_idle()
        assert sorted(worker.begun) == ["one", "two"]
        least_s = 2 * min(seconds, LONGEST_S)
        # One that takes long is looked at again only so often.
        assert least_s <= trio.current_time() - began <= least_s + (LONGEST_S if seconds > LONGEST_S else 0.01)
        nursery.cancel_scope.cancel()


async def test_nobody_is_waited_for_where_no_slot_is_used() -> None:
    with trio.fail_after(20):
        await StartQueue(1).wait_idle()


async def test_a_slot_ends_with_a_failure() -> None:
    queue = StartQueue(1)
    with pytest.raises(ZeroDivisionError):
        async with queue.open_slot():
            raise ZeroDivisionError
    with trio.fail_after(20):
        async with queue.open_slot():
            pass


async def test_as_many_as_two_for_each_processor_start_unless_said_otherwise() -> None:
    worker = Worker(StartQueue())
    expected = 2 * len(os.sched_getaffinity(0))
    async with trio.open_nursery() as nursery:
        for number in range(expected + 3):
            nursery.start_soon(worker.work, str(number), 60)
        await trio.testing.wait_all_tasks_blocked()
        assert len(worker.begun) == expected
        nursery.cancel_scope.cancel()


async def test_a_preview_that_does_not_come_up_keeps_nobody_from_starting(make_settings: MakeSettings) -> None:
    async with open_rig(make_settings(starts_at_once=1, max_instances_per_user=3)) as rig:
        rig.source.add("g1", NEVER_ANSWERS)
        first = rig.preview(await rig.launch("g1"))
        second = await rig.running(generation_id="g2")
        assert (first.record.state, second.record.state) == (State.STARTING, State.RUNNING)


@pytest.fixture
async def waiting(
    make_settings: MakeSettings, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[tuple[Rig, LivePreview, StartSlot]]:
    """A preview that was launched while somebody else had the only slot, which lasts."""
    monkeypatch.setattr(queue_module, "_LONGEST_S", 60.0)
    async with open_rig(make_settings(starts_at_once=1)) as rig:
        rig.source.add("g1", SERVER)
        async with rig.service.previews._context.start_queue.open_slot() as slot:
            yield rig, rig.preview(await rig.launch("g1")), slot


async def test_a_preview_that_waits_for_its_slot_says_so(waiting: tuple[Rig, LivePreview, StartSlot]) -> None:
    _, preview, slot = waiting
    with preview.log.subscribe() as subscription:
        while "queued: 1 launch ahead" not in said(preview):
            await subscription.receive()
    assert preview.record.pid is None
    slot.release()
    await preview.settled.wait()
    assert preview.record.state is State.RUNNING


async def test_a_preview_that_is_stopped_while_it_waits_is_gone_at_once(
    waiting: tuple[Rig, LivePreview, StartSlot],
) -> None:
    rig, preview, _ = waiting
    await rig.service.previews.stop("g1")
    assert (preview.record.state, preview.record.pid) == (State.STOPPED, None)


async def test_a_preview_that_has_come_up_has_given_its_slot_back(make_settings: MakeSettings) -> None:
    async with open_rig(make_settings(starts_at_once=1, max_instances_per_user=3)) as rig:
        for name in ("g1", "g2"):
            preview = await rig.running(generation_id=name)
            assert not any(line.startswith("queued") for line in said(preview))


WORK = st.lists(
    st.tuples(st.floats(0, 3), st.floats(0, 3), st.one_of(st.none(), st.floats(0, 3))), min_size=1, max_size=12
)


@given(st.integers(1, 4), WORK)
async def test_whatever_comes_goes_and_is_cancelled_nobody_is_forgotten_and_never_are_too_many_at_it(
    most: int, work: list[tuple[float, float, float | None]]
) -> None:
    async def main() -> None:
        worker = Worker(StartQueue(most))
        over: set[str] = set()

        async def one(name: str, comes_s: float, works_s: float, goes_s: float | None) -> None:
            await trio.sleep(comes_s)
            with trio.move_on_after(9 if goes_s is None else goes_s):
                await worker.work(name, works_s)
            over.add(name)

        async def look() -> None:
            while len(over) < len(work):
                now = trio.current_time()
                counted = [name for name, begun in worker.under_way.items() if now - begun < LONGEST_S - 1e-6]
                assert len(counted) <= most
                await trio.sleep(0.05)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(look)
            for number, (comes_s, works_s, goes_s) in enumerate(work):
                nursery.start_soon(one, str(number), comes_s, works_s, goes_s)
        # Twelve in a row, each as long as a slot counts, take longer than nine seconds only one at a time.
        stayed = [str(number) for number, (_, _, goes_s) in enumerate(work) if goes_s is None]
        if most > 1 or len(work) < 9:
            assert set(stayed) <= set(worker.begun)
        assert set(worker.begun) == set(worker.ended)
        assert not worker.queue._used
        assert not worker.queue._waiting

    # A loop of its own for each case: its clock begins anew.
    clock = trio.testing.MockClock(autojump_threshold=0)
    await trio.to_thread.run_sync(partial(trio.run, main, clock=clock))
