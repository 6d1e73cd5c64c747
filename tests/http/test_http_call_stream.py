"""Endpoint calls whose response is passed on as it comes."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import trio
from http_kit import Event, EventStream, World, open_world

from preview.http.contracts.call_events import CallEvent

BACKEND = """
import asyncio
import gzip
import os
import zlib

from fastapi import FastAPI, Request, Response
from fastapi.responses import StreamingResponse

app = FastAPI()
go = asyncio.Event()
KINDS = {"gzip": "gzip", "zlib": "deflate", "bare": "deflate", "wrong": "gzip, br"}


@app.get("/health")
def health():
    return {}


@app.get("/go")
def release():
    go.set()


@app.get("/drip")
async def drip():
    async def pieces():
        yield b"data: one\\n\\n"
        await go.wait()
        yield b"data: two\\n\\n"

    return StreamingResponse(pieces(), media_type="text/event-stream")


@app.get("/endless")
async def endless(size: int = 100_000, pause: float = 0):
    async def pieces():
        while True:
            yield b"x" * size
            await asyncio.sleep(pause)

    return StreamingResponse(pieces(), media_type="text/plain")


@app.get("/bytes")
def raw():
    return Response("gr\u00fc\u00df".encode() + b"\\xff\\x00rest")


@app.get("/half")
async def half():
    async def pieces():
        for one in "\u20ac\u20ac".encode()[:5]:
            yield bytes([one])
            await asyncio.sleep(0.06)

    return StreamingResponse(pieces(), media_type="text/plain")


@app.get("/packed")
def packed(kind: str, size: int):
    whole = b"packed " * size
    body = gzip.compress(whole) if kind == "gzip" else zlib.compress(whole)
    return Response(body[2:-4] if kind == "bare" else body, headers={"Content-Encoding": KINDS[kind]})


@app.get("/none")
def none():
    return Response(status_code=204)


@app.get("/slow")
async def slow():
    await asyncio.sleep(60)


async def echo(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    more = True
    while more:
        part = await receive()
        more = part["more_body"]
        await send({"type": "http.response.body", "body": part["body"], "more_body": more})


app.mount("/echo", echo)


async def watch(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"one", "more_body": True})
    while (await receive())["type"] != "http.disconnect":
        pass
    print("left the stream", flush=True)


app.mount("/watch", watch)


@app.get("/die")
async def die():
    async def pieces():
        yield b"beginning"
        await go.wait()
        await asyncio.sleep(0.2)
        os._exit(7)

    return StreamingResponse(pieces())
