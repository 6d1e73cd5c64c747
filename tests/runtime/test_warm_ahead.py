"""A preview's own template has a fork waiting for the next restart: what that is, and what becomes of it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import child_programs as programs
import pytest
import trio
from cgroups_support import open_tree
from runtime_kit import none_but, open_descriptors, read_all, read_line
from runtime_warm import Environment, make_environment, open_warm, settled

from preview.runtime import Exit, NoSnapshot, ProcessSpec, SandboxRuntime, child_subreaper
from preview.runtime.cgroups import CgroupTree
from preview.runtime.kernel import proctree
from preview.runtime.warm import WarmRuntime
from preview.runtime.warm.command import TEMPLATE
from preview.runtime.warm.forks import snapshot
from preview.runtime.warm.forks.snapshot import ParkedApplication

LOADED = "import sys; print('loaded_before' in sys.modules, flush=True); import time; time.sleep(600)"


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The next one is made as soon as one is taken."""
    monkeypatch.setattr(snapshot, "_CALM_S", 0.0)


@pytest.fixture
def environment(tmp_path: Path) -> Environment:
    return make_environment(tmp_path / "environment", {})


@pytest.fixture
async def groups(tmp_path: Path) -> AsyncIterator[CgroupTree]:
    async with open_tree(tmp_path / "data") as tree:
        yield tree
        assert left_of(tree) == set(), "control groups are left"


@pytest.fixture
async def warm(
    sandbox_here: SandboxRuntime, groups: CgroupTree, environment: Environment, project: Path
) -> AsyncIterator[WarmRuntime]:
    """With a template that is ready; when it is closed nothing is left of it."""
    parts = sandbox_here.parts
    grouped = SandboxRuntime(parts.etc, own_users=parts.own_users, groups=groups)
    before, others = open_descriptors(), set(proctree.descendants(os.getpid()))
    with child_subreaper():
        async with open_warm(grouped) as opened:
            assert await settled(opened, environment.spec("", project, []))
            yield opened
    await none_but(others)
    assert open_descriptors() <= before


@pytest.fixture
def spec(environment: Environment, project: Path) -> ProcessSpec:
    return environment.spec(LOADED, project, [], number=2)


def left_of(tree: CgroupTree) -> set[str]:
    return {one.name for root in tree.directories for one in Path(root).iterdir() if one.is_dir()}


async def waiting_in(kept: object) -> int:
    """The pid of the fork that waits."""
    assert isinstance(kept, ParkedApplication)
    with trio.fail_after(60):
        while kept._ahead is None:  # noqa: ASYNC110  it tells nobody
            await trio.sleep(0.001)
    (pid,) = kept._ahead.group.pids()
    return pid


async def test_a_restart_is_the_fork_that_waited(warm: WarmRuntime, spec: ProcessSpec) -> None:
    async with warm.open_snapshot(spec) as kept:
        waiting = await waiting_in(kept)
        async with kept.open_process(spec) as process:
            assert await read_line(process) == "True"
            assert process.members() == [waiting]
            assert process.identity.pid == waiting


async def test_another_waits_when_one_is_taken(warm: WarmRuntime, spec: ProcessSpec) -> None:
    async with warm.open_snapshot(spec) as kept:
        await waiting_in(kept)
        async with kept.open_process(spec) as first:
            second_pid = await waiting_in(kept)
            async with kept.open_process(spec) as second:
                assert [await read_line(one) for one in (first, second)] == ["True", "True"]
                assert second.identity.pid == second_pid != first.identity.pid


async def test_it_waits_in_a_control_group_of_its_own_with_the_limits_of_the_preview(
    warm: WarmRuntime, groups: CgroupTree, spec: ProcessSpec
) -> None:
    async with warm.open_snapshot(spec) as kept:
        await waiting_in(kept)
        assert isinstance(kept, ParkedApplication)
        assert kept._ahead is not None
        group = kept._ahead.group
        assert group.limits.memory_bytes == spec.limits.memory_bytes
        assert group.limits.processes == spec.limits.processes
        assert group.name in left_of(groups)
        await waiting_in(kept)
    assert group.name not in left_of(groups)


async def test_one_that_was_killed_while_it_waited_is_replaced_by_another(warm: WarmRuntime, spec: ProcessSpec) -> None:
    async with warm.open_snapshot(spec) as kept:
        waiting = await waiting_in(kept)
        os.kill(waiting, signal.SIGKILL)
        with trio.fail_after(60):
            assert isinstance(kept, ParkedApplication)
            while kept._ahead is not None and not kept._ahead.has_ended:  # noqa: ASYNC110  it tells nobody
                await trio.sleep(0.001)
        async with kept.open_process(spec) as process:
            assert await read_line(process) == "True"
            assert process.identity.pid != waiting


