"""The broker: what a service may not do itself, done in a user namespace of its own; it serves the service alone."""

from __future__ import annotations

import errno
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import ExitStack, suppress
from pathlib import Path

import psutil
import pytest
import trio
from limit_kit import no_descriptor_for_a_moment, no_descriptor_free
from runtime_kit import open_descriptors

from preview.errors import PreviewUnavailable
from preview.proxy.pool import UpstreamConnection, connect
from preview.runtime import InnerAddress, bind_in_range
from preview.runtime.broker import Broker, BrokerGone, NoBroker, open_broker
from preview.runtime.broker import broker as module
from preview.runtime.sandbox.inner_listener import InnerListener, open_inner_listener

_LIBC = "import ctypes; libc = ctypes.CDLL(None, use_errno=True)\n"


@pytest.fixture
async def broker(tmp_path: Path) -> AsyncIterator[Broker]:
    try:
        async with open_broker(tmp_path) as broker:
            yield broker
    except NoBroker as error:
        pytest.skip(f"no broker: {error}")


def process_of(broker: Broker) -> psutil.Process:
    assert broker._running is not None
    return psutil.Process(broker._running._popen.pid)


def attach(mount: int, program: str) -> subprocess.CompletedProcess[str]:
    """What a process in further namespaces says that has attached the mount at ``/tmp``."""
    script = f"""
import os, sys
{_LIBC}
uid, gid = os.geteuid(), os.getegid()
assert not libc.unshare(0x10000000 | 0x20000)
for name, text in (("setgroups", "deny"), ("uid_map", f"0 {{uid}} 1"), ("gid_map", f"0 {{gid}} 1")):
    open(f"/proc/self/{{name}}", "w").write(text)
if libc.syscall(429, {mount}, b"", -100, b"/tmp", 4):
    sys.exit(os.strerror(ctypes.get_errno()))
os.chdir("/tmp")
{program}
"""
    argv = [sys.executable, "-I", "-S", "-c", script]
    return subprocess.run(argv, pass_fds=[mount], capture_output=True, text=True, check=False, timeout=30)


async def test_a_process_with_a_mount_sees_nothing_else_of_the_folder_above(broker: Broker, tmp_path: Path) -> None:
    """An attacker's way: out of the mounted folder through ``..``."""
    (tmp_path / "own").mkdir()
    (tmp_path / "secret").write_text("another preview's")
    mount = await broker.mount(tmp_path / "own")
    try:
        look = "sorted(os.listdir('/tmp/..')) == sorted(os.listdir('/')), os.path.exists('/tmp/../secret')"
        said = attach(mount, f"print({look})")
    finally:
        os.close(mount)
    assert said.stdout.split() == ["True", "False"], said.stderr


async def test_a_mounted_folder_is_the_folder_itself(broker: Broker, tmp_path: Path) -> None:
    mount = await broker.mount(tmp_path)
    try:
        said = attach(mount, "open('made', 'w').write('inside')")
    finally:
        os.close(mount)
    assert said.returncode == 0, said.stderr
    assert (tmp_path / "made").read_text() == "inside"


async def test_a_folder_that_is_not_there_is_named(broker: Broker, tmp_path: Path) -> None:
    with pytest.raises(OSError, match="nowhere") as caught:
        await broker.mount(tmp_path / "nowhere")
    assert caught.value.errno == errno.ENOENT


async def test_what_a_preview_makes_of_its_socket_reaches_no_other_network(broker: Broker) -> None:
    """An attacker's way: connect(2) with AF_UNSPEC makes a new socket of an accepted one."""
    with bind_in_range("127.0.0.1", 20_000, 32_000) as outer, socket.create_server(("127.0.0.1", 0)) as victim:
        async with open_inner_listener(broker, outer) as inner:
            inner.carry()
            client = await trio.open_tcp_stream(*outer.getsockname())
            async with client:
                await trio.lowlevel.wait_readable(inner)
                accepted, _ = inner.accept()
                with accepted:
                    command = [sys.executable, "-I", "-S", "-c", _TURN.format(accepted.fileno())]
                    command += [str(victim.getsockname()[1])]
                    said = await trio.run_process(command, capture_stdout=True, pass_fds=[accepted.fileno()])
    assert said.stdout.decode().split() == ["ECONNREFUSED"]


