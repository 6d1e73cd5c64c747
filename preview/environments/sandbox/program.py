"""Running one program: its own session, its output line by line, all of it gone when the caller is."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import subprocess
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import trio
import uv

from preview.core.descriptors import wait_readable, waited_on
from preview.environments.sandbox.jail import Cage
from preview.environments.way_out import WayOut, open_way_out, read_allowed
from preview.errors import ConfigurationError

# The end of the output is what explains a failure; a compiler's output before it may be huge.
_KEPT_LINES = 400
_MAX_LINE_BYTES = 16 * 1024
# SIGKILL cannot be refused; a process in uninterruptible I/O may take a moment all the same.
_REAP_S = 2.0
_LOOK_S = 0.005
# What the programs find that make a jail; the installer's own variables go in past them.
_OUTSIDE: Final = {"LANG": "C.UTF-8"}


@dataclass(slots=True)
class ProgramResult:
    """Result of a program, with its last lines.

    Attributes:
        code: Exit status; negative for a signal.
        lines: The last lines of stdout and stderr, without line ends.
        refused: One sentence for each host that it asked for and may not reach.
    """

    code: int = -1
    lines: deque[str] = field(default_factory=lambda: deque[str](maxlen=_KEPT_LINES))
    refused: Sequence[str] = ()

    def tail(self, count: int = 20) -> list[str]:
        """Return the last lines, ``count`` at most."""
        return list(self.lines)[-count:]


async def run_program(
    argv: Sequence[str],
    *,
    environment: Mapping[str, str],
    directory: Path,
    say: Callable[[str], None] | None = None,
    cage: Cage | None = None,
    reaches_out: bool = False,
) -> ProgramResult:
    """Run a program and wait until it has ended and its output is closed.

    Args:
        argv: Absolute path and arguments.
        environment: All variables it sees.
        directory: Working folder.
        say: Called with each line of stdout and stderr as it comes, without its line end; empty lines are left out.
        cage: The jail that it runs in; None runs it as any program of the service.
        reaches_out: In a jail: whether it reaches package indexes; else it has no network at all.

    Raises:
        OSError: It cannot be started.
        LaunchFailed: What makes the jail is missing.
        EnvironmentFailed: It failed because the jail's memory is used up.

    Cancellation: the program and its whole session are killed and reaped before this returns.
    """
    async with _open_way_out(cage, environment, reaches_out=reaches_out) as way_out:
        if cage is None:
            process, output = _start(argv, environment, directory)
        else:
            with cage.enter(argv, environment, directory, way_out) as (command, descriptors):
                process, output = _start(command, _OUTSIDE, Path("/"), descriptors)
        if way_out is not None:
            # The program's side alone: the service learns by its end that nothing is handed out any more.
            way_out.handed_out.close()
        result = await _follow(process, output, say)
    if way_out is not None:
        result.refused = tuple(way_out.proxy.refused)
    if cage is not None:
        await trio.to_thread.run_sync(cage.sweep)
        if result.code != 0:
            cage.check_memory()
    return result


@asynccontextmanager
async def _open_way_out(
    cage: Cage | None, environment: Mapping[str, str], *, reaches_out: bool
) -> AsyncIterator[WayOut | None]:
    if cage is None or not reaches_out:
        yield None
        return
    allowed = await trio.to_thread.run_sync(read_allowed, environment, cage.jail.hosts)
    async with open_way_out(allowed) as way_out:
        yield way_out


async def _follow(
    process: subprocess.Popen[bytes], output: trio.lowlevel.FdStream, say: Callable[[str], None] | None
) -> ProgramResult:
    """Read its output, and wait for its end.

    Cancellation: its whole session is killed and reaped before this returns.
    """
    result = ProgramResult()
    try:
        await _read_lines(output, result, say)
        await _wait_for_exit(process)
    finally:
        with trio.move_on_after(_REAP_S, shield=True):
            result.code = await _end(process)
            await _reap_others(process.pid)
        await trio.aclose_forcefully(output)
    return result


def _start(
    argv: Sequence[str], environment: Mapping[str, str], directory: Path, descriptors: Sequence[int] = ()
) -> tuple[subprocess.Popen[bytes], trio.lowlevel.FdStream]:
    """Fork from trio's own thread: a parent-death signal follows the thread that forked (prctl(2)).

    Should the service be killed, the kernel kills the program at once.
    """
    guard = shutil.which("setpriv")
    if guard is not None and shutil.which(argv[0]) is None:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), argv[0])
    read_end, write_end = os.pipe2(os.O_CLOEXEC)
    try:
        process = subprocess.Popen(
            [*([guard, "--pdeathsig=KILL", "--"] if guard else []), *argv],
            stdin=subprocess.DEVNULL,
            stdout=write_end,
            stderr=write_end,
            cwd=directory,
            env=dict(environment),
            start_new_session=True,
            pass_fds=descriptors,
        )
    except BaseException:
        os.close(read_end)
        raise
    finally:
        os.close(write_end)
    return process, trio.lowlevel.FdStream(read_end)


async def _wait_for_exit(process: subprocess.Popen[bytes]) -> None:
    """Wait for the leader's end without reaping it: until then nobody else can be given its session's id."""
    with waited_on(os.pidfd_open(process.pid)) as descriptor:
        await wait_readable(descriptor)


async def _read_lines(output: trio.lowlevel.FdStream, result: ProgramResult, say: Callable[[str], None] | None) -> None:
    pending = b""
    async for chunk in output:
        *complete, pending = (pending + chunk).split(b"\n")
        if len(pending) > _MAX_LINE_BYTES:
            complete, pending = [*complete, pending], b""
        for line in complete:
            _take(line, result, say)
    if pending:
        _take(pending, result, say)


def _take(raw: bytes, result: ProgramResult, say: Callable[[str], None] | None) -> None:
    line = raw[:_MAX_LINE_BYTES].decode("utf-8", "replace").rstrip()
    result.lines.append(line)
    if say is not None and line:
        say(line)


async def _end(process: subprocess.Popen[bytes]) -> int:
    """Kill the whole session and reap its leader, which may have ended and left others; under the caller's shield."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    await _wait_for_exit(process)
    return process.wait()


