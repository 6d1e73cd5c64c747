"""The process that carries database connections: whole, in order, to the end, and no pair harms another."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import AsyncIterator

import pytest
import trio

from preview.backing.carrier import Carrier
from preview.runtime.kernel import proctree


@pytest.fixture
async def carrier() -> AsyncIterator[Carrier]:
    made = Carrier()
    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(made.run)
            yield made
            nursery.cancel_scope.cancel()


def pair() -> tuple[socket.socket, trio.SocketStream]:
    """A socket of a client, or a server, and the service's end of it."""
    theirs, ours = socket.socketpair()
    return theirs, trio.SocketStream(trio.socket.from_stdlib_socket(ours))


async def joined(carrier: Carrier, near: trio.SocketStream, far: trio.SocketStream) -> None:
    async with near, far:
        await carrier.join(near, far)


def exactly(one: socket.socket, size: int) -> bytes:
    read = b""
    while len(read) < size and (chunk := one.recv(1 << 20)):
        read += chunk
    return read


def talk(client: socket.socket, server: socket.socket, count: int) -> None:
    """Speak in turns, in sizes below and above those of a socket's buffer; then hang up."""
    for number in range(count):
        said = bytes([number % 251]) * (number * 997 % 300_000 + 1)
        sender = threading.Thread(target=client.sendall, args=(said,))
        sender.start()
        assert exactly(server, len(said)) == said
        sender.join()
        server.sendall(b"yes")
        assert exactly(client, 3) == b"yes"
    client.close()
    assert server.recv(10) == b""
    server.close()


async def test_connections_that_come_and_go_at_once_are_carried_whole(carrier: Carrier) -> None:
    """A new connection gets the numbers of one that has just ended, and must not get its events."""

    async def one_after_the_other() -> None:
        for count in (1, 0, 3, 0, 40, 0, 1, 2) * 6:
            (client, near), (server, far) = pair(), pair()
            async with trio.open_nursery() as nursery:
                nursery.start_soon(joined, carrier, near, far)
                await trio.to_thread.run_sync(talk, client, server, count)

    async with trio.open_nursery() as nursery:
        for _ in range(8):
            nursery.start_soon(one_after_the_other)


async def test_a_side_that_does_not_read_holds_up_its_own_pair_alone(carrier: Carrier) -> None:
    (client, near), (server, far) = pair(), pair()
    client.setblocking(False)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(joined, carrier, near, far)
        stuck = 0
        with trio.move_on_after(0.5):
            while True:
                try:
                    stuck += client.send(bytes(65536))
                except BlockingIOError:
                    await trio.sleep(0.01)
        (other, near_other), (other_server, far_other) = pair(), pair()
        nursery.start_soon(joined, carrier, near_other, far_other)
        await trio.to_thread.run_sync(talk, other, other_server, 5)
        read = await trio.to_thread.run_sync(exactly, server, stuck)
        assert len(read) == stuck
        # Half closed: the answer still arrives.
        client.setblocking(True)
        client.shutdown(socket.SHUT_WR)
        assert await trio.to_thread.run_sync(server.recv, 10) == b""
        server.sendall(b"last")
        server.close()
        assert exactly(client, 4) == b"last"
        client.close()


async def test_cancelling_ends_both_connections(carrier: Carrier) -> None:
    (client, near), (server, far) = pair(), pair()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(joined, carrier, near, far)
        client.sendall(b"x")
        assert await trio.to_thread.run_sync(server.recv, 1) == b"x"
        nursery.cancel_scope.cancel()
    assert (client.recv(1), server.recv(1)) == (b"", b"")
    client.close()
    server.close()


async def test_connections_end_with_the_process_and_new_ones_are_carried(carrier: Carrier) -> None:
    (client, near), (server, far) = pair(), pair()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(joined, carrier, near, far)
        client.sendall(b"x")
        assert await trio.to_thread.run_sync(server.recv, 1) == b"x"
        [program] = [one for one in proctree.descendants(os.getpid()) if b"preview_carrier" in command(one)]
        # Ctrl-C in a terminal reaches the service's group: its databases are needed until its previews have ended.
        assert os.getpgid(program) != os.getpgid(0)
        os.kill(program, 9)
        assert await trio.to_thread.run_sync(client.recv, 1) == b""
        assert await trio.to_thread.run_sync(server.recv, 1) == b""
    for one in (client, server):
        one.close()
    for _ in range(3):
        (client, near), (server, far) = pair(), pair()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(joined, carrier, near, far)
            await trio.to_thread.run_sync(talk, client, server, 3)


def command(pid: int) -> bytes:
    with open(f"/proc/{pid}/cmdline", "rb") as file:  # noqa: PTH123
        return file.read()
