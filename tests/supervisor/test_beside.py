"""The share of a preview's limits that its services beside it have."""

from __future__ import annotations

from pathlib import Path

import pytest

from preview.runtime import Usage
from preview.settings import load_settings
from preview.supervisor.process.beside import OWN_SHARE, RunningBeside, fitting, shared
from preview.supervisor.process.server_process import ServerProcess


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
