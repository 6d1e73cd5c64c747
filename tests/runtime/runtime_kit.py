"""The runtimes under test, and what a test does with a process that one of them has started."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest
import trio

from preview.runtime import (
    Limits,
    PlainRuntime,
    Refusal,
    RunningProcess,
    Runtime,
    SandboxRuntime,
    child_subreaper,
    interpreter_paths,
    probe_sandbox,
)
from preview.runtime.broker import Broker, NoBroker
from preview.runtime.container.gvisor.process import GvisorProcess
from preview.runtime.container.process import ContainerProcess
from preview.runtime.kernel import proctree
from preview.runtime.sandbox import open_broker_if_needed
from preview.runtime.sandbox.process import find_application

Start = Callable[..., AbstractAsyncContextManager[RunningProcess]]

LIMITS = Limits(memory_bytes=512 * 2**20, open_files=200, processes=64, file_bytes=2**20, temp_bytes=2**20)
# What programs run in: another interpreter has other objects, and forks of it other memory.
_EXECUTABLE = os.environ.get("PREVIEW_TEST_PYTHON", sys.executable)
# A small program in Python, without any package: ``[*PYTHON, program, *arguments]``.
PYTHON = [_EXECUTABLE, "-I", "-S", "-c"]
# What tests make environments of, and start themselves with, is this process's own.
INTERPRETER = tuple(
    dict.fromkeys(path for one in (_EXECUTABLE, sys.executable) for path in interpreter_paths(Path(one)))
)


@lru_cache(maxsize=1)
def _probed() -> SandboxRuntime | Refusal:
    """Once for each worker; the folder stays, as the service's own does."""
    folder = Path(tempfile.gettempdir()) / f"preview-test-etc-{os.getuid()}"
    found: list[SandboxRuntime | Refusal] = []

    async def probe() -> None:
        broker = await broker_if_needed(folder)
        found.append(await probe_sandbox(folder, broker=broker))
        if isinstance(broker, Broker) and isinstance(found[0], Refusal):
            await broker.close()

    trio.run(probe)
    return found[0]


async def broker_if_needed(folder: Path) -> Broker | NoBroker | None:
    """As ``open_broker_if_needed``; the broker ends with this process."""
    async with open_broker_if_needed(folder) as broker:
        pass
    if isinstance(broker, Broker):
        # The context has ended it; a new one starts.
        await broker.start(folder)
    return broker


def sandbox_or_skip() -> SandboxRuntime:
    """The sandbox runtime; where the machine has none its tests are skipped, or fail if they have to run."""
    probed = _probed()
    if isinstance(probed, SandboxRuntime):
        return probed
    if os.environ.get("PREVIEW_TEST_REQUIRE_SANDBOX") == "1":
        pytest.fail(f"PREVIEW_TEST_REQUIRE_SANDBOX=1, but {probed.reason}")
    pytest.skip(f"no sandbox: {probed.reason}")


@lru_cache(maxsize=1)
def _broker() -> Broker | NoBroker:
    """For root, who needs none."""
    broker, folder = Broker(), Path(tempfile.gettempdir())
    try:
        trio.run(broker.start, folder)
    except NoBroker as error:
        return error
    return broker


def inner_sandbox_or_skip() -> SandboxRuntime:
    """As ``sandbox_or_skip``; its processes inherit a socket of another network, as an ordinary user's do."""
    found = sandbox_or_skip()
    if found._broker is not None:
        return found
    broker = _broker()
    if isinstance(broker, NoBroker):
        pytest.skip(f"no broker: {broker}")
    made = SandboxRuntime(found.parts.etc, own_users=found.parts.own_users, broker=broker)
    made._fences = False
    return made


def make_runtime(name: str) -> Runtime:
    if name == "inner":
        return inner_sandbox_or_skip()
    return PlainRuntime() if name == "plain" else sandbox_or_skip()


async def read_all(process: RunningProcess) -> str:
    return b"".join([chunk async for chunk in process.output]).decode()


async def read_line(process: RunningProcess) -> str:
    text = b""
    while not text.endswith(b"\n"):
        chunk = await process.output.receive_some()
        assert chunk, f"the output ended after {text!r}"
        text += chunk
    return text.decode().strip()


_UNSEEN = "the machine sees no process of a container of gVisor"


def application(process: RunningProcess) -> int:
    """The pid of the program itself, by which it is known outside of its sandbox."""
    if isinstance(process, GvisorProcess):
        pytest.skip(_UNSEEN)
    if isinstance(process, ContainerProcess):
        return proctree.children(process.identity.pid)[0]
    return find_application(process.identity.pid) or process.identity.pid


def isolates(runtime: Runtime) -> bool:
    """Whether its processes have namespaces of their own."""
    return runtime.name in ("sandbox", "container")


