"""The plain runtime: an ordinary process with its own session, limits and a clean environment.

What it holds: no new privileges, rlimits, no descriptor but the socket and the pipe, nothing of the service's
environment, the end of its whole tree. What it does not: the file system and the network are the user's own.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path

import psutil
import structlog
import trio

from preview.errors import LaunchFailed
from preview.runtime import linux, proctree
from preview.runtime.interface import FD_PLACEHOLDER, Exit, Limits, ProcessIdentity, ProcessSpec, Usage
from preview.runtime.membership import Membership

__all__ = ["PlainProcess", "PlainRuntime"]

log = structlog.get_logger(__name__)

# For killing what is left once the context is left: SIGKILL is asynchronous, but takes milliseconds.
_KILL_BUDGET_S = 5.0
# The app has ended in good order; what it started may still be on its way (npm before node). Then it is killed.
_STRAGGLERS_S = 0.25
_STRAGGLERS_POLL_S = 0.005
# See ``_inherited``; far below any limit of open files.
_LEAST_FD = 64


def _tool(name: str) -> str:
    path = shutil.which(name, path="/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin")
    if path is None:
        raise LaunchFailed(
            f"The program {name!r} (util-linux) is missing, which sets a preview's limits before its code runs; "
            "install util-linux, then see `preview doctor`.",
            missing=name,
        )
    return path


def _tasks_on_machine() -> int:
    """Processes and threads on the whole machine: an upper bound of what the user's own are (proc_loadavg(5))."""
    return int(Path("/proc/loadavg").read_text(encoding="ascii").split()[3].partition("/")[2])


def _prefix(limits: Limits) -> list[str]:
    """What runs before the program, in the same process: limits, then no new privileges, then ``exec``.

    Two small programs of util-linux cost about a millisecond each. A ``preexec_fn`` would cost a full fork of the
    service and is unsafe beside threads (docs.python.org, subprocess). RLIMIT_NPROC counts all tasks of the real
    user, not of the tree, hence the addition; root is not held by it (getrlimit(2)).
    """
    processes = _tasks_on_machine() + limits.processes
    return [
        _tool("prlimit"),
        f"--nofile={limits.open_files}",
        f"--nproc={processes}",
        f"--fsize={limits.file_bytes}",
        "--core=0",
        "--",
        _tool("setpriv"),
        "--no-new-privs",
        # Should the service be killed, the kernel kills the leader at once. The signal follows the *thread* that
        # forked: this is trio's own, which lives as long as the service.
        "--pdeathsig=KILL",
        "--",
    ]


class PlainProcess:
    """See ``RunningProcess``. Made and ended by ``PlainRuntime.open_process`` alone."""

    def __init__(self, popen: subprocess.Popen[bytes], output: trio.lowlevel.FdStream, spec: ProcessSpec) -> None:
        self._popen = popen
        self._identity = proctree.identify(popen.pid) or ProcessIdentity(popen.pid, 0, linux.boot_id())
        self._output = output
        self._tree = Membership(self._identity, spec.preview_id, spec.directory, output.fileno())
        self._gone = False
        # CPU seconds that usage() saw last, by pid and creation time, and when (time.monotonic).
        self._cpu_seen: dict[tuple[int, float], float] = {}
        self._cpu_read_at: float | None = None

    @property
    def identity(self) -> ProcessIdentity:
        """See ``RunningProcess``."""
        return self._identity

    @property
    def output(self) -> trio.abc.ReceiveStream:
        """See ``RunningProcess``."""
        return self._output

    async def wait(self) -> Exit:
        """See ``RunningProcess``. Cancellation: nothing changes."""
        # Each waiter has a pidfd of its own: trio allows one waiter a descriptor. Until poll() has taken the status
        # the pid is a zombie at worst, so it cannot name another process.
        while self._popen.poll() is None:
            descriptor = os.pidfd_open(self._popen.pid)
            try:
                await trio.lowlevel.wait_readable(descriptor)
            finally:
                os.close(descriptor)
        code = self._popen.returncode
        return Exit(signal=-code) if code < 0 else Exit(code=code)

    async def usage(self) -> Usage:
        """See ``RunningProcess``. Cancellation: nothing changes."""
        return await trio.to_thread.run_sync(self._measure)

    def _measure(self) -> Usage:
        memory_bytes = 0
        cpu_seen: dict[tuple[int, float], float] = {}
        for member in self._tree.look():
            pid = member.pid
            with suppress(psutil.Error):
                process = psutil.Process(pid)
                with process.oneshot():
                    memory_bytes += process.memory_info().rss
                    times = process.cpu_times()
                    cpu_seen[pid, process.create_time()] = times.user + times.system
        now = time.monotonic()
        before, read_at = self._cpu_seen, self._cpu_read_at
        self._cpu_seen, self._cpu_read_at = cpu_seen, now
        if read_at is None or now <= read_at:
            return Usage(memory_bytes, 0.0, len(cpu_seen))
        used_s = sum(seconds - before.get(key, 0.0) for key, seconds in cpu_seen.items())
        return Usage(memory_bytes, round(100 * used_s / (now - read_at), 1), len(cpu_seen))

    def _signal_group(self, number: signal.Signals) -> None:
        """Signal the leader's group: while the leader is not reaped, the group's number is certainly still ours."""
        if self._popen.poll() is None:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self._popen.pid, number)

    async def stop(self, grace_s: float) -> Exit:
        """See ``RunningProcess``. Cancellation: the rest of the tree is killed by the context's exit."""
        # When the leader has gone, its place in the tree is no mark any more.
        self._tree.look()
        with trio.move_on_after(grace_s):
            self._signal_group(signal.SIGTERM)
            await self.wait()
            with trio.move_on_after(_STRAGGLERS_S):
                while proctree.living(self._tree.orphans()):  # noqa: ASYNC110  the kernel has no event for "tree empty"
                    await trio.sleep(_STRAGGLERS_POLL_S)
        await self.kill()
        return await self.wait()

    async def kill(self) -> None:
        """SIGKILL for all of the tree, and wait until nothing of it is left.

        Cancellation: what was found has been sent SIGKILL. Call it under a bounded shield.
        """
        if self._gone:
            await trio.lowlevel.checkpoint()
            return
        # Below the leader first: after its death they are found by their marks only.
        if self._popen.poll() is None:
            self._tree.look()
        for identity in self._tree.known:
            proctree.kill(identity)
        self._signal_group(signal.SIGKILL)
        await self.wait()
        await proctree.end_all(self._tree.orphans, self._tree.known)
        self._gone = True


