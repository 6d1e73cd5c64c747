"""The relay's bytes, as ``/metrics`` shows them: content only, on each path."""

from __future__ import annotations

import trio
from proxy_relay_kit import HOST, Seen, ok, recording, relay_to, request
from test_proxy_relay_websocket import echo
from trio_websocket import wrap_client_stream


async def test_content_is_counted_once_in_each_direction_on_each_path() -> None:
    seen: list[Seen] = []
    async with relay_to(recording(seen, ok(b"hello"))) as front:
        async with await trio.open_tcp_stream(*front.address) as stream:
            # The second one is like the first, so that the fast path takes it.
            for _ in range(2):
                await stream.send_all(request(b"POST", b"/a", b"Content-Length: 3", body=b"abc"))
                got = b""
                while not got.endswith(b"hello"):
                    got += await stream.receive_some()
        assert (front.relay.carried.from_browsers, front.relay.carried.to_browsers) == (6, 10)
        await front.ask(request(b"POST", b"/b", b"Transfer-Encoding: chunked", body=b"4\r\nabcd\r\n0\r\n\r\n"))
        assert (front.relay.carried.from_browsers, front.relay.carried.to_browsers) == (10, 15)
    assert [one.body for one in seen] == [b"abc", b"abc", b"abcd"]


async def test_a_websocket_is_counted_while_it_is_open() -> None:
    async with (
        relay_to(echo) as front,
        await trio.open_tcp_stream(*front.address) as stream,
        trio.open_nursery() as nursery,
    ):
        socket = await wrap_client_stream(nursery, stream, HOST.decode(), "/ws")
        await socket.send_message(bytes(1000))
        assert await socket.get_message() == bytes(1000)
        carried = front.relay.carried
        assert 1000 < carried.from_browsers < 1100
        assert 1000 < carried.to_browsers < 1300
        await socket.aclose()
        nursery.cancel_scope.cancel()
