"""Version 2 on a folder that only looks like its tree: what is written and what is read.

What the kernel makes of it, ``test_cgroups_limits`` shows on a machine with version 2, and
``test_cgroups_other_kernel`` on one without.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from preview.runtime.cgroups.files import table
from preview.runtime.cgroups.group import GroupLimits, GroupUsage, cpu_quota_us
from preview.runtime.cgroups.home import Refused
from preview.runtime.cgroups.own_groups import OwnGroup
from preview.runtime.cgroups.v2 import V2Cgroup, V2Home
from preview.runtime.interface import Excess

LIMITS = GroupLimits(memory_bytes=512 << 20, cpu_cores=1.5, processes=100)
INTERFACE = ("memory.max", "memory.swap.max", "memory.oom.group", "pids.max", "cpu.max", "cgroup.procs")

Fill = Callable[[Path, Mapping[str, str]], Path]


@pytest.fixture
def fill() -> Fill:
    def write(folder: Path, texts: Mapping[str, str]) -> Path:
        folder.mkdir(exist_ok=True)
        for name, text in texts.items():
            (folder / name).write_text(text)
        return folder

    return write


def test_the_limits_are_written_as_the_kernel_wants_them(tmp_path: Path, fill: Fill) -> None:
    folder = fill(tmp_path, dict.fromkeys(INTERFACE, ""))
    V2Cgroup("preview_a", LIMITS, str(folder), with_cpu=True).apply()
    assert {name: (folder / name).read_text() for name in INTERFACE} == {
        "memory.max": "536870912",
        "memory.swap.max": "0",
        "memory.oom.group": "1",
        "pids.max": "100",
        "cpu.max": "150000 100000",
        "cgroup.procs": "",
    }


def test_a_kernel_that_counts_no_swap_will_do(tmp_path: Path, fill: Fill) -> None:
    folder = fill(tmp_path, {"memory.max": "", "pids.max": ""})
    V2Cgroup("preview_a", LIMITS, str(folder), with_cpu=False).apply()
    assert (folder / "memory.max").read_text() == "536870912"


def test_a_group_without_a_limit_of_memory_is_refused(tmp_path: Path, fill: Fill) -> None:
    folder = fill(tmp_path, {"pids.max": ""})
    with pytest.raises(FileNotFoundError):
        V2Cgroup("preview_a", LIMITS, str(folder), with_cpu=False).apply()


def test_usage_and_events_are_read_from_the_kernels_counts(tmp_path: Path, fill: Fill) -> None:
    folder = fill(
        tmp_path,
        {
            "memory.current": "1000000\n",
            "memory.stat": "anon 600000\nfile 400000\ninactive_file 300000\nactive_file 100000\n",
            "memory.events": "low 0\nhigh 0\nmax 7\noom 2\noom_kill 1\noom_group_kill 1\n",
            "cpu.stat": "usage_usec 2500000\nuser_usec 1\nnr_throttled 3\nthrottled_usec 750000\n",
            "pids.current": "12\n",
            "pids.events": "max 4\n",
            "cgroup.procs": "10\n11\n",
        },
    )
    group = V2Cgroup("preview_a", LIMITS, str(folder), with_cpu=True)
    assert group.usage() == GroupUsage(memory_bytes=700_000, cpu_s=2.5, processes=2, tasks=12)
    assert group.events() == Excess(killed_for_memory=1, refused_processes=4, throttled_s=0.75)


def test_counts_read_at_two_moments_never_come_to_less_than_nothing(tmp_path: Path, fill: Fill) -> None:
    folder = fill(tmp_path, {"memory.current": "1000\n", "memory.stat": "inactive_file 4096\n"})
    assert V2Cgroup("preview_a", LIMITS, str(folder), with_cpu=True).usage().memory_bytes == 0


@pytest.mark.parametrize(("cores", "quota"), [(1.0, 100_000), (0.25, 25_000), (64.0, 6_400_000), (0.001, 1000)])
def test_a_share_of_a_core_is_a_part_of_each_period(cores: float, quota: int) -> None:
    assert cpu_quota_us(cores) == quota


def test_lines_that_are_no_counts_are_passed_over() -> None:
    assert table("a 1\nb\nc x\n 4\nd 2 3\ne -1\nf 5") == {"a": 1, "f": 5}


def test_a_group_with_a_strangers_process_is_refused_and_left_as_it_was(tmp_path: Path, fill: Fill) -> None:
    texts = {
        "cgroup.type": "domain\n",
        "cgroup.controllers": "cpu memory pids\n",
        "cgroup.subtree_control": "",
        # Pid 2 is the kernel's own, on any machine; where it is hidden it is a stranger still.
        "cgroup.procs": f"{os.getpid()}\n2\n",
    }
    folder = fill(tmp_path, texts)
    with pytest.raises(Refused, match="holds other programs' processes"):
        V2Home("preview-test", OwnGroup(str(folder), str(folder))).claim()
    assert {path.name: path.read_text() for path in folder.iterdir()} == texts


def test_a_group_that_was_given_no_controllers_is_refused(tmp_path: Path, fill: Fill) -> None:
    folder = fill(tmp_path, {"cgroup.type": "domain\n", "cgroup.controllers": "pids\n", "cgroup.subtree_control": ""})
    with pytest.raises(Refused, match="has no controller for memory; run the service as a systemd unit with Delegate"):
        V2Home("preview-test", OwnGroup(str(folder), str(folder))).claim()
