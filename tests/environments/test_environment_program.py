"""One program: what it says, how it ends, and that nothing of it is left."""

from __future__ import annotations

import os
from pathlib import Path

import psutil
import trio

from preview.environments.sandbox.program import run_program
from preview.runtime import child_subreaper

_VARIABLES = {"PATH": "/usr/bin:/bin"}


async def is_gone(pid: int) -> bool:
    """Whether the process has ended; the kernel takes a moment after the signal."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        with trio.move_on_after(20):
            await trio.lowlevel.wait_readable(descriptor)
            return True
    finally:
        os.close(descriptor)
    return False


async def test_what_a_program_left_behind_ends_with_it(tmp_path: Path) -> None:
    script = "sleep 60 >/dev/null 2>&1 & echo $!"
    with trio.fail_after(60):
        result = await run_program(["/bin/sh", "-c", script], environment=_VARIABLES, directory=tmp_path)
    assert result.code == 0
    assert await is_gone(int(result.lines[0]))


async def test_orphans_of_a_program_are_not_left_as_zombies(tmp_path: Path) -> None:
    with trio.fail_after(60), child_subreaper():
        script = "sleep 60 >/dev/null 2>&1 & echo $!"
        result = await run_program(["/bin/sh", "-c", script], environment=_VARIABLES, directory=tmp_path)
        assert not psutil.pid_exists(int(result.lines[0]))


async def test_what_an_ended_program_left_behind_is_killed_when_it_holds_the_output(tmp_path: Path) -> None:
    said: list[str] = []
    with trio.move_on_after(10) as scope:

        def cancel(line: str) -> None:
            said.append(line)
            scope.cancel()

        script = "sleep 60 & echo $!"
        await run_program(["/bin/sh", "-c", script], environment=_VARIABLES, directory=tmp_path, say=cancel)
    assert scope.cancelled_caught
    assert await is_gone(int(said[0]))


async def test_the_exit_status_is_the_programs_own(tmp_path: Path) -> None:
    result = await run_program(["/bin/sh", "-c", "echo a; exit 3"], environment=_VARIABLES, directory=tmp_path)
    assert (result.code, result.tail()) == (3, ["a"])


async def test_a_signal_is_a_negative_status(tmp_path: Path) -> None:
    result = await run_program(["/bin/sh", "-c", "kill -9 $$"], environment=_VARIABLES, directory=tmp_path)
    assert result.code == -9
