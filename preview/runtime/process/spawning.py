"""Forking and executing a process from trio's own thread, with one pipe for its output and the socket it serves on."""

from __future__ import annotations

import fcntl
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path

import trio

from preview.errors import LaunchFailed
from preview.runtime.interface import CONTROL_PLACEHOLDER, FD_PLACEHOLDER, Limits, ProcessSpec
from preview.runtime.kernel import proctree

# See ``inherited``; far below any limit of open files.
_LEAST_FD = 64
# What any Linux machine has; the service's own PATH may name folders that previews write to.
_TOOL_PATH = "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"


@lru_cache(maxsize=16)
def _find(name: str) -> str | None:
    return shutil.which(name, path=_TOOL_PATH)


def tool(name: str, package: str = "util-linux") -> str:
    """Find a program of the system.

    Raises:
        LaunchFailed: It is missing.
    """
    path = _find(name)
    if path is None:
        _find.cache_clear()
        raise LaunchFailed(
            f"The program {name!r} ({package}) is missing, and every preview needs it; "
            f"install {package}, then see `preview doctor`.",
            missing=name,
        )
    return path


def tasks_on_machine() -> int:
    """Count tasks on the whole machine: an upper bound of the user's own (proc_loadavg(5))."""
    return int(Path("/proc/loadavg").read_text(encoding="ascii").split()[3].partition("/")[2])


def limit_prefix(limits: Limits, *, processes: int) -> list[str]:
    """Return the prefix that sets limits in the same process and then executes the program.

    A small program of util-linux costs about a millisecond. A ``preexec_fn`` would cost a full fork of the service and
    is unsafe beside threads (docs.python.org, subprocess).

    Raises:
        LaunchFailed: ``prlimit`` is missing.
    """
    return [
        tool("prlimit"),
        f"--nofile={limits.open_files}",
        f"--nproc={processes}",
        f"--fsize={limits.file_bytes}",
        "--core=0",
        "--",
    ]


@contextmanager
def inherited(given: socket.socket | None) -> Iterator[int | None]:
    """Provide a socket under the child's number for it, until the fork.

    Node closes its first 16 descriptors, and those that follow without a gap, to what it starts itself (libuv,
    ``uv_disable_stdio_inheritance``): behind a gap the socket reaches the server through npm and its like.

    Raises:
        LaunchFailed: No descriptor is left.
    """
    if given is None:
        yield None
        return
    try:
        copy = fcntl.fcntl(given.fileno(), fcntl.F_DUPFD_CLOEXEC, _LEAST_FD)
    except OSError as error:
        raise LaunchFailed(f"The process could not be started: {error.strerror}.", errno=error.errno) from error
    try:
        yield copy
    finally:
        os.close(copy)


def number_in(spec: ProcessSpec, fd: int | None, control: int | None = None) -> tuple[list[str], dict[str, str]]:
    """Return the specification's arguments and variables, with the sockets' numbers filled in."""

    def filled(text: str) -> str:
        return text.replace(FD_PLACEHOLDER, str(fd)).replace(CONTROL_PLACEHOLDER, str(control))

    return [filled(part) for part in spec.argv], {name: filled(value) for name, value in spec.environment.items()}


def spawn(
    spec: ProcessSpec, argv: Sequence[str], environment: Mapping[str, str], directory: Path, descriptors: Sequence[int]
) -> tuple[subprocess.Popen[bytes], trio.lowlevel.FdStream]:
    """Fork and execute, in a session of its own, marked as the preview's; takes a few milliseconds.

    Call it from trio's own thread: a parent-death signal follows the *thread* that forked, and that one lives as long
    as the service.

    Returns:
        The process, and what it and all below it print.

    Raises:
        LaunchFailed: It could not be started; nothing is left.
    """
    try:
        read_end, write_end = os.pipe2(os.O_CLOEXEC)
    except OSError as error:
        raise LaunchFailed(f"The process could not be started: {error.strerror}.", errno=error.errno) from error
    try:
        popen = subprocess.Popen(
            argv,
            cwd=directory,
            env={**environment, proctree.MARKER: spec.instance},
            stdin=subprocess.DEVNULL,
            stdout=write_end,
            stderr=write_end,
            start_new_session=True,
            pass_fds=descriptors,
        )
    except OSError as error:
        os.close(read_end)
        raise LaunchFailed(
            f"The process could not be started: {error.strerror or error}.", errno=error.errno
        ) from error
    except BaseException:
        os.close(read_end)
        raise
    finally:
        os.close(write_end)
    return popen, trio.lowlevel.FdStream(read_end)
