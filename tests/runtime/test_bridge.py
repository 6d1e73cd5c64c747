"""A program that listens by itself, in a network of its own: what connects to its port outside gets to it."""

from __future__ import annotations

import hashlib
import os
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from pathlib import Path

import pytest
import trio
from runtime_kit import INTERPRETER, LIMITS, PYTHON, read_line

from preview.core.isolation import Network
from preview.runtime import ProcessSpec, RunningProcess, SandboxRuntime
from preview.supervisor.process.probe import find_answer

# Each connection has a thread; ``serve`` says what it does with it.
LISTENS = """
import os, signal, socket, struct, sys, threading, time
FAMILY, HOST, PORT = getattr(socket, sys.argv[1]), sys.argv[2], int(sys.argv[3])
def listen():
    listener = socket.socket(FAMILY)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((HOST, PORT))
    listener.listen(300)
    print("listening", flush=True)
    return listener
def accept(listener, serve):
    while True:
        connection, _ = listener.accept()
        threading.Thread(target=serve, args=[connection], daemon=True).start()
"""
ECHOES = (
    LISTENS
    + """
def serve(connection):
    while data := connection.recv(65536): connection.sendall(data)
    connection.close()
accept(listen(), serve)
"""
)
ANSWERS_AT_THE_END = (
    LISTENS
    + """
def serve(connection):
    got = 0
    while data := connection.recv(65536): got += len(data)
    connection.sendall(str(got).encode())
    connection.close()
accept(listen(), serve)
"""
)
RESETS = (
    LISTENS
    + """
def serve(connection):
    connection.recv(100)
    connection.sendall(b"half of it")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()
accept(listen(), serve)
"""
)
TELLS_WHO_LEAVES = (
    LISTENS
    + """
def serve(connection):
    try:
        while connection.recv(100): pass
    except OSError: pass
    print("left", flush=True)
accept(listen(), serve)
"""
)
SLOW = (
    LISTENS
    + """
print("starting", flush=True)
while not os.path.exists("go"): time.sleep(0.01)
def serve(connection):
    connection.recv(65536)
    connection.sendall(b"HTTP/1.1 200 OK\\r\\ncontent-length: 2\\r\\nconnection: close\\r\\n\\r\\nok")
    connection.close()
accept(listen(), serve)
"""
)
UPGRADES = (
    LISTENS
    + """
def serve(connection):
    assert b"Upgrade: websocket" in connection.recv(65536)
    connection.sendall(b"HTTP/1.1 101 Switching Protocols\\r\\nUpgrade: websocket\\r\\nConnection: Upgrade\\r\\n\\r\\n")
    for number in range(3):
        connection.sendall(b"from it %d;" % number)
        connection.sendall(connection.recv(100))
    connection.close()
accept(listen(), serve)
"""
)
ENDS_WELL = (
    LISTENS
    + """
listener = listen()
connection, _ = listener.accept()
def end(*_):
    connection.sendall(b"finished")
    connection.shutdown(socket.SHUT_WR)
    while connection.recv(100): pass
    os.write(1, b"ended well\\n")
    os._exit(0)
signal.signal(signal.SIGTERM, end)
print("asked", connection.recv(100), flush=True)
while True: signal.pause()
"""
)
HAS_CHILDREN = (
    LISTENS
    + """
try: os.wait()
except ChildProcessError: print("no children", flush=True)
signal.pause()
"""
)

Begin = Callable[..., AbstractAsyncContextManager[RunningProcess]]

pytestmark = pytest.mark.usefixtures("nothing_left")


