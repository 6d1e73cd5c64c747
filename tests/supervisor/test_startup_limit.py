"""The start-up limit: time in which a preview waits for a processor does not count, to a bound."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Callable, Coroutine, Iterator
from contextlib import ExitStack
from functools import partial

import pytest
import trio
from trio.testing import MockClock

from preview.runtime.kernel import proctree
from preview.supervisor.process.startup_limit import StartupLimit, measure_wait


def waits(*readings: float) -> Callable[[], Coroutine[None, None, float]]:
    """Readings of the wait so far; the last one stays."""
    left = list(readings)

    async def measure() -> float:
        await trio.lowlevel.checkpoint()
        return left.pop(0) if len(left) > 1 else left[0]

    return measure


async def ends_after(limit: StartupLimit, measure: Callable[[], Coroutine[None, None, float]]) -> float:
    began = trio.current_time()
    assert not await limit.run(trio.sleep_forever, measure)
    return trio.current_time() - began


async def test_who_ends_within_the_limit_is_never_measured(autojump_clock: MockClock) -> None:
    del autojump_clock

    async def measure() -> float:
        raise AssertionError

    assert await StartupLimit(30).run(partial(trio.sleep, 29), measure)


@pytest.mark.parametrize(
    ("readings", "ends_s"),
    [
        ((0.0,), 30),  # an idle machine
        ((0.2,), 30),  # not worth a second look
        ((10.0,), 40),
        ((10.0, 14.0, 14.1), 44),
        ((30.0, 60.0, 90.0, 120.0), 120),  # four times at most
        ((1e9,), 120),
    ],
)
async def test_the_limit_grows_by_the_wait(
    autojump_clock: MockClock, readings: tuple[float, ...], ends_s: float
) -> None:
    del autojump_clock
    assert await ends_after(StartupLimit(30), waits(*readings)) == pytest.approx(ends_s)


async def test_the_message_names_the_setting_and_what_was_left_out(autojump_clock: MockClock) -> None:
    del autojump_clock
    limit = StartupLimit(30)
    assert limit.describe() == "30 s of its start (PREVIEW_STARTUP_TIMEOUT)"
    await ends_after(limit, waits(12.4))
    assert limit.describe() == ("30 s of its start (PREVIEW_STARTUP_TIMEOUT), without 12 s of waiting for a processor")


async def test_a_cancelled_wait_cancels_the_work() -> None:
    limit, cancelled = StartupLimit(30), False

    async def work() -> None:
        nonlocal cancelled
        try:
            await trio.sleep_forever()
        finally:
            cancelled = True

    with trio.move_on_after(0.01):
        await limit.run(work, waits(0.0))
    assert cancelled


BUSY = "import os, sys\nos.sched_setaffinity(0, [{}])\nwhile True: pass"


@pytest.fixture
def busy_pids() -> Iterator[list[int]]:
    """Two programs that want the same processor all the time."""
    processor = min(os.sched_getaffinity(0))
    program = [sys.executable, "-c", BUSY.format(processor)]
    with ExitStack() as held:
        started = [held.enter_context(subprocess.Popen(program, stdout=subprocess.DEVNULL)) for _ in range(2)]
        for one in started:
            held.callback(one.kill)
        yield [one.pid for one in started]


async def test_a_process_that_shares_its_processor_waits(busy_pids: list[int]) -> None:
    with trio.fail_after(60):
        while await measure_wait(busy_pids[0]) < 0.2:
            await trio.lowlevel.checkpoint()


@pytest.mark.parametrize("pid", [None, 2**22 + 1])
async def test_who_is_gone_has_not_waited(pid: int | None) -> None:
    assert await measure_wait(pid) == 0.0


async def test_without_a_free_descriptor_the_limit_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    """The reason is then the time, not the service's limit of open files."""

    def fail(_: int) -> list[int]:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(proctree, "descendants", fail)
    assert await measure_wait(os.getpid()) >= 0.0
