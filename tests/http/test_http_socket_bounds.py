"""What one end of a WebSocket may make the server hold."""

from __future__ import annotations

import struct

import trio
from http_server_kit import connect, open_server, read_to_end
from http_socket_kit import shake_hands
from quart import websocket
from quart_trio import QuartTrio

from preview.http.protocol.strict_ws import peer_in

TEXT, CONTINUATION, CLOSE = 1, 0, 8
MASK = b"\0\0\0\0"


def frame(opcode: int, data: bytes, *, final: bool) -> bytes:
    """A client's frame of 64 KiB or more (RFC 6455 section 5.2), masked with zeros."""
    return struct.pack("!BBQ", final << 7 | opcode, 0x80 | 127, len(data)) + MASK + data


def waiting_app(most_characters: int | None = None) -> QuartTrio:
    """Accepts WebSockets and reads what they say."""
    app = QuartTrio("test", static_folder=None)

    @app.websocket("/")
    async def take() -> None:
        peer = peer_in(websocket.scope)
        if peer is not None and most_characters is not None:
            peer.bound_messages(most_characters)
        await websocket.accept()
        while True:
            await websocket.receive()

    return app


async def sent_until_closed(address: tuple[str, int], part: bytes) -> tuple[int, bytes]:
    """How many continuations of one message could be sent, and what the server said."""
    async with await connect(address) as stream:
        assert (await shake_hands(stream, "/", {}))[0] == 101
        await stream.send_all(frame(TEXT, part, final=False))
        sent, said = 1, b""
        try:
            while sent < 500:
                await stream.send_all(frame(CONTINUATION, part, final=False))
                sent += 1
            said = await read_to_end(stream)
        except trio.BrokenResourceError:
            pass
    return sent, said


async def test_a_message_that_grows_too_long_ends_its_connection_however_much_follows() -> None:
    with trio.fail_after(60):
        async with open_server(waiting_app(), websocket_max_message_size=150_000) as server:
            sent, _ = await sent_until_closed(server.address, b"x" * 70_000)
            assert sent < 500
            async with await connect(server.address) as stream:
                assert (await shake_hands(stream, "/", {}))[0] == 101
                await stream.send_all(frame(TEXT, b"x" * 150_001, final=True))
                assert await read_to_end(stream) == struct.pack("!BBH", 0x80 | CLOSE, 2, 1009)


async def test_a_route_may_take_less_than_the_server_does() -> None:
    app = waiting_app(60_000)
    with trio.fail_after(60):
        async with (
            open_server(app, websocket_max_message_size=10**7) as server,
            await connect(server.address) as stream,
        ):
            assert (await shake_hands(stream, "/", {}))[0] == 101
            await stream.send_all(frame(TEXT, b"x" * 70_000, final=True))
            assert await read_to_end(stream) == struct.pack("!BBH", 0x80 | CLOSE, 2, 1009)


async def test_no_compression_is_agreed_upon_that_could_turn_little_into_very_much() -> None:
    with trio.fail_after(60):
        async with open_server(waiting_app()) as server, await connect(server.address) as stream:
            await stream.send_all(
                b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
                b"Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n"
            )
            got = b""
            while b"\r\n\r\n" not in got:
                got += await stream.receive_some()
            assert got.startswith(b"HTTP/1.1 101 ")
            assert b"sec-websocket-extensions" not in got.lower()
