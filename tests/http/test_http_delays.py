"""Each TCP connection of the service, on either side: none holds a small write back (Nagle's algorithm)."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trio
from browser_kit import Door, echo, open_door
from http_h2_kit import make_certificate, open_client
from http_server_kit import ask, open_server, read_until
from tcp_kit import nagling, own_connections

_UPGRADE = (
    "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="
)


def assert_nothing_is_held_back(least: int) -> None:
    """Of all connections of this process, of which the test has made so many; each has both its ends here."""
    found = own_connections()
    count = len(found)
    assert nagling(found) == []
    assert count >= least


@pytest.fixture(params=["relay", "ordinary"])
async def door(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Door]:
    with trio.fail_after(60):
        async with open_door(tmp_path, relay=request.param == "relay", direct_streams=True) as opened:
            yield opened


async def send(door: Door, head: str, body: bytes = b"") -> bytes:
    """One request on a connection that stays open, up to the head of its answer."""
    stream = await door.connect()
    length = f"Content-Length: {len(body)}\r\n" if body else ""
    await stream.send_all(f"{head}\r\nHost: localhost:{door.port}\r\n{length}\r\n".encode() + body)
    return await read_until(stream, b"\r\n\r\n")


async def test_a_browser_s_request_and_its_web_socket(door: Door) -> None:
    token = f"Authorization: {door.bearer()['Authorization']}"
    assert b" 200 " in await send(door, f"GET {door.prefix}/x HTTP/1.1\r\n{token}")
    assert b" 101 " in await send(door, f"GET {door.prefix}/ws HTTP/1.1\r\n{token}\r\n{_UPGRADE}")
    # Each goes to the service, and from there to the preview.
    assert_nothing_is_held_back(2 * 4)


async def test_a_call(door: Door) -> None:
    token = door.preview.further_token()
    fields = f"Authorization: {door.bearer()['Authorization']}\r\nX-Preview-Token: {token}"
    head = f"POST /api/v1/generations/{door.generation}/preview/request HTTP/1.1\r\n{fields}"
    body = json.dumps({"method": "GET", "path": "/"}).encode()
    assert b" 200 " in await send(door, f"{head}\r\nContent-Type: application/json", body)
    assert_nothing_is_held_back(4)


@pytest.mark.parametrize("direct", [True, False])
async def test_a_log_stream_and_a_log_socket(tmp_path: Path, direct: bool) -> None:
    with trio.fail_after(60):
        async with open_door(tmp_path, direct_streams=direct) as door:
            token = f"Authorization: {door.bearer()['Authorization']}"
            logs = f"/api/v1/generations/{door.generation}/preview/logs"
            assert b" 200 " in await send(door, f"GET {logs}/stream HTTP/1.1\r\n{token}")
            assert b" 101 " in await send(door, f"GET {logs}/ws HTTP/1.1\r\n{token}\r\n{_UPGRADE}")
            assert_nothing_is_held_back(2 * 2)


async def test_a_connection_over_tls(tmp_path: Path) -> None:
    certificate = make_certificate(tmp_path)
    with trio.fail_after(60):
        async with (
            open_server(echo, certfile=str(certificate.cert), keyfile=str(certificate.key)) as server,
            open_client(server.address, certificate),
        ):
            assert_nothing_is_held_back(2)


async def test_a_connection_to_a_listener_that_somebody_else_has_made() -> None:
    with trio.fail_after(60), socket.socket() as inherited:
        inherited.bind(("127.0.0.1", 0))
        async with (
            open_server(echo, bind=[f"fd://{os.dup(inherited.fileno())}"]),
            await trio.open_tcp_stream(*inherited.getsockname()) as stream,
        ):
            await ask(stream, "/")
            await read_until(stream, b"\r\n\r\n")
            assert_nothing_is_held_back(2)
