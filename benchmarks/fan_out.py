"""How fast does one preview's output reach many subscribers?

``uv run python benchmarks/fan_out.py [--subscribers N] [--lines N] [--rounds N] [--save FILE]``

In-process, over memory channels: a burst (all lines at once, in reads of 800) to N subscribers that each collect the
bytes they would send, and a steady rate, where the delay of each line is measured. Floor: the common way, one channel
item per line and ``json.dumps`` for each subscriber.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import trio
import trio.testing
from _measure import RUN_BY, compare, interleave, percentile, report, save

from preview.core.clock import now_ms, rfc3339_ms
from preview.logs import Batch, Contract, Encoding, End, LogStore, LogWriter, PreviewLog, encode
from preview.logs.ingest.recognise import Recogniser
from preview.settings import Settings
from preview.storage.database import open_database

PREVIEW = "preview_benchmark"
LINE = 'INFO:     127.0.0.1:52340 - "GET /items/123?q=abc HTTP/1.1" 200 OK'
READ = 800
PACE_S = 0.01


async def with_log(work: Callable[[PreviewLog], Awaitable[float]]) -> float:
    """Run ``work`` with a log that keeps all lines in memory; nothing is stored."""
    with TemporaryDirectory() as folder:
        settings = Settings(data_dir=Path(folder), max_log_lines=10**7, backlog_bytes=2**32, log_queue_bytes=2**31)
        async with open_database(settings.resolved_database_url) as database:
            writer, store = LogWriter(database, settings), LogStore(database)
            return await work(PreviewLog(PREVIEW, settings=settings, writer=writer, store=store))


async def watch(log: PreviewLog, counts: list[int]) -> None:
    """One subscriber: counts the lines, and encodes as a stream does."""
    lines = size = 0
    with log.subscribe() as subscription:
        while True:
            try:
                events = await subscription.receive()
            except trio.EndOfChannel:
                break
            size += len(encode(events, Encoding(Contract.V1)))
            lines += sum(len(event) for event in events if isinstance(event, Batch))
    assert size
    counts.append(lines)


async def burst(subscribers: int, lines: int, log: PreviewLog) -> float:
    """Lines delivered per second, over all subscribers."""
    counts: list[int] = []
    async with trio.open_nursery() as nursery:
        for _ in range(subscribers):
            nursery.start_soon(watch, log, counts)
        await trio.testing.wait_all_tasks_blocked()
        start, recogniser = time.perf_counter(), Recogniser()
        for _ in range(lines // READ):
            log._publish_output([LINE] * READ, recogniser)
            await trio.lowlevel.checkpoint()
        log.finish(End(PREVIEW, "stopped", None, 0, None, 0))
    elapsed = time.perf_counter() - start
    assert counts == [lines // READ * READ] * subscribers
    return sum(counts) / elapsed


async def naive_burst(subscribers: int, lines: int) -> float:
    """One channel item per line; each subscriber encodes for itself."""

    async def receive(channel: trio.MemoryReceiveChannel[tuple[int, int, str]]) -> None:
        size = 0
        async for seq, stamp, message in channel:
            data = {"timestamp": rfc3339_ms(stamp), "level": "INFO", "message": message, "source": "subprocess"}
            size += len(f"id: {seq}\ndata: {json.dumps(data)}\n\n".encode())
        assert size

    async with trio.open_nursery() as nursery:
        senders = []
        for _ in range(subscribers):
            send, channel = trio.open_memory_channel[tuple[int, int, str]](256)
            senders.append(send)
            nursery.start_soon(receive, channel)
        await trio.testing.wait_all_tasks_blocked()
        start = time.perf_counter()
        for seq in range(1, lines + 1):
            stamp = now_ms()
            for send in senders:
                await send.send((seq, stamp, LINE))
        for send in senders:
            send.close()
    return subscribers * lines / (time.perf_counter() - start)


async def steady(subscribers: int, rate: int, seconds: float, log: PreviewLog) -> float:
    """99th percentile of the delay from publishing to the encoded bytes at each subscriber, in ms."""
    delays: list[float] = []

    async def observe() -> None:
        with log.subscribe() as subscription:
            while True:
                try:
                    events = await subscription.receive()
                except trio.EndOfChannel:
                    return
                encode(events, Encoding(Contract.V1))
                now = time.perf_counter()
                delays.extend((now - float(event.messages[0])) * 1000 for event in events if isinstance(event, Batch))

    async with trio.open_nursery() as nursery:
        for _ in range(subscribers):
            nursery.start_soon(observe)
        await trio.testing.wait_all_tasks_blocked()
        start, recogniser = trio.current_time(), Recogniser()
        for tick in range(int(seconds / PACE_S)):
            log._publish_output([repr(time.perf_counter())] * int(rate * PACE_S), recogniser)
            await trio.sleep_until(start + (tick + 1) * PACE_S)
        log.finish(End(PREVIEW, "stopped", None, 0, None, 0))
    print(f"  steady: p50 {percentile(delays, 50):.2f} ms, p99 {percentile(delays, 99):.2f} ms")
    return percentile(delays, 99)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--subscribers", type=int, default=100)
    parser.add_argument("--lines", type=int, default=80_000)
    parser.add_argument("--rate", type=int, default=1000, help="lines per second of the steady part")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--save", type=Path, default=None, help="the figures as JSON")
    options = parser.parse_args()
    floor = "floor: one channel item per line"
    # The floor is so much slower that it gets a hundredth of the lines.
    values = interleave(
        {
            floor: partial(trio.run, naive_burst, options.subscribers, options.lines // 100),
            "pipeline": partial(trio.run, with_log, partial(burst, options.subscribers, options.lines)),
        },
        rounds=options.rounds,
    )
    figures = compare(values, floor=floor, unit="lines/s")
    report(f"burst to {options.subscribers} subscribers, lines delivered", figures)
    print(
        f"\n{options.rate} lines/s to {options.subscribers} subscribers, from publishing to encoded bytes, as {RUN_BY}"
    )
    trio.run(with_log, partial(steady, options.subscribers, options.rate, 2.0))
    save(options.save, {"burst": figures})


if __name__ == "__main__":
    main()
