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
from preview.logs.framing import LineFramer
from preview.logs.reader import read_lines


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


async def test_a_flood_stays_within_its_bounds_and_delays_nobody(make_room: MakeRoom) -> None:
    """50 MB as fast as the child can; nobody writes to the database, so that the queue is full all the time."""
    room = make_room(log_queue_bytes=4_000_000, backlog_bytes=2_000_000)
    flooding, quiet = room.log("preview_flood"), room.log("preview_quiet")
    flood = "import os\nblock = (b'x' * 79 + b'\\n') * 1024\nfor _ in range(640): os.write(1, block)"
    tick = "import time\nfor _ in range(20): time.sleep(0.02); print(time.time_ns())"
    delays_ms: list[float] = []
    sizes: list[tuple[int, int]] = []

    async def watch_quiet() -> None:
        with quiet.subscribe() as subscription:
            while len(delays_ms) < 20:
                for event in await subscription.receive():
                    assert isinstance(event, Batch)
                    delays_ms.extend((time.time_ns() - int(line.message)) / 1e6 for line in event)
                sizes.append((room.writer.queued_bytes, flooding.backlog.size_bytes))

    with trio.fail_after(60), flooding.subscribe() as stalled:
        await trio.lowlevel.checkpoint()
        async with running(quiet, tick), trio.open_nursery() as nursery:
            nursery.start_soon(watch_quiet)
            async with running(flooding, flood):
                pass
    assert flooding.last_seq == 640 * 1024
    assert stalled.is_behind
    assert max(queued for queued, _ in sizes) <= 4_000_000
    assert max(held for _, held in sizes) <= 2_000_000 + 3 * 2**20
    assert sorted(delays_ms)[len(delays_ms) // 2] < 50


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
    with trio.fail_after(5):
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


async def test_a_chunk_of_many_short_lines_is_published_in_turns_and_whole_when_cancelled() -> None:
    send, stream = trio.testing.memory_stream_one_way_pair()
    published: list[list[str]] = []
    scope = trio.CancelScope()

    def publish(lines: list[str]) -> None:
        published.append(lines)
        scope.cancel()

    with trio.fail_after(5):
        await send.send_all(b"\n" * 9000)
        with scope:
            await read_lines(stream, LineFramer(1024), publish)
    assert [len(lines) for lines in published] == [2000, 7000]
