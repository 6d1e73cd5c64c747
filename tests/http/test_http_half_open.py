"""A preview's inherited socket can ask for connections at the service's port: none of them gets as far as its queue."""

from __future__ import annotations

import ctypes
import os
import socket
import struct
from pathlib import Path

import pytest
from http_kit import open_world

from preview.runtime import bind_in_range
from preview.runtime.sandbox.socket_filter import restrict_to_accept

# 2,000 were half open before, and the service's answers late.
ATTEMPTS = 2000


def half_open(port: int) -> int:
    """Connections at this port that wait for the third packet of their handshake (proc(5), state TCP_SYN_RECV)."""
    lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return sum(int(local.rpartition(":")[2], 16) == port and state == "03" for _, local, _, state, *_ in lines)


def ask_again_and_again(one: socket.socket, address: tuple[str, int]) -> None:
    """As a preview that knows how: forget the connection (connect(2), AF_UNSPEC), and ask for another one."""
    libc = ctypes.CDLL(None, use_errno=True)
    for _ in range(ATTEMPTS):
        libc.connect(one.fileno(), struct.pack("H14x", socket.AF_UNSPEC), 16)
        one.connect_ex(address)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may mark sockets")
async def test_a_preview_opens_no_connection_of_the_service_by_half(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        with bind_in_range("127.0.0.1", 20_000, 32_000) as listener:
            listener.settimeout(5)
            restrict_to_accept(listener)
            with socket.create_connection(listener.getsockname(), timeout=5):
                accepted, _ = listener.accept()
            with accepted:
                accepted.setblocking(False)
                ask_again_and_again(accepted, world.address)
                assert half_open(world.address[1]) == 0
        assert (await world.ask("GET", "/api/v1/previews")).status_code == 200