"""
FILES = {"main.py": BACKEND, "requirements.txt": "fastapi\n"}


class Caller:
    """Sends streamed calls to one preview."""

    def __init__(self, world: World, generation: str, token: str) -> None:
        self.world, self.generation, self.token = world, generation, token

    @property
    def path(self) -> str:
        return f"/api/v1/generations/{self.generation}/preview/request"

    @asynccontextmanager
    async def stream(self, path: str, **envelope: Any) -> AsyncIterator[EventStream]:
        """The events of one call, which can be left at any moment."""
        headers = self.world.headers("ann") | {"X-Preview-Token": self.token, "Content-Type": "application/json"}
        sent = json.dumps({"method": "GET", "path": path, "stream": True} | envelope).encode()
        async with await trio.open_tcp_stream(*self.world.address) as connection:
            events = EventStream(connection)
            await events.open(self.path, headers, sent)
            assert (events.status, events.headers["content-type"]) == (200, "text/event-stream")
            yield events

    async def whole(self, path: str, **envelope: Any) -> tuple[dict[str, Any], bytes, dict[str, Any]]:
        """The head, all content and the end of one call."""
        async with self.stream(path, **envelope) as events:
            head, *pieces, end = await events.events()
        assert (head.kind, end.kind) == ("head", "end")
        return head.data, b"".join(content(one) for one in pieces), end.data

    async def ask(self, path: str) -> None:
        headers = {"X-Preview-Token": self.token}
        answer = await self.world.ask("POST", self.path, {"method": "GET", "path": path}, headers=headers)
        assert answer.status_code == 200, answer.text

    async def record(self, of: str) -> dict[str, Any]:
        """The newest recorded request of this path."""
        listed = f"/api/v1/generations/{self.generation}/preview/requests?filter=path:{of}"
        found: dict[str, Any] = (await self.world.ask("GET", listed)).json()["items"][0]
        return found

    async def said(self, text: str, times: int) -> None:
        """Wait until the log has a line so often."""
        preview = self.world.service.previews.active(self.generation)
        assert preview is not None
        with preview.log.subscribe() as log:
            while sum(text in line.message for line in preview.log.last_lines(50)) < times:
                await log.receive()


async def following(events: EventStream) -> Event:
    event = await events.event()
    if event is not None:
        # As the OpenAPI document says.
        CallEvent.model_validate({"type": event.kind, **event.data})
    assert event is not None
    return event


def content(event: Event) -> bytes:
    assert event.kind == "piece"
    text = event.data.get("text")
    return text.encode() if text is not None else base64.b64decode(event.data["base64"])


@asynccontextmanager
async def open_caller(folder: Path, **changes: Any) -> AsyncIterator[Caller]:
    async with open_world(folder, capture="full", **changes) as world:
        generation = await world.keep(FILES)
        yield Caller(world, generation, (await world.launch(generation))["session_token"])


async def test_content_is_passed_on_before_the_response_ends_and_is_recorded(tmp_path: Path) -> None:
    async with open_caller(tmp_path) as caller:
        async with caller.stream("/drip", headers={"X-Request-Id": "drip.1"}) as events:
            head = await following(events)
            assert (head.kind, head.data["status_code"], head.data["request_id"]) == ("head", 200, "drip.1")
            assert head.data["headers"]["content-type"].startswith("text/event-stream")
            assert content(await following(events)) == b"data: one\n\n"
            # The preview goes on only after that.
            await caller.ask("/go")
            assert content(await following(events)) == b"data: two\n\n"
            end = (await following(events)).data
        assert (end["reason"], end["detail"], end["size_bytes"]) == ("complete", None, 22)
        assert end["log"]["first_seq"] <= end["log"]["last_seq"]
        record = await caller.record("/drip")
        assert (record["request_id"], record["status"], record["error"]) == ("drip.1", 200, None)
        assert (record["received_bytes"], record["origin"]) == (22, "call")


async def test_all_kinds_of_content_arrive_as_they_were_sent(tmp_path: Path) -> None:
    async with open_caller(tmp_path) as caller:
        head, body, end = await caller.whole("/bytes")
        assert (head["status_code"], body, end["reason"]) == (200, "grüß".encode() + b"\xff\x00rest", "complete")
        # The content ends within a character.
        assert (await caller.whole("/half"))[1] == "€€".encode()[:5]
        head, body, end = await caller.whole("/none")
        assert (head["status_code"], body, end["reason"], end["size_bytes"]) == (204, b"", "complete", 0)
        for kind in ("gzip", "zlib", "bare"):
            head, body, _ = await caller.whole(f"/packed?size=20000&kind={kind}")
            assert (body, "content-encoding" in head["headers"]) == (b"packed " * 20_000, False), kind
        head, body, _ = await caller.whole("/packed?size=2&kind=wrong")
        assert (head["headers"]["content-encoding"], body != b"") == ("gzip, br", True)
        sent = "ü" * 1_000_000
        _, body, end = await caller.whole("/echo/", method="POST", body=sent)
        assert (body.decode() == sent, end["reason"]) == (True, "complete")


async def test_an_endless_response_is_cut_at_the_limits(tmp_path: Path) -> None:
    async with open_caller(tmp_path, proxy_response_bytes=300_000, proxy_stream_s=2) as caller:
        _, body, end = await caller.whole("/endless")
        assert (len(body), end["reason"]) == (300_000, "too_large")
        assert "larger than 300000 bytes" in end["detail"]
        # A small response that unpacks to 70 MB.
        _, body, end = await caller.whole("/packed?size=10000000&kind=gzip")
        assert (len(body), end["reason"]) == (300_000, "too_large")
        record = await caller.record("/endless")
        assert (record["status"], record["error"], record["received_bytes"]) == (200, "too_large", 300_000)
        # Single bytes, as fast as possible: few events, since each costs more than its byte.
        async with caller.stream("/endless?size=1") as events:
            found = await events.events()
        assert found[-1].data["reason"] == "too_long"
        assert len(found) <= 2 / 0.05 + 3
        async with caller.stream("/endless?size=1&pause=0.9") as events:
            found = await events.events()
        assert (found[-1].data["reason"], found[-1].data["size_bytes"]) == ("too_long", len(found) - 2)


async def test_a_reader_who_leaves_ends_the_request_at_the_preview_and_streams_are_bounded(tmp_path: Path) -> None:
    async with open_caller(tmp_path, max_streams_per_user=1) as caller:
        for times in (1, 2, 3):  # one slot is enough, since it is free again each time
            async with caller.stream("/watch/") as events:
                await following(events)
                await following(events)
            await caller.said("left the stream", times)
        record = await caller.record("/watch/")
        assert (record["status"], record["error"]) == (200, "cancelled")
        async with caller.stream("/watch/") as events:
            await following(events)
            headers = {"X-Preview-Token": caller.token}
            sent = {"method": "GET", "path": "/drip", "stream": True}
            second = await caller.world.ask("POST", caller.path, sent, headers=headers)
            assert (second.status_code, second.json()["code"]) == (429, "too_many_streams")


async def test_an_error_before_the_head_is_an_ordinary_response_and_one_after_it_an_end(tmp_path: Path) -> None:
    async with open_caller(tmp_path, proxy_timeout_s=1) as caller:
        headers = {"X-Preview-Token": caller.token}
        sent = {"method": "GET", "path": "/slow", "stream": True, "headers": {"X-Request-Id": "r1"}}
        late = await caller.world.ask("POST", caller.path, sent, headers=headers)
        assert (late.status_code, late.json()["code"]) == (504, "upstream_timeout")
        assert late.json()["details"]["request_id"] == "r1"
        async with caller.stream("/die") as events:
            await following(events)
            assert content(await following(events)) == b"beginning"
            await caller.ask("/go")
            end = (await following(events)).data
        assert end["reason"] == "failed"
        assert "The process ended with" in end["detail"]


async def test_the_shutdown_of_the_service_ends_a_stream(tmp_path: Path) -> None:
    async with open_caller(tmp_path) as caller, caller.stream("/drip") as events:
        await following(events)
        await following(events)
        caller.world.stop.set()
        assert (await following(events)).data["reason"] in {"stopping", "failed"}
