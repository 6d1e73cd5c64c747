from __future__ import annotations

import random

import pytest
import trio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from log_room import MakeRoom, Room, end_of, make_settings
from trio.testing import memory_stream_pair, wait_all_tasks_blocked

from preview.errors import DatabaseUnavailable
from preview.logs import (
    Batch,
    Contract,
    Encoding,
    Gap,
    Level,
    LogStore,
    LogWriter,
    PreviewLog,
    Received,
    Source,
    StatusChange,
    Subscription,
    encode,
    run_log_writer,
)
from preview.logs.delivery import backlog as cursor_module
from preview.logs.delivery.backlog import Backlog
from preview.logs.ingest.recognise import Recogniser
from preview.logs.storage import store as pages_module
from preview.storage.database import open_database
from preview.storage.tables import metadata

A = "preview_a"


def status(state: str = "starting") -> StatusChange:
    return StatusChange(A, state, "unknown", None, 0)


def print_lines(log: PreviewLog, first: int, last: int) -> None:
    """What the reader does with the lines of one read."""
    log._publish_output([f"line {number}" for number in range(first, last + 1)], Recogniser())


def numbers(events: list[Received]) -> list[int]:
    return [line.seq for event in events if isinstance(event, Batch) for line in event]


async def read_to_end(subscription: Subscription) -> list[Received]:
    events: list[Received] = []
    while True:
        try:
            events += await subscription.receive()
        except trio.EndOfChannel:
            return events


async def test_lines_are_numbered_from_one_in_their_order(room: Room) -> None:
    log = room.log()
    await trio.lowlevel.checkpoint()
    log.say("environment ready")
    print_lines(log, 2, 3)
    log.say("one\ntwo", Level.WARNING)
    assert log.last_seq == 5
    assert [(line.seq, line.message) for line in log.last_lines(10)] == [
        (1, "environment ready"), (2, "line 2"), (3, "line 3"), (4, "one"), (5, "two"),
    ]  # fmt: skip
    assert [line.seq for line in log.last_lines(2)] == [4, 5]
    assert [line.seq for line in log.last_lines(1, Level.WARNING)] == [5]
    assert [line.seq for line in log.last_lines(9, Level.WARNING)] == [4, 5]


async def test_the_source_tells_the_phase(room: Room) -> None:
    log = room.log()
    await trio.lowlevel.checkpoint()
    for ready in (False, True):
        if ready:
            log.mark_ready()
        log.say("x")
        log._publish_output(["y", '127.0.0.1 - "GET / HTTP/1.1" 200 OK'], Recogniser())
    assert [line.source for line in log.last_lines(10)] == [
        Source.SYSTEM_STARTUP, Source.STARTUP, Source.REQUEST, Source.SYSTEM, Source.PREVIEW, Source.REQUEST,
    ]  # fmt: skip


async def test_what_the_service_says_is_disarmed_too(room: Room) -> None:
    log = room.log()
    await trio.lowlevel.checkpoint()
    log.say("a\x1b[2Jb\x00 \udcff")
    assert log.last_lines(1)[0].message == "ab\u2400 ?"


async def test_a_subscriber_gets_the_state_then_all_lines_then_new_ones(room: Room) -> None:
    log = room.log()
    log.publish_status(status())
    print_lines(log, 1, 3)
    with trio.fail_after(60), log.subscribe() as subscription:
        assert log.subscriber_count == 1
        first = await subscription.receive()
        assert first[0] == status()
        assert numbers(first) == [1, 2, 3]
        print_lines(log, 4, 4)
        log.publish_status(status("running"))
        print_lines(log, 5, 5)
        second = await subscription.receive()
        assert numbers(second) == [4, 5]
        assert second[1] == status("running")
    assert log.subscriber_count == 0
    with pytest.raises(trio.EndOfChannel):
        await subscription.receive()