def _spawn(spec: ProcessSpec) -> PlainProcess:
    """Fork and exec from trio's own thread (see ``_prefix`` on the parent-death signal); takes a few milliseconds."""
    with _inherited(spec.listener) as fd:
        number = str(fd)
        return _fork(
            spec,
            [part.replace(FD_PLACEHOLDER, number) for part in spec.argv],
            {name: value.replace(FD_PLACEHOLDER, number) for name, value in spec.environment.items()},
            () if fd is None else (fd,),
        )


@contextmanager
def _inherited(listener: socket.socket | None) -> Iterator[int | None]:
    """The socket under the number that the child will know it by, for as long as it takes to fork.

    Node closes its first 16 descriptors, and those that follow without a gap, to what it starts itself (libuv,
    ``uv_disable_stdio_inheritance``): behind a gap the socket reaches the server through npm and its like.
    """
    if listener is None:
        yield None
        return
    try:
        copy = fcntl.fcntl(listener.fileno(), fcntl.F_DUPFD_CLOEXEC, _LEAST_FD)
    except OSError as error:
        raise LaunchFailed(f"The process could not be started: {error.strerror}.", errno=error.errno) from error
    try:
        yield copy
    finally:
        os.close(copy)


def _fork(
    spec: ProcessSpec, argv: list[str], environment: dict[str, str], descriptors: tuple[int, ...]
) -> PlainProcess:
    read_end, write_end = os.pipe2(os.O_CLOEXEC)
    try:
        popen = subprocess.Popen(
            [*_prefix(spec.limits), *argv],
            cwd=spec.directory,
            env={**environment, proctree.MARKER: spec.preview_id},
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
    return PlainProcess(popen, trio.lowlevel.FdStream(read_end), spec)


class PlainRuntime:
    """See ``Runtime``."""

    @property
    def name(self) -> str:
        """See ``Runtime``."""
        return "plain"

    def describe(self) -> Mapping[str, str]:
        """See ``Runtime``."""
        return {
            "processes": "own session; the whole tree ends with the preview",
            "privileges": "no new privileges; the service's own user",
            "files": "not isolated: the user's own file system",
            "network": "not isolated",
            "limits": "open files, file size, processes by rlimits; memory by watching the tree",
        }

    @asynccontextmanager
    async def open_process(self, spec: ProcessSpec) -> AsyncIterator[PlainProcess]:
        """See ``Runtime``. Cancellation: the whole tree is gone (bounded)."""
        process = _spawn(spec)
        try:
            yield process
        finally:
            with trio.move_on_after(_KILL_BUDGET_S, shield=True) as scope:
                await process.kill()
            await trio.aclose_forcefully(process.output)
            if scope.cancelled_caught:
                log.error("processes survived SIGKILL", preview_id=spec.preview_id, pid=process.identity.pid)
