"""Guests of a preview, as programs: share links, cookies, and their stream of viewers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx2
import trio
from http_kit import EventStream, World

# What a browser adds to a request of the service's own page.
OWN_PAGE = {"Sec-Fetch-Site": "same-origin"}


@dataclass
class GuestClient:
    """A guest with the cookie of a share link."""

    world: World
    generation_id: str
    cookie: str
    me: dict[str, Any]

    @property
    def base(self) -> str:
        return f"/api/v1/generations/{self.generation_id}"

    async def ask(
        self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None
    ) -> httpx2.Response:
        fields = {"Cookie": self.cookie} | OWN_PAGE | dict(headers or {})
        return await self.world.client.request(method, path, json=body, headers=fields)


async def new_link(world: World, generation_id: str, role: str, **body: Any) -> dict[str, Any]:
    path = f"/api/v1/generations/{generation_id}/preview/share"
    answer = await world.ask("POST", path, {"role": role} | body)
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


async def join(world: World, generation_id: str, link: Mapping[str, Any] | str, name: str = "") -> httpx2.Response:
    token = link if isinstance(link, str) else link["url"].rpartition("/")[2]
    path = f"/api/v1/generations/{generation_id}/preview/join"
    answer = await world.ask("POST", path, {"token": token, "name": name}, user=None, headers=OWN_PAGE)
    world.client.cookies.clear()
    return answer


async def new_guest(world: World, generation_id: str, role: str = "watch", name: str = "") -> GuestClient:
    answer = await join(world, generation_id, await new_link(world, generation_id, role), name)
    assert answer.status_code == 200, answer.text
    return GuestClient(world, generation_id, answer.headers["set-cookie"].partition(";")[0], answer.json())


@asynccontextmanager
async def open_stream(world: World, path: str, headers: Mapping[str, str]) -> AsyncIterator[EventStream]:
    async with await trio.open_tcp_stream(*world.address) as stream:
        opened = EventStream(stream)
        await opened.open(path, {"Accept": "text/event-stream"} | dict(headers))
        yield opened
