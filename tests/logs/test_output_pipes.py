"""Real children on real pipes."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio
import trio.testing
from log_room import MakeRoom, Room

from preview.logs import Batch, PreviewLog
from preview.logs.ingest.framing import LineFramer
from preview.logs.ingest.reader import PIPE_BYTES, read_lines


@asynccontextmanager
async def running(log: PreviewLog, code: str) -> AsyncIterator[subprocess.Popen[bytes]]:
    """A child whose output ``log`` reads; the reader has ended when this is left."""
    reading, writing = os.pipe()
    child = subprocess.Popen([sys.executable, "-u", "-c", code], stdin=subprocess.PIPE, stdout=writing, stderr=writing)  # noqa: ASYNC220  as the runtime does
    os.close(writing)
    try:
        async with trio.lowlevel.FdStream(reading) as stream, trio.open_nursery() as nursery:
            nursery.start_soon(log.read_output, stream)
            yield child
    finally:
        child.kill()
        child.wait()
        assert child.stdin is not None
        child.stdin.close()


async def next_messages(log: PreviewLog, after: int) -> list[str]:
    with log.subscribe(after=after) as subscription:
        return [line.message for event in await subscription.receive() if isinstance(event, Batch) for line in event]


async def test_stdout_and_stderr_are_one_stream_in_order(room: Room) -> None:
    log = room.log()
    with trio.fail_after(10):
        async with running(log, "import sys; print('a'); print('b', file=sys.stderr); print('c', end='')"):
            pass
    assert [line.message for line in log.last_lines(9)] == ["a", "b", "c"]


async def test_a_prompt_is_shown_while_the_child_waits(room: Room) -> None:
    log = room.log()
    with trio.fail_after(10):
        async with running(log, "name = input('Name: '); print('Hello', name)") as child:
            assert await next_messages(log, 0) == ["Name: "]
            assert child.stdin is not None
            child.stdin.write(b"you\n")
            child.stdin.flush()
            assert await next_messages(log, 1) == ["Hello you"]
    assert log.last_seq == 2


async def test_a_line_that_grows_without_end_is_shown_in_time(room: Room) -> None:
    log = room.log()
    code = "import time, sys\nwhile True: sys.stdout.write('.'); time.sleep(0.02)"
    with trio.fail_after(10):
        async with running(log, code) as child:
            (dots,) = await next_messages(log, 0)
            child.kill()
    assert set(dots) == {"."}


class Passes(trio.abc.Instrument):
    """How many lines a log took at most from one look of the loop at all that waits to the next."""

    def __init__(self, log: PreviewLog) -> None:
        self.most_lines = 0
        self._log = log
        self._seen = 0

    def before_io_wait(self, timeout: float) -> None:
        self.most_lines = max(self.most_lines, self._log.last_seq - self._seen)
        self._seen = self._log.last_seq


# Writes blocks of 1,024 lines until it is told to end, and then how many they were.
FLOOD = """
import os, select
block, count = (b'x' * 79 + b'\\n') * 1024, 0
while not select.select([0], [], [], 0)[0]:
    rest = memoryview(block)
    while rest: rest = rest[os.write(1, rest):]
    count += 1
