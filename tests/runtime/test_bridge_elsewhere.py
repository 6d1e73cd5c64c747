"""A program that listens on a port of its own choice, in a network of its own: connections are forwarded there."""

from __future__ import annotations

import asyncio
import http.server
import os
import socket
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, contextmanager, suppress
from pathlib import Path

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from runtime_kit import INTERPRETER, LIMITS, PYTHON, read_line

from preview.core.isolation import Network
from preview.runtime import ProcessSpec, RunningProcess, SandboxRuntime
from preview.runtime.broker import NoBroker, open_broker
from preview.runtime.launchers import bridge
from preview.supervisor.process.probe import ProbeFailed, ask, find_answer

SERVES = """
import http.server, os, socket, sys, threading, time
def serve(port, status=200, host="127.0.0.1", family=socket.AF_INET):
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(status); self.send_header("content-length", "0"); self.end_headers()
        def log_message(self, *_): pass
    class Server(http.server.ThreadingHTTPServer):
        address_family = family
        daemon_threads = True
    server = Server((host, port), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server
def listen(port):
    listener = socket.create_server(("127.0.0.1", port), backlog=200)
    return listener
def wait_for(name):
    while not os.path.exists(name): time.sleep(0.01)
"""

Begin = Callable[[str], AbstractAsyncContextManager[RunningProcess]]
Address = tuple[str, int]


@pytest.fixture
def begin(sandbox: SandboxRuntime, listener: socket.socket, project: Path, nothing_left: None) -> Begin:
    port = listener.getsockname()[1]

    @asynccontextmanager
    async def start(program: str) -> AsyncIterator[RunningProcess]:
        spec = ProcessSpec(
            preview_id="preview_test",
            argv=[*PYTHON, f"{SERVES}\n{program}\nprint('listening', flush=True)\nthreading.Event().wait()"],
            directory=project,
            environment={"OWN": str(port)},
            listener=listener,
            limits=LIMITS,
            readable=INTERPRETER,
            writable=(project,),
            network=Network.NONE,
            port=port,
            slot=port,
        )
        async with sandbox.open_process(spec) as process:
            assert await read_line(process) == "listening"
            yield process

    return start


@pytest.fixture
def address(listener: socket.socket) -> Address:
    host, port = listener.getsockname()
    return host, port


async def status(address: Address) -> int:
    with trio.fail_after(30):
        return (await find_answer(address, None)).status


async def test_a_crowd_of_silent_ports_costs_the_service_nothing(begin: Begin, address: Address) -> None:
    """They accept and never answer; the one that answers is beyond those that are asked."""
    program = "kept = [listen(2000 + one) for one in range(180)]\nserver = serve(9000)"
    async with begin(program):
        with pytest.raises(ProbeFailed):
            with trio.fail_after(30):
                await ask(address, "/")


async def test_ports_that_open_and_close_all_the_time_do_not_hide_the_server(begin: Begin, address: Address) -> None:
    program = """
def flicker():
    while True:
        for port in range(3000, 3020): listen(port).close()
threading.Thread(target=flicker, daemon=True).start()
server = serve(8080)
"""
    async with begin(program):
        assert await status(address) == 200


async def test_a_port_that_talks_without_end_is_left(begin: Begin, address: Address) -> None:
    program = """
def flood(listener):
    while True:
        connection, _ = listener.accept()
        def send():
            try:
                while True: connection.sendall(b"HTTQ" * 16384)
            except OSError: pass
        threading.Thread(target=send, daemon=True).start()
threading.Thread(target=flood, args=[listen(1500)], daemon=True).start()
server = serve(8080)
"""
    async with begin(program):
        assert await status(address) == 200


async def test_a_port_of_this_machine_is_never_reached(begin: Begin, address: Address) -> None:
    """Only sockets of the preview's own network are asked, whatever listens outside."""
    with socket.create_server(("127.0.0.1", 0)) as outside:
        outside.settimeout(0)
        async with begin(""):
            with pytest.raises(ProbeFailed):
                await ask(address, "/")
        with pytest.raises(BlockingIOError):
            outside.accept()


@pytest.mark.parametrize(
    ("family", "host"), [("AF_INET", "127.0.0.1"), ("AF_INET", "0.0.0.0"), ("AF_INET6", "::1"), ("AF_INET6", "::")]
)
async def test_a_server_on_a_port_of_its_own_is_found(begin: Begin, address: Address, family: str, host: str) -> None:
    async with begin(f"server = serve(8080, host={host!r}, family=socket.{family})"):
        assert await status(address) == 200


