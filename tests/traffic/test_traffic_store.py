"""Recorded requests in both databases: numbers, pages, headers and bodies, pins, retention."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import delete
from traffic_room import TrafficRoom, draft, message, open_traffic_room

from preview.errors import PinLimitReached, RequestNotFound
from preview.storage import PreviewStore
from preview.storage.database import Database
from preview.storage.tables import preview_instances
from preview.traffic import Capture, Origin, Timing, Who


@pytest.fixture
async def room(database: Database, tmp_path: Path) -> AsyncIterator[TrafficRoom]:
    async with open_traffic_room(database, tmp_path) as made:
        yield made


async def test_records_come_back_as_they_were(room: TrafficRoom) -> None:
    traffic = await room.open()
    room.lines.last_seq = 7
    request = message(b'{"title": "\xc3\xa9"}', content_type="application/json", authorization="Bearer abcdef")
    response = message(b"\x00\x01", size=70_000, content_type="image/png")
    full = draft(method="POST", status=201, first_line=5, request=request, response=response, sent_bytes=14)
    assert [traffic.record(draft()), traffic.record(full), traffic.record(draft(status=0, error="client_gone"))] == [
        1, 2, 3,
    ]  # fmt: skip
    await room.writer.flush("preview_a")
    one, two, three = [await room.store.get("preview_a", number) for number in (1, 2, 3)]
    assert (one.origin, one.who, one.method, one.target, one.status) == (
        Origin.BROWSER, Who.VIEWER, "GET", "/books?x=1", 200,
    )  # fmt: skip
    assert one.timing == Timing(1.0, None, 2.0, 3.5)
    assert (one.started_ms, one.request_id, one.request, one.pinned) == (1_760_000_000_000 - 3, "abc", None, False)
    assert (two.first_line, two.last_line, one.last_line) == (5, 7, 7)
    assert two.request is not None
    assert two.request.body == '{"title": "é"}'.encode()
    assert two.request.headers[0] == ("content-type", "application/json")
    assert two.request.headers[1][1].startswith("Bearer [redacted:")
    assert two.request.headers[-1] == ("x-request-id", "abc")
    assert two.response is not None
    assert (two.response.body, two.response.size_bytes, two.response.is_cut) == (b"\x00\x01", 70_000, True)
    assert (three.status, three.error) == (0, "client_gone")
    with pytest.raises(RequestNotFound):
        await room.store.get("preview_a", 4)


async def test_a_record_that_is_asked_for_covers_lines_that_were_in_the_pipe(room: TrafficRoom) -> None:
    traffic = await room.open()
    room.lines.last_seq, room.lines.unread = 7, 3
    traffic.record(draft(first_line=5))
    await room.writer.flush("preview_a")
    assert (await room.store.get("preview_a", 1)).last_line == 10


async def test_pages_go_in_both_directions_and_filter(room: TrafficRoom) -> None:
    traffic = await room.open()
    for number in range(1, 601):
        traffic.record(draft(status=500 if number % 100 == 0 else 200))
    await room.writer.flush("preview_a")
    page = await room.store.list("preview_a", limit=3)
    assert ([one.number for one in page.items], page.next) == ([600, 599, 598], 598)
    page = await room.store.list("preview_a", before=4)
    assert ([one.number for one in page.items], page.next) == ([3, 2, 1], None)
    page = await room.store.list("preview_a", after=597)
    assert ([one.number for one in page.items], page.next) == ([598, 599, 600], None)
    page = await room.store.list("preview_a", lambda one: one.status == 500, limit=2)
    assert ([one.number for one in page.items], page.next) == ([600, 500], 500)
    page = await room.store.list("preview_a", lambda one: one.status == 500, before=500, limit=9)
    assert ([one.number for one in page.items], page.next, page.last_number) == ([400, 300, 200, 100], None, 600)


async def test_pinned_requests_stay_and_are_limited(room: TrafficRoom) -> None:
    traffic = await room.open(status="stopped", ended=10)
    for _ in range(3):
        traffic.record(draft())
    await room.writer.flush("preview_a")
    await room.store.pin("preview_a", 2, user_id="u", most=1)
    await room.store.pin("preview_a", 2, user_id="u", most=1)
    with pytest.raises(PinLimitReached):
        await room.store.pin("preview_a", 3, user_id="u", most=1)
    with pytest.raises(RequestNotFound):
        await room.store.pin("preview_a", 9, user_id="u", most=5)
    assert (await room.store.get("preview_a", 2)).pinned
    previews = PreviewStore(room.database)
    assert await previews.delete_ended_before(1000) == 0
    await room.store.unpin("preview_a", 2)
    assert await previews.delete_ended_before(1000) == 1
    assert (await room.store.list("preview_a")).items == []


async def test_old_records_are_deleted_beyond_the_bytes_of_a_preview_and_of_all(
    database: Database, tmp_path: Path
) -> None:
    async with open_traffic_room(database, tmp_path, stored_requests_mb=2, preview_requests_mb=1) as room:
        over = await room.open("preview_over", status="stopped", ended=5)
        live = await room.open("preview_live")
        big = draft(target=b"/" + b"x" * 4000)
        for traffic in (over, live):
            for number in range(200):
                traffic.record(big)
                if number == 100:
                    await room.writer.flush(traffic.preview_id)
                    await room.store.pin(traffic.preview_id, 1, user_id="u", most=9)
            await room.writer.flush(traffic.preview_id)
        assert len((await room.store.list("preview_over", limit=999)).items) == 200
        for _ in range(4):
            for _ in range(100):
                live.record(big)
            await room.writer.flush("preview_live")
        live.record(big)
        await room.writer.flush("preview_live")
        kept = [one.number for one in (await room.store.list("preview_live", limit=999)).items]
        assert kept[0] == 601
        assert kept[-1] == 1
        assert 150 < len(kept) < 300
        assert kept[:-1] == [*range(601, kept[-2] - 1, -1)]
    async with open_traffic_room(database, tmp_path, stored_requests_mb=1, preview_requests_mb=1) as room:
        other = await room.open("preview_other")
        other.record(big)
        await room.writer.flush("preview_other")
        other.record(big)
        await room.writer.flush("preview_other")
        assert [one.number for one in (await room.store.list("preview_over", limit=999)).items] == [1]


async def test_records_of_a_deleted_preview_harm_no_other(room: TrafficRoom) -> None:
    gone, here = await room.open("preview_gone"), await room.open("preview_here")
    remove = delete(preview_instances).where(preview_instances.c.id == "preview_gone")
    await room.database.write(lambda connection: connection.execute(remove))
    gone.record(draft())
    here.record(draft())
    await room.writer.flush("preview_gone")
    await room.writer.flush("preview_here")
    assert gone.lost_records == 1
    assert len((await room.store.list("preview_here")).items) == 1


async def test_the_capture_setting_is_stored(room: TrafficRoom) -> None:
    traffic = await room.open()
    assert traffic.capture is Capture.META
    assert await room.store.capture("preview_a") is None
    traffic.capture = Capture.FULL
    await room.writer.store_capture(traffic)
    assert await room.store.capture("preview_a") is Capture.FULL
