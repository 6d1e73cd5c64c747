"""Identities, markers and ending what an earlier run left."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import trio
from process_kit import is_zombie
from trio.testing import wait_all_tasks_blocked

from preview.runtime import child_subreaper, end_tree
from preview.runtime.kernel import proctree
from preview.runtime.kernel.linux import boot_id, is_child_subreaper, many_open_files
from preview.runtime.kernel.verified import as_known, find_living
from preview.runtime.process.ending import ask_group_to_end

# Tests that run beside this one have sleepers of their own.
LEFT = f"preview_left{os.getpid()}"


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", "import time; time.sleep(600)"],
        env={proctree.MARKER: LEFT},
        start_new_session=True,
    ) as process:
        try:
            # Whoever has just begun a program has no environment yet, for as long as the kernel lays it out.
            until = time.monotonic() + 10
            while proctree.read_marker(process.pid) is None and time.monotonic() < until:
                os.sched_yield()
            yield process
        finally:
            process.kill()


def test_a_living_process_is_identified_by_pid_start_and_boot() -> None:
    identity = proctree.identify(os.getpid())
    assert identity is not None
    assert identity.boot_id == boot_id()
    assert proctree.is_alive(identity)


def test_another_start_time_or_boot_is_another_process() -> None:
    identity = proctree.identify(os.getpid())
    assert identity is not None
    assert not proctree.is_alive(replace(identity, start_ticks=identity.start_ticks + 1))
    assert not proctree.is_alive(replace(identity, boot_id="another"))


def test_a_process_that_has_gone_is_not_identified(sleeper: subprocess.Popen[bytes]) -> None:
    sleeper.kill()
    sleeper.wait()
    assert proctree.identify(sleeper.pid) is None
    assert proctree.read_marker(sleeper.pid) is None
    assert proctree.children(sleeper.pid) == []


def test_a_name_with_spaces_and_parentheses_does_not_confuse_the_reading(tmp_path: Path) -> None:
    program = tmp_path / "a) b (c"
    program.symlink_to("/bin/sleep")
    with subprocess.Popen([program, "600"]) as process:
        try:
            identity = proctree.identify(process.pid)
            assert identity is not None
            assert proctree.is_alive(identity)
        finally:
            process.kill()


def test_the_kill_spares_a_process_that_got_a_dead_ones_pid(sleeper: subprocess.Popen[bytes]) -> None:
    identity = proctree.identify(sleeper.pid)
    assert identity is not None
    (other,) = as_known([replace(identity, start_ticks=identity.start_ticks - 1)])
    other.kill()
    assert sleeper.poll() is None


async def test_what_an_earlier_run_left_is_found_by_its_marker(sleeper: subprocess.Popen[bytes]) -> None:
    with trio.fail_after(60):
        assert await end_tree({LEFT}, []) == 1
    assert proctree.identify(sleeper.pid) is None


async def test_what_an_earlier_run_left_is_found_by_its_identity(sleeper: subprocess.Popen[bytes]) -> None:
    identity = proctree.identify(sleeper.pid)
    assert identity is not None
    with trio.fail_after(60):
        assert await end_tree(set(), [replace(identity, start_ticks=1), identity]) == 1
    assert proctree.identify(sleeper.pid) is None


async def test_other_previews_are_left_alone(sleeper: subprocess.Popen[bytes]) -> None:
    assert await end_tree({"preview_other"}, []) == 0
    assert sleeper.poll() is None


def test_the_subreaper_is_set_and_set_back() -> None:
    assert not is_child_subreaper()
    with child_subreaper():
        assert is_child_subreaper()
        with child_subreaper():
            assert is_child_subreaper()
        assert is_child_subreaper()
    assert not is_child_subreaper()


def test_the_service_may_open_as_many_files_as_the_hard_limit_allows() -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (512, before[1]))
    try:
        with many_open_files():
            assert resource.getrlimit(resource.RLIMIT_NOFILE) == (before[1], before[1])
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (512, before[1])
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


async def test_waiting_for_the_end_ends_with_the_process(sleeper: subprocess.Popen[bytes]) -> None:
    identity = proctree.identify(sleeper.pid)
    assert identity is not None
    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(proctree.wait_ended, identity)
            await wait_all_tasks_blocked()
            sleeper.kill()
    assert is_zombie(sleeper.pid)


async def test_what_has_ended_or_is_another_process_by_now_is_not_waited_for(sleeper: subprocess.Popen[bytes]) -> None:
    identity = proctree.identify(sleeper.pid)
    assert identity is not None
    with trio.fail_after(60):
        await proctree.wait_ended(replace(identity, start_ticks=1))
        sleeper.kill()
        sleeper.wait()
        await proctree.wait_ended(identity)


# Has a bystander in its group, and an application in a namespace of its own, in that group or in one of the namespace.
BESIDE = """
import subprocess, sys
print(subprocess.Popen(["sleep", "600"]).pid, flush=True)
namespace = ["unshare", "--user", "--map-root-user", "--pid", "--fork", "--mount-proc"]
sys.exit(subprocess.call([*namespace, sys.executable, "-I", "-S", "-c", *sys.argv[1:]]))
"""
APPLICATION = """
import os, signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: os._exit(7))
if sys.argv[1] == "own": os.setsid()
print("up", flush=True)
time.sleep(600)
"""


@pytest.mark.parametrize("group", ["own", "another's"])
def test_an_application_in_a_group_from_outside_of_its_namespace_is_asked_to_end_alone(group: str) -> None:
    """A template that leaves out ``setsid`` leaves an application in its own group, with all that are in there."""
    command = [sys.executable, "-I", "-S", "-c", BESIDE, APPLICATION, group]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True) as outer:
        assert outer.stdout is not None
        bystander = int(outer.stdout.readline())
        try:
            if outer.stdout.readline() != "up\n":
                pytest.skip("no namespaces here")
            (application,) = [one for one in proctree.descendants(outer.pid) if len(proctree.namespace_pids(one)) > 1]
            ask_group_to_end(*find_living(lambda: [application]))
            assert outer.wait(20) == 7
            assert proctree.living([bystander])
        finally:
            os.kill(bystander, signal.SIGKILL)
            outer.kill()


def test_an_environment_as_large_as_a_program_wants_is_read_in_part(tmp_path: Path) -> None:
    with (tmp_path / "environ").open("wb") as file:
        file.truncate(1 << 30)
    assert len(proctree._read(str(tmp_path / "environ"))) < 1 << 24
