"""Ports of this machine's loopback in a sandbox: those that are named, and no other."""

from __future__ import annotations

import os
import shutil
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, ExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing
from runtime_kit import INTERPRETER, LIMITS, PYTHON, open_descriptors, read_all

from preview.core.isolation import Network
from preview.runtime import ProcessSpec, SandboxRuntime
from preview.runtime.launchers import BRIDGE
from preview.runtime.sandbox import port_forwarding
from preview.runtime.sandbox.port_forwarding import open_reached

# Says of each address what comes from it.
ASKS = """
import socket, sys
for asked in sys.argv[1:]:
    host, _, port = asked.rpartition(":")
    try:
        with socket.create_connection((host, int(port)), timeout=5) as one:
            one.sendall(b"hello")
            one.shutdown(socket.SHUT_WR)
            print(asked, one.recv(100).decode() or "closed")
    except OSError as error:
        print(asked, type(error).__name__)
"""


@pytest.fixture(autouse=True)
async def _no_descriptor_left() -> AsyncIterator[None]:
    before = open_descriptors()
    with trio.fail_after(60):
        yield
    assert open_descriptors() <= before


async def greet(stream: trio.SocketStream) -> None:
    async with stream:
        said = await stream.receive_some(5)
        await stream.send_all(b"welcome, " + bytes(said))


def open_loopback(ports: list[int]) -> AbstractAsyncContextManager[socket.socket | None]:
    """Open these ports of the machine's loopback for a process."""
    network = Network.LOOPBACK_ONLY
    return open_reached(ProcessSpec("p", PYTHON, Path("/"), {}, None, LIMITS, network=network, loopback_ports=ports))


@asynccontextmanager
async def open_server() -> AsyncIterator[int]:
    """A server of this machine, on its loopback."""
    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(partial(trio.serve_tcp, greet, 0, host="127.0.0.1"))
        yield listeners[0].socket.getsockname()[1]
        nursery.cancel_scope.cancel()


async def ask(
    sandbox: SandboxRuntime,
    project: Path,
    *asked: str,
    ports: tuple[int, ...] = (),
    network: Network,
    own: int = 1,
    **more: Any,
) -> list[str]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        spec = ProcessSpec(
            preview_id="preview_test",
            argv=[*PYTHON, ASKS, *asked],
            directory=project,
            environment={},
            listener=listener,
            limits=LIMITS,
            readable=INTERPRETER,
            network=network,
            loopback_ports=ports,
            slot=own,
            **{"writable": (project,), **more},
        )
        async with sandbox.open_process(spec) as process:
            return (await read_all(process)).splitlines()


async def test_a_named_port_is_reached_and_others_are_not(sandbox: SandboxRuntime, project: Path) -> None:
    async with open_server() as named, open_server() as service:
        asked = [f"127.0.0.1:{named}", f"localhost:{named}", f"127.0.0.1:{service}"]
        said = await ask(sandbox, project, *asked, ports=(named,), network=Network.LOOPBACK_ONLY)
    assert said == [
        f"{asked[0]} welcome, hello",
        f"{asked[1]} welcome, hello",
        f"{asked[2]} ConnectionRefusedError",
    ]


