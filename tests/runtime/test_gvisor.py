"""Containers of gVisor: who is let in, what its program reaches, and what remains of both.

``uv run pytest -m "long or not long" tests/runtime/test_gvisor.py`` runs them with Debian's package ``runsc``. The
suites of all runtimes run on it by ``PREVIEW_TEST_CONTAINER_RUNTIME=runsc``.
"""

from __future__ import annotations

import errno
import importlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import pytest
import trio
from engine_kit import engine_or_skip
from runtime_kit import INTERPRETER, LIMITS, PYTHON, open_descriptors, read_all, read_line

import preview
from preview.core.isolation import Network
from preview.errors import LaunchFailed
from preview.runtime import Exit, ProcessSpec, Refusal, child_subreaper
from preview.runtime.container import probe_containers
from preview.runtime.container.gvisor import GvisorRuntime
from preview.runtime.container.gvisor.meeting import ORDERS, GvisorDoor, Meeting
from preview.runtime.container.gvisor.process import GvisorProcess
from preview.runtime.container.joining import NotJoined, Order, open_door
from preview.runtime.interface import FD_PLACEHOLDER
from preview.settings import Settings

_ID = "0" * 64
INSIDE = Path(preview.__file__).parent / "runtime/container/inside"


async def nobody() -> int:
    await trio.lowlevel.checkpoint()
    return 0


CONNECT = """
import socket, sys
others = [socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) for _ in range(8)]
for one in others:
    one.connect(sys.argv[1])
sys.stdin.read()
"""


@pytest.fixture(params=["alone", "beside a sandbox by name"])
def impostors(request: pytest.FixtureRequest) -> Iterator[Callable[[Path], object]]:
    """Starts a process that joins as often as it can; in the second case a sibling calls itself gVisor's sandbox."""
    with ExitStack() as held:
        if request.param != "alone":
            sandbox = held.enter_context(subprocess.Popen(["runsc-sandbox", "600"], executable="/bin/sleep"))
            held.callback(sandbox.kill)

        def start(path: Path) -> None:
            held.enter_context(subprocess.Popen([sys.executable, "-c", CONNECT, str(path)], stdin=subprocess.PIPE))

        yield start


async def test_a_process_that_is_not_gvisors_is_not_let_in(tmp_path: Path, impostors: Callable[[Path], object]) -> None:
    with open_door(tmp_path / "door", GvisorDoor) as door:
        impostors(door.folder / "join")
        with trio.fail_after(60), pytest.raises(NotJoined, match="another process answers"):
            await door.admit(_ID, nobody)
    assert not door.peers
    assert door.fault in ("it is no process of gVisor", "neither its control group nor the engine names it")


@pytest.fixture
def meeting(tmp_path: Path) -> Iterator[Meeting]:
    with closing(Meeting(tmp_path / "meeting", None)) as made:
        yield made


def listening(path: Path, backlog: int = 8) -> socket.socket:
    made = socket.socket(socket.AF_UNIX)
    made.bind(str(path))
    made.listen(backlog)
    return made


def test_a_name_that_leads_elsewhere_is_not_followed(meeting: Meeting, tmp_path: Path) -> None:
    with listening(tmp_path / "others"), listening(meeting.folder / "serving"):
        (meeting.folder / ORDERS).symlink_to(tmp_path / "others")
        with pytest.raises(NotJoined, match="does not keep to the rules"):
            meeting.take()


def test_a_folder_with_something_else_is_refused(meeting: Meeting) -> None:
    with listening(meeting.folder / ORDERS), listening(meeting.folder / "serving"):
        (meeting.folder / "more").touch()
        with pytest.raises(NotJoined, match="are not there"):
            meeting.take()


def test_sockets_that_are_not_there_are_explained(meeting: Meeting) -> None:
    with pytest.raises(NotJoined, match="--host-uds=all"):
        meeting.take()


