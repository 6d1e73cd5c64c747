"""Requests as bytes, where an HTTP library would tidy up what is tested."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import h11
import trio

from preview.auth import issue_token, load_or_create_secret
from preview.http import PreviewApp, create_app, serve
from preview.service import open_service
from preview.settings import Settings, load_settings

Address = tuple[str, int]


@dataclass
class Answer:
    """One answer of a connection."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()


@dataclass
class Edge:
    """The service behind its real server, without any preview."""

    app: PreviewApp
    settings: Settings
    address: Address
    secret: str

    @property
    def authorization(self) -> str:
        return f"Authorization: Bearer {issue_token(self.settings, self.secret, 'ann', tier=None, ttl_s=600)}"

    async def send(self, *pieces: bytes) -> list[Answer]:
        """Send these bytes on a connection of their own, and read answers until it is closed."""
        return await exchange(self.address, *pieces)

    async def ask(self, line: str, *fields: str, body: bytes = b"") -> Answer:
        """One request whose connection is closed behind it; ``Host`` is ours unless one is given."""
        named = any(field.lower().startswith("host:") for field in fields)
        lines = [line, *([] if named else ["Host: localhost"]), *fields, "Connection: close", "", ""]
        (answer,) = await self.send("\r\n".join(lines).encode("latin-1") + body)
        return answer


async def exchange(address: Address, *pieces: bytes) -> list[Answer]:
    with trio.fail_after(60):
        async with await trio.open_tcp_stream(*address) as stream:
            try:
                for piece in pieces:
                    await stream.send_all(piece)
            except trio.BrokenResourceError:
                pass  # answered and closed before all of it was sent
            raw = bytearray()
            try:
                async for part in stream:
                    raw += part
            except trio.BrokenResourceError:
                pass
    return parsed(bytes(raw))


def parsed(raw: bytes) -> list[Answer]:
    """All answers in these bytes; each must be well formed."""
    found: list[Answer] = []
    rest = bytes(raw)
    while rest:
        parser = h11.Connection(h11.CLIENT)
        parser.send(h11.Request(method="GET", target="/", headers=[("Host", "x")]))
        parser.send(h11.EndOfMessage())
        parser.receive_data(rest)
        head = parser.next_event()
        while isinstance(head, h11.InformationalResponse):
            head = parser.next_event()
        assert isinstance(head, h11.Response), (head, raw)
        body = b""
        while True:
            event = parser.next_event()
            if event is h11.NEED_DATA:
                parser.receive_data(b"")
            elif isinstance(event, h11.Data):
                body += bytes(event.data)
            else:
                break
        headers = {name.decode(): value.decode("latin-1") for name, value in head.headers}
        found.append(Answer(head.status_code, headers, body))
        rest = bytes(parser.trailing_data[0])
    return found


def edge_settings(folder: Path, **changes: Any) -> Settings:
    values: dict[str, Any] = {"data_dir": folder / "data", "cache_dir": folder / "cache", "bind": "127.0.0.1:0"}
    return load_settings(**values | changes)


def _written(folder: Path, config: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "hypercorn.toml"
    file.write_text(config)
    return file


@asynccontextmanager
async def open_edge(
    folder: Path,
    *,
    config: str = "errorlog = '-'\n",
    prepare: Callable[[PreviewApp], object] = lambda _: None,
    within_s: float = 60,
    **changes: Any,
) -> AsyncIterator[Edge]:
    settings = edge_settings(folder, **changes)
    file = _written(folder, config)
    with trio.fail_after(within_s):
        async with open_service(settings) as service, trio.open_nursery() as nursery:
            app = create_app(settings, service=service)
            prepare(app)
            serving = partial(serve, settings, service=service, app=app, config_file=file)
            stop = trio.Event()
            url = (await nursery.start(partial(serving, shutdown_trigger=stop.wait)))[0]
            host, _, port = url.removeprefix("http://").rpartition(":")
            yield Edge(app, settings, (host, int(port)), load_or_create_secret(settings))
            stop.set()
