"""Requests made to stop or delay the service. The writer outlives each of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing
from traffic_room import TrafficRoom, draft, message, open_traffic_room

from preview.storage.database import open_database
from preview.traffic import PreviewTraffic
from preview.traffic.rows import RecordEncoder

# A secret of six characters that fills the target: each one becomes a mark of 19.
SWELLING = b"/?q=" + b"abcdef" * 1750


async def flushed(room: TrafficRoom) -> None:
    with trio.fail_after(20):
        await room.writer.flush("preview_a")


@pytest.mark.parametrize("cookie", ["a=abcdef; b=dacted", "a=abcdef"])
async def test_a_target_that_swells_by_its_marks_is_stored(
    sqlite_database_url: str, tmp_path: Path, cookie: str
) -> None:
    async with open_database(sqlite_database_url) as database, open_traffic_room(database, tmp_path) as room:
        traffic = await room.open()
        traffic.record(draft(target=SWELLING, request=message(cookie=cookie)))
        traffic.record(draft())
        await flushed(room)
        first, second = [await room.store.get("preview_a", number) for number in (1, 2)]
        assert first.target.startswith("/?q=")
        assert "abcdef" not in first.target
        assert second.target == "/books?x=1"


async def test_a_request_that_cannot_be_encoded_costs_itself_only(
    sqlite_database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encode = RecordEncoder.encode

    def failing(encoder: RecordEncoder, given: Any, last_line: int) -> str:
        if b"bad" in given.target or given.request is not None:
            raise ValueError("it cannot be read")
        return encode(encoder, given, last_line)

    monkeypatch.setattr(RecordEncoder, "encode", failing)
    async with open_database(sqlite_database_url) as database, open_traffic_room(database, tmp_path) as room:
        traffic = await room.open()
        traffic.record(draft(target=b"/full", request=message(b"x")))
        traffic.record(draft(target=b"/bad?token=abcdef", request=message(b"x")))
        traffic.record(draft())
        await flushed(room)
        found = {one.number: one for one in (await room.store.list("preview_a")).items}
        # The first one lost its headers and bodies, the second one everything.
        assert [found[number].target for number in sorted(found)] == ["/full", "/books?x=1"]
        assert (traffic.lost_records, traffic.lost_bodies) == (1, 1)


async def test_a_record_that_the_driver_refuses_costs_its_preview_only(
    sqlite_database_url: str, tmp_path: Path
) -> None:
    async with open_database(sqlite_database_url) as database, open_traffic_room(database, tmp_path) as room:
        bad, good = await room.open(), await room.open("preview_b")
        # A lone surrogate is no text that a driver can send.
        bad.record(draft(method="\ud800"))
        good.record(draft())
        await flushed(room)
        with trio.fail_after(20):
            await room.writer.flush("preview_b")
        assert (bad.lost_records, good.lost_records) == (1, 0)
        bad.record(draft())
        await flushed(room)
        assert [one.number for one in (await room.store.list("preview_a")).items] == [2]


async def test_a_bad_record_at_the_end_costs_its_preview_only(sqlite_database_url: str, tmp_path: Path) -> None:
    async with open_database(sqlite_database_url) as database:
        async with open_traffic_room(database, tmp_path) as room:
            bad, good = await room.open(), await room.open("preview_b")
            bad.record(draft(method="\ud800"))
            good.record(draft())
        assert len((await room.store.list("preview_b")).items) == 1


async def test_previews_may_begin_while_old_records_are_deleted(
    sqlite_database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with (
        open_database(sqlite_database_url) as database,
        open_traffic_room(database, tmp_path, preview_requests_mb=1) as room,
    ):
        traffic = await room.open()
        await room.add_preview("preview_b")
        write = database.write
        launched: list[PreviewTraffic] = []

        async def launching(change: Any, **more: object) -> object:
            if "_delete_up_to" in repr(change) and not launched:
                launched.append(room.writer.open("preview_b", room.lines))
            return await write(change, **more)  # type: ignore[arg-type]  # as it is

        monkeypatch.setattr(database, "write", launching)
        large = draft(request=message(b"x" * 60_000, content_type="text/plain"))
        while not launched:
            traffic.record(large)
            await flushed(room)
            await trio.testing.wait_all_tasks_blocked()
        traffic.record(draft())
        await flushed(room)


async def test_an_unexpected_error_of_the_deletion_is_logged(
    sqlite_database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_database(sqlite_database_url) as database, open_traffic_room(database, tmp_path) as room:
        traffic = await room.open()

        async def failing(_live: object) -> None:
            await trio.lowlevel.checkpoint()
            raise RuntimeError("unexpected")

        monkeypatch.setattr(room.writer._retention, "trim", failing)
        for _ in range(2):
            traffic.record(draft())
            await flushed(room)
            await trio.testing.wait_all_tasks_blocked()
        assert traffic.stored_number == 2