async def test_a_folder_of_its_own_where_the_service_is_installed_hides_nothing_that_it_needs(
    sandbox: SandboxRuntime, project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed, own = tmp_path / "installed", tmp_path / "own"
    shutil.copytree(BRIDGE.parent, installed / "launchers")
    # A file-mode mask of 0o077 must not close what leads there, either.
    own.mkdir(mode=0o700)
    for module in ("runtime", "port_forwarding"):
        monkeypatch.setattr(f"preview.runtime.sandbox.{module}.BRIDGE", installed / "launchers" / BRIDGE.name)
    async with open_server() as named:
        places: dict[str, Any] = {"shown_at": {installed: own}, "writable": (project, own)}
        asked = f"127.0.0.1:{named}"
        said = await ask(sandbox, project, asked, ports=(named,), network=Network.LOOPBACK_ONLY, **places)
    assert said == [f"{asked} welcome, hello"]
    # Nothing was made there to show it.
    assert list(own.iterdir()) == []


async def test_without_the_policy_a_named_port_is_not_reached(sandbox: SandboxRuntime, project: Path) -> None:
    async with open_server() as named:
        said = await ask(sandbox, project, f"127.0.0.1:{named}", ports=(named,), network=Network.NONE)
    assert said == [f"127.0.0.1:{named} ConnectionRefusedError"]


async def test_the_rest_of_the_network_stays_out_of_reach(sandbox: SandboxRuntime, project: Path) -> None:
    async with open_server() as named:
        said = await ask(sandbox, project, "192.0.2.1:80", ports=(named,), network=Network.LOOPBACK_ONLY)
    assert said == ["192.0.2.1:80 OSError"]


async def test_a_named_port_where_nothing_runs_is_reset(sandbox: SandboxRuntime, project: Path) -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        port = bound.getsockname()[1]
        said = await ask(sandbox, project, f"127.0.0.1:{port}", ports=(port,), network=Network.LOOPBACK_ONLY)
    assert said in (
        [f"127.0.0.1:{port} ConnectionResetError"],
        [f"127.0.0.1:{port} BrokenPipeError"],
        [f"127.0.0.1:{port} OSError"],
    )


# What a program could do with the socket through which listening ones are handed out, if it had it.


@pytest.fixture
def hands() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def listening(hands: ExitStack, port: int = 0) -> socket.socket:
    """A listening socket, as the sandbox makes them; here it is on another address of the same loopback."""
    return hands.enter_context(socket.create_server(("127.0.0.2", port)))


def hand_out(way_out: socket.socket, *descriptors: int) -> None:
    socket.send_fds(way_out, [b"."], list(descriptors))


async def talk(listener: socket.socket) -> bytes:
    async with await trio.open_tcp_stream(*listener.getsockname()) as stream:
        await stream.send_all(b"hello")
        return bytes(await stream.receive_some())


async def is_dropped(listener: socket.socket) -> bool:
    """Whether nobody but this test has the socket any more: then nobody takes its connections."""
    address = listener.getsockname()
    listener.close()
    with trio.move_on_after(20):
        while True:
            try:
                stream = await trio.open_tcp_stream(*address)
            except OSError:
                return True
            await trio.aclose_forcefully(stream)
    return False


async def test_a_port_that_is_not_named_is_dropped(hands: ExitStack) -> None:
    async with open_server() as named, open_loopback([named]) as way_out:
        assert way_out is not None
        good, bad = listening(hands, named), listening(hands)
        hand_out(way_out, bad.fileno(), good.fileno())
        assert await talk(good) == b"welcome, hello"
        assert await is_dropped(bad)


async def test_what_is_no_listening_socket_is_dropped_and_the_rest_served(hands: ExitStack, project: Path) -> None:
    async with open_server() as named, open_loopback([named]) as way_out:
        assert way_out is not None
        good = listening(hands, named)
        (project / "file").touch()
        file = hands.enter_context((project / "file").open("rb"))
        local, other = (hands.enter_context(one) for one in socket.socketpair())
        datagrams = hands.enter_context(socket.socket(type=socket.SOCK_DGRAM))
        idle = hands.enter_context(socket.socket())
        idle.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        idle.bind(("127.0.0.3", named))
        read_end, write_end = os.pipe()
        hands.callback(os.close, read_end)
        hands.callback(os.close, write_end)
        odd = [one.fileno() for one in (local, other, datagrams, idle)]
        hand_out(way_out, file.fileno(), *odd, read_end, write_end, good.fileno())
        assert await talk(good) == b"welcome, hello"


@pytest.mark.parametrize("sent", [b"", b"x" * 1000])
async def test_words_instead_of_sockets_are_the_end_of_it(sent: bytes) -> None:
    async with open_loopback([5432]) as way_out:
        assert way_out is not None
        if sent:
            way_out.sendall(sent)
        way_out.shutdown(socket.SHUT_WR)
        await trio.testing.wait_all_tasks_blocked()


async def test_the_same_socket_many_times_is_served(hands: ExitStack) -> None:
    async with open_server() as named, open_loopback([named]) as way_out:
        assert way_out is not None
        good = listening(hands, named)
        hand_out(way_out, *([good.fileno()] * 200))
        assert [await talk(good) for _ in range(5)] == [b"welcome, hello"] * 5


async def test_a_socket_that_stops_listening_is_let_go(hands: ExitStack) -> None:
    async with open_server() as named, open_loopback([named]) as way_out:
        assert way_out is not None
        good = listening(hands, named)
        before = open_descriptors()
        hand_out(way_out, good.fileno())
        assert await talk(good) == b"welcome, hello"
        good.shutdown(socket.SHUT_RDWR)
        while not open_descriptors() <= before:
            await trio.testing.wait_all_tasks_blocked()


async def test_connections_without_end_take_a_bounded_part_of_the_service(
    hands: ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(port_forwarding, "_MOST_CONNECTIONS", 10)
    async with open_server() as named, open_loopback([named]) as way_out:
        assert way_out is not None
        good = listening(hands, named)
        hand_out(way_out, good.fileno())
        before = len(open_descriptors())
        flood = []
        for _ in range(60):
            one = hands.enter_context(socket.socket())
            one.setblocking(False)
            one.connect_ex(good.getsockname())
            flood.append(one)
        # Longer than the pause between two connections: then no more of them are taken.
        await trio.testing.wait_all_tasks_blocked(cushion=0.1)
        # What was handed out, and for each of ten an accepted socket, one to the server, and the server's own.
        assert len(open_descriptors()) - before - len(flood) <= 1 + 3 * 10
        for one in flood:
            one.close()
        assert await talk(good) == b"welcome, hello"


async def test_who_never_reads_holds_up_nobody_else(hands: ExitStack) -> None:
    endless = b"x" * 65536

    async def pour(stream: trio.SocketStream) -> None:
        async with stream:
            try:
                if await stream.receive_some(1) == b"h":
                    await stream.send_all(b"welcome")
                while True:
                    await stream.send_all(endless)
            except trio.BrokenResourceError:
                return

    async with trio.open_nursery() as nursery:
        servers = await nursery.start(partial(trio.serve_tcp, pour, 0, host="127.0.0.1"))
        port = servers[0].socket.getsockname()[1]
        async with open_loopback([port]) as way_out:
            assert way_out is not None
            good = listening(hands, port)
            hand_out(way_out, good.fileno())
            mute = [await trio.open_tcp_stream(*good.getsockname()) for _ in range(5)]
            for one in mute:
                await one.send_all(b"x")
            async with await trio.open_tcp_stream(*good.getsockname()) as stream:
                await stream.send_all(b"h")
                assert (await stream.receive_some(7)).startswith(b"w")
            for one in mute:
                await trio.aclose_forcefully(one)
        nursery.cancel_scope.cancel()


async def test_without_a_port_there_is_nothing_to_hand_out() -> None:
    async with open_loopback([]) as way_out:
        assert way_out is None