print(count)
"""


async def test_a_flood_stays_within_its_bounds_and_delays_nobody(make_room: MakeRoom) -> None:
    """As fast as the child can; nobody writes to the database, so that the queue is full all the time."""
    room = make_room(log_queue_bytes=4_000_000, backlog_bytes=2_000_000)
    flooding, quiet = room.log("preview_flood"), room.log("preview_quiet")
    passes = Passes(flooding)
    sizes: list[tuple[int, int]] = []

    with trio.fail_after(60), flooding.subscribe() as stalled, quiet.subscribe() as subscription:
        await trio.lowlevel.checkpoint()
        async with running(flooding, FLOOD) as flood:
            async with running(quiet, "import time\nwhile True: time.sleep(0.02); print('tick')") as ticking:
                trio.lowlevel.add_instrument(passes)
                while quiet.last_seq < 20 or flooding.last_seq < 250_000:
                    await subscription.receive()
                    sizes.append((room.writer.queued_bytes, flooding.backlog.size_bytes))
                trio.lowlevel.remove_instrument(passes)
                ticking.kill()
            assert flood.stdin is not None
            flood.stdin.close()
    assert flooding.last_seq == int(flooding.last_lines(1)[0].message) * 1024 + 1
    assert stalled._behind
    assert max(queued for queued, _ in sizes) <= 4_000_000
    assert max(held for _, held in sizes) <= 2_000_000 + 3 * 2**20
    # Whoever else has something to do waits for one read of the flood (64 KiB), and not for all that there is.
    assert 0 < passes.most_lines <= 64 * 1024 // 80 + 1


async def test_a_stream_that_breaks_ends_the_reading() -> None:
    class Broken(trio.abc.ReceiveStream):
        def __init__(self) -> None:
            self.chunks = [b"a\nb"]

        async def receive_some(self, max_bytes: int | None = None) -> bytes:
            await trio.lowlevel.checkpoint()
            if not self.chunks:
                raise trio.BrokenResourceError
            return self.chunks.pop()

        async def aclose(self) -> None:
            await trio.lowlevel.checkpoint()

    published: list[str] = []
    with trio.fail_after(20):
        await read_lines(Broken(), LineFramer(1024), published.extend)
    assert published == ["a", "b"]


async def test_a_late_wake_up_does_not_cut_a_line(room: Room) -> None:
    """The loop was held up for longer than the silence, while the rest of the line was in the pipe already."""
    log = room.log()
    reading, writing = os.pipe()
    with trio.fail_after(10):
        async with trio.lowlevel.FdStream(reading) as stream, trio.open_nursery() as nursery:
            nursery.start_soon(log.read_output, stream)
            os.write(writing, b"be")
            await trio.testing.wait_all_tasks_blocked()
            os.write(writing, b"ginning\n")
            time.sleep(0.4)  # noqa: ASYNC251  holds up the loop on purpose
            os.close(writing)
    assert [line.message for line in log.last_lines(9)] == ["beginning"]


async def test_who_asks_what_was_printed_until_now_does_not_wait_for_the_pause_in_which_lines_gather(
    room: Room, mock_clock: trio.testing.MockClock
) -> None:
    log = room.log()
    reading, writing = os.pipe()
    async with trio.lowlevel.FdStream(reading) as stream, trio.open_nursery() as nursery:
        nursery.start_soon(log.read_output, stream)
        with os.fdopen(writing, "wb", buffering=0) as child:
            for number in range(1, 4):
                child.write(b"line\n")
                # The clock stands still: no pause would ever be over.
                await log.read_on()
                assert log.last_seq == number


async def test_the_last_line_is_read_where_the_loop_was_late_for_longer_than_its_time(room: Room) -> None:
    log = room.log()
    reading, writing = os.pipe()
    scope, ended = trio.CancelScope(shield=True), trio.Event()

    async def read() -> None:
        with scope:
            await log.read_output(stream)
        ended.set()

    async def hold_up() -> None:
        time.sleep(0.2)  # noqa: ASYNC251  holds up the loop on purpose

    with trio.fail_after(20):
        async with trio.lowlevel.FdStream(reading) as stream, trio.open_nursery() as nursery:
            nursery.start_soon(read)
            os.write(writing, b"first\n")
            while not log.last_seq:
                await trio.lowlevel.checkpoint()
            # The reader is in the pause in which lines gather.
            os.write(writing, b"the last word\n")
            nursery.start_soon(hold_up)
            await log.read_rest(stream, ended, 0.1)
            scope.cancel()
    os.close(writing)
    assert [line.message for line in log.last_lines(9)] == ["first", "the last word"]


async def test_a_chunk_of_many_short_lines_is_published_in_turns_and_whole_when_cancelled() -> None:
    send, stream = trio.testing.memory_stream_one_way_pair()
    published: list[list[str]] = []
    scope = trio.CancelScope()

    def publish(lines: list[str]) -> None:
        published.append(lines)
        scope.cancel()

    with trio.fail_after(20):
        await send.send_all(b"\n" * 9000)
        with scope:
            await read_lines(stream, LineFramer(1024), publish)
    assert [len(lines) for lines in published] == [2000, 2000, 2000, 2000, 1000]


async def test_reading_on_reads_a_full_pipe_of_short_lines(room: Room) -> None:
    # 32,768 lines, far more than are published at once.
    log, lines = room.log(), PIPE_BYTES // 2
    reading, writing = os.pipe()
    with trio.fail_after(10):
        async with trio.lowlevel.FdStream(reading) as stream, trio.open_nursery() as nursery:
            nursery.start_soon(log.read_output, stream)
            await trio.testing.wait_all_tasks_blocked()
            os.write(writing, b"x\n" * lines)
            await log.read_on()
            assert log.last_seq == lines
            os.close(writing)


async def test_reading_on_does_not_follow_a_program_that_goes_on_printing(room: Room) -> None:
    log = room.log()
    with trio.fail_after(10):
        async with running(log, "while True: print('x' * 99)") as child:
            await next_messages(log, 0)
            await log.read_on()
            child.kill()


async def test_reading_on_does_not_follow_a_program_that_writes_byte_by_byte(room: Room) -> None:
    log, written = room.log(), [0]
    reading, writing = os.pipe()

    async def dribble() -> None:
        while True:
            os.write(writing, b"x")
            written[0] += 1
            await trio.lowlevel.checkpoint()

    with trio.fail_after(10):
        async with trio.lowlevel.FdStream(reading) as stream, trio.open_nursery() as nursery:
            nursery.start_soon(log.read_output, stream)
            nursery.start_soon(dribble)
            await trio.lowlevel.checkpoint()
            before = written[0]
            await log.read_on()
            assert written[0] - before < 100
            nursery.cancel_scope.cancel()
    os.close(writing)


async def test_reading_on_ends_with_its_reader(room: Room) -> None:
    log = room.log()
    reading, writing = os.pipe()
    with trio.fail_after(10):
        async with trio.lowlevel.FdStream(reading) as stream, trio.open_nursery() as nursery:
            nursery.start_soon(log.read_output, stream)
            await trio.testing.wait_all_tasks_blocked()
            os.write(writing, b"x\n" * 30_000)
            nursery.start_soon(log.read_on)
            await trio.lowlevel.checkpoint()
            nursery.cancel_scope.cancel()
        await log.read_on()
    os.close(writing)
    assert log.last_seq == 30_000