_TURN = (
    _LIBC
    + """
import errno, socket, struct, sys
one = socket.socket(fileno={})
one.settimeout(5)
assert not libc.connect(one.fileno(), struct.pack("H14x", 0), 16)
try:
    one.connect(("127.0.0.1", int(sys.argv[1])))
    print("reached")
except OSError as error:
    print(errno.errorcode[error.errno])
"""
)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_connections_of_the_port_arrive_at_the_inner_socket(broker: Broker, host: str) -> None:
    with bind_in_range(host, 20_000, 32_000) as outer:
        async with open_inner_listener(broker, outer) as inner:
            assert inner.getsockname()[:2] == outer.getsockname()[:2]
            inner.carry()
            for text in (b"first", b"second" * 100_000):
                async with await trio.open_tcp_stream(*outer.getsockname()[:2]) as client:
                    await trio.lowlevel.wait_readable(inner)
                    accepted = trio.SocketStream(trio.socket.from_stdlib_socket(inner.accept()[0]))
                    async with accepted, trio.open_nursery() as nursery:
                        nursery.start_soon(client.send_all, text)
                        taken = b""
                        while len(taken) < len(text):
                            taken += bytes(await accepted.receive_some())
                        await accepted.send_all(b"answer")
                        assert await client.receive_some() == b"answer"
                    assert taken == text


async def test_a_connection_of_the_services_own_takes_no_detour(broker: Broker) -> None:
    with bind_in_range("127.0.0.1", 20_000, 32_000) as outer:
        async with open_inner_listener(broker, outer) as inner:
            # Nothing is forwarded, so it arrives without the host's socket.
            upstream = await connect(InnerAddress("127.0.0.1", outer.getsockname()[1], inner))
            accepted, _ = inner.accept()
            with accepted:
                accepted.send(b"inside")
                assert await upstream.receive(100) == b"inside"
            upstream.close()
            inner.shutdown(socket.SHUT_RDWR)
            with pytest.raises(PreviewUnavailable):
                await connect(InnerAddress("127.0.0.1", outer.getsockname()[1], inner))


async def test_a_full_queue_is_waited_for_as_long_as_the_caller_wants(broker: Broker) -> None:
    with bind_in_range("127.0.0.1", 20_000, 32_000) as outer:
        async with open_inner_listener(broker, outer) as inner:
            inner.listen(0)
            address = InnerAddress("127.0.0.1", outer.getsockname()[1], inner)
            opened: list[UpstreamConnection] = []
            with pytest.raises(PreviewUnavailable):
                await fill(address, opened)
            assert opened
            # The queue has room again, so the next one is accepted.
            for one in opened:
                inner.accept()[0].close()
                one.close()
            (await connect(address)).close()


async def fill(address: InnerAddress, opened: list[UpstreamConnection]) -> None:
    while True:
        opened.append(await connect(address, timeout_s=0.2))


async def test_a_socket_closed_while_the_broker_is_asked_loses_no_descriptor(broker: Broker) -> None:
    with bind_in_range("127.0.0.1", 20_000, 32_000) as outer:
        before = open_descriptors()
        process = process_of(broker)
        async with open_inner_listener(broker, outer) as inner, trio.open_nursery() as nursery:
            process.send_signal(signal.SIGSTOP)
            nursery.start_soon(refused, inner)
            await trio.testing.wait_all_tasks_blocked()
            inner.close()
            process.send_signal(signal.SIGCONT)
            # A request that cannot be sent must not wait for an answer.
            with pytest.raises(OSError, match="Bad file descriptor"):
                await broker.connectable(-1, 1)
        assert open_descriptors() == before
        assert process_of(broker).pid == process.pid