async def test_what_it_prints_and_how_it_ends_is_told(
    warm: WarmRuntime, environment: Environment, project: Path
) -> None:
    spec = environment.spec(f"{programs.HELLO}; raise SystemExit(7)", project, [], number=2)
    async with warm.open_snapshot(spec) as kept:
        await waiting_in(kept)
        async with kept.open_process(spec) as process:
            assert sorted((await read_all(process)).split("\n")) == ["", "error side", "hello"]
            assert await process.wait() == Exit(code=7)


async def test_without_one_that_waits_a_restart_forks(
    warm: WarmRuntime, spec: ProcessSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshot, "_CALM_S", 600.0)
    async with warm.open_snapshot(spec) as kept, kept.open_process(spec) as process:
        assert await read_line(process) == "True"


# The first process of its world (its number in there is 1) gets the processor late, as on a busy machine.
LATE_PARENT = """
import os, time
fork = os.fork
def late():
    pid = fork()
    if pid and os.getpid() == 1:
        time.sleep(0.5)
    return pid
os.fork = late
"""


async def test_an_application_is_known_before_it_says_anything_however_late_its_parent_is(
    warm: WarmRuntime, project: Path, tmp_path: Path
) -> None:
    environment = make_environment(tmp_path / "late", {"late_parent": LATE_PARENT})
    spec = environment.spec(LOADED, project, [], number=2)
    assert await settled(warm, spec)
    with trio.fail_after(60):
        async with warm.open_snapshot(spec) as kept, kept.open_process(spec) as process:
            assert await read_line(process) == "True"


async def test_a_snapshot_that_has_ended_starts_nothing(warm: WarmRuntime, spec: ProcessSpec) -> None:
    async with warm.open_snapshot(spec) as kept:
        await waiting_in(kept)
        assert isinstance(kept, ParkedApplication)
        await kept._process.kill()
        with pytest.raises(NoSnapshot):
            async with kept.open_process(spec):
                pass


# The template's own modules are found beside each other, on the path.
FORKS = """
import contextlib, mmap, os, sys
sys.path.insert(0, sys.argv[1])
import preview_pages
page, size = mmap.PAGESIZE, 256
shared = mmap.mmap(-1, size * page, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
start = preview_pages.ctypes.addressof(preview_pages.ctypes.c_char.from_buffer(shared))
third = {start + index * page for index in range(0, size, 3)}
def write(indexes):
    for index in indexes: shared[index * page] = 1
def among(pages):
    return {at for begin, length in pages for at in range(begin, begin + length, page) if 0 <= at - start < size * page}
@contextlib.contextmanager
def fork(does):
    ready, says = os.pipe()
    ends, end = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(end)
        does()
        os.write(says, b'.')
        os.read(ends, 1)
        os._exit(0)
    os.read(ready, 1)
    os.close(ends)
    yield pid
    os.close(end)
    os.waitpid(pid, 0)
"""

PAGES = f"""{FORKS}
write(range(size))
with fork(lambda: write(range(0, size, 3))) as pid:
    pages = preview_pages.own_pages(pid)
    preview_pages._MOST_PAGES = 2
    few = preview_pages.own_pages(pid)
with fork(lambda: preview_pages.touch(pages)) as pid:
    preview_pages._MOST_PAGES = 8192
    again = preview_pages.own_pages(pid)
print(among(pages) == third, among(again) == third, sum(length for _, length in few) // page)
print(preview_pages.own_pages(pid))
"""


def test_pages_that_one_fork_has_written_to_are_the_next_ones_own_at_once_and_no_others() -> None:
    """A bounded number of them; of a process that is gone none are known."""
    argv = [sys.executable, "-I", "-S", "-c", PAGES, str(TEMPLATE)]
    ran = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60)
    assert (ran.stdout, ran.stderr) == ("True True 2\n[]\n", "")


USES = f"""{FORKS}
write(range(size))
pages = preview_pages.pages_of(lambda: write(range(0, size, 3)))
preview_pages._USE_MS = 50
def fails(): raise SystemExit(3)
def hangs(): preview_pages.signal.pause()
print(among(pages) == third, preview_pages.pages_of(fails), preview_pages.pages_of(hangs))
told, tell = os.pipe()
with fork(lambda: preview_pages.touch(pages, told)) as pid:
    print(among(preview_pages.own_pages(pid)) == third)
os.write(tell, b"go")
with fork(lambda: preview_pages.touch(pages, told)) as pid:
    print(bool(third & among(preview_pages.own_pages(pid))))
try: os.waitpid(-1, 0)
except ChildProcessError: print("nobody is left")
"""


def test_what_a_use_writes_to_is_found_out_by_a_fork_and_made_own_until_there_is_something_to_read() -> None:
    """One that fails, or takes too long, tells nothing; no process is left."""
    argv = [sys.executable, "-I", "-S", "-c", USES, str(TEMPLATE)]
    ran = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60)
    assert ran.stdout == "True [] []\nTrue\nFalse\nnobody is left\n", ran.stderr
