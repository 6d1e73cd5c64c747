from __future__ import annotations

import re

import pytest
import trio
from log_room import MakeRoom, Room, end_of
from trio.testing import wait_all_tasks_blocked

from preview.logs import (
    Contract,
    Cursor,
    Encoding,
    FanOut,
    Level,
    LineFilter,
    PreviewLog,
    StatusChange,
    StreamEncoder,
    encode,
    run_log_writer,
)
from preview.logs.delivery import fanout as fanout_module

A = "preview_a"
ENCODING = Encoding(Contract.V1)
_ID = re.compile(rb"^id: (\d+)$", re.MULTILINE)


class Reader:
    """A member whose socket takes everything, or so many chunks."""

    def __init__(self, log: PreviewLog, after: int, takes: int = 10**9) -> None:
        self.cursor = Cursor(log, start=after + 1)
        self.chunks: list[bytes] = []
        self.takes = takes
        self.woken = 0
        self._told = trio.Event()

    def put(self, chunk: bytes) -> bool:
        self.chunks.append(chunk)
        self._told.set()
        self._told = trio.Event()
        self.takes -= 1
        return self.takes >= 0

    def wake(self) -> None:
        self.woken += 1

    @property
    def numbers(self) -> list[int]:
        return [int(found) for found in _ID.findall(b"".join(self.chunks))]

    async def has_chunks(self, count: int) -> None:
        with trio.fail_after(60):
            while len(self.chunks) < count:
                await self._told.wait()

    async def has_line(self, number: int) -> None:
        with trio.fail_after(60):
            while number not in self.numbers:
                await self._told.wait()

    async def catch_up(self, group: FanOut) -> None:
        """As a stream's task does it."""
        while not (group.join(self) or self.cursor.ended):
            if self.cursor.next_seq > group.last_seq + 1:
                await group.moved.wait()
            else:
                self.chunks.append(encode(await self.cursor.catch_up(group), ENCODING))


def framed(chunk: bytes, is_last: bool) -> bytes:
    return chunk + b"LAST" if is_last else chunk


def open_group(log: PreviewLog, nursery: trio.Nursery, *, keep_alive_s: float = 60, pending: int = 2**20) -> FanOut:
    sender = StreamEncoder(ENCODING, start_seq=log.last_seq)
    group = FanOut(log, sender, framed, keep_alive_s=keep_alive_s, pending_bytes=pending)
    log.broadcast.add(group)
    nursery.start_soon(group.run)
    return group


@pytest.fixture
def log(room: Room) -> PreviewLog:
    return room.log()


async def test_a_line_goes_to_all_members_as_the_same_bytes(log: PreviewLog, nursery: trio.Nursery) -> None:
    group = open_group(log, nursery)
    readers = [Reader(log, 0) for _ in range(3)]
    assert all(group.join(reader) for reader in readers)
    log.say("hello")
    await wait_all_tasks_blocked()
    assert [reader.numbers for reader in readers] == [[1]] * 3
    assert len({id(reader.chunks[0]) for reader in readers}) == 1
    assert group.live == 3


async def test_lines_that_come_close_together_are_one_chunk(log: PreviewLog, nursery: trio.Nursery) -> None:
    group, reader = open_group(log, nursery), Reader(log, 0)
    group.join(reader)
    begun = trio.current_time()
    log.say("at once")
    await wait_all_tasks_blocked()
    for number in range(50):
        log.say(str(number))
        await trio.lowlevel.checkpoint()
    await reader.has_line(51)
    took_s = trio.current_time() - begun
    assert reader.numbers == list(range(1, 52))
    # The first and the last, and between them one in each interval that has passed, however slow the machine is.
    assert len(reader.chunks) <= took_s / fanout_module._LEAST_INTERVAL_S + 2


async def test_a_reader_joins_where_the_others_stand_and_nowhere_else(log: PreviewLog, nursery: trio.Nursery) -> None:
    log.say("before")
    group = open_group(log, nursery)
    behind, ahead = Reader(log, 0), Reader(log, 2)
    assert not group.join(behind)
    log.say("pending")
    assert not group.join(ahead)
    await wait_all_tasks_blocked()
    assert group.join(ahead)
    assert ahead.chunks == []
    await behind.catch_up(group)
    log.say("both")
    await behind.has_line(3)
    assert (behind.numbers, ahead.numbers) == ([1, 2, 3], [3])


async def test_a_reader_that_does_not_take_all_is_left_alone_and_comes_back(
    log: PreviewLog, nursery: trio.Nursery
) -> None:
    group, slow, quick = open_group(log, nursery), Reader(log, 0, takes=0), Reader(log, 0)
    group.join(slow)
    group.join(quick)
    log.say("one")
    await wait_all_tasks_blocked()
    assert (slow.numbers, slow.woken, group.live) == ([1], 1, 1)
    log.say("two")
    await quick.has_line(2)
    assert (slow.numbers, quick.numbers) == ([1], [1, 2])
    slow.takes = 10
    await slow.catch_up(group)
    log.say("three")
    await quick.has_line(3)
    assert slow.numbers == quick.numbers == [1, 2, 3]


async def test_too_much_at_once_sends_everybody_to_the_backlog(log: PreviewLog, nursery: trio.Nursery) -> None:
    group, reader = open_group(log, nursery, pending=2000), Reader(log, 0)
    group.join(reader)
    for number in range(100):
        log.say(str(number))
    await wait_all_tasks_blocked()
    assert (reader.woken, reader.chunks, group.live) == (1, [], 0)
    await reader.catch_up(group)
    log.say("on")
    await reader.has_line(101)
    assert reader.numbers == list(range(1, 102))


