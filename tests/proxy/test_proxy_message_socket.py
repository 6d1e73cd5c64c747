"""WebSocket messages of a hostile preview."""

from __future__ import annotations

import base64
import hashlib

import trio
import trio.testing

from preview.proxy.message_socket import Accepted, open_message_socket

_KEY = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_FRAMES = 150_000


async def test_other_tasks_run_while_a_preview_sends_empty_frames() -> None:
    turns = 0

    async def serve(stream: trio.SocketStream) -> None:
        asked = b""
        while b"\r\n\r\n" not in asked:
            asked += await stream.receive_some(4096)
        fields = dict(line.split(b": ", 1) for line in asked.split(b"\r\n") if b": " in line)
        key = next(value for name, value in fields.items() if name.lower() == b"sec-websocket-key")
        accept = base64.b64encode(hashlib.sha1(key + _KEY).digest())
        await stream.send_all(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"
        )
        # A text that begins, goes on without content, and ends.
        await stream.send_all(b"\x01\x00" + b"\x00\x00" * _FRAMES + b"\x80\x01x")
        await trio.sleep_forever()

    async def count() -> None:
        nonlocal turns
        while True:
            await trio.lowlevel.checkpoint()
            turns += 1

    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            listeners = await nursery.start(trio.serve_tcp, serve, 0)
            port = listeners[0].socket.getsockname()[1]
            async with open_message_socket(("127.0.0.1", port), 1000) as socket:
                assert isinstance(await socket.shake_hands(b"x", b"/", [], []), Accepted)
                await trio.testing.wait_all_tasks_blocked(0.1)
                nursery.start_soon(count)
                assert await socket.receive() == "x"
            assert turns >= 8
            nursery.cancel_scope.cancel()
