"""A launch that takes long says so while it prints nothing."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import trio
from trio.testing import MockClock

from preview.supervisor.preview.patience import tell_while_silent


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
