"""The recorded requests that a replay or a comparison names by a filter."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from traffic_room import draft, open_traffic_room

from preview.errors import InvalidFilter, InvalidRequest
from preview.http.routes.replay import find_steps
from preview.storage import Database
from preview.traffic import store


async def test_a_filter_names_the_same_requests_as_in_the_list(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "_SCAN_RECORDS", 2)
    async with open_traffic_room(database, tmp_path) as room:
        traffic = await room.open()
        for number in range(9):
            traffic.record(draft(target=b"/old" if number < 2 else b"/new", reload=number // 4))
        await room.writer.flush("preview_a")
        record = SimpleNamespace(id="preview_a")

        async def latest(_: str) -> Any:
            return record

        backend: Any = SimpleNamespace(
            previews=SimpleNamespace(latest=latest, active=lambda _: None, find=lambda _: None),
            service=SimpleNamespace(traffic=room.store, traffic_writer=room.writer),
        )

        async def numbers(text: str | None) -> list[int | None]:
            generation: Any = SimpleNamespace(id="g")
            return [one.number for one in await find_steps(backend, generation, None, text, [])]

        # Far behind the first page that the store compares.
        assert await numbers("path:/old") == [1, 2]
        assert await numbers("reload:last") == [9]
        assert await numbers("reload:1") == [5, 6, 7, 8]
        assert await numbers("") == await numbers(None) == list(range(1, 10))
        with pytest.raises(InvalidFilter, match="log lines only"):
            await numbers("source:system")
        with pytest.raises(InvalidRequest):
            await numbers("path:/never")
