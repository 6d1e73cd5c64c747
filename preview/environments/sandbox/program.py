"""Execution of one program in its own session: output line by line, and no process left at the end."""

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
from preview.environments.sandbox.progress import current_progress
from preview.environments.way_out.allowed import read_allowed
from preview.environments.way_out.opening import WayOut, open_way_out
from preview.errors import ConfigurationError

# The last lines explain a failure; a compiler may print very much before them.
_KEPT_LINES = 400
_MAX_LINE_BYTES = 16 * 1024
# SIGKILL cannot be blocked, but a process in uninterruptible I/O, or on a very busy machine, may need time to end.
_REAP_S = 10.0
_LOOK_S = 0.005
# Users of previews read what installers write, and uv links files of its cache: a stricter umask costs a copy of each.
_UMASK: Final = 0o022
# Variables of the program that creates the jail; the installer's variables are passed on its command line.
_OUTSIDE: Final = {"LANG": "C.UTF-8"}


@dataclass(slots=True)
class ProgramResult:
    """Result of a program, with its last lines.

    Attributes:
        code: Exit status; negative for a signal.
        lines: The last lines of stdout and stderr, without line ends.
        refused: One sentence for each host that the program requested and may not reach.
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
        argv: Absolute path of the program, and its arguments.
        environment: All variables of the program.
        directory: Working folder.
        say: Called at once with each nonempty line of stdout and stderr, without the line end.
        cage: Jail for the program; None runs it like any other program of the service.
        reaches_out: Whether a program in a jail may reach package indexes; otherwise it has no network.

    Raises:
        OSError: The program cannot be started.
        LaunchFailed: The program that creates the jail is missing.
        EnvironmentFailed: The program failed because it reached the jail's memory limit.

    Cancellation: the program and its whole session are killed and reaped before this returns.
    """
    async with _open_way_out(cage, environment, reaches_out=reaches_out) as way_out:
        if cage is None:
            process, output = _start(argv, environment, directory)
        else:
            await trio.to_thread.run_sync(cage.prepare_for_code)
            with cage.enter(argv, environment, directory, way_out) as (command, descriptors):
                process, output = _start(command, _OUTSIDE, Path("/"), descriptors)
        if way_out is not None:
            # Close the service's copy: the service then sees the connection end when the program ends.
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
    """Read the output and wait for the exit.

    Cancellation: the whole session is killed and reaped before this returns.
    """
    result = ProgramResult()
    progress = current_progress()

    def take(line: str) -> None:
        if progress is not None:
            progress.hear(line)
        if say is not None:
            say(line)

    try:
        await _read_lines(output, result, take)
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
    """Start the program from trio's own thread: a parent-death signal is bound to the forking thread (prctl(2)).

    With setpriv, the kernel kills the program at once if the service is killed.
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
            umask=_UMASK,
        )
    except BaseException:
        os.close(read_end)
        raise
    finally:
        os.close(write_end)
    return process, trio.lowlevel.FdStream(read_end)


async def _wait_for_exit(process: subprocess.Popen[bytes]) -> None:
    """Wait for the session leader's exit without reaping it: the session's id is not reused until then."""
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
    """Kill the whole session and reap its leader, which may have exited before. The caller shields this."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    await _wait_for_exit(process)
    return process.wait()


async def _reap_others(session: int) -> None:
    """Reap the rest of the session: its orphans become children of the service (a subreaper)."""
    while True:
        try:
            # No await between the leader's reaping and the first look: remaining processes keep the id in use.
            pid, _ = os.waitpid(-session, os.WNOHANG)  # noqa: ASYNC222  it does not block
        except ChildProcessError:
            return
        if pid == 0:  # the processes are killed but have not ended yet
            await trio.sleep(_LOOK_S)


# Variables with which operators configure their package index, and those that programs need to run. Builds of a
# project's packages receive no other variable of the service.
_PASSED_PREFIXES = ("UV_", "SSL_", "LC_", "XDG_")
_PASSED = frozenset(
    {"ALL_PROXY", "HOME", "HTTPS_PROXY", "HTTP_PROXY", "LANG", "NETRC", "NO_PROXY", "PATH", "REQUESTS_CA_BUNDLE",
     "TMPDIR"}
)  # fmt: skip
# These would point uv to another environment or project. Compiling would start Python, which uv often cannot do.
_WITHHELD = frozenset(
    {"UV_COMPILE_BYTECODE", "UV_ENV_FILE", "UV_PROJECT", "UV_PROJECT_ENVIRONMENT", "UV_PYTHON", "UV_WORKING_DIRECTORY"}
)
# Publishing is not needed to build environments.
_WITHHELD_PREFIXES = ("UV_PUBLISH_",)
BUILDER = Path(__file__).parents[1] / "builder"
"""Folder with a ``sitecustomize``, which removes uv's variables from Pythons that uv starts to build a package."""


def program_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the service's variables that installers need to find packages and programs."""
    return {
        name: value
        for name, value in environment.items()
        if name not in _WITHHELD
        and not name.startswith(_WITHHELD_PREFIXES)
        and (name.upper() in _PASSED or name.startswith(_PASSED_PREFIXES))
    }


_DOING: Final = {
    "pip compile": "choosing versions from the package index",
    "pip install": "fetching and installing packages",
}


async def run_uv(
    arguments: Sequence[str],
    *,
    offline: bool,
    directory: Path = Path("/"),
    say: Callable[[str], None] | None = None,
    cage: Cage | None = None,
) -> ProgramResult:
    """Run ``uv`` and wait for its exit.

    Args:
        arguments: Arguments without the program's name.
        offline: Use only uv's cache.
        directory: Working folder; uv looks for its settings there and in the folders above.
        say: Called at once with each line of output.
        cage: Jail for uv; None runs it like any other program of the service.

    Raises:
        ConfigurationError: uv is not installed.

    Cancellation: uv and all processes that it started are killed before this returns.
    """
    if (progress := current_progress()) is not None:
        progress.begin(_DOING.get(" ".join(arguments[:2]), "preparing the environment"))
    argv = [find_uv(), *arguments, "--color", "never", "--no-progress", *(["--offline"] if offline else [])]
    environment = {**program_environment(os.environ), "PYTHONPATH": str(BUILDER)}
    return await run_program(
        argv, environment=environment, directory=directory, say=say, cage=cage, reaches_out=not offline
    )


def find_uv() -> str:
    """Return the path of uv.

    Raises:
        ConfigurationError: uv is not installed.
    """
    try:
        return uv.find_uv_bin()
    except FileNotFoundError as error:
        raise ConfigurationError("The program uv is missing; install this package again, it depends on uv") from error
