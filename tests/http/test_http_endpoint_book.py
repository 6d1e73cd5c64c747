"""What a running preview publishes of itself, and how long it is believed."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
import trio
import trio.testing
from asgi_kit import handled
from browser_kit import Door, open_door

from preview.http import endpoint_book
from preview.supervisor.preview.control import Control
from preview.supervisor.preview.deadlines import SocketRelease

FILES = {"main.py": "from fastapi import FastAPI\napp = FastAPI()\n"}


class Published:
    """An application that publishes these paths, or breaks."""

    def __init__(self, *paths: str) -> None:
        self.paths = paths
        self.asked = 0
        self.breaks = False

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if await handled(scope, receive, send):
            return
        self.asked += 1
        document = {"openapi": "3.1.0", "paths": {path: {"get": {"responses": {}}} for path in self.paths}}
        body = b"{" if self.breaks else json.dumps(document).encode()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": body})


async def paths(door: Door) -> list[str]:
    answer = await door.api("GET", "endpoints")
    assert answer.status_code == 200, answer.text
    return [one["path"] for one in answer.json()["endpoints"]]


async def test_what_is_published_is_asked_for_once(tmp_path: Path) -> None:
    app = Published("/apples")
    async with open_door(tmp_path, app, files=FILES) as door:
        assert await paths(door) == ["/apples"]
        assert await paths(door) == ["/apples"]
        assert app.asked == 1


async def test_another_process_is_asked_anew(tmp_path: Path) -> None:
    app = Published("/apples")
    async with open_door(tmp_path, app, files=FILES) as door:
        assert await paths(door) == ["/apples"]
        app.paths = ("/pears",)
        door.preview.record = replace(door.preview.record, pid=2)
        assert await paths(door) == ["/pears"]


@pytest.mark.parametrize("which", [0, 1], ids=["closed", "ended"])
async def test_a_process_is_asked_when_the_one_from_before_has_let_go(tmp_path: Path, which: int) -> None:
    app = Published("/apples")
    async with open_door(tmp_path, app, files=FILES) as door:
        events = (trio.Event(), trio.Event())
        door.preview.succession.note(*events)

        async def let_go() -> None:
            await trio.testing.wait_all_tasks_blocked(0.05)
            assert app.asked == 0
            app.paths = ("/pears",)
            events[which].set()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(let_go)
            assert await paths(door) == ["/pears"]


@pytest.mark.parametrize("which", [0, 1], ids=["closed", "ended"])
async def test_what_may_be_the_old_processs_answer_is_not_kept_for_the_new_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, which: int
) -> None:
    monkeypatch.setattr(endpoint_book, "_HANDED_OVER_S", 0.0)
    app = Published("/apples")
    async with open_door(tmp_path, app, files=FILES) as door:
        events = (trio.Event(), trio.Event())
        door.preview.succession.note(*events)
        assert await paths(door) == ["/apples"]
        app.paths = ("/pears",)
        events[which].set()
        assert await paths(door) == ["/pears"]
        app.paths = ("/plums",)
        assert await paths(door) == ["/pears"]


async def test_every_process_from_before_has_to_let_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoint_book, "_HANDED_OVER_S", 0.0)
    app = Published("/apples")
    async with open_door(tmp_path, app, files=FILES) as door:
        first, second = trio.Event(), trio.Event()
        door.preview.succession.note(first)
        door.preview.succession.note(second)
        second.set()
        assert await paths(door) == ["/apples"]
        app.paths = ("/pears",)
        first.set()
        assert await paths(door) == ["/pears"]


async def test_a_preview_that_did_not_answer_is_asked_again_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(endpoint_book, "_ASKED_AGAIN_AFTER_S", 0.0)
    app = Published("/apples")
    app.breaks = True
    async with open_door(tmp_path, app, files=FILES) as door:
        assert await paths(door) == []
        app.breaks = False
        assert await paths(door) == ["/apples"]


async def test_a_preview_that_did_not_answer_is_not_asked_by_every_look(tmp_path: Path) -> None:
    app = Published("/apples")
    app.breaks = True
    async with open_door(tmp_path, app, files=FILES) as door:
        assert await paths(door) == []
        assert await paths(door) == []
        assert app.asked == 1


class Reporting:
    """A control channel whose process reports one route, when it may."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.asked, self.may = trio.Event(), trio.Event()

    async def ask_routes(self) -> bytes:
        self.asked.set()
        await self.may.wait()
        return b"GET\ts%s\n" % self.path.encode()


async def test_a_report_during_a_replacement_is_kept_for_the_process_that_gave_it(tmp_path: Path) -> None:
    """Channel and pid change at once, so a report needs no wait for the old process."""
    old, new = Reporting("/old"), Reporting("/new")
    async with open_door(tmp_path, Published(), files=FILES) as door:
        door.preview.control = cast("Control", old)

        async def replace_process() -> None:
            await old.asked.wait()
            door.preview.control = cast("Control", new)
            door.preview.record = replace(door.preview.record, pid=2)
            door.preview.succession.note(trio.Event())
            old.may.set()
            new.may.set()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(replace_process)
            assert await paths(door) == ["/old"]
        door.preview.succession = SocketRelease()
        assert await paths(door) == ["/new"]
