"""What a preview's control group holds, by the real kernel, in whichever version this machine has."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
import trio
from cgroups_support import MIB, ended, next_line, open_tree, own_groups, running, sleeping, there
from limit_kit import no_descriptor_for_a_moment, no_descriptor_free
from structlog.testing import capture_logs

from preview.errors import LaunchFailed
from preview.runtime.cgroups import Cgroup, CgroupTree, enter_prefix, open_cgroups
from preview.runtime.kernel import proctree

SLEEP = "import time; print('up', flush=True); time.sleep(600)"
MEMORY_BOMB = "print('up', flush=True)\nheld = []\nwhile True: held.append(bytearray(b'x') * 1_000_000)"
HOLD_30_MIB = "import time; held = b'x' * (30 << 20); print('up', flush=True); time.sleep(600)"
# Writes a file of 30 MiB in its working folder, and reads it: all of it page cache.
CACHE_30_MIB = """
import os, time
with open('big', 'wb') as file:
    file.write(b'x' * (30 << 20)); file.flush(); os.fsync(file.fileno())
with open('big', 'rb') as file:
    while file.read(1 << 20): pass
print('up', flush=True)
time.sleep(600)
"""
# Forks until it may not, then prints how many it has.
FORK_BOMB = """
import os, time
born = 0
for _ in range(500):
    try:
        if os.fork() == 0:
            time.sleep(600)
    except BlockingIOError:
        break
    born += 1
print(born, flush=True)
time.sleep(600)
"""
# Each child is out of the session and the process group, and nobody's child.
DAEMONS = """
import os, time
for _ in range(5):
    if os.fork() == 0:
        os.setsid()
        if os.fork() != 0:
            os._exit(0)
        time.sleep(600)
    else:
        os.wait()
print('up', flush=True)
time.sleep(600)
"""
BUSY = "print('up', flush=True)\nwhile True: pass"
FORKS_AND_DIES_FOREVER = """
import os
print('up', flush=True)
while True:
    try:
        if os.fork() != 0:
            os._exit(0)
    except BlockingIOError:
        pass
"""


# A service that starts one preview, says which process and which groups that is, and is killed then.
SERVICE = """
import subprocess, sys, trio
from pathlib import Path
from typing import Any
from preview.runtime.cgroups import enter_prefix, open_cgroups

async def main():
    async with (
        open_cgroups(Path(sys.argv[1])) as tree,
        tree.open('preview_old', memory_bytes=1 << 26, cpu_cores=1.0, processes=9) as group,
    ):
        child = subprocess.Popen([*enter_prefix(group.entry_files), '/bin/sleep', '600'])
        while child.pid not in group.pids():
            await trio.sleep(0.01)
        print(child.pid, *group.directories, flush=True)
        await trio.sleep_forever()

