"""The peers of ``benchmarks/proxy.py`` are programs in texts, which no type checker reads: they must answer."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import httpx2
import pytest
import trio

BENCHMARKS = Path(__file__).resolve().parent.parent / "benchmarks"


@pytest.mark.long
@pytest.mark.parametrize("name", ["BARE_RELAY", "QUART"])
async def test_a_peer_forwards_a_request_to_the_server_behind_it(name: str) -> None:
    start = f"import _proxy_peers; exec(_proxy_peers.{name})"
    # Of the kernel's choice: the lowest free port of a range is the next test's, too, until the peer listens.
    with socket.create_server(("127.0.0.1", 0)) as free, socket.create_server(("127.0.0.1", 0)) as behind:
        port, upstream = (one.getsockname()[1] for one in (free, behind))
        free.close()
        command = [sys.executable, "-c", start, str(port), str(upstream)]
        process = await trio.lowlevel.open_process(command, cwd=BENCHMARKS, stderr=subprocess.DEVNULL)
        try:
            with trio.fail_after(60):
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(trio.serve_listeners, answer, [trio.SocketListener(as_trio(behind))])
                    assert await ask(port) == "carried"
                    nursery.cancel_scope.cancel()
        finally:
            process.kill()
            with trio.move_on_after(10, shield=True):
                await process.wait()


def as_trio(one: socket.socket) -> trio.socket.SocketType:
    return trio.socket.from_stdlib_socket(one.dup())


async def answer(stream: trio.SocketStream) -> None:
    await stream.receive_some()
    await stream.send_all(b"HTTP/1.1 200 OK\r\ncontent-length: 7\r\nconnection: close\r\n\r\ncarried")


async def ask(port: int) -> str:
    async with httpx2.AsyncClient(timeout=None) as client:
        while True:
            try:
                return (await client.get(f"http://127.0.0.1:{port}/x")).text
            except httpx2.ConnectError:
                # It is still starting.
                await trio.sleep(0.05)