async def test_connections_go_to_the_sockets_that_were_there_first(meeting: Meeting) -> None:
    with listening(meeting.folder / ORDERS, 1) as first, listening(meeting.folder / "serving"):
        meeting.take()
        assert not meeting.folder.exists()
        meeting.folder.mkdir()
        with listening(meeting.folder / ORDERS):
            async with await meeting.connect(ORDERS):
                first.accept()[0].close()
            # A full queue is an error at once.
            waiting = [await meeting.connect(ORDERS) for _ in range(2)]
            with pytest.raises(BlockingIOError):
                await meeting.connect(ORDERS)
            for one in waiting:
                await one.aclose()


def test_half_a_check_holds_nothing_up_and_is_paired_with_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(INSIDE))
    first = importlib.import_module("preview_meet")
    started: list[bytes] = []
    check = first.Check()
    monkeypatch.setattr(check, "fork", lambda _own, given, _libc: started.append(os.pread(given[0], 100, 0)))

    def come(data: bytes) -> socket.socket:
        one = socket.socket(socket.AF_UNIX)
        one.connect(str(tmp_path / "orders"))
        one.sendall(data)
        one.shutdown(socket.SHUT_WR)
        check.take(orders, None, None)
        return one

    with closing(first.bind(str(tmp_path / "orders"))) as orders, ExitStack() as held:
        # The service gives up between the two connections; then a result without its order comes, and a whole check.
        for data in (b'1\n{"half', b'2\n{"given up"}', b"1", b'3\n{"whole"}', b"3", b"3"):
            held.enter_context(closing(come(data)))
        assert started == [b'{"whole"}']
        assert check.waiting is None


async def test_a_check_without_a_free_descriptor_is_no_fault_of_the_preview(monkeypatch: pytest.MonkeyPatch) -> None:
    async def send(_data: bytes) -> trio.SocketStream:
        await trio.lowlevel.checkpoint()
        raise OSError(errno.EMFILE, "Too many open files")

    process = GvisorProcess.__new__(GvisorProcess)
    meeting = Meeting.__new__(Meeting)
    monkeypatch.setattr(meeting, "send", send, raising=False)
    process.take(meeting, 0)
    process._order = Order(["a"], {}, Path("/"), LIMITS, 1, b"", {})
    with pytest.raises(OSError, match="Too many open files"):
        await process.check(["x"], "/", 5.0)


@lru_cache(maxsize=1)
def _probed(engine: Path) -> GvisorRuntime | Refusal:
    folder = Path(tempfile.gettempdir()) / f"preview-test-gvisor-{os.getpid()}"
    folder.mkdir(exist_ok=True)
    settings = Settings(data_dir=folder, container_engine=f"unix://{engine}", container_runtime="runsc")
    found = trio.run(probe_containers, settings)
    assert isinstance(found, GvisorRuntime | Refusal)
    return found


@pytest.fixture
def gvisor() -> Iterator[GvisorRuntime]:
    engine = engine_or_skip()
    if shutil.which("runsc") is None:
        pytest.skip("Debian's package runsc is not installed")
    found = _probed(engine)
    if isinstance(found, Refusal):
        pytest.skip(f"gVisor does not run here: {found.reason}")
    with child_subreaper():
        yield found


def spec_of(project: Path, program: str, listener: socket.socket | None = None, *arguments: str) -> ProcessSpec:
    return ProcessSpec(
        "preview_test",
        [*PYTHON, program, *arguments],
        project,
        {},
        listener,
        LIMITS,
        readable=INTERPRETER,
        writable=(project,),
        slot=20_003,
    )


async def left(runtime: GvisorRuntime) -> list[str]:
    parts = runtime._parts
    return await parts.engine.labelled(f"preview.data={parts.habits.data}")


