from __future__ import annotations

import sqlite3

import pytest
import trio
from log_room import MakeRoom, Room
from sqlalchemy import Connection, event
from sqlalchemy.exc import ProgrammingError

from preview.logs import Batch, run_log_writer
from preview.logs.storage import rows as rows_module
from preview.logs.storage import writer as writer_module
from preview.logs.storage.queue import WriteQueue
from preview.logs.storage.rows import Rows, encode_batches, insert_rows

A = "preview_a"


def batch(first: int, count: int = 1, preview_id: str = A, text: str = "x") -> Batch:
    return Batch(preview_id, first, [1000 + first] * count, b"\x01" * count, [text] * count)


async def seqs(room: Room, preview_id: str = A) -> list[int]:
    return [line.seq for line in await room.store.read(preview_id, after=0, limit=100_000)]


async def test_what_was_flushed_can_be_read(room: Room) -> None:
    with trio.fail_after(60):
        room.writer.offer(Batch(A, 1, [5, 6, 70_000], bytes([0, 7, 18]), ['q"\\', "\tü😀\u2028", "c"]))
        room.writer.offer(Batch(A, 4, [3], bytes([13]), [""]))
        await room.writer.flush(A)
        lines = await room.store.read(A, after=0, limit=10)
    assert [(line.seq, line.timestamp_ms, line.message) for line in lines] == [
        (1, 5, 'q"\\'), (2, 6, "\tü😀\u2028"), (3, 70_000, "c"), (4, 3, ""),
    ]  # fmt: skip
    assert [(line.level.name, line.source.value) for line in lines] == [
        ("DEBUG", "child.preview"), ("ERROR", "child.request"), ("WARNING", "system.startup"),
        ("INFO", "system.preview"),
    ]  # fmt: skip
    assert room.writer.queued_bytes == 0


async def test_a_flush_with_nothing_offered_returns_at_once(room: Room) -> None:
    with trio.fail_after(60):
        await room.writer.flush("preview_unknown")
        room.writer.close("preview_unknown")


async def test_a_flush_up_to_a_number_does_not_wait_for_later_lines(make_room: MakeRoom) -> None:
    room = make_room()
    await room.add_preview(A)
    room.writer.offer(batch(10))
    with trio.fail_after(60):
        await room.writer.flush(A, up_to=9)
    with trio.move_on_after(0.05) as scope:
        await room.writer.flush(A, up_to=10)
    assert scope.cancelled_caught


async def test_lines_without_a_flush_are_written_soon(room: Room) -> None:
    room.writer.offer(batch(1))
    with trio.fail_after(60):
        while room.writer.queued_bytes:  # noqa: ASYNC110  only a flush is told when a write ends, and it hurries it
            await trio.sleep(0.01)
    assert await seqs(room) == [1]


