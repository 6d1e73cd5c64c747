"""Real control groups for tests: a service's groups in a folder of its own, and programs that start in a group."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import pytest
import trio

from preview.runtime.cgroups import Cgroup, CgroupTree, NoCgroups, enter_prefix, open_cgroups

MIB = 1024 * 1024


@asynccontextmanager
async def open_tree(data_dir: Path) -> AsyncIterator[CgroupTree]:
    """The groups of a service with this data folder; the test is skipped where the machine gives none."""
    async with open_cgroups(data_dir) as found:
        if isinstance(found, NoCgroups):
            pytest.skip(f"no control groups here: {found.reason}")
        yield found


@contextmanager
def running(group: Cgroup, source: str) -> Iterator[subprocess.Popen[bytes]]:
    """A Python program that starts in the group, with its output readable; killed and reaped at the end."""
    with subprocess.Popen(
        [*enter_prefix(group.entry_files), sys.executable, "-I", "-S", "-c", source],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


async def next_line(process: subprocess.Popen[bytes]) -> bytes:
    """The next line the program prints."""
    assert process.stdout is not None
    with trio.fail_after(60):
        return await trio.to_thread.run_sync(process.stdout.readline, abandon_on_cancel=True)


async def ended(process: subprocess.Popen[bytes]) -> int:
    """The program's exit code, negative for a signal."""
    with trio.fail_after(60):
        return await trio.to_thread.run_sync(process.wait, abandon_on_cancel=True)


@contextmanager
def sleeping(groups: Iterable[str]) -> Iterator[subprocess.Popen[bytes]]:
    """A program that sleeps in these groups (folders), made before where they are not there."""
    folders = [Path(group) for group in groups]
    for folder in folders:
        folder.mkdir(exist_ok=True)
    argv = [*enter_prefix([f"{folder}/cgroup.procs" for folder in folders]), "/bin/sh", "-c", "echo up; exec sleep 600"]
    with subprocess.Popen(argv, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"up\n"
            yield process
        finally:
            process.kill()


def there(paths: Iterable[str]) -> list[str]:
    """Those of the paths that exist."""
    return [path for path in paths if Path(path).exists()]


def own_groups() -> str:
    """This process's groups in all trees."""
    return Path("/proc/self/cgroup").read_text(encoding="utf-8")