@pytest.fixture
def begin(sandbox: SandboxRuntime, listener: socket.socket, project: Path) -> Begin:
    port = listener.getsockname()[1]

    @asynccontextmanager
    async def start(program: str, family: str = "AF_INET", host: str = "127.0.0.1") -> AsyncIterator[RunningProcess]:
        spec = ProcessSpec(
            preview_id="preview_test",
            argv=[*PYTHON, program, family, host, str(port)],
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
        async with sandbox.open_process(spec) as process:
            yield process

    return start


async def connect(listener: socket.socket) -> trio.SocketStream:
    return await trio.open_tcp_stream(*listener.getsockname())


async def receive_all(stream: trio.SocketStream) -> bytes:
    return b"".join([chunk async for chunk in stream])


async def receive(stream: trio.SocketStream, wanted: bytes) -> None:
    got = b""
    while len(got) < len(wanted):
        chunk = await stream.receive_some(len(wanted) - len(got))
        assert chunk, got
        got += chunk
    assert got == wanted


@pytest.mark.parametrize(
    ("family", "host"), [("AF_INET", "127.0.0.1"), ("AF_INET", "0.0.0.0"), ("AF_INET6", "::1"), ("AF_INET6", "::")]
)
async def test_wherever_it_listens_it_is_found(begin: Begin, listener: socket.socket, family: str, host: str) -> None:
    async with begin(ECHOES, family, host) as process:
        assert await read_line(process) == "listening"
        for _ in range(2):
            async with await connect(listener) as stream:
                await stream.send_all(b"hello")
                await receive(stream, b"hello")


async def test_until_it_listens_a_connection_ends_unanswered(
    begin: Begin, listener: socket.socket, project: Path
) -> None:
    async with begin(SLOW) as process:
        assert await read_line(process) == "starting"
        async with await connect(listener) as stream:
            with suppress(trio.BrokenResourceError):
                assert await stream.receive_some() == b""
        (project / "go").touch()
        assert await read_line(process) == "listening"
        async with await connect(listener) as stream:
            await stream.send_all(b"GET / HTTP/1.1\r\n\r\n")
            assert (await receive_all(stream)).endswith(b"ok")


async def test_the_readiness_probe_waits_for_a_slow_start(begin: Begin, listener: socket.socket, project: Path) -> None:
    async with begin(SLOW) as process, trio.open_nursery() as nursery:

        async def let_it_listen() -> None:
            assert await read_line(process) == "starting"
            (project / "go").touch()
            await read_line(process)

        nursery.start_soon(let_it_listen)
        answer = await find_answer(listener.getsockname(), None)
    assert answer.status == 200


async def test_large_bodies_go_both_ways_at_once(begin: Begin, listener: socket.socket) -> None:
    sent = os.urandom(2**16) * 160
    async with begin(ECHOES) as process:
        await read_line(process)
        async with await connect(listener) as stream, trio.open_nursery() as nursery:

            async def send() -> None:
                await stream.send_all(sent)
                await stream.send_eof()

            nursery.start_soon(send)
            got = await receive_all(stream)
    assert hashlib.sha256(got).digest() == hashlib.sha256(sent).digest()


async def test_who_has_said_all_still_gets_the_answer(begin: Begin, listener: socket.socket) -> None:
    async with begin(ANSWERS_AT_THE_END) as process:
        await read_line(process)
        async with await connect(listener) as stream:
            await stream.send_all(b"x" * 1000)
            await stream.send_eof()
            assert await receive_all(stream) == b"1000"


async def test_an_upgraded_connection_is_talked_on_by_both(begin: Begin, listener: socket.socket) -> None:
    async with begin(UPGRADES) as process:
        await read_line(process)
        async with await connect(listener) as stream:
            await stream.send_all(b"GET /ws HTTP/1.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")
            await receive(
                stream, b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"
            )
            for number in range(3):
                await receive(stream, b"from it %d;" % number)
                await stream.send_all(b"from outside")
                await receive(stream, b"from outside")
            assert await receive_all(stream) == b""


async def test_an_answer_that_breaks_off_ends_for_who_waits_for_it(begin: Begin, listener: socket.socket) -> None:
    async with begin(RESETS) as process:
        await read_line(process)
        async with await connect(listener) as stream:
            await stream.send_all(b"hello")
            with trio.fail_after(60):
                with suppress(trio.BrokenResourceError):
                    assert b"half of it".startswith(await receive_all(stream))


async def test_the_program_learns_who_has_left(begin: Begin, listener: socket.socket) -> None:
    async with begin(TELLS_WHO_LEAVES) as process:
        await read_line(process)
        stream = await connect(listener)
        await stream.send_all(b"hello")
        await trio.aclose_forcefully(stream)
        with trio.fail_after(60):
            assert await read_line(process) == "left"


async def test_an_answer_under_way_is_finished_when_it_is_stopped(begin: Begin, listener: socket.socket) -> None:
    async with begin(ENDS_WELL) as process:
        await read_line(process)
        async with await connect(listener) as stream:
            await stream.send_all(b"hello")
            assert await read_line(process) == "asked b'hello'"
            async with trio.open_nursery() as nursery:
                nursery.start_soon(process.stop, 5.0)
                assert await receive_all(stream) == b"finished"
                await stream.send_eof()
                assert await read_line(process) == "ended well"
        assert (await process.wait()).code == 0


async def test_the_program_has_no_child_that_it_did_not_start(begin: Begin) -> None:
    async with begin(HAS_CHILDREN) as process:
        assert await read_line(process) == "no children"


async def test_many_connections_at_once_are_all_carried(begin: Begin, listener: socket.socket) -> None:
    async with begin(ECHOES) as process, trio.open_nursery() as nursery:
        await read_line(process)
        done = []

        async def talk(number: int) -> None:
            async with await connect(listener) as stream:
                await stream.send_all(b"%03d" % number)
                await receive(stream, b"%03d" % number)
                done.append(number)

        for number in range(40):
            nursery.start_soon(talk, number)
    assert len(done) == 40
