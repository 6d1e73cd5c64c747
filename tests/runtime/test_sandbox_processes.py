"""How many processes a sandbox may have where no control group counts them: whom the kernel counts."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import child_programs as programs
import pytest
from cgroups_support import open_tree
from runtime_fixtures import starter
from runtime_kit import LIMITS, Start, read_all, read_line

from preview.runtime import Exit, SandboxRuntime, child_subreaper
from preview.runtime.kernel import linux, proctree
from preview.runtime.sandbox import process as process_module
from preview.runtime.sandbox import runtime as sandbox_module
from preview.runtime.sandbox.probe import Refusal, probe_sandbox
from preview.runtime.sandbox.users import FIRST_UID

NEEDS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root gives users away")
ONE_MORE = "import subprocess; print(subprocess.run(['/bin/true']).returncode)"
# As many processes as a preview may have.
CROWD = f"i=0; while [ $i -lt {LIMITS.processes} ]; do sleep 600 & i=$((i+1)); done; echo up; wait"


def on_kernel(monkeypatch: pytest.MonkeyPatch, major: int, minor: int) -> None:
    monkeypatch.setattr(sandbox_module, "kernel_version", lambda: (major, minor))


@pytest.fixture
def crowd(listener: socket.socket) -> Iterator[None]:
    """A preview of another service, at the same port of another address."""
    user = FIRST_UID + listener.getsockname()[1]
    with subprocess.Popen(
        ["/bin/sh", "-c", CROWD], stdout=subprocess.PIPE, user=user, group=user, cwd="/", start_new_session=True
    ) as process:
        assert process.stdout is not None
        try:
            assert process.stdout.readline() == b"up\n"
            yield
        finally:
            os.killpg(process.pid, signal.SIGKILL)


@pytest.mark.parametrize(
    ("kernel", "service", "own_users", "counted"),
    [
        ((5, 13), 0, True, True),
        ((5, 13), 1000, False, False),
        ((5, 14), 1000, False, True),
        # Root of a container, whose previews are root outside: the kernel counts none of root's processes.
        ((6, 1), 0, False, False),
    ],
)
def test_processes_are_held_where_the_kernel_counts_the_previews_alone(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    kernel: tuple[int, int],
    service: int,
    own_users: bool,
    counted: bool,
) -> None:
    on_kernel(monkeypatch, *kernel)
    monkeypatch.setattr(os, "geteuid", lambda: service)
    runtime = SandboxRuntime(tmp_path, own_users=own_users)
    assert ("processes" in runtime.holds()) is counted


async def test_where_the_kernel_counts_all_of_the_user_the_limit_leaves_room_for_them(
    monkeypatch: pytest.MonkeyPatch, sandbox: SandboxRuntime, listener: socket.socket, project: Path
) -> None:
    on_kernel(monkeypatch, 5, 10)
    shared = SandboxRuntime(sandbox._etc, own_users=False, broker=sandbox._broker)
    async with starter(shared, listener, project)(programs.SHOW) as process:
        seen = json.loads(await read_all(process))
    assert LIMITS.processes < seen["nproc"][0] < 2**20


@NEEDS_ROOT
@pytest.mark.usefixtures("crowd")
@pytest.mark.skipif(linux.kernel_version() < (5, 14), reason="the kernel counts all of the user")
async def test_others_of_the_same_user_take_no_processes_away(
    sandbox: SandboxRuntime, listener: socket.socket, project: Path
) -> None:
    async with starter(sandbox, listener, project)(ONE_MORE) as process:
        assert await read_all(process) == "0\n"


def test_the_kernels_version_is_read_off_its_release(monkeypatch: pytest.MonkeyPatch) -> None:
    for release, expected in (("6.1.0-18-amd64", (6, 1)), ("5.14-rc3+", (5, 14)), ("odd", (0, 0))):
        monkeypatch.setattr(os, "uname", lambda said=release: os.uname_result(("Linux", "x", said, "", "")))
        assert linux.kernel_version() == expected


async def test_who_is_told_to_end_is_looked_for_once(
    monkeypatch: pytest.MonkeyPatch, start_sandboxed: Start, nothing_left: None
) -> None:
    async with start_sandboxed(programs.ON_TERM_SAY_BYE) as process:
        assert await read_line(process) == "up"
        await process.usage()

        def look_again(leader: int) -> int | None:
            pytest.fail(f"looked below {leader} again")

        monkeypatch.setattr(process_module, "find_application", look_again)
        assert await process.stop(10) == Exit(code=0)


async def test_a_sandbox_that_was_never_looked_at_ends_as_well(start_sandboxed: Start, nothing_left: None) -> None:
    async with start_sandboxed(programs.SLEEP) as process:
        os.kill(process.identity.pid, signal.SIGKILL)
        assert await process.wait() == Exit(signal=signal.SIGKILL)


async def test_nothing_is_left_of_a_sandbox_whose_program_has_ended_before_anybody_looked(
    tmp_path: Path, nothing_left: None
) -> None:
    # Bubblewrap ends as soon as it knows the exit code, and the first process of its namespace mostly ahead of that.
    before = set(proctree.children(os.getpid()))
    with child_subreaper():
        async with open_tree(tmp_path) as groups:
            for _ in range(40):
                found = await probe_sandbox(tmp_path / "etc", groups)
                if isinstance(found, Refusal):
                    pytest.skip(f"no sandbox: {found.reason}")
                assert set(proctree.children(os.getpid())) <= before
