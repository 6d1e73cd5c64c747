"""A service with a preview whose program is the test's own: everything real but the process."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from http.cookiejar import CookieJar, DefaultCookiePolicy
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx2
import trio
from asgi_kit import handled
from http_raw_kit import Edge, exchange, open_edge
from http_server_kit import open_server

from preview.auth import issue_token
from preview.core.clock import utc_now
from preview.core.ids import new_preview_id
from preview.core.lifecycle import Health, State
from preview.logs import PreviewLog
from preview.supervisor import LivePreview
from preview.supervisor.preview.new_record import new_record
from preview.supervisor.preview.outcome import Outcome
from preview.user import User

FILES = {"main.py": "app = None\n"}


async def _talk(scope: Any, receive: Any, send: Any) -> None:
    """Say again what comes, close when told to, or tell who asks."""
    chosen = scope["subprotocols"][-1] if scope["subprotocols"] else None
    if scope["path"] == "/refused":
        await send({"type": "websocket.http.response.start", "status": 418, "headers": [(b"x-why", b"tea")]})
        await send({"type": "websocket.http.response.body", "body": b"no", "more_body": False})
        return
    await send({"type": "websocket.accept", "subprotocol": chosen})
    while (message := await receive())["type"] == "websocket.receive":
        if message.get("text") == "close":
            await send({"type": "websocket.close", "code": 4321, "reason": "as you wish"})
            return
        if message.get("text") == "who":
            cookie = dict(scope["headers"]).get(b"cookie", b"").decode()
            await send({"type": "websocket.send", "text": f"{scope['path']} {cookie}"})
        else:
            await send({**message, "type": "websocket.send"})


async def echo(scope: Any, receive: Any, send: Any) -> None:
    """Says what came, in JSON; ``/ws`` echoes messages; anything else by its path."""
    import json

    if await handled(scope, receive, send, _talk):
        return
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            break
    said = {
        "method": scope["method"],
        "target": (scope["raw_path"] + (b"?" + scope["query_string"] if scope["query_string"] else b"")).decode(),
        "headers": [[name.decode(), value.decode("latin-1")] for name, value in scope["headers"]],
        "body": body.decode("latin-1"),
    }
    headers = [(b"content-type", b"application/json")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": json.dumps(said).encode(), "more_body": False})


@dataclass
class Door:
    """A service, a generation of ann's, and its preview."""

    edge: Edge
    generation: str
    preview: LivePreview
    client: httpx2.AsyncClient
    streams: list[trio.SocketStream] = field(default_factory=list)

    async def connect(self) -> trio.SocketStream:
        """A connection to the service, closed with the door."""
        self.streams.append(await trio.open_tcp_stream(*self.edge.address))
        return self.streams[-1]

    @property
    def port(self) -> int:
        return self.edge.address[1]

    @property
    def host(self) -> str:
        return f"{self.preview.id.replace('_', '-')}.localhost:{self.port}"

    @property
    def prefix(self) -> str:
        return f"/p/{self.preview.id}"

    def bearer(self, user: str = "ann") -> dict[str, str]:
        token = issue_token(self.edge.settings, self.edge.secret, user, tier=None, ttl_s=600)
        return {"Authorization": f"Bearer {token}"}

    async def api(
        self, method: str, rest: str, body: Any = None, *, user: str = "ann", host: str | None = None
    ) -> httpx2.Response:
        headers = self.bearer(user) | {"Host": host or f"localhost:{self.port}"}
        path = f"/api/v1/generations/{self.generation}/preview/{rest}"
        return await self.client.request(method, path, json=body, headers=headers)

    async def get(
        self, path: str = "/", *, method: str = "GET", host: str | None = None, **more: Any
    ) -> httpx2.Response:
        """Ask by the host form, or by the host that is given."""
        headers = {"Host": host or self.host} | dict(more.pop("headers", {}))
        return await self.client.request(method, path, headers=headers, **more)

    async def follow(self, url: str, **headers: str) -> httpx2.Response:
        """Go where a link leads, without a browser's resolving of names."""
        parts = urlsplit(url)
        return await self.client.get(
            f"{parts.path}?{parts.query}", headers={"Host": parts.netloc, **headers}, follow_redirects=False
        )

    async def cookie(self, *, share: bool = False) -> str:
        """``NAME=VALUE`` of a browser that has opened the preview."""
        made = await self.api("POST", "share" if share else "open", {})
        answer = await self.follow(made.json()["url"])
        assert answer.status_code == 303, answer.text
        return answer.headers["set-cookie"].partition(";")[0]

    async def raw(self, *pieces: bytes) -> Any:
        return await exchange(self.edge.address, *pieces)

    def end(self, state: State = State.FAILED, reason: str = "it broke") -> None:
        """The preview ends, as its task would see to it."""
        self.preview.outcome = Outcome(state, reason)
        self.preview.record = replace(self.preview.record, state=state, reason=reason)
        self.preview.settled.set()


@asynccontextmanager
async def open_door(
    folder: Path, app: Any = echo, *, state: State = State.RUNNING, files: Mapping[str, str] = FILES, **settings: Any
) -> AsyncIterator[Door]:
    async with AsyncExitStack() as stack:
        upstream = await stack.enter_async_context(open_server(app))
        edge = await stack.enter_async_context(open_edge(folder, build_on_push=False, **settings))
        host, port = edge.address
        # A test says itself which cookies a browser sends.
        none = CookieJar(DefaultCookiePolicy(allowed_domains=[]))
        client = await stack.enter_async_context(
            httpx2.AsyncClient(
                base_url=f"http://{host}:{port}", trust_env=False, verify=False, timeout=60, cookies=none
            )
        )
        token = issue_token(edge.settings, edge.secret, "ann", tier=None, ttl_s=600)
        kept = await client.post(
            "/api/v1/generations",
            json={"project_id": "proj", "files": dict(files)},
            headers={"Authorization": f"Bearer {token}"},
        )
        assert kept.status_code == 201, kept.text
        generation = kept.json()["id"]
        preview = await _live_preview(edge, generation, upstream.address[1], state)
        manager = edge.app.backend.previews
        manager._registry.add(preview)
        door = Door(edge, generation, preview, client)
        try:
            yield door
        finally:
            for stream in door.streams:
                stream.socket.close()
            manager._registry.remove(preview)
            preview.over.set()
            preview.listener.close()


async def _live_preview(edge: Edge, generation: str, port: int, state: State) -> LivePreview:
    service = edge.app.backend.service
    user = User("ann")
    settings = edge.settings
    tier = settings.tier(None)
    record, _ = new_record(
        settings,
        now=utc_now(),
        preview_id=new_preview_id(),
        user=user,
        tier=tier,
        generation_id=generation,
        project_id="proj",
        port=port,
        runtime="plain",
    )
    context = service.previews._context
    log = PreviewLog(record.id, settings=settings, writer=context.writer, store=service.log_store)
    preview = LivePreview(
        replace(record, state=state, health=Health.HEALTHY, pid=1),
        settings=settings,
        tier=tier,
        log=log,
        traffic=service.traffic_writer.open(record.id, log),
        listener=socket.socket(),
        startup_timeout_s=1,
    )
    preview.stored = True
    if state is State.RUNNING:
        preview.settled.set()
    await trio.lowlevel.checkpoint()
    return preview