async def test_a_waiting_subscriber_is_woken_by_a_line(room: Room, nursery: trio.Nursery) -> None:
    log = room.log()
    got: list[Received] = []

    async def watch() -> None:
        with log.subscribe() as subscription:
            got.extend(await subscription.receive())

    with trio.fail_after(60):
        async with trio.open_nursery() as own:
            own.start_soon(watch)
            await wait_all_tasks_blocked()
            print_lines(log, 1, 1)
    assert numbers(got) == [1]


@pytest.mark.parametrize(
    ("after", "tail", "first"),
    [
        (None, None, 1),
        (0, None, 1),
        (3, None, 4),
        (5, None, 6),
        (6, None, 1),
        (-1, None, 1),
        (None, 2, 4),
        (None, 9, 1),
    ],
)
async def test_a_subscription_begins_where_it_was_asked_to(
    room: Room, after: int | None, tail: int | None, first: int
) -> None:
    log = room.log()
    print_lines(log, 1, 5)
    with log.subscribe(after=after, tail=tail) as subscription:
        print_lines(log, 6, 6)
        with trio.fail_after(60):
            assert numbers(await subscription.receive()) == list(range(first, 7))


async def test_everybody_gets_the_end_as_the_last_event(room: Room) -> None:
    log = room.log()
    with log.subscribe() as early:
        with trio.fail_after(60):
            print_lines(log, 1, 1)
            assert numbers(await early.receive()) == [1]
            log.finish(end_of(A))
            log.finish(end_of("another"))
            log.say("too late")
            log.publish_status(status())
            assert await read_to_end(early) == [end_of(A)]
            with log.subscribe() as late:
                events = await read_to_end(late)
    assert numbers(events) == [1]
    assert events[-1] == end_of(A) == log.end
    assert log.last_seq == 1


async def test_a_full_channel_makes_a_subscriber_lag_and_catch_up_from_memory(
    make_room: MakeRoom, nursery: trio.Nursery
) -> None:
    room = make_room(subscriber_batches=3)
    await room.add_preview(A)
    log = room.log()
    with log.subscribe() as subscription, trio.fail_after(60):
        log.publish_status(status())
        assert await subscription.receive() == [status()]
        for number in range(1, 11):
            print_lines(log, number, number)
        log.publish_status(status("running"))
        assert subscription._behind
        assert subscription._receive.statistics().current_buffer_used == 0
        events = await subscription.receive()
        assert events[0] == status("running")
        assert numbers(events) == list(range(1, 11))
        assert not subscription._behind


async def test_a_stalled_subscriber_keeps_no_more_alive_than_the_backlog(make_room: MakeRoom) -> None:
    room = make_room(backlog_bytes=20_000)
    log = room.log()
    with log.subscribe() as subscription, trio.fail_after(60):
        print_lines(log, 1, 1)
        await subscription.receive()
        print_lines(log, 2, 200)
        print_lines(log, 201, 202)
        assert subscription._behind
        assert subscription._waiting_bytes == 0


async def test_what_has_left_memory_comes_from_the_database(make_room: MakeRoom, nursery: trio.Nursery) -> None:
    room = make_room(max_log_lines=100, subscriber_batches=1)
    await room.add_preview(A)
    await nursery.start(run_log_writer, room.writer)
    log = room.log()
    for first in range(1, 5001, 10):
        print_lines(log, first, first + 9)
    log.finish(end_of(A))
    with log.subscribe(after=7) as subscription, trio.fail_after(60):
        events = await read_to_end(subscription)
    assert numbers(events) == list(range(8, 5001))
    assert not any(isinstance(event, Gap) for event in events)


async def test_lines_that_were_dropped_are_a_gap(make_room: MakeRoom, nursery: trio.Nursery) -> None:
    room = make_room(max_log_lines=10, log_queue_bytes=1)
    await room.add_preview(A)
    await nursery.start(run_log_writer, room.writer)
    log = room.log()
    for first in range(1, 101, 10):
        print_lines(log, first, first + 9)
    assert log.lost_lines == 100
    with log.subscribe() as subscription, trio.fail_after(60):
        assert await subscription.receive() == [Gap(1, 90, "lost")]
        assert numbers(await subscription.receive()) == list(range(91, 101))


