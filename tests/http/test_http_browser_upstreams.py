"""What the ordinary way makes of a preview's connection, and of what comes beside the answer itself."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import h2.events
import h11
import pytest
import trio
from browser_kit import Door, open_door
from http_h2_kit import open_client

from preview.proxy import ProxyRequest

ORDINARY: dict[str, Any] = {"relay": False}
BESIDE = (
    b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload\r\nX-Other: 1\r\n\r\n"
    b"HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\n\r\n"
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum, Set-Cookie\r\n\r\n"
    b"3\r\nabc\r\n0\r\nX-Sum: 7\r\nSet-Cookie: a=1\r\n\r\n"
)


class Raw:
    """A preview that answers each request with the same bytes; keeps the heads and counts the connections."""

    def __init__(self, payload: bytes) -> None:
        self.payload = payload
        self.heads: list[h11.Request] = []
        self.connections = 0

    async def serve(self, stream: trio.SocketStream) -> None:
        self.connections += 1
        reader = h11.Connection(h11.SERVER)
        while True:
            event = reader.next_event()
            if event is h11.NEED_DATA:
                data = await stream.receive_some()
                if not data:
                    return
                reader.receive_data(data)
            elif isinstance(event, h11.Request):
                self.heads.append(event)
            elif isinstance(event, h11.EndOfMessage):
                await stream.send_all(self.payload)
                reader = h11.Connection(h11.SERVER)


@asynccontextmanager
async def opened(folder: Path, payload: bytes, **settings: Any) -> AsyncIterator[tuple[Door, Raw]]:
    raw = Raw(payload)
    with trio.fail_after(60):
        async with open_door(folder, **settings) as door, trio.open_nursery() as nursery:
            listeners = await nursery.start(partial(trio.serve_tcp, raw.serve, 0, host="127.0.0.1"))
            door.preview.record = replace(door.preview.record, port=listeners[0].socket.getsockname()[1])
            yield door, raw
            nursery.cancel_scope.cancel()


async def test_early_hints_and_trailers_pass_over_http_2(tmp_path: Path) -> None:
    async with opened(tmp_path, BESIDE) as (door, raw), open_client(door.edge.address) as client:
        client.authority = door.host
        number = await client.ask("/", ("authorization", door.bearer()["Authorization"]), ("te", "trailers"))
        assert await client.answer(number) == (200, b"abc")
        (early,) = client.of(h2.events.InformationalResponseReceived, number)
        (behind,) = client.of(h2.events.TrailersReceived, number)
        told: dict[str, str] = dict(early.headers)  # type: ignore[attr-defined]  # of this kind
        assert (told[":status"], told["link"], told.get("x-other")) == ("103", "</style.css>; rel=preload", None)
        assert list(behind.headers) == [("x-sum", "7")]  # type: ignore[attr-defined]  # of this kind
        assert dict(raw.heads[0].headers)[b"te"] == b"trailers"
        # Who has not said that it takes trailers gets none, and the stream ends all the same.
        number = await client.ask("/", ("authorization", door.bearer()["Authorization"]))
        assert await client.answer(number) == (200, b"abc")
        assert client.of(h2.events.TrailersReceived, number) == []
        assert b"te" not in dict(raw.heads[1].headers)


async def test_an_answer_without_the_trailers_it_could_have_had_ends_over_http_2(tmp_path: Path) -> None:
    payload = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
    async with opened(tmp_path, payload) as (door, _), open_client(door.edge.address) as client:
        client.authority = door.host
        number = await client.ask("/", ("authorization", door.bearer()["Authorization"]), ("te", "trailers"))
        assert await client.answer(number) == (200, b"abc")


async def test_interim_answers_and_trailers_are_dropped_where_the_server_cannot_say_them(tmp_path: Path) -> None:
    async with opened(tmp_path, BESIDE, **ORDINARY) as (door, raw):
        asked = f"GET / HTTP/1.1\r\nHost: {door.host}\r\nAuthorization: {door.bearer()['Authorization']}\r\n"
        stream = await door.connect()
        await stream.send_all(asked.encode() + b"TE: trailers\r\nConnection: TE, close\r\n\r\n")
        said = b"".join([piece async for piece in stream])
        assert said.startswith(b"HTTP/1.1 200")
        assert said.endswith(b"3\r\nabc\r\n0\r\n\r\n")
        assert b"te" not in dict(raw.heads[0].headers)


async def test_requests_share_a_connection_to_one_process_and_calls_share_it_too(tmp_path: Path) -> None:
    payload = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
    async with opened(tmp_path, payload, **ORDINARY) as (door, raw):
        for method in ("GET", "POST"):
            answer = await door.get("/", method=method, headers=door.bearer(), content=b"abc" * (method == "POST"))
            assert (answer.status_code, answer.content) == (200, b"ok")
            assert raw.connections == 1, method
        address, client = door.preview.address, door.edge.app.backend.client
        assert address is not None
        assert (await client.send(address, ProxyRequest("GET", "/"), process=1)).body == b"ok"
        assert (raw.connections, len(raw.heads)) == (1, 3)
        door.preview.record = replace(door.preview.record, pid=2)
        assert (await door.get("/", headers=door.bearer())).content == b"ok"
        assert raw.connections == 2


async def test_an_answer_with_two_lengths_and_no_content_is_a_502(tmp_path: Path) -> None:
    payload = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n"
    async with opened(tmp_path, payload, **ORDINARY) as (door, _):
        assert (await door.get("/", method="HEAD", headers=door.bearer())).status_code == 502


@pytest.mark.parametrize("framing", ["Content-Length: 6", "Transfer-Encoding: chunked"])
async def test_content_that_does_not_come_in_time_is_the_client_s_doing(tmp_path: Path, framing: str) -> None:
    async with opened(tmp_path, b"", body_timeout_s=0.1, **ORDINARY) as (door, _):
        stream = await door.connect()
        asked = f"POST / HTTP/1.1\r\nHost: {door.host}\r\nAuthorization: {door.bearer()['Authorization']}\r\n"
        await stream.send_all(f"{asked}{framing}\r\n\r\n".encode())
        answer = (await stream.receive_some()).decode()
        assert answer.startswith("HTTP/1.1 400 ")
        while "within" not in answer:
            answer += (await stream.receive_some()).decode()
        assert "The request's content did not arrive within 0.1 s." in answer
