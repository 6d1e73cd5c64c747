"""The share of a preview's limits that its services beside it have."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import trio
import trio.testing

from preview.environments import HealthCheck
from preview.runtime import Checked, Usage
from preview.settings import load_settings
from preview.sources.image_source import DONE, HEALTHY
from preview.supervisor.process.beside import OWN_SHARE, fitting, shared
from preview.supervisor.process.running_beside import RunningBeside
from preview.supervisor.process.server_process import ServerProcess
from preview.supervisor.process.waiting_beside import wait_for, watch_health


@pytest.mark.parametrize(
    ("memory_mb", "processes", "fit"), [(1024, 256, 4), (96, 256, 3), (1024, 40, 2), (31, 256, 0), (1024, 8, 0)]
)
async def test_shares_of_all_together_keep_to_the_limits(
    tmp_path: Path, memory_mb: int, processes: int, fit: int
) -> None:
    # A tier or a project may set less than the settings allow.
    whole = load_settings(data_dir=tmp_path).model_copy(
        update={"memory_limit_mb": memory_mb, "max_processes": processes, "output_bytes_per_s": 9000}
    )
    assert fitting(whole, 4) == fit
    if fit:
        shares = [shared(whole, OWN_SHARE), *[shared(whole, (1 - OWN_SHARE) / fit)] * fit]
        assert sum(one.memory_limit_mb for one in shares) <= memory_mb
        assert sum(one.max_processes for one in shares) <= processes
        assert sum(one.cpu_limit for one in shares) <= whole.cpu_limit
        assert 0 < sum(one.output_bytes_per_s for one in shares) <= 9000
        assert min(one.memory_limit_mb for one in shares) >= 16
        assert min(one.max_processes for one in shares) >= 8


async def test_the_usage_of_a_service_beside_counts_with_that_of_the_previewed_one() -> None:
    serving = object.__new__(ServerProcess)
    own, others = Usage(100, 1.0, 1), Usage(20, 2.0, 3)
    serving.usage, serving.workers, serving.beside = own, [], [RunningBeside(usage=others), RunningBeside()]
    assert serving.usages == [own, others]


class _Checks:
    """A process whose check fails until it has run often enough."""

    def __init__(self, failures: int) -> None:
        self.failures = failures

    async def check(self, _argv: object, _directory: str, _within_s: float) -> Checked:
        self.failures -= 1
        return Checked(1, "not yet") if self.failures >= 0 else Checked(0, "")


def _preview(said: list[str]) -> Any:
    return SimpleNamespace(log=SimpleNamespace(say=lambda line, *_: said.append(line)))


def _beside(check: HealthCheck | None) -> Any:
    return SimpleNamespace(name="db", image=SimpleNamespace(check=check, directory="/"))


@pytest.mark.parametrize(
    ("check", "failures", "last"),
    [
        (HealthCheck(("true",)), 3, "db is healthy"),
        (HealthCheck(("false",), 5.0, 1.0, 2), 99, "its health check ended with code 1: not yet"),
        (HealthCheck(("false",), 30.0, 30.0, 99), 99, "it took more than 60 s (PREVIEW_STEP_TIMEOUT)"),
        (None, 0, "it has no health check"),
    ],
)
async def test_a_service_waits_until_another_is_healthy_and_no_longer_than_its_bound(
    autojump_clock: trio.testing.MockClock, check: HealthCheck | None, failures: int, last: str
) -> None:
    said, state = list[str](), RunningBeside()
    process: Any = _Checks(failures)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(watch_health, _preview(said), _beside(check), process, state)
        await wait_for(_preview(said), "api", {"db": HEALTHY, "unknown": DONE}, {"db": state}, 60)
        nursery.cancel_scope.cancel()
    assert trio.current_time() <= 61
    assert said[0] == "api waits until db is healthy (at most 60 s)"
    assert said[-1].endswith(last)


async def test_a_condition_that_is_met_holds_and_one_that_never_will_be_ends_the_wait() -> None:
    said, state = list[str](), RunningBeside()
    state.meet(DONE)
    for condition in (DONE, HEALTHY):
        state.meet(condition, "it ended with exit code 3")
    await wait_for(_preview(said), "api", {"db": DONE}, {"db": state}, 60)
    await wait_for(_preview(said), "api", {"db": HEALTHY}, {"db": state}, 60)
    assert said == [
        "db has ended with code 0",
        "api starts, although db does not meet depends_on: it ended with exit code 3",
    ]