async def test_lines_that_retention_deleted_are_a_gap(make_room: MakeRoom, nursery: trio.Nursery) -> None:
    room = make_room(max_log_lines=10, stored_log_bytes=5000)
    await room.add_preview(A)
    await nursery.start(run_log_writer, room.writer)
    log = room.log()
    with trio.fail_after(60):
        for first in range(1, 1001, 10):
            print_lines(log, first, first + 9)
            await room.writer.flush(A)
        with log.subscribe() as subscription:
            gap, *events = await subscription.receive()
            assert isinstance(gap, Gap)
            assert (gap.first_seq, gap.reason) == (1, "retention")
            assert numbers(events) == list(range(gap.last_seq + 1, 991))


async def test_a_subscriber_is_told_when_the_database_does_not_answer(
    make_room: MakeRoom, monkeypatch: pytest.MonkeyPatch, nursery: trio.Nursery
) -> None:
    room = make_room(max_log_lines=10)
    await room.add_preview(A)
    log = room.log()
    print_lines(log, 1, 10)
    print_lines(log, 11, 20)
    with log.subscribe() as subscription, trio.fail_after(60):
        with monkeypatch.context() as patch:
            patch.setattr(pages_module, "_SETTLE_S", 0.05)
            with pytest.raises(DatabaseUnavailable):
                await subscription.receive()
        await nursery.start(run_log_writer, room.writer)
        assert numbers(await subscription.receive()) == list(range(1, 11))
        assert numbers(await subscription.receive()) == list(range(11, 21))


async def test_a_subscriber_cancelled_at_any_point_loses_nothing(make_room: MakeRoom, nursery: trio.Nursery) -> None:
    room = make_room(max_log_lines=50, subscriber_batches=2)
    await room.add_preview(A)
    await nursery.start(run_log_writer, room.writer)
    log = room.log()
    seen: list[int] = []
    with log.subscribe() as subscription, trio.fail_after(60):
        for round_number in range(200):
            print_lines(log, log.last_seq + 1, log.last_seq + 1 + round_number % 9)
            with trio.move_on_after(random.Random(round_number).choice([0, 0, 0.0005, 0.002, 0.01])):
                while True:
                    seen += numbers(await subscription.receive())
        while subscription._cursor.next_seq <= log.last_seq:
            seen += numbers(await subscription.receive())
    assert seen == list(range(1, log.last_seq + 1))


async def test_a_replay_from_memory_comes_in_bounded_parts(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cursor_module, "_REPLAY_BYTES", 500)
    log = room.log()
    for number in range(1, 101):
        print_lines(log, number, number)
    with log.subscribe() as subscription, trio.fail_after(60):
        parts: list[list[int]] = []
        while not parts or parts[-1][-1] < 100:
            parts.append(numbers(await subscription.receive()))
    assert len(parts) > 10
    assert [number for part in parts for number in part] == list(range(1, 101))


async def test_lines_without_text_are_caught_up_with_in_pieces_of_bounded_size(make_room: MakeRoom) -> None:
    """Each is a frame of its own: 64 KiB of line ends are 8 MB as they are sent."""
    log = make_room(max_log_lines=100_000, backlog_bytes=2**28).log()
    with log.subscribe() as subscription, trio.fail_after(60):
        for _ in range(33):
            log._publish_output([""] * 2000, Recogniser())
        pieces = [len(encode(await subscription.receive(), Encoding(Contract.V1)))]
        while subscription._behind:
            pieces.append(len(encode(await subscription.receive(), Encoding(Contract.V1))))
    assert sum(pieces) > 6 * 2**20
    assert max(pieces) < 1.25 * 2**20


