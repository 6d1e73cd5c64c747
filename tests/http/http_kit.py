"""The whole service behind its real server, with real child processes, as a client meets it."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import h11
import httpx2
import trio

from preview.auth import issue_token, load_or_create_secret
from preview.http import PreviewApp, create_app, serve
from preview.service import Service, open_service
from preview.settings import Settings, load_settings

# A start of a real server on a busy machine, the first time with the building of its environment.
PATIENCE_S = 90

_STREAMS = re.compile(r'^preview_log_streams\{path="(\w+)"\} (\S+)$', re.MULTILINE)

BACKEND = '''
import logging
import os
import sys

from fastapi import FastAPI, Request, Response

app = FastAPI()


@app.get("/health")
def health():
    return {"ok": True}


@app.api_route("/echo", methods=["GET", "POST", "PUT", "PATCH", "DELETE"])
async def echo(request: Request, page: int = 1):
    """Say what came."""
    return {
        "method": request.method,
        "query": dict(request.query_params),
        "headers": dict(request.headers),
        "body": (await request.body()).decode(),
    }


@app.get("/say/{count}")
def say(count: int):
    for number in range(count):
        print(f"said {number}", flush=True)
    return count


@app.get("/binary")
def binary():
    return Response(b"\\x89PNG\\x00", media_type="image/png")


@app.get("/text")
def text():
    return Response("plain \u00fc", media_type="text/plain", headers={"Connection": "x-hop", "X-Hop": "1"})


@app.get("/missing")
def missing():
    return Response("none", status_code=404, media_type="text/plain")


@app.get("/slow")
async def slow():
    import asyncio
    await asyncio.sleep(60)


@app.get("/large")
def large():
    return Response(b"x" * 3_000_000, media_type="text/plain")


@app.get("/crash")
def crash():
    os._exit(7)
'''

FILES = {"main.py": BACKEND, "requirements.txt": "fastapi\n"}
CRASHING = {
    "main.py": """
from fastapi import FastAPI
app = FastAPI()
print('about to fail', flush=True)
raise SystemExit(3)
""",
    "requirements.txt": "fastapi\n",
}
NEVER_READY = {
    "main.py": """
