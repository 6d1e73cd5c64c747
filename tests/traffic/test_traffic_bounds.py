"""Recording never waits and never takes more memory than its bounds; what is lost is counted."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path

import pytest
import trio
import trio.testing
from traffic_room import draft, message, open_traffic_room

from preview.errors import DatabaseUnavailable
from preview.proxy.admission import Admitted
from preview.proxy.recording import recording_of
from preview.storage.database import Database, open_database
from preview.traffic import Capture, unrecorded


class Stalled:
    """A database that answers nothing until ``go`` is set."""

    def __init__(self, database: Database) -> None:
        self.go = trio.Event()
        self._database = database
        self._write = database.write

    async def write(self, change: object, **more: object) -> object:
        await self.go.wait()
        return await self._write(change, **more)  # type: ignore[arg-type]  # as it is


async def test_twenty_thousand_a_second_with_a_stalled_database(
    sqlite_database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with (
        open_database(sqlite_database_url) as database,
        open_traffic_room(database, tmp_path, request_queue_bytes=8 * 1024 * 1024) as room,
    ):
        traffic, quiet = await room.open(), await room.open("preview_b")
        stalled = Stalled(database)
        monkeypatch.setattr(database, "write", stalled.write)
        large = draft(request=message(b"x" * 60_000), response=message(b"y" * 60_000))
        for number in range(60_000):
            assert traffic.record(large) == number + 1
            if not number % 5000:
                # Nothing waits: other tasks only get their turns.
                await trio.testing.wait_all_tasks_blocked()
        assert room.writer.queued_bytes <= 2 * 8 * 1024 * 1024
        assert room.writer.queued_records <= 2 * 20_000
        kept = room.writer.queued_records
        assert traffic.lost_records == 60_000 - kept
        assert traffic.lost_bodies > 50_000
        # The flood of one leaves room for another.
        quiet.record(draft())
        assert quiet.lost_records == 0
        monkeypatch.undo()
        stalled.go.set()
        with trio.fail_after(60):
            await room.writer.flush("preview_a")
            await room.writer.flush("preview_b")
        page = await room.store.list("preview_a", limit=1000)
        assert page.lost_records == traffic.lost_records
        assert len((await room.store.list("preview_b")).items) == 1
        assert (room.writer.queued_bytes, room.writer.queued_records) == (0, 0)


async def test_an_outage_of_the_database_loses_nothing(
    sqlite_database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_database(sqlite_database_url) as database, open_traffic_room(database, tmp_path) as room:
        traffic = await room.open()
        write, failures = database.write, [DatabaseUnavailable("It does not answer.")] * 2

        async def failing(change: object, **more: object) -> object:
            if failures:
                raise failures.pop()
            return await write(change, **more)  # type: ignore[arg-type]  # as it is

        monkeypatch.setattr(database, "write", failing)
        traffic.record(draft())
        with trio.fail_after(20):
            await room.writer.flush("preview_a")
        assert len((await room.store.list("preview_a")).items) == 1


async def test_queued_requests_are_stored_when_the_service_ends(sqlite_database_url: str, tmp_path: Path) -> None:
    async with open_database(sqlite_database_url) as database:
        async with open_traffic_room(database, tmp_path) as room:
            traffic = await room.open()
            for _ in range(50):
                traffic.record(draft())
            assert traffic.stored_number == 0
        assert len((await room.store.list("preview_a")).items) == 50


async def test_a_reader_waits_until_a_request_is_stored(sqlite_database_url: str, tmp_path: Path) -> None:
    async with open_database(sqlite_database_url) as database, open_traffic_room(database, tmp_path) as room:
        traffic = await room.open()
        seen: list[int] = []

        async def read() -> None:
            await traffic.wait_beyond(0)
            # Stored before it is shown: a kill now loses nothing that was seen.
            seen.extend(one.number for one in (await room.store.list("preview_a")).items)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(read)
            await trio.testing.wait_all_tasks_blocked()
            traffic.record(draft())
            assert seen == []
        assert seen == [1]


async def test_requests_beyond_the_rate_are_counted_and_have_no_number(
    sqlite_database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [100.0]
    monkeypatch.setattr("preview.traffic.preview_traffic.monotonic", lambda: now[0])
    async with (
        open_database(sqlite_database_url) as database,
        open_traffic_room(database, tmp_path, recorded_requests_per_s=3) as room,
    ):
        traffic, other = await room.open(), await room.open("preview_b")
        assert [traffic.records_next() for _ in range(5)] == [True, True, True, False, False]
        assert (traffic.lost_records, traffic.last_number) == (2, 0)
        assert other.records_next()
        now[0] += 0.99
        assert not traffic.records_next()
        now[0] += 0.01
        assert traffic.records_next()
        traffic.record(draft())
        await room.writer.flush("preview_a")
        assert (await room.store.list("preview_a")).lost_records == 3


class NoLines:
    last_seq = 0

    async def read_on(self) -> None: ...


def test_requests_that_are_not_recorded_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    traffic = unrecorded("preview_a", NoLines())
    counted: list[tuple[str, int]] = []
    traffic.count = lambda name, status, _seconds: counted.append((name, status))
    admitted = Admitted("preview_a", ("127.0.0.1", 1), 1, 0, "", nullcontext, traffic=traffic)
    for capture, is_recorded in ((Capture.META, False), (Capture.OFF, False), (Capture.META, True)):
        traffic.set_capture(capture)
        monkeypatch.setattr(traffic, "records_next", lambda is_recorded=is_recorded: is_recorded)
        for _ in range(2):
            recording = recording_of(admitted, "GET", b"/books/7?x=1", b"id", 0.0, 0.0)
            assert recording is not None
            recording.status = 503
            recording.end()
            recording.end()
    assert counted == [("GET /books/{id}", 503)] * 2 + [("other paths", 503)] * 2
    assert traffic.last_number == 2