async def _reap_others(session: int) -> None:
    """Reap what the leader left behind: its orphans are the service's children, which adopts them."""
    while True:
        try:
            # No await between the leader's end and the first look: others keep the id from being given away.
            pid, _ = os.waitpid(-session, os.WNOHANG)  # noqa: ASYNC222  it does not block
        except ChildProcessError:
            return
        if pid == 0:  # killed, and dying
            await trio.sleep(_LOOK_S)


# What operators set to reach their package index, and what programs need to run at all. Nothing else of the service's
# environment goes to the build of a project's packages.
_PASSED_PREFIXES = ("UV_", "SSL_", "LC_", "XDG_")
_PASSED = frozenset(
    {"ALL_PROXY", "HOME", "HTTPS_PROXY", "HTTP_PROXY", "LANG", "NETRC", "NO_PROXY", "PATH", "REQUESTS_CA_BUNDLE",
     "TMPDIR"}
)  # fmt: skip
# They would point uv at another environment or project than the one it is to work on.
_WITHHELD = frozenset({"UV_ENV_FILE", "UV_PROJECT", "UV_PROJECT_ENVIRONMENT", "UV_PYTHON", "UV_WORKING_DIRECTORY"})
# Publishing is nothing that an environment needs.
_WITHHELD_PREFIXES = ("UV_PUBLISH_",)
BUILDER = Path(__file__).parents[1] / "builder"
"""Holds a ``sitecustomize``: Pythons that uv starts to build a package forget uv's variables with it."""


def program_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the service's variables for an installer: those that lead to packages and programs."""
    return {
        name: value
        for name, value in environment.items()
        if name not in _WITHHELD
        and not name.startswith(_WITHHELD_PREFIXES)
        and (name.upper() in _PASSED or name.startswith(_PASSED_PREFIXES))
    }


async def run_uv(
    arguments: Sequence[str],
    *,
    offline: bool,
    directory: Path = Path("/"),
    say: Callable[[str], None] | None = None,
    cage: Cage | None = None,
) -> ProgramResult:
    """Run ``uv`` and wait for its end.

    Args:
        arguments: Without the program's name.
        offline: Use nothing but uv's cache.
        directory: Working folder; uv looks for its settings from there upwards.
        say: Called with each line as it comes.
        cage: The jail that it runs in; None runs it as any program of the service.

    Raises:
        ConfigurationError: The program is missing.

    Cancellation: uv and all that it started are killed before this returns.
    """
    argv = [find_uv(), *arguments, "--color", "never", "--no-progress", *(["--offline"] if offline else [])]
    environment = {**program_environment(os.environ), "PYTHONPATH": str(BUILDER)}
    return await run_program(
        argv, environment=environment, directory=directory, say=say, cage=cage, reaches_out=not offline
    )


def find_uv() -> str:
    """Return the path of uv.

    Raises:
        ConfigurationError: It is missing.
    """
    try:
        return uv.find_uv_bin()
    except FileNotFoundError as error:
        raise ConfigurationError("The program uv is missing; install this package again, it depends on uv") from error