async def refused(inner: InnerListener) -> None:
    with pytest.raises(OSError, match="closed"):
        await inner.open_connection()


async def test_a_program_may_accept_on_the_hosts_socket_itself(broker: Broker) -> None:
    """Nothing is forwarded before ``carry``, and nothing after it was taken back."""
    with bind_in_range("127.0.0.1", 20_000, 32_000) as outer:
        async with open_inner_listener(broker, outer) as inner:
            for _ in range(2):
                async with await trio.open_tcp_stream(*outer.getsockname()):
                    await trio.lowlevel.wait_readable(outer)
                    outer.accept()[0].close()
                inner.carry()
                async with await trio.open_tcp_stream(*outer.getsockname()):
                    await trio.lowlevel.wait_readable(inner)
                    inner.accept()[0].close()
                inner.carry(carries=False)
                await trio.testing.wait_all_tasks_blocked()


async def test_a_killed_broker_is_replaced_and_its_networks_serve_on(broker: Broker, tmp_path: Path) -> None:
    with bind_in_range("127.0.0.1", 20_000, 32_000) as outer:
        async with open_inner_listener(broker, outer) as inner:
            inner.carry()
            for _ in range(3):
                process = process_of(broker)
                process.kill()
                os.close(await broker.mount(tmp_path))
                assert process_of(broker).pid != process.pid
                assert not process.is_running()
                # More than were made in advance, so the new broker makes some of them.
                for _ in range(6):
                    async with await trio.open_tcp_stream(*outer.getsockname()) as client:
                        await trio.lowlevel.wait_readable(inner)
                        with inner.accept()[0] as accepted:
                            accepted.send(b"answer")
                        assert await client.receive_some() == b"answer"


async def test_a_request_without_a_free_descriptor_fails_and_the_next_succeeds(broker: Broker, tmp_path: Path) -> None:
    before = open_descriptors()
    with pytest.raises(OSError, match="Too many open files"), no_descriptor_free():
        await broker.mount(tmp_path)
    os.close(await broker.mount(tmp_path))
    assert open_descriptors() == before


