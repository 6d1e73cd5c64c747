"""A connection on which anything is unfinished is never used for the next request."""

from __future__ import annotations

import socket
from functools import partial

import pytest
import trio
import trio.testing
from proxy_relay_kit import OpenDoor as Door
from proxy_relay_kit import get, ok, relay_with, request, send_and_read

from preview.proxy import exchange
from preview.proxy.pool import UpstreamConnection, connect

_BODY = b"x" * 48 * 1024


async def _narrow(address: tuple[str, int], key: tuple[str, int], timeout_s: float) -> UpstreamConnection:
    """A connection that takes little at once."""
    upstream = await connect(address, key, timeout_s)
    upstream.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    return upstream


async def test_what_was_not_wholly_sent_to_a_preview_does_not_begin_the_next_request(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Else the rest of it, whose length one visitor chose, would swallow the head of another's."""
    monkeypatch.setattr(exchange, "connect", _narrow)
    began, all_came = trio.Event(), trio.Event()
    connections = 0

    async def serve(stream: trio.SocketStream) -> None:
        nonlocal connections
        connections += 1
        if connections > 1:
            await stream.receive_some()
            await stream.send_all(ok(b"second"))
            return
        head = b""
        while b"\r\n\r\n" not in head:
            head += await stream.receive_some(1)
        began.set()
        await all_came.wait()
        await stream.send_all(ok(b"early"))
        async for _ in stream:
            pass

    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    listener.bind(("127.0.0.1", 0))
    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            trio_socket = trio.socket.from_stdlib_socket(listener)
            trio_socket.listen()
            nursery.start_soon(partial(trio.serve_listeners, serve, [trio.SocketListener(trio_socket)]))
            async with relay_with(Door(listener.getsockname()[:2])) as front:
                async with await trio.open_tcp_stream(*front.address) as client:
                    await client.send_all(request(b"POST", b"/", b"Content-Length: %d" % len(_BODY)))
                    await began.wait()
                    await client.send_all(_BODY + get(b"/next"))
                    (connection,) = front.relay._open
                    while not connection._slow_path or not connection._slow_path._body.is_over:
                        await trio.testing.wait_all_tasks_blocked()
                    all_came.set()
                    answered = b""
                    while not answered.endswith(b"early"):
                        answered += await client.receive_some()
                    # Ahead of all that closes what is idle.
                    assert (await front.ask(get()))[1] == b"second"
                    assert await send_and_read(client) == b""
                assert connections == 2
            nursery.cancel_scope.cancel()