@pytest.mark.parametrize("has_broker", [True, False])
async def test_a_service_that_may_not_restrict_a_socket_finds_it_too(
    sandbox: SandboxRuntime,
    begin: Begin,
    address: Address,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    *,
    has_broker: bool,
) -> None:
    """As an ordinary user's: its connections come through a socket of the broker's, or through a local one."""
    # The runtime is that of all tests.
    monkeypatch.setattr(sandbox, "_fences", False)
    monkeypatch.setattr(sandbox, "_broker", None)
    async with AsyncExitStack() as held:
        if has_broker:
            try:
                broker = await held.enter_async_context(open_broker(tmp_path))
            except NoBroker as why:
                pytest.skip(str(why))
            monkeypatch.setattr(sandbox, "_broker", broker)
        async with begin("server = serve(8080)"):
            assert await status(address) == 200


async def test_port_comes_before_any_other(begin: Begin, address: Address) -> None:
    async with begin("one = serve(1080, 404)\ntwo = serve(int(os.environ['OWN']), 201)"):
        assert await status(address) == 201


async def test_of_several_that_answer_it_is_the_lowest(begin: Begin, address: Address) -> None:
    async with begin("one = serve(9090, 404)\ntwo = serve(8080, 201)\nthree = listen(1025)"):
        assert await status(address) == 201


async def test_a_server_that_listens_late_is_found(begin: Begin, address: Address, project: Path) -> None:
    late = "threading.Thread(target=lambda: (wait_for('go'), serve(8080)), daemon=True).start()"
    async with begin(late):
        with pytest.raises(ProbeFailed):
            await ask(address, "/")
        (project / "go").touch()
        assert await status(address) == 200


async def test_a_server_that_changes_its_port_is_found_again(begin: Begin, address: Address, project: Path) -> None:
    program = """
def change():
    wait_for("go")
    server.shutdown(); server.server_close()
    serve(8081, 201)
server = serve(8080, 200)
threading.Thread(target=change, daemon=True).start()
"""
    async with begin(program):
        assert await status(address) == 200
        (project / "go").touch()
        with trio.fail_after(30):
            while await status(address) != 201:
                pass


async def test_a_server_that_opens_after_one_for_figures_is_taken(
    begin: Begin, address: Address, project: Path
) -> None:
    program = """
metrics = serve(9090, 404)
threading.Thread(target=lambda: (wait_for('go'), serve(8080, 201)), daemon=True).start()
"""
    async with begin(program):
        assert await status(address) == 404
        (project / "go").touch()
        with trio.fail_after(30):
            while await status(address) != 201:
                pass


async def test_a_child_that_listens_is_found(begin: Begin, address: Address) -> None:
    program = """
import subprocess
child = subprocess.Popen([sys.executable, "-m", "http.server", "8000", "--bind", "127.0.0.1"], stdout=-3, stderr=-3)
"""
    async with begin(program):
        assert await status(address) == 200


# Without a sandbox: a file says which ports listen

CARRIES = """
import pathlib, sys
from preview.runtime.launchers import bridge
listed, reached = pathlib.Path(sys.argv[2]), [int(port) for port in sys.argv[3:]]
bridge._ANSWER_S, bridge._FIRST_LOOK_S = 0.1, 0.05
bridge.listening_addresses = lambda: {("127.0.0.1", int(port)) for port in listed.read_text().split()}
bridge.carry(int(sys.argv[1]), 1, reached)
"""


@contextmanager
def carrying(listener: socket.socket, listed: Path, *reached: int) -> Iterator[None]:
    """Forward the listener's connections to a port of this machine; no program listens on PORT."""
    number = os.dup(listener.fileno())
    argv = [sys.executable, "-c", CARRIES, str(number), str(listed), *map(str, reached)]
    with subprocess.Popen(argv, pass_fds=[number]) as process:
        os.close(number)
        try:
            yield
        finally:
            process.kill()


@contextmanager
def answering(status: int) -> Iterator[tuple[int, list[str]]]:
    """A server on a free port, and the requests that it gets."""
    asked: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.headers["User-Agent"])
            self.send_response(status)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=[0.01])
        thread.start()
        yield server.server_port, asked
        server.shutdown()
        thread.join()


async def test_a_request_to_a_silent_port_ends_once_another_answers(
    listener: socket.socket, address: Address, tmp_path: Path
) -> None:
    """A port for a debugger or for other programs may be open long before the server's."""
    listed, silent = tmp_path / "listed", socket.create_server(("127.0.0.1", 0))
    listed.write_text(f"{silent.getsockname()[1]}\n")
    silent.settimeout(10)
    with silent, carrying(listener, listed), trio.fail_after(10):
        async with trio.open_nursery() as nursery:
            found: list[int] = []

            async def look() -> None:
                found.append((await find_answer(address, None)).status)
                nursery.cancel_scope.cancel()

            nursery.start_soon(look)
            # The search's own connection, then the service's, which is the only one that stays.
            connections = [(await trio.to_thread.run_sync(silent.accept))[0] for _ in range(2)]
            with answering(201) as (port, _):
                listed.write_text(f"{silent.getsockname()[1]}\n{port}\n")
                await trio.sleep_forever()
    for one in connections:
        one.close()
    assert found == [201]