def test_the_backlog_is_bounded_by_lines_and_bytes() -> None:
    def batch(first: int, count: int) -> Batch:
        return Batch(A, first, [0] * count, b"\1" * count, ["x" * 50] * count)

    by_lines = Backlog(max_lines=10, max_bytes=10**9)
    assert by_lines.first_seq == 1
    assert by_lines.after(0, max_bytes=1) == []
    for first in range(1, 100, 4):
        by_lines.append(batch(first, 4))
    assert len(by_lines) == 8
    assert by_lines.first_seq == 93
    by_bytes = Backlog(max_lines=10**9, max_bytes=5 * batch(1, 4).held_bytes)
    for first in range(1, 100, 4):
        by_bytes.append(batch(first, 4))
    assert len(by_bytes) == 20
    assert by_bytes.size_bytes <= 5 * batch(1, 4).held_bytes
    by_bytes.append(batch(101, 1000))
    assert by_bytes.first_seq == 101


@settings(
    max_examples=4, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(seed=st.integers(0, 2**32))
def test_each_subscriber_sees_each_line_once_whatever_the_disconnects(
    seed: int, tmp_path_factory: pytest.TempPathFactory
) -> None:

    async def main() -> None:
        folder = tmp_path_factory.mktemp("logs")
        async with open_database(f"sqlite:///{folder / 'preview.db'}") as database:
            metadata.create_all(database.engine)
            chosen = make_settings(folder, max_log_lines=500, subscriber_batches=4)
            room = Room(chosen, database, LogStore(database), LogWriter(database, chosen))
            await room.add_preview(A)
            await watch_10000_lines(room, random.Random(seed))

    trio.run(main)


async def watch_10000_lines(room: Room, chance: random.Random) -> None:
    """10,000 lines, 20 subscribers that come and go and resume by number, one of them stalled in between."""
    total = 10_000
    log = room.log()
    seen: list[list[int]] = [[] for _ in range(20)]
    over = trio.Event()

    async def produce() -> None:
        while log.last_seq < total:
            count = min(chance.choice([1, 1, 2, 7, 40, 300]), total - log.last_seq)
            print_lines(log, log.last_seq + 1, log.last_seq + count)
            await trio.sleep(chance.choice([0, 0, 0, 0.0002, 0.002]))
        log.finish(end_of(A))
        over.set()

    async def watch(own: list[int], stalled: bool) -> None:
        ended = False
        while not ended:
            with log.subscribe(after=own[-1] if own else None) as subscription:
                if stalled:
                    await subscription.receive()  # never noted: as if it had not been sent
                    await over.wait()
                    stalled = False
                    continue
                for _ in range(chance.choice([1, 3, 20, 1000])):
                    try:
                        events = await subscription.receive()
                    except trio.EndOfChannel:
                        break
                    assert not any(isinstance(event, Gap) for event in events)
                    own += numbers(events)
                    ended = events[-1] == log.end
                    await trio.sleep(chance.choice([0, 0, 0.001, 0.02]))

    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            await nursery.start(run_log_writer, room.writer)
            async with trio.open_nursery() as inner:
                for index, own in enumerate(seen):
                    inner.start_soon(watch, own, index == 0)
                inner.start_soon(produce)
            nursery.cancel_scope.cancel()
    assert all(own == list(range(1, total + 1)) for own in seen)
    assert log.subscriber_count == 0


async def test_read_output_publishes_lines_and_the_unfinished_last_one(room: Room) -> None:
    log = room.log()
    child, service = memory_stream_pair()
    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(log.read_output, service)
            await child.send_all(b"one\ntw")
            await child.send_all(b"o\nthree")
            await child.aclose()
    assert [line.message for line in log.last_lines(9)] == ["one", "two", "three"]


async def test_a_cancelled_reader_publishes_what_it_has_read(room: Room) -> None:
    log = room.log()
    child, service = memory_stream_pair()
    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(log.read_output, service)
            await child.send_all(b"one\ntw")
            await wait_all_tasks_blocked()
            nursery.cancel_scope.cancel()
    assert [line.message for line in log.last_lines(9)] == ["one", "tw"]