ESCAPE = """
import os, socket, sys
def attempt(what, act):
    try:
        print(what, 'works', act())
    except OSError as error:
        print(what, 'fails')
print('kernel', open('/proc/version').read().split()[2])
attempt('file', lambda: open('/run/preview-meet/x', 'w'))
attempt('socket', lambda: socket.socket(socket.AF_UNIX).bind('/run/preview-meet/y'))
attempt('orders', lambda: socket.socket(socket.AF_UNIX).connect('/run/preview-meet/orders'))
attempt('join', lambda: socket.socket(socket.AF_UNIX).connect('/run/preview-join/join'))
attempt('machine', lambda: socket.create_connection(('127.0.0.1', int(sys.argv[1])), 2))
attempt('outside', lambda: socket.create_connection(('192.0.2.1', 80), 2))
attempt('write', lambda: open('/run/preview-join/passwd', 'w'))
print(os.listdir('/run/preview-meet'), sorted(os.listdir('/sys/class/net')) if os.path.exists('/sys/class/net') else [])
"""


async def test_its_program_reaches_nothing_of_the_machine(gvisor: GvisorRuntime, project: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as machine, trio.fail_after(120):
        before = open_descriptors()
        spec = spec_of(project, ESCAPE, None, str(machine.getsockname()[1]))
        async with gvisor.open_process(spec) as process:
            said = (await read_all(process)).splitlines()
            assert await process.wait() == Exit(code=0)
        assert open_descriptors() <= before
    assert said[0] != f"kernel {os.uname().release}"
    assert [one for one in said if " works" in one] == []
    assert len(said) == 9
    assert said[-1].startswith("[] ")
    assert await left(gvisor) == []


# Asks by the kernel's 32-bit way in for calls by the numbers of x86-64; prints what each has answered.
I386 = """
import ctypes, mmap, os, sys
for number in map(int, sys.argv[1:]):
    memory = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    memory.write(b'\\xb8' + number.to_bytes(4, 'little') + b'\\xcd\\x80\\xc3')  # mov eax, number; int 0x80; ret
    found = ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(memory)))()
    print('own pid' if found == os.getpid() else found)
"""


@pytest.mark.long
@pytest.mark.skipif(os.uname().machine != "x86_64", reason="numbers of x86-64")
async def test_the_32_bit_way_in_leads_to_gvisor_under_the_same_list(gvisor: GvisorRuntime, project: Path) -> None:
    getpid, ptrace, mount, unknown = 39, 101, 165, 480
    spec = spec_of(project, I386, None, *map(str, (getpid, ptrace, mount, unknown)))
    with trio.fail_after(120):
        async with gvisor.open_process(spec) as process:
            said = (await read_all(process)).split("\n")
    assert said == ["own pid", str(-errno.EPERM), str(-errno.EPERM), str(-errno.ENOSYS), ""]


ECHO = """
import socket, sys, threading
listener = socket.socket(fileno=int(sys.argv[1]))
listener.setblocking(True)
print('up', flush=True)
def serve(connection):
    said = b''
    while part := connection.recv(65536):
        said += part
    connection.sendall(said[::-1])
    connection.close()
while True:
    threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()
"""


@pytest.mark.long
async def test_clients_half_close_and_many_are_served_at_once(
    gvisor: GvisorRuntime, project: Path, listener: socket.socket
) -> None:
    sent = os.urandom(300_000)
    with trio.fail_after(120):
        async with gvisor.open_process(spec_of(project, ECHO, listener, FD_PLACEHOLDER)) as process:
            assert await read_line(process) == "up"

            async def ask() -> None:
                async with await trio.open_tcp_stream(*listener.getsockname()[:2]) as stream:
                    await stream.send_all(sent)
                    await stream.send_eof()
                    assert b"".join([part async for part in stream]) == sent[::-1]

            async with trio.open_nursery() as nursery:
                for _ in range(8):
                    nursery.start_soon(ask)
            assert await process.stop(10) == Exit(signal=signal.SIGTERM)


@pytest.mark.long
async def test_a_program_that_kills_its_first_process_ends_its_own_preview(
    gvisor: GvisorRuntime, project: Path
) -> None:
    with trio.fail_after(120):
        program = "import os, time; print('up', flush=True); time.sleep(1); os.kill(1, 9); time.sleep(60)"
        async with gvisor.open_process(spec_of(project, program)) as process:
            assert await read_line(process) == "up"
            assert await process.wait() == Exit(signal=signal.SIGKILL)
    assert await left(gvisor) == []


@pytest.mark.long
async def test_a_program_that_takes_no_connections_is_bounded(
    gvisor: GvisorRuntime, project: Path, listener: socket.socket
) -> None:
    program = "import time; print('up', flush=True); time.sleep(600)"
    with trio.fail_after(120):
        async with gvisor.open_process(spec_of(project, program, listener, FD_PLACEHOLDER)) as process:
            assert await read_line(process) == "up"
            before = len(open_descriptors())
            clients = [await trio.open_tcp_stream(*listener.getsockname()[:2]) for _ in range(400)]
            for client in clients:
                await client.send_all(b"GET / HTTP/1.1\r\n\r\n")
            await trio.testing.wait_all_tasks_blocked(0.5)
            assert len(open_descriptors()) - before <= 400 + 2 * 256
            assert await process.stop(5) == Exit(signal=signal.SIGTERM)
            for client in clients:
                await client.aclose()


CLIENT = """
import socket
with socket.create_connection(('127.0.0.1', 6543)) as asking:
    asking.sendall(b'hello')
    asking.shutdown(socket.SHUT_WR)
    print(asking.recv(100).decode(), flush=True)
import time; time.sleep(600)
"""


async def _answer(stream: trio.SocketStream) -> None:
    said = b"".join([part async for part in stream])
    await stream.send_all(said.upper())


@pytest.mark.long
async def test_ports_that_lead_out_serve_this_container_alone(gvisor: GvisorRuntime, project: Path) -> None:
    with trio.fail_after(120):
        spec = replace(spec_of(project, CLIENT), reaches={6543: _answer})
        async with gvisor.open_process(spec) as process:
            assert await read_line(process) == "HELLO"
            (out,) = gvisor._parts.doors.glob("*/out-6543")
            async with await trio.open_unix_socket(out) as other:
                assert await other.receive_some() == b""


@pytest.mark.long
async def test_memory_that_is_used_up_is_told_as_the_reason(gvisor: GvisorRuntime, project: Path) -> None:
    limits = replace(LIMITS, memory_bytes=128 * 2**20)
    with trio.fail_after(120):
        spec = replace(spec_of(project, "x = bytearray(b'x') * (400 * 2**20)"), limits=limits)
        async with gvisor.open_process(spec) as process:
            assert await process.wait() == Exit(signal=signal.SIGKILL)
            assert process.excess().killed_for_memory >= 1


@pytest.mark.long
async def test_a_fork_bomb_ends_its_own_preview_alone(gvisor: GvisorRuntime, project: Path) -> None:
    program = "import os\nprint('up', flush=True)\nwhile True:\n    try:\n        os.fork()\n    except OSError: pass"
    with trio.fail_after(120):
        async with gvisor.open_process(spec_of(project, program)) as process:
            assert await read_line(process) == "up"
            with trio.move_on_after(10):
                await process.wait()
            await process.stop(0.1)
    assert await left(gvisor) == []


@pytest.mark.long
async def test_a_check_runs_beside_the_program(gvisor: GvisorRuntime, project: Path) -> None:
    with trio.fail_after(120):
        program = "import time; print('up', flush=True); time.sleep(600)"
        async with gvisor.open_process(spec_of(project, program)) as process:
            assert await read_line(process) == "up"
            checked = await process.check(["/bin/sh", "-c", "echo fine; exit 3"], str(project), 30)
            assert (checked.code, checked.said) == (3, "fine")


async def test_a_network_that_gvisor_does_not_have_is_refused_with_a_sentence(
    gvisor: GvisorRuntime, project: Path
) -> None:
    with pytest.raises(LaunchFailed, match="cannot have the machine's network"):
        async with gvisor.open_process(replace(spec_of(project, ""), network=Network.HOST)):
            pass