import time
from fastapi import FastAPI
app = FastAPI()
print('sleeping', flush=True)
time.sleep(60)
""",
    "requirements.txt": "fastapi\n",
}


@dataclass
class World:
    """A running service and who uses it."""

    service: Service
    app: PreviewApp
    url: str
    client: httpx2.AsyncClient
    stop: trio.Event
    stopped: trio.Event
    secret: str
    tokens: dict[str, str] = field(default_factory=dict)

    @property
    def address(self) -> tuple[str, int]:
        host, _, port = self.url.removeprefix("http://").rpartition(":")
        return host, int(port)

    def token(self, user: str, ttl_s: float = 600, tier: str | None = None) -> str:
        return issue_token(self.service.settings, self.secret, user, tier=tier, ttl_s=ttl_s)

    def headers(self, user: str | None) -> dict[str, str]:
        return {} if user is None else {"Authorization": f"Bearer {self.token(user)}"}

    async def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        user: str | None = "ann",
        headers: Mapping[str, str] | None = None,
    ) -> httpx2.Response:
        return await self.client.request(method, path, json=body, headers=self.headers(user) | dict(headers or {}))

    async def keep(self, files: Mapping[str, str], user: str = "ann", project: str = "proj_1") -> str:
        answer = await self.ask("POST", "/api/v1/generations", {"project_id": project, "files": dict(files)}, user=user)
        assert answer.status_code == 201, answer.text
        made: str = answer.json()["id"]
        return made

    async def launch(self, generation_id: str, *, user: str = "ann", wait_s: int | None = 60) -> dict[str, Any]:
        headers = {} if wait_s is None else {"Prefer": f"wait={wait_s}"}
        path = f"/api/v1/generations/{generation_id}/preview/launch"
        answer = await self.ask("POST", path, {}, user=user, headers=headers)
        assert answer.status_code == 201, answer.text
        made: dict[str, Any] = answer.json()
        return made

    async def streams_by_path(self) -> dict[str, int]:
        """How many log streams are open, as the metrics count them: those written directly, and the ordinary ones."""
        text = (await self.client.get("/metrics")).text
        return {path: int(float(count)) for path, count in _STREAMS.findall(text)}

    async def stop_preview(self, generation_id: str, user: str = "ann") -> None:
        answer = await self.ask("DELETE", f"/api/v1/generations/{generation_id}/preview", user=user)
        assert answer.status_code == 204, answer.text


def make_settings(folder: Path, **changes: Any) -> Settings:
    values: dict[str, Any] = {
        "data_dir": folder / "data",
        # One for all tests of a run: an environment is built once.
        "cache_dir": folder.parent / "preview-http-cache",
        "port_min": 23001,
        "port_max": 23100,
        "stop_grace_s": 1,
        "launches_per_minute": 100_000,
        # A deletion is tested as such.
        "removed_kept_s": 0,
    }
    return load_settings(**values | changes)


@asynccontextmanager
async def open_world(folder: Path, *, app: PreviewApp | None = None, **changes: Any) -> AsyncIterator[World]:
    settings = make_settings(folder, **changes)
    with trio.fail_after(PATIENCE_S):
        async with open_service(settings) as service, trio.open_nursery() as nursery:
            stop, stopped = trio.Event(), trio.Event()
            made = app or create_app(settings, service=service)

            async def run(task_status: trio.TaskStatus[list[str]]) -> None:
                serving = partial(serve, settings, service=service, app=made, bind="127.0.0.1:0")
                await serving(shutdown_trigger=stop.wait, task_status=task_status)
                stopped.set()

            url = (await nursery.start(run))[0]
            secret = load_or_create_secret(settings)
            async with httpx2.AsyncClient(base_url=url, trust_env=False, verify=False, timeout=PATIENCE_S) as client:
                yield World(service, made, url, client, stop, stopped, secret)
            stop.set()


@dataclass
class Event:
    """One Server-Sent Event."""

    kind: str
    id: str | None
    data: Any


class EventStream:
    """A log stream read by hand, so that it can be left at any moment."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self.stream = stream
        self.parser = h11.Connection(h11.CLIENT)
        self.status = 0
        self.headers: dict[str, str] = {}
        self.rest = bytearray()
        self.ended = False

    async def open(self, target: str, headers: Mapping[str, str], body: bytes | None = None) -> None:
        """Send a GET, or with a body a POST, and read the response's head."""
        fields = [("Host", "localhost"), *headers.items()]
        if body is not None:
            fields.append(("Content-Length", str(len(body))))
        parts: list[h11.Event] = [h11.Request(method="GET" if body is None else "POST", target=target, headers=fields)]
        parts += [h11.Data(data=body or b""), h11.EndOfMessage()] if body is not None else [h11.EndOfMessage()]
        await self.stream.send_all(b"".join(self.parser.send(part) or b"" for part in parts))
        head = await self._next()
        assert isinstance(head, h11.Response)
        self.status = head.status_code
        self.headers = {name.decode(): value.decode() for name, value in head.headers}

    async def _next(self) -> Any:
        while (event := self.parser.next_event()) is h11.NEED_DATA:
            self.parser.receive_data(await self.stream.receive_some())
        return event

    async def frame(self) -> str | None:
        """One frame, comments too; None at the proper end of the body."""
        searched = 0
        while (end := self.rest.find(b"\n\n", searched)) < 0:
            searched = max(0, len(self.rest) - 1)
            event = await self._next()
            if isinstance(event, h11.EndOfMessage):
                self.ended = True
                return None
            assert isinstance(event, h11.Data), event
            self.rest += event.data
        frame = self.rest[:end].decode()
        del self.rest[: end + 2]
        return frame

    async def event(self) -> Event | None:
        """The next event, passing over comments and ``retry``."""
        while (frame := await self.frame()) is not None:
            fields = dict(line.split(": ", 1) for line in frame.split("\n") if not line.startswith(":"))
            if "data" in fields:
                return Event(fields.get("event", "message"), fields.get("id"), json.loads(fields["data"]))
        return None

    async def events(self) -> list[Event]:
        """All events up to the end of the body."""
        found = []
        while (event := await self.event()) is not None:
            found.append(event)
        return found

    async def until_message(self, text: str) -> list[Event]:
        """Events up to the line that holds ``text``."""
        found: list[Event] = []
        while True:
            event = await self.event()
            assert event is not None, found
            found.append(event)
            if event.kind == "message" and text in event.data["message"]:
                return found


@asynccontextmanager
async def open_events(
    world: World, generation_id: str, *, query: str = "", contract: str = "v1", user: str | None = "ann", **headers: str
) -> AsyncIterator[EventStream]:
    prefix = "/api/v1/generations" if contract == "v1" else "/api/generations"
    fields = world.headers(user) | {name.replace("_", "-"): value for name, value in headers.items()}
    async with await trio.open_tcp_stream(*world.address) as stream:
        opened = EventStream(stream)
        await opened.open(f"{prefix}/{generation_id}/preview/logs/stream{query}", fields)
        yield opened