def outside(process: RunningProcess, pid: int) -> int:
    """A process of the tree by its pid outside, from the one that it has itself printed (``NSpid``, proc(5))."""
    if isinstance(process, GvisorProcess):
        pytest.skip(_UNSEEN)
    for candidate in proctree.descendants(process.identity.pid):
        numbers = proctree.namespace_pids(candidate)
        if len(numbers) > 1 and numbers[-1] == pid:
            return candidate
    return pid


def open_descriptors() -> set[str]:
    return {entry.name for entry in Path("/proc/self/fd").iterdir()}


@dataclass(frozen=True, slots=True)
class Driver:
    """A service in a process of its own (``runtime_driver``), and what it has told."""

    process: trio.Process
    told: dict[str, Any]


@asynccontextmanager
async def open_driver(
    interpreter: Sequence[str], name: str, project: Path, program: str, listener: socket.socket | None = None
) -> AsyncIterator[Driver]:
    """Args: an interpreter; the runtime's name; the folder; a name in ``child_programs``; a socket."""
    script = Path(__file__).with_name("runtime_driver.py")
    command = [*interpreter, str(script), name, str(project), program]
    descriptors = () if listener is None else (listener.fileno(),)
    command += map(str, descriptors)
    # Else a service that a program of the stage has started would be init's, and stay.
    with child_subreaper():
        others = set(proctree.children(os.getpid()))
        process = await trio.lowlevel.open_process(command, stdout=subprocess.PIPE, pass_fds=descriptors)
        assert process.stdout is not None
        service: int | None = None
        try:
            with trio.fail_after(60):
                text = b""
                while not text.endswith(b"\n"):
                    chunk = await process.stdout.receive_some()
                    assert chunk, "the driver ended without a word"
                    text += chunk
                told = json.loads(text)
                service = told.get("service")
                yield Driver(process, told)
        finally:
            process.kill()
            with trio.move_on_after(20, shield=True):
                await process.wait()
                # What was its, and is ours now; the service itself too, where a program of the stage has started it,
                # whose end does not end it: with its user it has lost that wish.
                while left := set(proctree.children(os.getpid())) - others:
                    for pid in left:
                        if pid == service:
                            os.kill(pid, signal.SIGKILL)
                        proctree.reap(pid)
                    await trio.sleep(0.005)
            await trio.aclose_forcefully(process.stdout)


def unprivileged_python() -> list[str]:
    """An interpreter with all its packages, run as ``nobody``, whom the developer's home does not let in."""
    # The bytecode too, where it is kept apart: else each start compiles all of them anew.
    compiled = [Path(sys.pycache_prefix)] if sys.pycache_prefix else []
    folders = [str(path) for path in (*INTERPRETER, *map(Path, sys.path), *compiled) if path.is_dir()]
    shown = [part for folder in folders for part in ("--ro-bind", folder, folder)]
    # Folders that bubblewrap makes by itself are their owner's alone.
    home, between = Path.home(), {parent for folder in folders for parent in Path(folder).parents}
    homes = ["--perms", "0755", "--tmpfs", str(home)]
    for folder in sorted(one for one in between if one != home and one.is_relative_to(home)):
        homes += ["--perms", "0755", "--dir", str(folder)]
    stage = ["bwrap", "--die-with-parent", "--dev-bind", "/", "/", *homes, *shown]
    user = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--no-new-privs", "--pdeathsig=KILL"]
    return [*stage, "--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID", "--", *user, "--", sys.executable]


strangers: set[int] = set()
"""Descendants of this process from before the test: as a subreaper it gets what the services of other tests left."""


def zombies() -> list[int]:
    """Children of this process that came with the test and that nobody has reaped."""
    children = ((pid, proctree.read_stat(pid)) for pid in proctree.children(os.getpid()))
    return [pid for pid, stat in children if stat is not None and stat.has_ended and pid not in strangers]


class CancelAtStep(trio.abc.Instrument):
    """Cancels a scope when a task, or whichever one, has been run so many times."""

    def __init__(self, scope: trio.CancelScope, steps: int, task: trio.lowlevel.Task | None = None) -> None:
        self._task, self._scope, self._left = task, scope, steps

    def after_task_step(self, task: trio.lowlevel.Task) -> None:
        if self._task in (None, task):
            self._left -= 1
            if self._left == 0:
                self._scope.cancel()


async def none_but(known: set[int]) -> None:
    """Wait until no process of this one is left but these: one that has ended is told of a moment before it is gone."""
    with trio.fail_after(60):
        while not set(proctree.descendants(os.getpid())) <= known:  # noqa: ASYNC110  the kernel tells nobody
            await trio.sleep(0.001)