async def test_a_round_goes_to_those_who_were_there_when_it_began(
    log: PreviewLog, nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fanout_module, "_TURN_S", -1.0)  # others have their turn after each member
    group, readers = open_group(log, nursery), [Reader(log, 0) for _ in range(3)]
    for reader in readers:
        group.join(reader)
    late = Reader(log, 1)
    log.say("one")
    while not readers[0].chunks:
        await trio.lowlevel.checkpoint()
    group.leave(readers[2])
    assert group.join(late)
    group.leave(readers[0])
    await wait_all_tasks_blocked()
    assert [one.numbers for one in (*readers, late)] == [[1], [1], [], []]
    assert [one.cursor.next_seq for one in (readers[0], readers[2])] == [2, 1]


async def test_a_quiet_group_says_that_it_is_alive(log: PreviewLog, nursery: trio.Nursery) -> None:
    group, reader = open_group(log, nursery, keep_alive_s=0.01), Reader(log, 0)
    group.join(reader)
    await reader.has_chunks(2)
    assert set(reader.chunks) == {b": keep-alive\n\n"}


async def test_lines_that_nobody_wants_to_see_are_silence(
    log: PreviewLog, nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fanout_module, "_LEAST_INTERVAL_S", 0.0)
    errors = Encoding(Contract.V1, filter=LineFilter(level=Level.ERROR))
    group = FanOut(log, StreamEncoder(errors), framed, keep_alive_s=0.05, pending_bytes=2**20)
    reader = Reader(log, 0)
    group.join(reader)
    log.broadcast.add(group)
    nursery.start_soon(group.run)
    # A line comes far sooner than the next word is due, and on and on.
    with trio.fail_after(60):
        while len(reader.chunks) < 2:
            log.say("quiet")
            await trio.sleep(0.001)
    assert log.last_seq < 1000  # from there on the place is told anyway
    assert not [chunk for chunk in reader.chunks if b"data:" in chunk]


async def test_who_comes_back_within_a_round_is_not_told_it_twice(
    log: PreviewLog, nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fanout_module, "_TURN_S", -1.0)  # others have their turn after each member
    group, readers = open_group(log, nursery), [Reader(log, 0) for _ in range(50)]
    for reader in readers:
        group.join(reader)
    log.say("one")
    while not readers[0].chunks:
        await trio.lowlevel.checkpoint()
    back = readers[-1]
    group.leave(back)
    await back.catch_up(group)
    assert not readers[-2].chunks  # the round is still under way
    await readers[-2].has_line(1)
    log.say("two")
    await back.has_line(2)
    assert back.numbers == [1, 2]


async def test_the_end_is_the_last_chunk_and_nobody_joins_behind_it(log: PreviewLog, nursery: trio.Nursery) -> None:
    group, reader, stuck, late = open_group(log, nursery), Reader(log, 0), Reader(log, 0, takes=0), Reader(log, 0)
    group.join(reader)
    group.join(stuck)
    log.publish_status(StatusChange(A, "stopping", "healthy", None, 0))
    log.say("bye")
    log.finish(end_of(A))
    await wait_all_tasks_blocked()
    assert reader.chunks[-1].endswith(b"LAST")
    assert re.findall(rb"event: (\w+)", reader.chunks[-1]) == [b"status", b"end"]
    assert (reader.cursor.ended, stuck.cursor.ended, group.live) == (True, True, 0)
    await late.catch_up(group)
    assert late.numbers == [1]
    assert re.findall(rb"event: (\w+)", b"".join(late.chunks)) == [b"status", b"end"]


async def test_lines_that_have_left_memory_come_from_the_database_up_to_where_the_others_stand(
    make_room: MakeRoom, nursery: trio.Nursery
) -> None:
    room = make_room(max_log_lines=5)
    await room.add_preview(A)
    log = room.log()
    group, reader = open_group(log, nursery), Reader(log, 0)
    for number in range(1, 8):
        log.say(str(number))
    await wait_all_tasks_blocked()
    for number in range(8, 31):
        log.say(str(number))
    # The others stand at 7; what is behind that is pending, and no longer all in memory.
    assert (group.last_seq, log.backlog.first_seq) == (7, 26)
    await nursery.start(run_log_writer, room.writer)
    with trio.fail_after(60):
        await reader.catch_up(group)
    log.say("on")
    await reader.has_line(31)
    assert reader.numbers == list(range(1, 32))


async def test_pages_are_kept_as_long_as_somebody_is_behind(make_room: MakeRoom, nursery: trio.Nursery) -> None:
    room = make_room(max_log_lines=5)
    await room.add_preview(A)
    log = room.log()
    for number in range(1, 31):
        log.say(str(number))
    group, live, behind = open_group(log, nursery), Reader(log, 30), Reader(log, 0)
    await nursery.start(run_log_writer, room.writer)
    for reader in (live, behind):
        group.attach()
        group.join(reader)
    await behind.cursor.catch_up(group, group.pages)
    assert (group.live, len(group.pages)) == (1, 1)
    # Its client is gone, as far as it has come.
    group.detach()
    assert len(group.pages) == 0


async def test_a_failure_wakes_the_members(log: PreviewLog, nursery: trio.Nursery) -> None:
    group, reader = open_group(log, nursery), Reader(log, 0)
    group.join(reader)
    moved = group.moved
    group.give_up()
    assert (group.has_failed, group.live, reader.woken) == (True, 0, 1)
    # So that those who are ahead and wait for it need not wait for ever.
    assert moved.is_set()


async def test_closing_ends_the_task(log: PreviewLog) -> None:
    with trio.fail_after(60):
        async with trio.open_nursery() as own:
            group = open_group(log, own)
            await wait_all_tasks_blocked()
            group.close()