async def test_previews_take_turns_and_each_keeps_its_order(room: Room) -> None:
    await room.add_preview("preview_b")
    for first in range(1, 20_000, 1000):
        room.writer.offer(batch(first, 1000))
    room.writer.offer(batch(1, preview_id="preview_b"))
    with trio.fail_after(60):
        await room.writer.flush("preview_b")
        assert len(await seqs(room)) < 20_000
        await room.writer.flush(A)
        assert await seqs(room) == list(range(1, 20_001))


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)  # the lock is on its whole file
async def test_a_locked_database_delays_lines_and_loses_none(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer_module, "_RETRY_FIRST_S", 0.01)

    def impatient(connection: object, *_: object) -> None:
        connection.execute("PRAGMA busy_timeout = 20")  # type: ignore[attr-defined]

    event.listen(room.database.engine, "checkout", impatient)
    other = sqlite3.connect(str(room.database.engine.url.database), isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    room.writer.offer(batch(1, 100))
    with trio.move_on_after(0.3) as scope:
        await room.writer.flush(A)
    assert scope.cancelled_caught
    room.writer.offer(batch(101, 100))
    other.execute("ROLLBACK")
    other.close()
    with trio.fail_after(60):
        await room.writer.flush(A)
    assert await seqs(room) == list(range(1, 201))
    assert room.writer.lost_lines(A) == 0


async def test_a_full_queue_drops_and_counts_and_later_lines_land(make_room: MakeRoom, nursery: trio.Nursery) -> None:
    room = make_room(log_queue_bytes=batch(1, 100).size_bytes * 3)
    await room.add_preview(A)
    for first in range(1, 501, 100):
        room.writer.offer(batch(first, 100))
    assert room.writer.lost_lines(A) == 200
    await nursery.start(run_log_writer, room.writer)
    with trio.fail_after(60):
        await room.writer.flush(A)
        room.writer.offer(batch(501, 100))
        await room.writer.flush(A)
    assert await seqs(room) == [*range(1, 301), *range(501, 601)]


def test_one_previews_flood_costs_only_its_own_lines() -> None:
    queue = WriteQueue(batch(1, 100).size_bytes * 4, 10**9)
    for first in range(1, 1001, 100):
        queue.put(batch(first, 100))
    assert queue.put(batch(1, 10, preview_id="preview_b")) == 100
    quiet, loud = queue.find("preview_b"), queue.find(A)
    assert quiet is not None
    assert loud is not None
    assert quiet.lost_lines == 0
    assert loud.lost_lines == 700
    assert queue.size_bytes <= batch(1, 100).size_bytes * 4


async def test_the_lag_is_the_age_of_the_oldest_line_that_is_not_stored(
    make_room: MakeRoom, nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    room = make_room()
    monkeypatch.setattr(writer_module, "now_ms", lambda: 6_001)
    for preview_id in (A, "preview_b"):
        await room.add_preview(preview_id)
    assert room.writer.lag_s == 0
    room.writer.offer(batch(2_000, preview_id="preview_b"))
    room.writer.offer(batch(1))
    assert room.writer.lag_s == 5
    # A clock that was set back is no lag.
    monkeypatch.setattr(writer_module, "now_ms", lambda: 10)
    assert room.writer.lag_s == 0
    monkeypatch.setattr(writer_module, "now_ms", lambda: 6_001)
    with trio.fail_after(60):
        await nursery.start(run_log_writer, room.writer)
        for preview_id in (A, "preview_b"):
            await room.writer.flush(preview_id)
    assert room.writer.lag_s == 0


def test_a_flood_does_not_displace_who_holds_less() -> None:
    queue = WriteQueue(batch(1, 100).size_bytes * 2, 10**9)
    queue.put(batch(1, 100, preview_id="preview_b"))
    queue.put(batch(1, 100))
    assert queue.put(batch(101, 100)) == 100
    assert queue.put(batch(1, 150, preview_id="preview_c")) == 150
    assert [one.preview_id for one in queue.take(10_000, 10**9)] == ["preview_b", A]


def test_a_closed_preview_that_loses_its_last_batch_is_forgotten() -> None:
    queue = WriteQueue(batch(1, 100).size_bytes, 10**9)
    queue.put(batch(1, 100))
    loud = queue.find(A)
    assert loud is not None
    loud.closed = True
    queue.put(batch(1, 10, preview_id="preview_b"))
    assert queue.find(A) is None


async def test_a_deleted_previews_lines_are_given_up_and_others_go_on(room: Room) -> None:
    await room.add_preview("preview_b")
    await room.delete_preview(A)
    with trio.fail_after(60):
        room.writer.offer(batch(1, 5))
        room.writer.offer(batch(1, 5, preview_id="preview_b"))
        await room.writer.flush(A)
        await room.writer.flush("preview_b")
        assert await seqs(room) == []
        assert await seqs(room, "preview_b") == [1, 2, 3, 4, 5]
    assert room.writer.lost_lines(A) == 5
    room.writer.close(A)
    assert room.writer.lost_lines(A) == 0


async def test_deleting_a_preview_deletes_its_lines(room: Room) -> None:
    with trio.fail_after(60):
        room.writer.offer(batch(1, 5))
        await room.writer.flush(A)
        await room.delete_preview(A)
    assert await seqs(room) == []


async def test_a_transaction_that_was_committed_after_all_can_be_repeated(room: Room) -> None:
    with trio.fail_after(60):
        for _ in range(2):
            room.writer.offer(batch(1, 5))
            await room.writer.flush(A)
    assert await seqs(room) == [1, 2, 3, 4, 5]


async def test_a_preview_stores_no_more_than_it_may(make_room: MakeRoom, nursery: trio.Nursery) -> None:
    size = batch(1, 100).size_bytes
    room = make_room(stored_log_bytes=10 * size)
    await room.add_preview(A)
    await nursery.start(run_log_writer, room.writer)
    with trio.fail_after(60):
        for first in range(1, 5001, 100):
            room.writer.offer(batch(first, 100))
            await room.writer.flush(A)
    kept = await seqs(room)
    assert kept[-1] == 5000
    assert 1000 <= len(kept) <= 1200
    assert kept == list(range(kept[0], 5001))


async def test_a_refused_statement_is_no_end_of_the_writer(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(connection: Connection, runs: list[Rows]) -> None:
        raise ProgrammingError("INSERT", {}, Exception("no"))

    with monkeypatch.context() as patch:
        patch.setattr(writer_module, "insert_rows", refuse)
        room.writer.offer(batch(1))
        with trio.fail_after(60):
            await room.writer.flush(A)
    room.writer.offer(batch(2))
    with trio.fail_after(60):
        await room.writer.flush(A)
    assert await seqs(room) == [2]


async def test_a_cancelled_writer_writes_what_is_queued(make_room: MakeRoom) -> None:
    room = make_room()
    await room.add_preview(A)
    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            await nursery.start(run_log_writer, room.writer)
            for first in range(1, 10_001, 1000):
                room.writer.offer(batch(first, 1000))
            nursery.cancel_scope.cancel()
    assert await seqs(room) == list(range(1, 10_001))
    assert room.writer.queued_bytes == 0


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)  # the lock is on its whole file
async def test_a_writer_cancelled_during_an_outage_ends_in_time(make_room: MakeRoom) -> None:
    room = make_room()
    await room.add_preview(A)

    def impatient(connection: object, *_: object) -> None:
        connection.execute("PRAGMA busy_timeout = 20")  # type: ignore[attr-defined]

    event.listen(room.database.engine, "checkout", impatient)
    other = sqlite3.connect(str(room.database.engine.url.database), isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            await nursery.start(run_log_writer, room.writer)
            room.writer.offer(batch(1, 10))
            with trio.move_on_after(0.2):
                await room.writer.flush(A)
            nursery.cancel_scope.cancel()
    other.close()
    assert room.writer.queued_bytes == 0
    assert await seqs(room) == []


async def test_a_store_gives_tails_and_bounds(room: Room) -> None:
    assert await room.store.bounds(A) == (0, 0)
    assert await room.store.tail(A, 3) == []
    with trio.fail_after(60):
        room.writer.offer(batch(1, 5))
        await room.writer.flush(A)
    assert [line.seq for line in await room.store.tail(A, 3)] == [3, 4, 5]
    assert await room.store.bounds(A) == (1, 5)


async def test_lines_are_encoded_in_turns_and_not_in_the_thread(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    """A thread busy with Python would make each system call of the loop wait for the interpreter's lock."""
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await trio.lowlevel.checkpoint()

    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(count)
            await trio.lowlevel.checkpoint()
            before = turns
            runs = await encode_batches([batch(first, 1000) for first in range(1, 10_001, 1000)])
            assert turns - before >= 5
            nursery.cancel_scope.cancel()
    monkeypatch.setattr(rows_module, "_encode", None)  # not needed any more
    await room.database.write(lambda connection: insert_rows(connection, runs))
    assert await seqs(room) == list(range(1, 10_001))


async def test_a_writer_cancelled_in_the_midst_of_its_work_writes_that_too(make_room: MakeRoom) -> None:
    room = make_room()
    await room.add_preview(A)
    for first in range(1, 10_001, 1000):
        room.writer.offer(batch(first, 1000))
    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            await nursery.start(run_log_writer, room.writer)
            while room.writer._queue.waiting_lines == 10_000:
                await trio.lowlevel.checkpoint()
            nursery.cancel_scope.cancel()
    assert await seqs(room) == list(range(1, 10_001))
    assert room.writer.queued_bytes == 0