async def test_a_slow_first_answer_of_the_only_port_is_waited_for(
    listener: socket.socket, address: Address, tmp_path: Path
) -> None:
    listed, slow = tmp_path / "listed", socket.create_server(("127.0.0.1", 0))
    listed.write_text(f"{slow.getsockname()[1]}\n")
    slow.settimeout(10)

    def answer_late() -> None:
        # Many searches go by; each asks on a connection of its own.
        connections = [slow.accept()[0] for _ in range(4)]
        for one in connections:
            with suppress(OSError):
                one.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
            one.close()

    with slow, carrying(listener, listed), trio.fail_after(20):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.to_thread.run_sync, answer_late)
            assert (await find_answer(address, None)).status == 200


async def test_a_port_of_a_backing_service_is_never_the_programs(
    listener: socket.socket, address: Address, tmp_path: Path
) -> None:
    with answering(200) as (port, asked):
        (tmp_path / "listed").write_text(f"{port}\n")
        with carrying(listener, tmp_path / "listed", port), trio.fail_after(20):
            for _ in range(3):
                with pytest.raises(ProbeFailed):
                    await ask(address, "/")
        assert asked == []


def test_two_searches_are_never_at_the_same_time(monkeypatch: pytest.MonkeyPatch) -> None:
    at_once = most = 0

    async def ask_all(addresses: list[Address]) -> dict[Address, bool]:
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        await asyncio.sleep(0.01)
        at_once -= 1
        return dict.fromkeys(addresses, True)

    async def find_often() -> None:
        elsewhere = bridge.Elsewhere([])
        assert await elsewhere.find(again=False) == ("127.0.0.1", 8080)
        await asyncio.sleep(0.01)
        await asyncio.gather(*(elsewhere.find(again=bool(number % 2)) for number in range(10)))
        await asyncio.sleep(0.05)

    for name, value in (("_FIRST_LOOK_S", 0.0), ("_SEARCH_S", 0.0), ("ask_all", ask_all)):
        monkeypatch.setattr(bridge, name, value)
    monkeypatch.setattr(bridge, "listening_addresses", lambda: {("127.0.0.1", 8080)})
    # In a thread of its own: this one may have a loop, a browser's.
    with ThreadPoolExecutor(1) as pool:
        pool.submit(asyncio.run, find_often()).result()
    assert most == 1


STANDS_IN = """
import os, socket, sys
from preview.runtime.launchers import bridge
carried = []
bridge.serve = lambda *given: carried.append(given)
number, port, *reached = map(int, sys.argv[1:])
bridge.stand_in(number, port, reached)
(outside, asked, ports), = carried
names = socket.socket(fileno=os.dup(number)).getsockname(), socket.socket(fileno=outside).getsockname()
print(names[0][1] == port, names[1][1], asked == port, ports, os.environ["PREVIEW_LISTENER"] ==
      f"{number}:{os.fstat(number).st_ino}")
"""


def test_a_stand_in_takes_the_number_and_keeps_reached_ports_apart(listener: socket.socket) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    number = listener.fileno()
    done = subprocess.run(
        [sys.executable, "-c", STANDS_IN, str(number), str(port), "5432", "6379"],
        env={**os.environ, "PREVIEW_LISTENER": "3:1"},
        pass_fds=[number],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == f"True {listener.getsockname()[1]} True [5432, 6379] True\n"


# The table


@given(st.text())
def test_any_line_is_read_or_left(line: str) -> None:
    found = bridge.listening_address(line)
    assert found is None or found[1] >= 0


@given(st.ip_addresses(v=4), st.integers(1, 65535))
def test_an_address_is_read_as_the_kernel_writes_it(host: object, port: int) -> None:
    word = int.from_bytes(socket.inet_pton(socket.AF_INET, str(host)), "little")
    found = bridge.listening_address(f"  0: {word:08X}:{port:04X} 00000000:0000 0A 00000000:00000000")
    assert found == ("127.0.0.1" if str(host) == "0.0.0.0" else str(host), port)


@pytest.mark.parametrize(
    ("digits", "host"),
    [
        ("0" * 32, "::1"),
        ("00000000000000000000000001000000", "::1"),
        ("0000000000000000FFFF00000100007F", "::ffff:127.0.0.1"),
    ],
)
def test_an_address_of_six_is_read(digits: str, host: str) -> None:
    assert bridge.listening_address(f"0: {digits}:1F90 {'0' * 32}:0000 0A") == (host, 8080)
