"""Where the host's socket cannot be fenced it does not go into the sandbox: the service carries connections in.

To a local socket and a bridge, or, with a broker, to a second socket in a network of its own.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import trio
from runtime_fixtures import open_inherited, starter
from runtime_kit import (
    INTERPRETER,
    LIMITS,
    PYTHON,
    Start,
    inner_sandbox_or_skip,
    open_driver,
    read_line,
    unprivileged_python,
)

from preview.core.isolation import Network
from preview.errors import LaunchFailed
from preview.runtime import FD_PLACEHOLDER, ProcessSpec, SandboxRuntime, bind_in_range
from preview.runtime.sandbox import runtime as sandbox_runtime
from preview.runtime.sandbox import socket_filter as fences

ECHO = """
import os, socket, sys, threading
listener = socket.socket(fileno=int(sys.argv[1]))
listener.setblocking(True)
named = os.environ.get('PREVIEW_LISTENER', '')
print(listener.getsockname()[1], named == f'{sys.argv[1]}:{os.fstat(int(sys.argv[1])).st_ino}', flush=True)
def talk(connection):
    with connection:
        while data := connection.recv(65536):
            connection.sendall(data)
while True:
    threading.Thread(target=talk, args=(listener.accept()[0],), daemon=True).start()
"""
# Makes each socket that it holds like new, and asks for another port of the machine.
TURN_ROUND = """
import ctypes, json, os, socket, sys
libc = ctypes.CDLL(None, use_errno=True)
reached = []
for name in os.listdir('/proc/self/fd'):
    try:
        held = socket.socket(fileno=os.dup(int(name)))
    except OSError:
        continue
    libc.connect(held.fileno(), bytes(16), 16)
    held.settimeout(1)
    try:
        held.connect(('127.0.0.1', int(sys.argv[2])))
    except (OSError, TypeError):
        continue
    reached.append(name)
print(json.dumps(reached), flush=True)
"""


@pytest.fixture(params=["bridge", "inner"])
def carrying(
    request: pytest.FixtureRequest, sandbox: SandboxRuntime, monkeypatch: pytest.MonkeyPatch
) -> SandboxRuntime:
    if request.param == "inner":
        return inner_sandbox_or_skip()
    monkeypatch.setattr(sandbox, "_fences", False)
    monkeypatch.setattr(sandbox, "_broker", None)
    return sandbox


@pytest.fixture
async def inherited(
    carrying: SandboxRuntime, listener: socket.socket, nothing_left: None
) -> AsyncIterator[socket.socket]:
    async with open_inherited(carrying, listener) as found:
        yield found


@pytest.fixture
def start(carrying: SandboxRuntime, inherited: socket.socket, project: Path) -> Start:
    return starter(carrying, inherited, project)


async def test_it_serves_as_if_the_socket_were_its_own(
    start: Start, listener: socket.socket, inherited: socket.socket
) -> None:
    port = listener.getsockname()[1]
    # The bridge puts its own socket's number there.
    own = os.fstat(inherited.fileno()).st_ino if inherited is not listener else 1
    async with start(ECHO, FD_PLACEHOLDER, environment={"PREVIEW_LISTENER": f"{FD_PLACEHOLDER}:{own}"}) as process:
        assert await read_line(process) == f"{port} True"
        data = os.urandom(300_000)
        heard: list[bytes] = []

        async def talk() -> None:
            async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(stream.send_all, data)
                    said = b""
                    while len(said) < len(data):
                        said += await stream.receive_some()
                heard.append(said)

        async with trio.open_nursery() as nursery:
            for _ in range(20):
                nursery.start_soon(talk)
    assert heard == [data] * 20


async def test_nothing_that_it_holds_reaches_the_machine(start: Start) -> None:
    with bind_in_range("127.0.0.1", 20_000, 32_000) as other:
        async with start(TURN_ROUND, FD_PLACEHOLDER, str(other.getsockname()[1])) as process:
            assert json.loads(await read_line(process)) == []


async def test_who_asks_ahead_of_its_start_is_answered_when_it_serves(start: Start, listener: socket.socket) -> None:
    async with await trio.open_tcp_stream(*listener.getsockname()) as early:
        await early.send_all(b"early")
        async with start(ECHO, FD_PLACEHOLDER):
            assert await early.receive_some() == b"early"


async def test_a_program_that_listens_by_itself_is_carried_to_as_well(
    carrying: SandboxRuntime, listener: socket.socket, project: Path
) -> None:
    port = listener.getsockname()[1]
    program = ECHO.replace("socket.socket(fileno=int(sys.argv[1]))", f"socket.create_server(('127.0.0.1', {port}))")
    spec = ProcessSpec(
        preview_id="preview_test",
        argv=[*PYTHON, program, "0"],
        directory=project,
        environment={},
        listener=listener,
        limits=LIMITS,
        readable=INTERPRETER,
        writable=(project,),
        network=Network.NONE,
        port=port,
        slot=port,
    )
    with trio.fail_after(60):
        async with carrying.open_process(spec) as process:
            await read_line(process)
            async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
                await stream.send_all(b"hello")
                assert await stream.receive_some() == b"hello"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody without rights")
async def test_a_service_without_rights_serves_a_preview_without_a_network(
    sandbox: SandboxRuntime, listener: socket.socket, tmp_path: Path
) -> None:
    """Whichever way this kernel leaves to one who does not administer the network."""
    assert sandbox.name == "sandbox"
    project = tmp_path / "project"
    project.mkdir()
    os.chown(project, 65534, 65534)
    for folder in (project, *(one for one in project.parents if one.stat().st_mode & 0o777 == 0o700)):
        folder.chmod(0o755)
    async with open_driver(unprivileged_python(), "sandbox", project, "SAY_AND_SERVE", listener) as driver:
        assert (driver.told["uid"], driver.told["said"]) == (65534, "up")
        with trio.fail_after(60):
            async with await trio.open_tcp_stream(*listener.getsockname()) as stream:
                assert await stream.receive_some() == b"served"


@pytest.mark.parametrize(
    "fences", [pytest.param(True, marks=pytest.mark.skipif(not fences.can_fence(), reason="no CAP_NET_ADMIN")), False]
)
async def test_a_start_that_fails_is_one_error_whatever_runs_beside(
    sandbox: SandboxRuntime, listener: socket.socket, project: Path, monkeypatch: pytest.MonkeyPatch, fences: bool
) -> None:
    def refuse(*_: object) -> None:
        raise LaunchFailed("no")

    monkeypatch.setattr(sandbox, "_fences", fences)
    monkeypatch.setattr(sandbox_runtime, "spawn", refuse)
    spec = ProcessSpec(
        preview_id="preview_test",
        argv=["/bin/true"],
        directory=project,
        environment={},
        listener=listener,
        limits=LIMITS,
        writable=(project,),
        network=Network.LOOPBACK_ONLY,
        loopback_ports=(5432,),
    )
    with pytest.raises(LaunchFailed, match="no"):
        async with sandbox.open_process(spec):
            pytest.fail("started")


def test_whether_a_fence_can_be_put_up_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_listener: socket.socket) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(fences, "restrict_to_accept", refuse)
    assert fences.can_fence() is False


def test_a_runtime_that_cannot_fence_carries(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    answer: Callable[[], bool] = lambda: False  # noqa: E731  one line says it
    monkeypatch.setattr(sandbox_runtime, "can_fence", answer)
    assert SandboxRuntime(tmp_path, own_users=False)._fences is False
