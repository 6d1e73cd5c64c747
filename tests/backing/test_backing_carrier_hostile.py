"""The process that carries all connections: one preview must not end those of others."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest
import trio
import trio.testing

from preview.backing.carrier import Carrier as ServiceCarrier
from preview.backing.preview_carrier import Carrier
from preview.backing.server import ServerSocket


@pytest.fixture
def held() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def pair(held: ExitStack) -> tuple[socket.socket, socket.socket]:
    one, other = socket.socketpair()
    return held.enter_context(one), held.enter_context(other)


def hand_over(control: socket.socket, held: ExitStack) -> list[socket.socket]:
    """Hand two sockets and a lifeline over; return their other ends."""
    pairs = [pair(held) for _ in range(3)]
    socket.send_fds(control, [b"."], [theirs.fileno() for _, theirs in pairs])
    for _, theirs in pairs:
        theirs.close()
    return [ours for ours, _ in pairs]


def test_a_pair_without_all_descriptors_ends_alone(held: ExitStack) -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    held.enter_context(ours)
    thread = threading.Thread(target=Carrier(theirs).run)
    thread.start()
    try:
        lost, sent = pair(held)
        # What is left of a message in a process that has no number free (MSG_CTRUNC).
        socket.send_fds(ours, [b"."], [sent.fileno()])
        sent.close()
        lost.settimeout(5)
        assert lost.recv(1) == b""
        client, server, lifeline = hand_over(ours, held)
        client.sendall(b"hello")
        server.settimeout(5)
        assert server.recv(10) == b"hello"
        client.close()
        server.close()
        assert lifeline.recv(1) == b""
    finally:
        ours.close()
        thread.join(5)
        theirs.close()
    assert not thread.is_alive()


def test_what_a_server_sent_before_its_end_arrives(held: ExitStack) -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    held.enter_context(ours)
    thread = threading.Thread(target=Carrier(theirs).run)
    thread.start()
    try:
        client, server, lifeline = hand_over(ours, held)
        for one in (client, server, lifeline):
            one.settimeout(5)
        # More than the client's socket takes, so that some waits in the carrier and some in the server's socket.
        server.sendall(b"x" * 400_000)
        server.close()
        lifeline.settimeout(0.2)
        with pytest.raises(TimeoutError):
            lifeline.recv(1)
        received = 0
        while chunk := client.recv(65536):
            received += len(chunk)
        assert received == 400_000
        client.close()
        lifeline.settimeout(5)
        assert lifeline.recv(1) == b""
    finally:
        ours.close()
        thread.join(5)
        theirs.close()
    assert not thread.is_alive()


async def test_connections_that_wait_for_a_carrier_that_ends_go_on_in_the_service() -> None:
    carrier = ServiceCarrier()
    async with trio.open_nursery() as nursery:
        pairs = [trio.socket.socketpair() for _ in range(2)]
        (client, inner), (server, outer) = pairs
        control = carrier._open_control()
        with suppress(BlockingIOError):
            while True:
                control.send(b".")
        nursery.start_soon(carrier.join, trio.SocketStream(inner), trio.SocketStream(outer))
        await trio.testing.wait_all_tasks_blocked()
        carrier._close()
        with trio.fail_after(5):
            await client.send(b"hello")
            assert await server.recv(10) == b"hello"
        nursery.cancel_scope.cancel()
    for pair in pairs:
        for one in pair:
            one.close()


async def test_connections_to_a_server_that_accepts_nothing_take_no_time_and_end(
    tmp_path: Path, autojump_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries: list[float] = []

    async def full(_path: str) -> trio.SocketStream:
        tries.append(trio.current_time())
        raise BlockingIOError

    monkeypatch.setattr(trio, "open_unix_socket", full)
    with (tmp_path / "busy.sock").open("w") as file, pytest.raises(BlockingIOError):
        await ServerSocket(file.fileno()).connect()
    assert len(tries) < 60
    assert 15 < tries[-1] - tries[0] < 30
