from __future__ import annotations

from pathlib import Path
from typing import Any

import h11
import pytest
import trio
import trio.testing
from asgi_kit import handled
from browser_kit import Door, open_door
from trio_websocket import ConnectionClosed, ConnectionRejected, WebSocketConnection
from websocket_kit import CASES, talk

# The relay on the socket would take these requests: here it is the other way that is tested.
ORDINARY: dict[str, Any] = {"relay": False}


class Client:
    """One request by hand, so that it can be sent and read in pieces."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self.stream = stream
        self.http = h11.Connection(h11.CLIENT)

    async def send(self, event: Any) -> None:
        await self.stream.send_all(self.http.send(event) or b"")

    async def next(self) -> Any:
        while (event := self.http.next_event()) is h11.NEED_DATA:
            self.http.receive_data(await self.stream.receive_some(65536))
        return event


async def begin(door: Door, method: str, target: str, *fields: tuple[str, str]) -> Client:
    client = Client(await door.connect())
    await client.send(
        h11.Request(method=method, target=target, headers=[("Host", door.host), *door.bearer().items(), *fields])
    )
    return client


def app_of(serve: Any) -> Any:
    """An ASGI application whose HTTP requests ``serve`` answers."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if not await handled(scope, receive, send, serve):
            await serve(scope, receive, send)

    return app


async def start(send: Any, status: int = 200, *headers: tuple[bytes, bytes]) -> None:
    await send({"type": "http.response.start", "status": status, "headers": list(headers)})


async def test_each_piece_of_an_answer_comes_as_it_is_written(tmp_path: Path) -> None:
    goes_on = trio.Event()

    async def serve(scope: Any, receive: Any, send: Any) -> None:
        await start(send, 200, (b"content-type", b"text/event-stream"))
        await send({"type": "http.response.body", "body": b"data: 1\n\n", "more_body": True})
        await goes_on.wait()
        await send({"type": "http.response.body", "body": b"data: 2\n\n", "more_body": False})

    async with open_door(tmp_path, app_of(serve), **ORDINARY) as door:
        client = await begin(door, "GET", "/")
        await client.send(h11.EndOfMessage())
        assert (await client.next()).status_code == 200
        assert bytes((await client.next()).data) == b"data: 1\n\n"
        goes_on.set()
        assert bytes((await client.next()).data) == b"data: 2\n\n"
        assert isinstance(await client.next(), h11.EndOfMessage)


@pytest.mark.parametrize("framing", [("Content-Length", "6"), ("Transfer-Encoding", "chunked")])
async def test_each_piece_of_a_request_comes_as_it_is_sent(tmp_path: Path, framing: tuple[str, str]) -> None:
    sender, got = trio.open_memory_channel[bytes](10)

    async def serve(scope: Any, receive: Any, send: Any) -> None:
        while (message := await receive()).get("more_body"):
            await sender.send(message["body"])
        await start(send, 204)
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async with open_door(tmp_path, app_of(serve), **ORDINARY) as door:
        client = await begin(door, "POST", "/", framing)
        for piece in (b"one", b"two"):
            await client.send(h11.Data(data=piece))
            assert await got.receive() == piece
        await client.send(h11.EndOfMessage())
        assert (await client.next()).status_code == 204


async def test_an_answer_may_come_while_the_request_is_still_being_sent(tmp_path: Path) -> None:
    async def serve(scope: Any, receive: Any, send: Any) -> None:
        await start(send, 413, (b"content-length", b"4"))
        await send({"type": "http.response.body", "body": b"less", "more_body": False})

    async with open_door(tmp_path, app_of(serve), **ORDINARY) as door:
        client = await begin(door, "PUT", "/", ("Content-Length", "1000000"))
        await client.send(h11.Data(data=b"x" * 1000))
        assert (await client.next()).status_code == 413
        assert bytes((await client.next()).data) == b"less"


async def test_a_client_that_goes_away_ends_the_request_to_the_preview(tmp_path: Path) -> None:
    gone, there = trio.Event(), trio.Event()

    async def serve(scope: Any, receive: Any, send: Any) -> None:
        await start(send)
        await send({"type": "http.response.body", "body": b"x", "more_body": True})
        there.set()
        while (await receive())["type"] != "http.disconnect":
            pass
        gone.set()

    async with open_door(tmp_path, app_of(serve), **ORDINARY) as door:
        client = await begin(door, "GET", "/")
        await client.send(h11.EndOfMessage())
        await there.wait()
        await client.stream.aclose()
        with trio.fail_after(60):
            await gone.wait()


async def test_a_preview_that_breaks_off_leaves_an_answer_without_an_end(tmp_path: Path) -> None:
    async def serve(scope: Any, receive: Any, send: Any) -> None:
        await start(send)
        await send({"type": "http.response.body", "body": b"x", "more_body": True})
        raise RuntimeError("as intended")

    async with open_door(tmp_path, app_of(serve), **ORDINARY) as door:
        client = await begin(door, "GET", "/")
        await client.send(h11.EndOfMessage())
        assert (await client.next()).status_code == 200
        assert isinstance(await client.next(), h11.Data)
        with pytest.raises(h11.RemoteProtocolError):
            await client.next()


