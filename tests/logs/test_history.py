from __future__ import annotations

import pytest
import trio
from log_room import MakeRoom, Room, end_of
from sqlalchemy import insert

from preview.logs import Batch, Gap, History, Level, Received, Source, run_log_writer
from preview.storage.tables import preview_logs

A = "preview_a"


async def store(room: Room, first: int, last: int) -> None:
    count = last - first + 1
    room.writer.offer(Batch(A, first, [1000] * count, b"\1" * count, ["x"] * count))
    await room.writer.flush(A)


async def read_to_end(source: History) -> list[Received]:
    events: list[Received] = []
    with source, trio.fail_after(60):
        while True:
            try:
                events += await source.receive()
            except trio.EndOfChannel:
                return events


def spans(events: list[Received]) -> list[tuple[int, int]]:
    return [(event.first_seq, event.last_seq) for event in events if isinstance(event, Batch | Gap)]


async def test_an_ended_previews_lines_come_in_pages_and_then_its_end(room: Room) -> None:
    await store(room, 1, 2500)
    events = await read_to_end(History(room.store, end_of(A), A))
    assert spans(events) == [(1, 1000), (1001, 2000), (2001, 2500)]
    assert events[-1] == end_of(A)


async def test_a_history_without_lines_is_its_end(room: Room) -> None:
    for after in (None, 0, 7):
        assert await read_to_end(History(room.store, end_of(A), A, after=after)) == [end_of(A)]
    assert await read_to_end(History(room.store, end_of(A), A, tail=5)) == [end_of(A)]


@pytest.mark.parametrize(
    ("after", "tail", "expected"),
    [(3, None, [(4, 10)]), (10, None, []), (11, None, [(1, 10)]), (None, 4, [(7, 10)]), (None, 50, [(1, 10)])],
)
async def test_a_history_begins_where_it_was_asked_to(
    room: Room, after: int | None, tail: int | None, expected: list[tuple[int, int]]
) -> None:
    await store(room, 1, 10)
    assert spans(await read_to_end(History(room.store, end_of(A), A, after=after, tail=tail))) == expected


async def test_missing_numbers_are_gaps_with_their_reason(make_room: MakeRoom, nursery: trio.Nursery) -> None:
    room = make_room()
    await room.add_preview(A)
    await nursery.start(run_log_writer, room.writer)
    await store(room, 5, 8)
    await store(room, 12, 14)
    events = await read_to_end(History(room.store, end_of(A), A))
    assert [event for event in events if isinstance(event, Gap)] == [Gap(1, 4, "retention"), Gap(9, 11, "lost")]
    assert spans(events) == [(1, 4), (5, 8), (9, 11), (12, 14)]
    assert spans(await read_to_end(History(room.store, end_of(A), A, tail=20))) == [(5, 8), (9, 11), (12, 14)]


async def test_lines_lost_at_the_very_end_are_a_gap_and_not_given_again(make_room: MakeRoom) -> None:
    room = make_room(log_queue_bytes=1)
    await room.add_preview(A)
    room.writer.offer(Batch(A, 1, [1000] * 3, b"\1" * 3, ["x"] * 3))  # more than the queue may hold
    nothing = await read_to_end(History(room.store, end_of(A), A, last_seq=3))
    assert nothing == [Gap(1, 3, "lost"), end_of(A)]
    row = {
        "preview_id": A,
        "seq": 1,
        "timestamp": 1000,
        "level": Level.INFO,
        "source": Source.PREVIEW.value,
        "message": "x",
    }
    await room.database.write(lambda connection: connection.execute(insert(preview_logs).values(row)))
    assert spans(await read_to_end(History(room.store, end_of(A), A, last_seq=3))) == [(1, 1), (2, 3)]
    assert spans(await read_to_end(History(room.store, end_of(A), A, after=2, last_seq=3))) == [(3, 3)]
    assert spans(await read_to_end(History(room.store, end_of(A), A, after=3, last_seq=3))) == []
    assert spans(await read_to_end(History(room.store, end_of(A), A, tail=2, last_seq=3))) == [(2, 3)]


async def test_a_history_waits_for_lines_that_are_still_on_their_way(
    make_room: MakeRoom, nursery: trio.Nursery
) -> None:
    room = make_room()
    await room.add_preview(A)
    room.writer.offer(Batch(A, 1, [1000] * 3, b"\1" * 3, ["x"] * 3))
    room.writer.close(A)
    source = History(room.store, end_of(A), A, last_seq=3, settle=lambda: room.writer.flush(A))
    with trio.move_on_after(0.05) as scope:
        await source.receive()
    assert scope.cancelled_caught
    await nursery.start(run_log_writer, room.writer)
    assert spans(await read_to_end(source)) == [(1, 3)]


async def test_a_history_that_was_left_is_over(room: Room) -> None:
    with History(room.store, end_of(A), A) as source:
        pass
    with pytest.raises(trio.EndOfChannel):
        await source.receive()
