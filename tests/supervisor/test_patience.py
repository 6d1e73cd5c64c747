"""A launch that takes long says so while it prints nothing."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import trio
from trio.testing import MockClock

from preview.core.launch_steps import ENVIRONMENT, FILES, PROCESS
from preview.supervisor.life.watch import tell_preparation
from preview.supervisor.preview.launch_progress import LaunchProgress
from preview.supervisor.preview.patience import tell_long_silence, tell_while_silent


class Log(SimpleNamespace):
    """The two parts of a preview's log that are used."""

    last_seq = 0

    def say(self, line: str) -> None:
        self.last_seq += 1
        self.said.append(line)


async def test_silence_is_told_every_few_seconds(autojump_clock: MockClock) -> None:
    log = Log(said=[])
    with trio.move_on_after(9):
        await tell_while_silent(cast("Any", log), "step seed")
    assert log.said == ["step seed: 4 s so far", "step seed: 8 s so far"]


async def test_a_program_that_prints_is_left_alone(autojump_clock: MockClock) -> None:
    log = Log(said=[])
    async with trio.open_nursery() as nursery:
        nursery.start_soon(tell_while_silent, cast("Any", log), "the application starts")
        for _ in range(10):
            await trio.sleep(3)
            log.last_seq += 1
        nursery.cancel_scope.cancel()
    assert log.said == []


async def test_no_pause_between_lines_is_longer_than_five_seconds(autojump_clock: MockClock) -> None:
    log = Log(said=[])
    async with trio.open_nursery() as nursery:
        nursery.start_soon(tell_while_silent, cast("Any", log), "step seed")
        # A line soon after each look of one that looks every four seconds.
        for _ in range(4):
            await trio.sleep(4.2)
            log.last_seq += 1
            before = log.last_seq
            await trio.sleep(4.8)
            assert log.last_seq > before
        nursery.cancel_scope.cancel()


async def test_a_part_that_tells_nothing_itself_is_named_by_the_launch(autojump_clock: MockClock) -> None:
    log, doing = Log(said=[]), "reading the files"
    async with trio.open_nursery() as nursery:
        nursery.start_soon(tell_long_silence, cast("Any", log), lambda: doing)
        await trio.sleep(2)
        doing = "preparing the environment"
        await trio.sleep(3)
        # One part tells its silence itself: nothing is said twice.
        for _ in range(3):
            log.last_seq += 1
            await trio.sleep(4)
        nursery.cancel_scope.cancel()
    assert log.said == ["preparing the environment: 2 s so far"]


async def test_another_attempt_begins_with_the_files_and_says_so(autojump_clock: MockClock) -> None:
    log, progress = Log(said=[]), LaunchProgress(lambda _: None)
    preview = SimpleNamespace(log=log, progress=progress, stored=True, settled=trio.Event())
    for step in (FILES, ENVIRONMENT, PROCESS):
        progress.start(step)
        progress.finish(step)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(tell_preparation, cast("Any", preview))
        # The application starts, and tells its own silence.
        await trio.sleep(20)
        assert log.said == []
        # As the mend says what it does.
        log.last_seq += 1
        progress.again()
        await trio.sleep(5)
        preview.settled.set()
    assert log.said == ["reading the files: 4 s so far"]
