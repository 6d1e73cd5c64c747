"""The process that carries all connections: one preview must not end those of others."""

from __future__ import annotations

import os
import select
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest
import trio

from preview.backing.preview_carrier import Carrier
from preview.backing.server import ServerSocket


class Driven(Carrier):
    """A carrier whose rounds the test decides."""

    rounds: list[list[tuple[int, int]]]

    def run_rounds(self, *rounds: list[tuple[int, int]]) -> None:
        """Run with these events, then end: the control socket has nothing more."""

        class Poll:
            def poll(self) -> list[tuple[int, int]]:
                return left.pop(0)

            def __getattr__(self, name: str) -> object:
                return getattr(epoll, name)

        left, epoll = list(rounds), self._epoll
        self._epoll = Poll()  # type: ignore[assignment]
        try:
            with suppress(IndexError):
                self.run()
        finally:
            self._epoll = epoll


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


def test_a_new_pair_does_not_get_the_events_of_one_that_has_just_ended(held: ExitStack) -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    held.enter_context(ours)
    held.enter_context(theirs)
    carrier = Driven(theirs)
    control = (theirs.fileno(), select.EPOLLIN)
    first = hand_over(ours, held)
    carrier.run_rounds([control])
    one, other = list(carrier._sides)
    for end in first:
        end.close()
    client, server, _ = hand_over(ours, held)
    # The kernel gives the lowest number that is free: the next pair gets those of the first.
    while (filler := os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC)) < other:
        held.callback(os.close, filler)
    os.close(filler)
    carrier.run_rounds([(one, select.EPOLLHUP), control, (other, select.EPOLLHUP)])
    assert len(carrier._sides) == 2
    client.sendall(b"hello")
    carrier.run_rounds([(one, select.EPOLLIN)])
    server.settimeout(5)
    assert server.recv(10) == b"hello"
    carrier._end(carrier._sides[one])


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