async def test_a_preview_that_does_not_answer_in_time_is_a_504(tmp_path: Path) -> None:
    async def serve(scope: Any, receive: Any, send: Any) -> None:
        await trio.sleep_forever()

    async with open_door(tmp_path, app_of(serve), proxy_timeout_s=0.1, **ORDINARY) as door:
        answer = await door.get("/", headers=door.bearer())
        assert (answer.status_code, answer.json()["code"]) == (504, "upstream_timeout")


async def test_an_answer_that_goes_quiet_is_cut_without_an_end(tmp_path: Path) -> None:
    async def serve(scope: Any, receive: Any, send: Any) -> None:
        await start(send)
        await send({"type": "http.response.body", "body": b"x", "more_body": True})
        await trio.sleep_forever()

    async with open_door(tmp_path, app_of(serve), proxy_idle_timeout_s=0.1, **ORDINARY) as door:
        client = await begin(door, "GET", "/")
        await client.send(h11.EndOfMessage())
        assert (await client.next()).status_code == 200
        assert isinstance(await client.next(), h11.Data)
        with trio.fail_after(60), pytest.raises(h11.RemoteProtocolError):
            await client.next()


async def test_a_preview_that_accepts_nobody_is_a_503(tmp_path: Path) -> None:
    async with open_door(tmp_path, **ORDINARY) as door:
        from dataclasses import replace

        door.preview.record = replace(door.preview.record, port=1)
        answer = await door.get("/", headers=door.bearer())
        assert (answer.status_code, answer.json()["code"]) == (503, "preview_unavailable")


async def test_an_answer_that_is_no_http_is_a_502(tmp_path: Path) -> None:
    async def speak(stream: trio.SocketStream) -> None:
        async with stream:
            await stream.receive_some()
            await stream.send_all(b"hello\r\n\r\n")

    async with open_door(tmp_path, **ORDINARY) as door, trio.open_nursery() as nursery:
        from dataclasses import replace
        from functools import partial

        listeners = await nursery.start(partial(trio.serve_tcp, speak, 0, host="127.0.0.1"))
        port = listeners[0].socket.getsockname()[1]
        door.preview.record = replace(door.preview.record, port=port)
        page = await door.get("/", headers=door.bearer() | {"Accept": "text/html"})
        assert page.status_code == 502
        assert "not valid HTTP" in page.text
        nursery.cancel_scope.cancel()


async def test_answers_without_content_have_none(tmp_path: Path) -> None:
    async def serve(scope: Any, receive: Any, send: Any) -> None:
        status = int(scope["path"][1:])
        await start(send, status, *([(b"content-length", b"7")] if status == 200 else []))
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async with open_door(tmp_path, app_of(serve), **ORDINARY) as door:
        for method, status, length in [("HEAD", 200, "7"), ("GET", 304, None), ("GET", 204, None)]:
            answer = await door.get(f"/{status}", method=method, headers=door.bearer())
            assert (answer.status_code, answer.content, answer.headers.get("content-length")) == (status, b"", length)


