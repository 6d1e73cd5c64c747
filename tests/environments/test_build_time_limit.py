"""A build's limit leaves out waits for a processor, and ends in any case."""

from __future__ import annotations

from functools import partial

import pytest
import trio
from trio.testing import MockClock

from preview.environments.sandbox.time_limit import Patience, TimeLimit, waited_s


async def _sleep_forever() -> bool:
    await trio.sleep_forever()
    return True


def _waited(began: float, loaded: float) -> float:
    return (trio.current_time() - began) * loaded


async def test_waits_extend_the_limit_fourfold_at_most(autojump_clock: MockClock) -> None:
    for loaded, takes_s in ((0.0, 10.0), (0.5, 20.0), (1.0, 40.0)):
        began = trio.current_time()
        limit = TimeLimit(10, partial(_waited, began, loaded))
        assert await limit.run(_sleep_forever) is None
        assert abs(trio.current_time() - began - takes_s) < 1
    assert limit.describe() == "10 s, without 30 s of waiting for a processor"


async def test_results_and_errors_pass() -> None:
    async def fail() -> None:
        await trio.lowlevel.checkpoint()
        raise ValueError("as it is")

    async def give() -> str:
        await trio.lowlevel.checkpoint()
        return "done"

    assert await TimeLimit(60).run(give) == "done"
    with pytest.raises(ValueError, match="as it is"):
        await TimeLimit(60).run(fail)
    assert waited_s() >= 0


async def test_patience_lasts_longer_on_a_loaded_machine(autojump_clock: MockClock) -> None:
    began = trio.current_time()
    loaded = Patience(10, partial(_waited, began, 1.0))
    free = Patience(10, partial(_waited, began, 0.0))
    await trio.sleep(20)
    assert loaded.left_s > 0
    assert free.left_s < 0
    await trio.sleep(30)
    assert loaded.left_s < 0
