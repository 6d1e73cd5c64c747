"""A database that grows fast is looked at more often than every 5 s."""

from __future__ import annotations

import itertools
from types import SimpleNamespace
from typing import Any

import pytest
import trio

from preview.settings import Settings
from preview.supervisor.limits import databases

_MIB = 1024 * 1024


class Stopped(Exception):
    """The preview was stopped."""


async def looks(monkeypatch: pytest.MonkeyPatch, mb_per_s: float) -> list[float]:
    """Return the times of the looks at a database that begins to grow after 4 s, until it is too large."""
    times: list[float] = []
    began = trio.current_time()

    async def measure() -> int:
        await trio.lowlevel.checkpoint()
        times.append(trio.current_time() - began)
        return int(max(0.0, times[-1] - 4) * mb_per_s * _MIB)

    def stop(*_given: object, **_more: object) -> None:
        raise Stopped

    monkeypatch.setattr(databases, "stop_for", stop)
    preview: Any = SimpleNamespace(servers=SimpleNamespace(all=lambda: [SimpleNamespace(measure=measure)]))
    with pytest.raises(Stopped):
        await databases.watch_databases(preview, Settings(database_size_mb=1000))
    return times


async def test_one_that_grows_fast_is_stopped_soon(
    monkeypatch: pytest.MonkeyPatch, autojump_clock: trio.testing.MockClock
) -> None:
    # Full after 9 s: at the pace of slow ones it would be stopped after 10, with a fifth more than is allowed.
    assert (await looks(monkeypatch, 200))[-1] == pytest.approx(9.5, abs=0.1)


async def test_one_that_grows_slowly_costs_little(
    monkeypatch: pytest.MonkeyPatch, autojump_clock: trio.testing.MockClock
) -> None:
    times = await looks(monkeypatch, 10)
    assert [round(after - before, 3) for before, after in itertools.pairwise(times)] == [5.0] * 20