async def test_a_broker_whose_user_namespace_did_not_arrive_is_asked_for_it_again(
    broker: Broker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise a later broker could not enter the networks that it makes."""
    other = Broker()
    started = module._Running.__init__

    def start(self: module._Running, namespace: int | None) -> None:
        started(self, namespace)
        short.enter_context(no_descriptor_free())

    with ExitStack() as short:
        monkeypatch.setattr(module._Running, "__init__", start)
        with pytest.raises(OSError, match="Too many open files"):
            await other.mount(tmp_path)
    monkeypatch.undo()
    os.close(await other.mount(tmp_path))
    assert other._namespace is not None
    await other.close()


async def test_a_connection_waits_while_no_descriptor_is_free(broker: Broker) -> None:
    with bind_in_range("127.0.0.1", 20_000, 32_000) as outer:
        async with open_inner_listener(broker, outer) as inner, trio.open_nursery() as nursery:
            with trio.fail_after(60):
                async with await trio.open_tcp_stream(*outer.getsockname()):
                    await nursery.start(no_descriptor_for_a_moment)
                    inner.carry()
                    await trio.lowlevel.wait_readable(inner)
                    inner.accept()[0].close()


async def test_what_was_taken_back_at_once_is_not_forwarded(broker: Broker) -> None:
    with bind_in_range("127.0.0.1", 20_000, 32_000) as outer:
        async with open_inner_listener(broker, outer) as inner:
            await trio.testing.wait_all_tasks_blocked()
            inner.carry()
            inner.carry(carries=False)
            await trio.testing.wait_all_tasks_blocked()
            async with await trio.open_tcp_stream(*outer.getsockname()):
                await trio.testing.wait_all_tasks_blocked()
                outer.setblocking(False)
                outer.accept()[0].close()


async def test_a_broker_that_is_killed_as_it_starts_is_replaced_a_few_times(
    broker: Broker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = module._Running.__init__
    doomed = 0

    def start(self: module._Running, namespace: int | None) -> None:
        nonlocal doomed
        started(self, namespace)
        if doomed:
            doomed -= 1
            self._popen.kill()

    monkeypatch.setattr(module._Running, "__init__", start)
    process_of(broker).kill()
    doomed = module._TRIES - 2
    os.close(await broker.mount(tmp_path))
    process_of(broker).kill()
    doomed = module._TRIES
    with pytest.raises(BrokerGone, match="has ended"):
        await broker.mount(tmp_path)
    doomed = 0
    os.close(await broker.mount(tmp_path))


async def test_a_cancelled_request_takes_no_answer_from_the_next(broker: Broker, tmp_path: Path) -> None:
    before = open_descriptors()
    for _ in range(50):
        with trio.CancelScope() as scope:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(closed, broker, tmp_path)
                await trio.lowlevel.checkpoint()
                scope.cancel()
        with pytest.raises(OSError, match="nowhere"):
            await broker.mount(tmp_path / "nowhere")
    assert open_descriptors() == before


async def closed(broker: Broker, folder: Path) -> None:
    os.close(await broker.mount(folder))


async def test_a_broker_that_does_not_answer_is_ended(
    broker: Broker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stuck = process_of(broker)
    stuck.send_signal(signal.SIGSTOP)
    with monkeypatch.context() as patch:
        patch.setattr(module, "_PATIENCE_S", 0.2)
        with pytest.raises(BrokerGone, match="did not answer"):
            await broker.mount(tmp_path)
    assert not stuck.is_running()
    os.close(await broker.mount(tmp_path))


async def test_a_broker_that_does_not_answer_is_ended_for_a_cancelled_request_too(
    broker: Broker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stuck = process_of(broker)
    stuck.send_signal(signal.SIGSTOP)
    with monkeypatch.context() as patch, trio.move_on_after(0.05):
        patch.setattr(module, "_PATIENCE_S", 0.2)
        # Where the broker answers nothing, this comes before the cancellation.
        with suppress(BrokerGone):
            await broker.mount(tmp_path)
    assert not stuck.is_running()
    os.close(await broker.mount(tmp_path))


async def test_the_broker_ends_with_its_service(tmp_path: Path) -> None:
    """A service that is killed closes its sockets, and tells nobody anything."""
    script = f"""
import sys, trio
from pathlib import Path
from preview.runtime.broker import open_broker
async def main():
    async with open_broker(Path({str(tmp_path)!r})) as broker:
        print(broker._running._popen.pid, flush=True)
        await trio.sleep_forever()
trio.run(main)
"""
    process = await trio.lowlevel.open_process([sys.executable, "-c", script], stdout=subprocess.PIPE)
    assert process.stdout is not None
    said = (await process.stdout.receive_some()).split()
    if not said:
        pytest.skip("no broker")
    broker = psutil.Process(int(said[0]))
    process.kill()
    await process.wait()
    with suppress(psutil.NoSuchProcess), trio.fail_after(10):
        while broker.status() != psutil.STATUS_ZOMBIE:  # noqa: ASYNC110  it is not our child
            await trio.sleep(0.01)


async def test_where_the_kernel_refuses_namespaces_the_reason_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "program.py"
    refused = 'raise OSError(errno.EPERM, "", "unshare")'
    text = module._PROGRAM.read_text().replace("    uid, gid = os.geteuid(), os.getegid()\n", f"    {refused}\n", 1)
    program.write_text(text.replace("import ctypes\n", "import ctypes, errno\n", 1))
    monkeypatch.setattr(module, "_PROGRAM", program)
    with pytest.raises(NoBroker, match=r"refuses unshare to an ordinary user \(Operation not permitted\)"):
        async with open_broker(tmp_path):
            pass
