"""Two services in one process as nodes of a cluster, whose directory is the test's."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import trio
from browser_kit import Door, echo, open_door
from http_raw_kit import Edge, open_edge

from preview.cluster.credentials import NodeKey
from preview.cluster.routing import Owner, Router
from preview.http import PreviewApp
from preview.http.browser import ClusterRouter

SECRET = "a secret of this cluster, long enough for it"
JWT_SECRET = "the tokens of this cluster have one secret"


@dataclass
class Directory:
    """Owners by preview, previews by generation, and what was asked."""

    owners: dict[str, Owner] = field(default_factory=dict)
    previews: dict[str, str] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    _parked: trio.lowlevel.ParkingLot = field(default_factory=trio.lowlevel.ParkingLot)

    async def owner_of(self, preview_id: str) -> Owner | None:
        self._ask(preview_id)
        return self.owners.get(preview_id)

    async def preview_of(self, generation_id: str) -> str | None:
        self._ask(generation_id)
        return self.previews.get(generation_id)

    def _ask(self, name: str) -> None:
        self.asked.append(name)
        self._parked.unpark_all()

    async def is_asked(self, times: int) -> None:
        """Wait for this many more questions."""
        for _ in range(times):
            await self._parked.park()


def free_address(host: str) -> str:
    with socket.socket() as sock:
        sock.bind((host, 0))
        return f"{host}:{sock.getsockname()[1]}"


def joining(name: str, directory: Directory, address: str, secret: str = SECRET) -> Any:
    """What makes an application a node, before its server starts."""

    def prepare(app: PreviewApp) -> None:
        router = Router(name, directory)
        app.router = ClusterRouter(router, NodeKey(secret), app.access_gate, lambda: app.backend, address)

    return prepare


@dataclass
class Two:
    """A node with a live preview of ann's, and another node without any.

    Attributes:
        owner: The node that has the preview.
        other: The node that is asked.
        internal: Address of the owner's internal listener.
        directory: The directory of both.
    """

    owner: Door
    other: Edge
    internal: tuple[str, int]
    directory: Directory

    @property
    def preview_host(self) -> str:
        return self.owner.preview.id.replace("_", "-") + ".localhost"

    @property
    def authorization(self) -> str:
        return f"Authorization: {self.owner.bearer()['Authorization']}"

    @property
    def api(self) -> str:
        return f"/api/v1/generations/{self.owner.generation}/preview"

    def head(self, line: str, *fields: str, host: str | None = None) -> bytes:
        """A request whose connection is closed afterwards."""
        lines = [f"{line} HTTP/1.1", f"Host: {host or self.preview_host}", "Connection: close", *fields, "", ""]
        return "\r\n".join(lines).encode("latin-1")

    async def ask(self, line: str, *fields: str, host: str | None = None, body: bytes = b"") -> Any:
        """One answer of the node that does not have the preview."""
        (answer,) = await self.other.send(self.head(line, *fields, host=host) + body)
        return answer


@dataclass
class Owning:
    """A node with a live preview of ann's; see ``Two``."""

    owner: Door
    internal: tuple[str, int]
    directory: Directory


@asynccontextmanager
async def open_owner(folder: Path, app: Any = echo, **settings: Any) -> AsyncIterator[Owning]:
    directory, internal = Directory(), free_address("127.0.0.2")
    settings = {"jwt_secret": JWT_SECRET, **settings}
    async with open_door(folder / "b", app, prepare=joining("b", directory, internal), **settings) as owner:
        directory.owners[owner.preview.id] = Owner("b", internal, 1)
        directory.previews[owner.generation] = owner.preview.id
        host, _, port = internal.rpartition(":")
        yield Owning(owner, (host, int(port)), directory)


@asynccontextmanager
async def open_two(folder: Path, app: Any = echo, **settings: Any) -> AsyncIterator[Two]:
    # One data folder each: only PostgreSQL would be shared.
    async with open_owner(folder, app, **settings) as owning:
        joined = joining("a", owning.directory, free_address("127.0.0.3"))
        settings = {"jwt_secret": JWT_SECRET, **settings}
        async with open_edge(folder / "a", prepare=joined, build_on_push=False, **settings) as other:
            yield Two(owning.owner, other, owning.internal, owning.directory)


@dataclass
class Wire:
    """A line between two nodes that can be cut."""

    address: str
    streams: list[trio.SocketStream] = field(default_factory=list)

    def cut(self) -> None:
        for stream in self.streams:
            stream.socket.close()


@asynccontextmanager
async def open_wire(to: tuple[str, int]) -> AsyncIterator[Wire]:
    async with trio.open_nursery() as nursery:
        wire = Wire("")

        async def carry(source: trio.SocketStream, sink: trio.SocketStream) -> None:
            with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
                async for data in source:
                    await sink.send_all(data)

        async def forward(stream: trio.SocketStream) -> None:
            async with await trio.open_tcp_stream(*to) as far, trio.open_nursery() as both:
                wire.streams += [stream, far]
                both.start_soon(carry, stream, far)
                both.start_soon(carry, far, stream)

        listeners = await nursery.start(partial(trio.serve_tcp, forward, 0, host="127.0.0.2"))
        wire.address = f"127.0.0.2:{listeners[0].socket.getsockname()[1]}"
        yield wire
        nursery.cancel_scope.cancel()
