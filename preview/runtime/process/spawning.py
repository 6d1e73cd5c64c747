"""Forks and executes a process from trio's thread, with one pipe for its output and the inherited sockets."""

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
from preview.runtime.interface import CONTROL_PLACEHOLDER, FD_PLACEHOLDER, LOG_PLACEHOLDER, Limits, ProcessSpec
from preview.runtime.kernel import proctree

# See ``inherited``; far below any limit of open files.
_LEAST_FD = 64
# Folders of every Linux machine; the service's own PATH may name folders that previews can write to.
_TOOL_PATH = "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"


@lru_cache(maxsize=16)
def _find(name: str) -> str | None:
    return shutil.which(name, path=_TOOL_PATH)


def tool(name: str, package: str = "util-linux") -> str:
    """Return the path of a system program.

    Raises:
        LaunchFailed: The program is missing.
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
    """Count tasks on the whole machine, as an upper bound for the user's own (proc_loadavg(5))."""
    return int(Path("/proc/loadavg").read_text(encoding="ascii").split()[3].partition("/")[2])


def limit_prefix(limits: Limits, *, processes: int) -> list[str]:
    """Return the command prefix that sets limits in the same process, and then executes the program.

    ``prlimit`` costs about a millisecond. A ``preexec_fn`` would cost a full fork of the service, and is unsafe with
    threads (docs.python.org, subprocess).

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
    """Yield the descriptor number that the child inherits for a socket; it is open until the context ends.

    Node does not pass its first 16 descriptors, and those that follow without a gap, to its children (libuv,
    ``uv_disable_stdio_inheritance``). After a gap, the socket reaches a server that npm or a similar tool starts.

    Raises:
        LaunchFailed: No file descriptor is free.
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


@contextmanager
def output_pipe() -> Iterator[tuple[int, int]]:
    """Yield both ends of the pipe for a process's output; after an error none is open, else the first one.

    Raises:
        LaunchFailed: No file descriptor is free.
    """
    try:
        read_end, write_end = os.pipe2(os.O_CLOEXEC)
    except OSError as error:
        raise LaunchFailed(f"The process could not be started: {error.strerror}.", errno=error.errno) from error
    try:
        yield read_end, write_end
    except BaseException:
        os.close(read_end)
        raise
    finally:
        os.close(write_end)


def number_in(spec: ProcessSpec, fd: int | None, control: int | None, output: int) -> tuple[list[str], dict[str, str]]:
    """Return the specification's arguments and variables, with what stands for the placeholders.

    Args:
        spec: The process.
        fd: Number of the listening socket's descriptor.
        control: That of the control channel.
        output: Pipe of the output, with the number that it has here.
    """
    pipe = os.fstat(output)
    return fill_in(spec, fd, control, f"{pipe.st_dev}:{pipe.st_ino}")


def fill_in(spec: ProcessSpec, fd: int | None, control: int | None, log: str) -> tuple[list[str], dict[str, str]]:
    """Return the same as ``number_in``.

    Args:
        spec: See ``number_in``.
        fd: See ``number_in``.
        control: See ``number_in``.
        log: What stands for the pipe of the output.
    """

    def filled(text: str) -> str:
        text = text.replace(LOG_PLACEHOLDER, log)
        return text.replace(FD_PLACEHOLDER, str(fd)).replace(CONTROL_PLACEHOLDER, str(control))

    return [filled(part) for part in spec.argv], {name: filled(value) for name, value in spec.environment.items()}


def spawn(
    spec: ProcessSpec,
    argv: Sequence[str],
    environment: Mapping[str, str],
    directory: Path,
    descriptors: Sequence[int],
    pipe: tuple[int, int],
) -> tuple[subprocess.Popen[bytes], trio.lowlevel.FdStream]:
    """Fork and execute a process in a new session, with the preview's marker; takes a few milliseconds.

    Call it from trio's thread: the kernel sends a parent-death signal when the *thread* that forked ends, and trio's
    thread lives as long as the service.

    Args:
        spec: The process.
        argv: Program and arguments.
        environment: Variables.
        directory: Working folder.
        descriptors: Descriptors that it inherits.
        pipe: From ``output_pipe``.

    Returns:
        The process, and the combined output of its tree.

    Raises:
        LaunchFailed: The process could not be started.
    """
    read_end, write_end = pipe
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
        raise LaunchFailed(
            f"The process could not be started: {error.strerror or error}.", errno=error.errno
        ) from error
    return popen, trio.lowlevel.FdStream(read_end)