trio.run(main)
"""


@contextmanager
def service(data_dir: Path) -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen([sys.executable, "-c", SERVICE, str(data_dir)], stdout=subprocess.PIPE) as process:
        try:
            yield process
        finally:
            process.kill()


@pytest.fixture
async def tree(tmp_path: Path) -> AsyncIterator[CgroupTree]:
    async with open_tree(tmp_path) as opened:
        yield opened


def gone(group: Cgroup) -> bool:
    return not there(group.directories)


async def test_a_program_starts_inside_its_group(tree: CgroupTree) -> None:
    async with tree.open("preview_a", memory_bytes=64 * MIB, cpu_cores=1.0, processes=20) as group:
        with running(group, SLEEP) as process:
            await next_line(process)
            assert group.pids() == [process.pid]
            usage = group.usage()
            assert (usage.processes, usage.tasks) == (1, 1)


async def test_a_memory_bomb_is_killed_and_counted(tree: CgroupTree) -> None:
    async with tree.open("preview_a", memory_bytes=48 * MIB, cpu_cores=2.0, processes=20) as group:
        with running(group, MEMORY_BOMB) as process:
            assert await ended(process) == -signal.SIGKILL
        assert group.events().killed_for_memory >= 1


async def test_memory_of_all_processes_counts_together(tree: CgroupTree) -> None:
    async with tree.open("preview_a", memory_bytes=64 * MIB, cpu_cores=2.0, processes=20) as group:
        with running(group, HOLD_30_MIB) as first:
            await next_line(first)
            assert 30 * MIB <= group.usage().memory_bytes <= 64 * MIB
            with running(group, MEMORY_BOMB) as second:
                # The kernel picks the biggest, which is the bomb; version 2 ends the whole group.
                assert await ended(second) == -signal.SIGKILL
        assert group.events().killed_for_memory >= 1


async def test_page_cache_that_can_be_dropped_does_not_count(
    tree: CgroupTree, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    async with tree.open("preview_a", memory_bytes=100 * MIB, cpu_cores=2.0, processes=20) as group:
        with running(group, CACHE_30_MIB) as process:
            await next_line(process)
            assert group.usage().memory_bytes < 30 * MIB


async def test_a_fork_bomb_is_bounded_and_counted(tree: CgroupTree) -> None:
    async with tree.open("preview_a", memory_bytes=200 * MIB, cpu_cores=2.0, processes=10) as group:
        with running(group, FORK_BOMB) as process:
            assert await next_line(process) == b"9\n"
            assert group.usage().tasks == 10
            assert group.events().refused_processes >= 1


async def test_processor_time_is_throttled_and_counted(tree: CgroupTree) -> None:
    if tree.without_cpu is not None:
        pytest.skip(tree.without_cpu)
    async with tree.open("preview_a", memory_bytes=64 * MIB, cpu_cores=0.2, processes=20) as group:
        with running(group, BUSY) as process:
            await next_line(process)
            started, before = time.monotonic(), group.usage().cpu_s
            with trio.fail_after(60):
                while group.events().throttled_s < 0.3:  # noqa: ASYNC110  the kernel's count has no event
                    await trio.sleep(0.05)
            after = group.usage().cpu_s
            assert before is not None
            assert after is not None
            # A fifth of a core; one period's share more may fall into the time.
            assert after - before <= 0.2 * (time.monotonic() - started) * 1.25 + 0.04


async def test_leaving_kills_daemons_and_removes_the_group(tree: CgroupTree) -> None:
    async with tree.open("preview_a", memory_bytes=200 * MIB, cpu_cores=2.0, processes=30) as group:
        with running(group, DAEMONS) as process:
            await next_line(process)
            pids = group.pids()
            assert len(pids) == 6
            await group.kill()
            assert proctree.living(pids) == []
    assert gone(group)


async def test_a_group_that_is_left_while_no_descriptor_is_free_is_gone_a_moment_later(tree: CgroupTree) -> None:
    async with trio.open_nursery() as nursery:
        async with tree.open("preview_a", memory_bytes=200 * MIB, cpu_cores=2.0, processes=30) as group:
            with running(group, DAEMONS) as process:
                await next_line(process)
                pids = group.pids()
            await nursery.start(no_descriptor_for_a_moment)
        assert proctree.living(pids) == []
        assert gone(group)


async def test_a_group_that_could_not_be_ended_in_time_is_told_and_ended_by_the_next_of_its_name(
    tree: CgroupTree, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits: dict[str, Any] = {"memory_bytes": 200 * MIB, "cpu_cores": 2.0, "processes": 30}
    with capture_logs() as logs, monkeypatch.context() as patch, ExitStack() as held:
        patch.setattr("preview.runtime.cgroups.tree._KILL_S", 0.02)
        patch.setattr("preview.runtime.cgroups.tree._REMOVE_S", 0.02)
        async with tree.open("preview_a", **limits):
            held.enter_context(no_descriptor_free())
    assert [entry["event"] for entry in logs] == ["control group not ended"]
    async with tree.open("preview_a", **limits) as group:
        pass
    assert gone(group)


async def test_a_group_that_cannot_be_read_for_want_of_descriptors_is_not_empty(tree: CgroupTree) -> None:
    async with tree.open("preview_a", memory_bytes=200 * MIB, cpu_cores=2.0, processes=30) as group:
        with no_descriptor_free(), pytest.raises(OSError, match="Too many open files"):
            group.pids()


async def test_cancellation_kills_and_removes(tree: CgroupTree) -> None:
    # The program's own context is the outer one: only the group's end kills it.
    async with AsyncExitStack() as outside:
        with trio.CancelScope() as scope:
            async with tree.open("preview_a", memory_bytes=200 * MIB, cpu_cores=2.0, processes=30) as group:
                process = outside.enter_context(running(group, SLEEP))
                await next_line(process)
                scope.cancel()
                await trio.sleep_forever()
        assert gone(group)
        assert await ended(process) == -signal.SIGKILL


async def test_the_kill_outruns_what_forks_without_end(tree: CgroupTree) -> None:
    async with tree.open("preview_a", memory_bytes=200 * MIB, cpu_cores=2.0, processes=30) as group:
        with running(group, FORKS_AND_DIES_FOREVER) as process:
            await next_line(process)
            refused = group.events().refused_processes
            with trio.fail_after(60):
                await group.kill()
            assert group.pids() == []
            # The refusals by which the kill works are not the preview's.
            assert group.events().refused_processes == refused


async def test_what_was_counted_is_known_after_the_group_has_gone(tree: CgroupTree) -> None:
    async with tree.open("preview_a", memory_bytes=200 * MIB, cpu_cores=2.0, processes=5) as group:
        with running(group, FORK_BOMB) as process:
            await next_line(process)
    assert gone(group)
    assert group.events().refused_processes >= 1
    usage = group.usage()
    assert (usage.memory_bytes, usage.processes, usage.tasks) == (0, 0, 0)


async def test_one_previews_limits_are_not_anothers(tree: CgroupTree) -> None:
    async with (
        tree.open("preview_a", memory_bytes=200 * MIB, cpu_cores=2.0, processes=3) as first,
        tree.open("preview_b", memory_bytes=200 * MIB, cpu_cores=2.0, processes=30) as second,
    ):
        with running(first, FORK_BOMB) as bomb, running(second, DAEMONS) as other:
            assert await next_line(bomb) == b"2\n"
            assert await next_line(other) == b"up\n"
        assert second.events().refused_processes == 0


async def test_a_process_that_cannot_enter_says_so_and_does_not_run(tree: CgroupTree) -> None:
    async with tree.open("preview_a", memory_bytes=64 * MIB, cpu_cores=1.0, processes=20) as group:
        argv = [*enter_prefix([*group.entry_files, "/proc/self/nowhere"]), "/bin/echo", "ran"]
        done = await trio.run_process(argv, check=False, capture_stdout=True, capture_stderr=True)
        assert done.returncode == 125
        assert done.stdout == b""
        assert b"The preview cannot enter its control group /proc/self/nowhere; see `preview doctor`." in done.stderr


@pytest.mark.skipif(os.getuid() != 0, reason="only root can start a program as somebody else")
async def test_another_user_may_not_enter_the_group(tree: CgroupTree) -> None:
    async with tree.open("preview_a", memory_bytes=64 * MIB, cpu_cores=1.0, processes=20) as group:
        argv = ["setpriv", "--reuid=65534", "--clear-groups", *enter_prefix(group.entry_files), "/bin/echo", "ran"]
        done = await trio.run_process(argv, check=False, capture_stdout=True, capture_stderr=True)
        assert (done.returncode, done.stdout) == (125, b"")


async def test_arguments_and_environment_pass_through_the_prefix_unchanged(tree: CgroupTree) -> None:
    async with tree.open("preview_a", memory_bytes=64 * MIB, cpu_cores=1.0, processes=20) as group:
        argv = [*enter_prefix(group.entry_files), "/usr/bin/printf", "%s|", "a b", "$(id)", "--", "", "*"]
        done = await trio.run_process(argv, capture_stdout=True)
        assert done.stdout == b"a b|$(id)|--||*|"


async def test_a_refused_limit_is_a_failed_launch_and_leaves_nothing(tree: CgroupTree) -> None:
    with pytest.raises(LaunchFailed, match=r"pids\.max: Invalid argument\); see `preview doctor`"):
        async with tree.open("preview_a", memory_bytes=64 * MIB, cpu_cores=1.0, processes=-1):
            pytest.fail("the group was made")
    assert there(f"{root}/preview_a" for root in tree.directories) == []


@pytest.mark.parametrize("name", ["", "..", "a/b", ".hidden", "memory.max", "a\n"])
async def test_a_name_that_is_no_folder_of_ours_is_refused(tree: CgroupTree, name: str) -> None:
    with pytest.raises(ValueError, match="not a free name"):
        async with tree.open(name, memory_bytes=64 * MIB, cpu_cores=1.0, processes=20):
            pytest.fail("the group was made")


async def test_a_name_is_open_once_at_a_time(tree: CgroupTree) -> None:
    async with tree.open("preview_a", memory_bytes=64 * MIB, cpu_cores=1.0, processes=20):
        with pytest.raises(ValueError, match="not a free name"):
            async with tree.open("preview_a", memory_bytes=64 * MIB, cpu_cores=1.0, processes=20):
                pytest.fail("the group was made")
    async with tree.open("preview_a", memory_bytes=64 * MIB, cpu_cores=1.0, processes=20) as again:
        assert not gone(again)


async def test_a_group_that_was_left_is_taken_over(tree: CgroupTree) -> None:
    with sleeping(f"{root}/preview_a" for root in tree.directories) as old:
        async with tree.open("preview_a", memory_bytes=64 * MIB, cpu_cores=1.0, processes=20) as group:
            assert await ended(old) == -signal.SIGKILL
            assert group.pids() == []


async def test_groups_made_inside_the_group_go_with_it(tree: CgroupTree) -> None:
    async with tree.open("preview_a", memory_bytes=64 * MIB, cpu_cores=1.0, processes=20) as group:
        with sleeping(f"{directory}/inner" for directory in group.directories) as process:
            assert group.pids() == [process.pid]
            await group.kill()
            assert await ended(process) == -signal.SIGKILL
    assert gone(group)


async def test_a_group_that_holds_a_process_is_not_removed_as_an_empty_one(tree: CgroupTree) -> None:
    async with tree.open("preview_a", memory_bytes=64 * MIB, cpu_cores=1.0, processes=20) as group:
        with running(group, SLEEP) as process:
            await next_line(process)
            assert not group.remove_empty()
            assert process.poll() is None
            assert there(group.directories) == list(group.directories)


async def test_what_was_counted_is_known_when_an_empty_group_is_gone(tree: CgroupTree) -> None:
    async with tree.open("preview_a", memory_bytes=64 * MIB, cpu_cores=1.0, processes=20) as group:
        counted = group.events()
        assert group.remove_empty()
        assert gone(group)
        assert group.events() == counted


async def test_what_an_earlier_run_left_is_killed_and_removed(tmp_path: Path) -> None:
    async with open_tree(tmp_path):
        pass
    with service(tmp_path) as killed:
        pid, *directories = (await next_line(killed)).decode().split()
    assert there(directories) == directories
    async with (
        open_tree(tmp_path) as tree,
        tree.open("preview_new", memory_bytes=64 * MIB, cpu_cores=1.0, processes=20) as group,
    ):
        assert await tree.remove_leftovers() == 1
        assert proctree.living([int(pid)]) == []
        assert there(directories) == []
        assert not gone(group)
        assert await tree.remove_leftovers() == 0


async def test_two_services_leave_each_others_groups_alone(tmp_path: Path) -> None:
    folders = [tmp_path / "one", tmp_path / "two"]
    for folder in folders:
        folder.mkdir()
    async with open_tree(folders[0]) as first, open_tree(folders[1]) as second:
        assert set(first.directories).isdisjoint(second.directories)
        async with first.open("preview_a", memory_bytes=64 * MIB, cpu_cores=1.0, processes=20) as group:
            with running(group, SLEEP) as process:
                await next_line(process)
                assert await second.remove_leftovers() == 0
                assert group.pids() == [process.pid]
                assert process.poll() is None


async def test_nothing_is_left_of_the_service_and_it_is_where_it_was(tmp_path: Path) -> None:
    before = own_groups()
    async with open_tree(tmp_path) as tree:
        directories = tree.directories
        assert there(directories) == list(directories)
    assert there(directories) == []
    assert own_groups() == before


@pytest.mark.timed
async def test_a_hundred_groups_are_read_in_little_time(tree: CgroupTree) -> None:
    async with tree.open("preview_a", memory_bytes=64 * MIB, cpu_cores=1.0, processes=20) as group:
        started = time.thread_time()
        for _ in range(100):
            group.usage()
            group.events()
        # Measured: 10 ms.
        assert time.thread_time() - started < 0.5


async def test_what_holds_is_said(tree: CgroupTree) -> None:
    held = f"the whole tree, by control groups, version {tree.version}"
    said = tree.describe()
    assert said["memory"] == said["processes"] == held
    assert (said["cpu"] == held) == (tree.without_cpu is None)


async def test_the_data_folder_need_not_be_there_to_look(tmp_path: Path) -> None:
    async with open_tree(tmp_path / "later"):
        pass
    async with open_cgroups(tmp_path / "later") as found:
        assert found is not None
