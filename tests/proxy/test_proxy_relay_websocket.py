"""WebSocket through the relay, in the manner of autobahn's cases: both ends are wsproto's, and read each other."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio
from proxy_relay_kit import HOST, Seen, get, ok, recording, relay_to
from trio_websocket import (
    CloseReason,
    ConnectionClosed,
    WebSocketConnection,
    WebSocketRequest,
    wrap_client_stream,
    wrap_server_stream,
)
from websocket_kit import CASES, talk


async def echo(stream: trio.SocketStream) -> None:
    async with trio.open_nursery() as nursery:
        request: WebSocketRequest = await wrap_server_stream(nursery, stream)
        socket = await request.accept(subprotocol=(request.proposed_subprotocols or (None,))[0])
        try:
            while True:
                message = await socket.get_message()
                if message == "close":
                    await socket.aclose(4321, "as asked")
                    break
                await socket.send_message(message)
        except ConnectionClosed:
            pass
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def chat(**options: object) -> AsyncIterator[WebSocketConnection]:
    # The library leaves its stream open where the other side closes first: here it is closed in any case.
    async with (
        relay_to(echo) as front,
        await trio.open_tcp_stream(*front.address) as stream,
        trio.open_nursery() as nursery,
    ):
        socket = await wrap_client_stream(nursery, stream, HOST.decode(), "/ws", **options)  # type: ignore[arg-type]
        yield socket
        await socket.aclose()
        nursery.cancel_scope.cancel()
    assert front.told == [("GET", 101, 0)]


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 65_535, 65_536, 700_000])
async def test_messages_of_any_size_come_back(size: int) -> None:
    with trio.fail_after(60):
        async with chat() as socket:
            for message in ("ü" * (size // 2), bytes(size)):
                await socket.send_message(message)
                assert await socket.get_message() == message


async def test_control_frames_pass_between_messages() -> None:
    with trio.fail_after(60):
        async with chat() as socket:
            await socket.ping(b"are you there")
            await socket.send_message("hello")
            await socket.pong(b"unasked")
            assert await socket.get_message() == "hello"


async def test_a_close_code_and_its_reason_come_through() -> None:
    with trio.fail_after(60):
        async with chat() as socket:
            await socket.send_message("close")
            with pytest.raises(ConnectionClosed) as closed:
                await socket.get_message()
    reason = closed.value.reason
    assert isinstance(reason, CloseReason)
    assert (reason.code, reason.reason) == (4321, "as asked")


async def test_a_subprotocol_is_agreed_upon_end_to_end() -> None:
    with trio.fail_after(60):
        async with chat(subprotocols=["chat.v2", "chat.v1"]) as socket:
            assert socket.subprotocol == "chat.v2"


HANDSHAKE = get(
    b"/ws", b"Connection: keep-alive, Upgrade", b"Upgrade: WebSocket", b"Sec-WebSocket-Version: 13",
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
)  # fmt: skip


async def test_frames_come_and_go_as_on_a_connection_without_a_relay() -> None:
    async with relay_to(echo) as front:
        for sent, expected in CASES.values():
            with trio.fail_after(60):
                await talk(front.address, HANDSHAKE, sent, expected)


async def test_frames_may_come_byte_by_byte() -> None:
    sent, expected = CASES["5 fragments with a ping in between"]
    async with relay_to(echo) as front:
        await talk(front.address, HANDSHAKE, sent, expected, pieces=1)


async def test_bytes_pass_as_they_are_whatever_they_say_and_each_side_may_end_by_itself() -> None:
    heard = b""

    async def handler(stream: trio.SocketStream) -> None:
        nonlocal heard
        await stream.receive_some()
        answer = b"HTTP/1.1 101 Go\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nX-Own: 1\r\n\r\nat once"
        await stream.send_all(answer)
        async for part in stream:
            heard += part
        await stream.send_all(b"still here")

    async with relay_to(handler) as front, await trio.open_tcp_stream(*front.address) as stream:
        await stream.send_all(HANDSHAKE + b"\x81\x80ahead" + get(b"/no-request"))
        raw = await stream.receive_some()
        await stream.send_eof()
        raw += b"".join([part async for part in stream])
    assert raw.startswith(b"HTTP/1.1 101 Go\r\n")
    assert b"x-own: 1\r\n" in raw
    assert raw.endswith(b"at oncestill here")
    assert heard == b"\x81\x80ahead" + get(b"/no-request")


async def test_a_handshake_that_is_refused_leaves_a_connection_of_http() -> None:
    seen: list[Seen] = []
    async with relay_to(recording(seen, ok(b"no"))) as front:
        raw = await front.exchange(HANDSHAKE + get(b"/next", b"Connection: close"))
    assert [one.target for one in seen] == ["/ws", "/next"]
    assert raw.count(b"HTTP/1.1 200") == 2
    assert (seen[0]["upgrade"], seen[0]["connection"]) == ("websocket", "upgrade")


async def test_an_upgrade_to_anything_else_is_not_passed_on() -> None:
    seen: list[Seen] = []
    async with relay_to(recording(seen, ok(b"no"))) as front:
        await front.ask(get(b"/", b"Connection: Upgrade", b"Upgrade: foo"))
    assert (seen[0]["upgrade"], seen[0]["connection"]) == (None, None)
