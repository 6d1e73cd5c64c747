"""A child that prints too fast is read at its rate, is told so once, and loses nothing."""

from __future__ import annotations

import trio
import trio.testing
from hypothesis import given
from hypothesis import strategies as st
from log_room import Room

from preview.logs.ingest.framing import LineFramer
from preview.logs.ingest.reader import OutputRateLimiter, read_lines

RATE = 100_000


class Endless(trio.abc.ReceiveStream):
    """Has as much as is asked for, at any time, until so many bytes were read."""

    def __init__(self, total_bytes: int) -> None:
        self.left_bytes = total_bytes

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        await trio.lowlevel.checkpoint()
        count = min(self.left_bytes, max_bytes or 0)
        self.left_bytes -= count
        return b"x" * (count - 1) + b"\n" if count else b""

    async def aclose(self) -> None:
        await trio.lowlevel.checkpoint()


async def read(total_bytes: int, pace: OutputRateLimiter) -> tuple[int, float]:
    """How much was published, and how long that took."""
    published: list[str] = []
    started = trio.current_time()
    await read_lines(Endless(total_bytes), LineFramer(2**20), published.extend, pace)
    return sum(len(line) + 1 for line in published), trio.current_time() - started


async def test_five_seconds_worth_is_read_at_once(autojump_clock: trio.testing.MockClock) -> None:
    del autojump_clock
    held: list[int] = []
    assert await read(5 * RATE, OutputRateLimiter(RATE, lambda: held.append(1))) == (5 * RATE, 0.0)
    assert held == []


async def test_more_is_read_at_the_rate_and_told_once(autojump_clock: trio.testing.MockClock) -> None:
    del autojump_clock
    held: list[int] = []
    count, took_s = await read(25 * RATE, OutputRateLimiter(RATE, lambda: held.append(1)))
    assert count == 25 * RATE
    assert 19.5 <= took_s <= 20.5
    assert held == [1]


async def test_what_is_left_of_a_child_that_has_ended_is_read_without_a_pause(
    autojump_clock: trio.testing.MockClock,
) -> None:
    del autojump_clock
    pace = OutputRateLimiter(RATE)
    async with trio.open_nursery() as nursery:

        async def end() -> None:
            await trio.sleep(3)
            pace.hurry()

        nursery.start_soon(end)
        count, took_s = await read(25 * RATE, pace)
    assert count == 25 * RATE
    assert 2.9 <= took_s <= 3.1


@given(reads=st.lists(st.tuples(st.floats(0, 20), st.integers(1, 3 * RATE)), max_size=30))
def test_no_stretch_of_time_has_more_than_the_rate_and_five_seconds_worth(reads: list[tuple[float, int]]) -> None:
    async def run() -> None:
        pace, taken, started = OutputRateLimiter(RATE), 0, trio.current_time()
        for idle_s, count in reads:
            await trio.sleep(idle_s)
            taken += count
            await trio.sleep(pace.take(count))
            assert taken <= RATE * (trio.current_time() - started + 5) + 1

    trio.run(run, clock=trio.testing.MockClock(autojump_threshold=0))


async def test_lines_printed_one_by_one_are_read_together_and_the_first_of_them_at_once(
    autojump_clock: trio.testing.MockClock,
) -> None:
    del autojump_clock
    send, stream = trio.testing.memory_stream_one_way_pair()
    started = trio.current_time()
    published: list[tuple[int, list[str]]] = []

    def publish(lines: list[str]) -> None:
        if lines:
            published.append((round((trio.current_time() - started) * 1000), lines))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(read_lines, stream, LineFramer(1024), publish)
        for at_ms in (100, 101, 102, 200):
            await trio.sleep_until(started + at_ms / 1000)
            await send.send_all(b"%d\n" % at_ms)
        await send.aclose()
    assert published == [(100, ["100"]), (103, ["101", "102"]), (200, ["200"])]


async def test_the_last_lines_of_a_child_that_has_ended_are_read_without_a_pause(
    room: Room, mock_clock: trio.testing.MockClock
) -> None:
    send, stream = trio.testing.memory_stream_one_way_pair()
    log = room.log()
    async with trio.open_nursery() as nursery:
        # The clock stands still: no pause would ever be over.
        nursery.start_soon(log.read_output, stream)
        await trio.testing.wait_all_tasks_blocked()
        await send.send_all(b"bye\n")
        await trio.testing.wait_all_tasks_blocked()
        await send.aclose()
        log.hurry(stream)
    assert [line.message for line in log.last_lines(9)] == ["bye"]


async def test_a_child_that_prints_fast_is_read_without_a_pause(autojump_clock: trio.testing.MockClock) -> None:
    """Its pipe would be full before the end of one: 20 MB/s here."""
    del autojump_clock
    send, stream = trio.testing.memory_stream_one_way_pair()
    published: list[str] = []

    async with trio.open_nursery() as nursery:
        nursery.start_soon(read_lines, stream, LineFramer(1024), published.extend)
        for _ in range(50):
            await send.send_all((b"x" * 99 + b"\n") * 200)
            await trio.testing.wait_all_tasks_blocked()
            # All of it was taken, though no time has passed since.
            assert len(published) % 200 == 0
            await trio.sleep(0.001)
        assert len(published) == 50 * 200
        await send.aclose()
