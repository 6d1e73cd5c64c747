"""Expiry and inactivity are exact: pure timing, on a clock that jumps."""

from __future__ import annotations

from typing import Any, cast

import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from preview.core.lifecycle import StopCause
from preview.supervisor.life.watch import watch_deadlines
from preview.supervisor.preview.deadlines import Deadlines


async def test_expiry_comes_exactly_then(autojump_clock: MockClock) -> None:
    deadlines = Deadlines(life_s=60, inactive_s=1000)
    started = trio.current_time()
    assert await deadlines.wait() is StopCause.EXPIRED
    assert trio.current_time() - started == 60


async def test_inactivity_counts_from_the_last_request(autojump_clock: MockClock) -> None:
    deadlines = Deadlines(life_s=1000, inactive_s=30)
    started = trio.current_time()
    await trio.sleep(20)
    deadlines.touch()
    assert await deadlines.wait() is StopCause.INACTIVE
    assert trio.current_time() - started == 50


async def test_a_touch_while_waiting_counts(autojump_clock: MockClock) -> None:
    deadlines = Deadlines(life_s=1000, inactive_s=30)
    started = trio.current_time()

    async def touch_later() -> None:
        await trio.sleep(20)
        deadlines.touch()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(touch_later)
        assert await deadlines.wait() is StopCause.INACTIVE
    assert trio.current_time() - started == 50


async def test_an_open_stream_is_activity_for_as_long_as_it_is_open(autojump_clock: MockClock) -> None:
    deadlines = Deadlines(life_s=1000, inactive_s=30)
    started = trio.current_time()

    async def watch() -> None:
        with deadlines.hold():
            await trio.sleep(200)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(watch)
        assert await deadlines.wait() is StopCause.INACTIVE
    assert trio.current_time() - started == 230


async def test_expiry_comes_although_a_stream_is_open(autojump_clock: MockClock) -> None:
    deadlines = Deadlines(life_s=60, inactive_s=30)
    with deadlines.hold():
        assert await deadlines.wait() is StopCause.EXPIRED


async def test_an_extension_moves_the_expiry_of_a_waiting_task(mock_clock: MockClock) -> None:
    deadlines = Deadlines(life_s=60, inactive_s=1000)
    causes: list[StopCause] = []

    async def wait() -> None:
        causes.append(await deadlines.wait())

    async with trio.open_nursery() as nursery:
        nursery.start_soon(wait)
        await wait_all_tasks_blocked()
        deadlines.extend_to(deadlines.expires_at + 60)
        await wait_all_tasks_blocked()
        mock_clock.jump(61)
        await wait_all_tasks_blocked()
        assert causes == []
        mock_clock.jump(60)
    assert causes == [StopCause.EXPIRED]


class Launching:
    """The parts of a preview that a watch of its deadlines uses."""

    def __init__(self, *, life_s: float, inactive_s: float) -> None:
        self.deadlines = Deadlines(life_s=life_s, inactive_s=inactive_s)
        self.streaming = self.deadlines.hold
        self.settled = trio.Event()
        self.ended: list[tuple[StopCause, float]] = []

    def request_stop(self, cause: StopCause) -> None:
        self.ended.append((cause, trio.current_time()))


async def test_a_launch_is_no_inactivity_and_ends_at_its_expiry(autojump_clock: MockClock) -> None:
    preview, began = Launching(life_s=60, inactive_s=10), trio.current_time()
    await watch_deadlines(cast("Any", preview))
    assert preview.ended == [(StopCause.EXPIRED, began + 60)]


async def test_inactivity_counts_from_the_first_answer(autojump_clock: MockClock) -> None:
    preview, began = Launching(life_s=60, inactive_s=10), trio.current_time()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(watch_deadlines, cast("Any", preview))
        await trio.sleep(25)
        preview.settled.set()
    assert preview.ended == [(StopCause.INACTIVE, began + 35)]