async def test_much_travels_both_ways_without_being_kept(tmp_path: Path) -> None:
    size = 24 * 1024 * 1024

    async def serve(scope: Any, receive: Any, send: Any) -> None:
        taken, more = 0, True
        while more:
            message = await receive()
            taken, more = taken + len(message["body"]), message.get("more_body", False)
        await start(send, 200, (b"content-length", str(taken).encode()))
        for _ in range(taken // 65536):
            await send({"type": "http.response.body", "body": b"x" * 65536, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def pieces() -> Any:
        for _ in range(size // 65536):
            yield b"y" * 65536

    async with open_door(tmp_path, app_of(serve), **ORDINARY) as door:
        headers = door.bearer() | {"Host": door.host}
        total = 0
        async with door.client.stream("POST", "/", content=pieces(), headers=headers) as answer:
            async for piece in answer.aiter_bytes():
                total += len(piece)
        assert total == size


async def test_a_request_and_a_stream_count_as_activity(tmp_path: Path) -> None:
    async def serve(scope: Any, receive: Any, send: Any) -> None:
        await start(send)
        await send({"type": "http.response.body", "body": b"x", "more_body": True})
        await trio.sleep_forever()

    async with open_door(tmp_path, app_of(serve), **ORDINARY) as door:
        client = await begin(door, "GET", "/")
        await client.send(h11.EndOfMessage())
        await client.next()
        assert door.preview.deadlines._held == 1
        await client.stream.aclose()
        with trio.fail_after(60):
            while door.preview.deadlines._held:  # noqa: ASYNC110  nothing tells
                await trio.sleep(0.01)


# WebSockets


async def dial(
    door: Door, nursery: trio.Nursery, path: str = "/ws", *fields: tuple[bytes, bytes], **more: Any
) -> WebSocketConnection:
    from wsproto import ConnectionType, WSConnection

    stream = await door.connect()
    connection = WebSocketConnection(
        stream,
        WSConnection(ConnectionType.CLIENT),
        host=door.host,
        path=path,
        client_subprotocols=more.pop("subprotocols", None),
        client_extra_headers=list(fields),
        max_message_size=8 * 1024 * 1024,
    )
    nursery.start_soon(connection._reader_task)
    await connection._open_handshake.wait()
    return connection


async def test_messages_travel_both_ways_as_they_are(tmp_path: Path) -> None:
    async with open_door(tmp_path, **ORDINARY) as door, trio.open_nursery() as nursery:
        cookie = await door.cookie()
        own = (b"origin", f"http://{door.host}".encode())
        socket = await dial(
            door, nursery, "/ws?a", (b"cookie", f"{cookie}; mine=1".encode()), own, subprotocols=["one", "two"]
        )
        assert socket.subprotocol == "two"
        for message in ("ü", b"\x00\xff", "x" * 3_000_000, b""):
            await socket.send_message(message)
            assert await socket.get_message() == message
        await socket.send_message("who")
        assert await socket.get_message() == "/ws mine=1"
        await socket.ping()
        await socket.send_message("close")
        with pytest.raises(ConnectionClosed) as closed:
            await socket.get_message()
        reason = closed.value.reason
        assert reason is not None
        assert (reason.code, reason.reason) == (4321, "as you wish")


async def test_frames_are_taken_and_refused_as_the_protocol_has_it(tmp_path: Path) -> None:
    async with open_door(tmp_path, **ORDINARY) as door:
        shake = [f"GET /ws HTTP/1.1\r\nHost: {door.host}", "Connection: Upgrade", "Upgrade: websocket"]
        shake += ["Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="]
        shake += [f"{name}: {value}" for name, value in door.bearer().items()]
        head = "\r\n".join([*shake, "", ""]).encode()
        for sent, expected in CASES.values():
            with trio.fail_after(60):
                await talk(door.edge.address, head, sent, expected)


async def test_a_message_that_is_too_long_closes_the_socket(tmp_path: Path) -> None:
    async with open_door(tmp_path, websocket_message_bytes=1000, **ORDINARY) as door, trio.open_nursery() as nursery:
        auth = (b"authorization", door.bearer()["Authorization"].encode())
        socket = await dial(door, nursery, "/ws", auth)
        await socket.send_message("x" * 1001)
        with pytest.raises(ConnectionClosed) as closed:
            await socket.get_message()
        assert closed.value.reason is not None
        assert closed.value.reason.code == 1009


async def test_a_socket_on_which_nobody_says_anything_is_closed(tmp_path: Path) -> None:
    async with open_door(tmp_path, proxy_idle_timeout_s=0.1, **ORDINARY) as door, trio.open_nursery() as nursery:
        auth = (b"authorization", door.bearer()["Authorization"].encode())
        socket = await dial(door, nursery, "/ws", auth)
        with trio.fail_after(60), pytest.raises(ConnectionClosed) as closed:
            await socket.get_message()
        reason = closed.value.reason
        assert reason is not None
        assert (reason.code, reason.reason) == (1001, "no message for 0.1 s")


async def test_another_origin_s_page_opens_no_socket(tmp_path: Path) -> None:
    async with open_door(tmp_path, **ORDINARY) as door:
        cookie = (b"cookie", (await door.cookie()).encode())
        for origin in (b"https://evil.example", b"null"):
            with pytest.RaisesGroup(pytest.RaisesExc(ConnectionRejected, check=lambda one: one.status_code == 403)):
                async with trio.open_nursery() as nursery:
                    await dial(door, nursery, "/ws", cookie, (b"origin", origin))


async def test_a_handshake_that_the_preview_refuses_is_answered_as_it_says(tmp_path: Path) -> None:
    async with open_door(tmp_path, **ORDINARY) as door:
        auth = (b"authorization", door.bearer()["Authorization"].encode())
        with pytest.RaisesGroup(ConnectionRejected) as raised:
            async with trio.open_nursery() as nursery:
                await dial(door, nursery, "/refused", auth)
        refused = raised.value.exceptions[0]
        assert isinstance(refused, ConnectionRejected)
        assert (refused.status_code, dict(refused.headers)[b"x-why"], refused.body) == (418, b"tea", b"no")


async def test_a_client_that_goes_away_closes_the_preview_s_socket(tmp_path: Path) -> None:
    closed = trio.Event()

    async def serve(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "websocket.accept"})
        while (await receive())["type"] != "websocket.disconnect":
            pass
        closed.set()

    async with open_door(tmp_path, app_of(serve), **ORDINARY) as door, trio.open_nursery() as nursery:
        auth = (b"authorization", door.bearer()["Authorization"].encode())
        socket = await dial(door, nursery, "/ws", auth)
        await socket.aclose()
        with trio.fail_after(60):
            await closed.wait()


@pytest.mark.parametrize(("reason", "said"), [("it broke", "it broke. L"), ("is it there?", "is it there? L")])
async def test_a_reason_ends_with_one_mark(tmp_path: Path, reason: str, said: str) -> None:
    async with open_door(tmp_path) as door:
        cookie = await door.cookie()
        door.end(reason=reason)
        answer = await door.get(headers={"Cookie": cookie})
        assert f"The preview has failed: {said}aunch it again." in answer.json()["detail"]
