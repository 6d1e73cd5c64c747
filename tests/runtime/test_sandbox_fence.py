"""The inherited socket is of the machine's network; in a sandbox without one it serves, and does nothing else."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path

import pytest
import sandbox_programs as programs
from runtime_fixtures import INNER
from runtime_kit import Start

from preview.core.isolation import Network
from preview.runtime import FD_PLACEHOLDER, bind_in_range
from preview.runtime.sandbox.socket_filter import MARK, can_fence, restrict_to_accept

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root may mark sockets")
fenced = pytest.mark.skipif(not can_fence(), reason="only a service with CAP_NET_ADMIN may put a filter on a socket")


async def attempts(start: Start, listener: socket.socket, network: Network) -> dict[str, str]:
    """What the program could do with the socket that it listens on and the one that it has accepted."""
    with bind_in_range("127.0.0.1", 20_000, 32_000) as other:
        port = str(other.getsockname()[1])
        async with start(programs.TURN_SOCKETS_ROUND, FD_PLACEHOLDER, port, network=network) as process:
            with socket.socket() as client:
                # Not waited for: the program may have reset the connection by the time that we would look at it.
                client.setblocking(False)
                client.connect_ex(listener.getsockname())
                told: dict[str, str] = json.loads(b"".join([chunk async for chunk in process.output]))
    return told


@pytest.mark.parametrize("cage", ["sandbox", "warm", *INNER], indirect=True)
async def test_neither_the_listening_nor_an_accepted_socket_connects_to_the_machine(
    start_caged: Start, cage: str, listener: socket.socket
) -> None:
    told = await attempts(start_caged, listener, Network.NONE)
    if cage == "inner" or not can_fence():
        # Nobody else is in its network; there is no filter to remove.
        refused = "Connection refused"
        assert told == {"accepted": refused, "listening": refused, "unlocked": "No such file or directory"}
    else:
        assert told == {"accepted": "timed out", "listening": "timed out", "unlocked": "Operation not permitted"}


@pytest.mark.usefixtures("nothing_left")
async def test_with_the_machines_network_there_is_no_fence(start_sandboxed: Start, listener: socket.socket) -> None:
    told = await attempts(start_sandboxed, listener, Network.HOST)
    assert (told["accepted"], told["listening"]) == ("reached", "reached")


@fenced
@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_a_fenced_socket_serves(host: str) -> None:
    with bind_in_range(host, 20_000, 32_000) as listener:
        listener.settimeout(5)
        restrict_to_accept(listener)
        restrict_to_accept(listener)  # the second time nothing happens
        with socket.create_connection(listener.getsockname()[:2], timeout=5) as client:
            accepted, _ = listener.accept()
            with accepted:
                client.sendall(b"asked" * 100_000)
                client.shutdown(socket.SHUT_WR)
                taken = b"".join(iter(lambda: accepted.recv(65536), b""))
                accepted.sendall(b"answered")
            assert client.recv(100) == b"answered"
    assert taken == b"asked" * 100_000


@fenced
@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_nothing_of_a_fenced_socket_on_loopback_leaves_the_machine(host: str) -> None:
    with bind_in_range(host, 20_000, 32_000) as listener:
        listener.settimeout(5)
        restrict_to_accept(listener)
        with socket.create_connection(listener.getsockname()[:2], timeout=5):
            accepted, _ = listener.accept()
        with accepted:
            programs.forget(accepted)
            assert accepted.getsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, 16) == b"lo\0"


@fenced
def test_an_accepted_socket_of_a_fenced_one_takes_nothing_on_another_port() -> None:
    with bind_in_range("127.0.0.1", 20_000, 32_000) as listener:
        listener.settimeout(5)
        restrict_to_accept(listener)
        with socket.create_connection(listener.getsockname(), timeout=5):
            accepted, _ = listener.accept()
        with accepted:
            programs.forget(accepted)
            accepted.bind(("127.0.0.1", 0))
            accepted.listen()
            with pytest.raises(TimeoutError):
                socket.create_connection(accepted.getsockname(), timeout=0.2)


def half_open(port: int) -> int:
    """Connections at this port that wait for the third packet of their handshake (proc(5), state TCP_SYN_RECV)."""
    found = 0
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            _, local, _, state, *_ = line.split()
            found += int(local.rpartition(":")[2], 16) == port and state == "03"
    return found


@needs_root
@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_what_a_fenced_socket_asks_of_another_preview_leaves_nothing_half_open(host: str) -> None:
    """Each would wait in the other's queue for a minute, and its answers be sent again and again."""
    with bind_in_range(host, 20_000, 32_000) as attacker, bind_in_range(host, 20_000, 32_000) as other:
        for one in (attacker, other):
            one.settimeout(5)
            restrict_to_accept(one)
        with socket.create_connection(attacker.getsockname()[:2], timeout=5):
            accepted, _ = attacker.accept()
        with accepted:
            accepted.setblocking(False)
            # The kernel keeps those of a listener that had this port before, and is gone, for a second or two.
            before = half_open(other.getsockname()[1])
            for _ in range(50):
                programs.forget(accepted)
                accepted.connect_ex(other.getsockname()[:2])
            assert half_open(other.getsockname()[1]) <= before
            assert accepted.getsockopt(socket.SOL_SOCKET, socket.SO_MARK) == MARK
        with socket.create_connection(other.getsockname()[:2], timeout=5):
            other.accept()[0].close()
