"""A program that listens on a port of its own choice, in a network of its own: connections are forwarded there."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
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
