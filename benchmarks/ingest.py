"""How many lines per second does one preview's log take in, and how many are stored?

``uv run python benchmarks/ingest.py [--lines N] [--rounds N] [--save FILE]``

Three questions, each with its floor measured beside it in the same rounds:

* *read*: a real child prints N access lines into a pipe. Floor: a loop of ``os.read`` and ``bytes.split`` that counts.
* *frame*: the same bytes from memory. Floor: ``bytes.split`` and nothing else.
  Beside it, how long other tasks have to wait for their turn.
* *store*: SQLite, beside a busy event loop as in the service. Floor: a bare ``executemany`` with nothing else running.
"""

from __future__ import annotations

import argparse
import os
import sqlite3
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

import trio
from _measure import compare, interleave, percentile, report, save
from sqlalchemy import insert

from preview.logs import Batch, Contract, Encoding, LogStore, LogWriter, PreviewLog, run_log_writer
from preview.logs.ingest.framing import LineFramer
from preview.logs.ingest.recognise import Recogniser
from preview.settings import Settings
from preview.storage.database import Database, open_database
from preview.storage.tables import metadata, preview_instances

PREVIEW = "preview_benchmark"
LINE = 'INFO:     127.0.0.1:52340 - "GET /items/123?q=abc HTTP/1.1" 200 OK'
CHUNK = 64 * 1024
# The child prints in blocks, as a program behind a buffered stdout does.
CHILD = f"""
import os, sys
line = {LINE!r}.encode() + b"\\n"
block, left = line * 800, int(sys.argv[1])
while left > 0:
    part = block if left >= 800 else line * left
    left -= 800
    while part:
        part = part[os.write(1, part):]
"""


def start_child(lines: int) -> tuple[subprocess.Popen[bytes], int]:
    """The child, and the reading end of its output."""
    reading, writing = os.pipe()
    child = subprocess.Popen([sys.executable, "-c", CHILD, str(lines)], stdout=writing)
    os.close(writing)
    return child, reading


def read_floor(lines: int) -> float:
    child, reading = start_child(lines)
    first = os.read(reading, CHUNK)
    start, count, rest = time.perf_counter(), 0, b""
    chunk = first
    while chunk:
        *whole, rest = (rest + chunk).split(b"\n")
        count += len(whole)
        chunk = os.read(reading, CHUNK)
    elapsed = time.perf_counter() - start
    os.close(reading)
    child.wait()
    assert count == lines
    return lines / elapsed


async def read_pipeline(lines: int, lags_ms: list[float], *, watched: bool, stored: bool) -> float:
    """From the first byte to the last line numbered (and encoded for one subscriber, or stored).

    Meanwhile ``lags_ms`` gets how much later than it wanted a task comes to its turn that wakes up each millisecond.
    """
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(data_dir=Path(folder), log_queue_bytes=2**31)
        async with open_database(settings.resolved_database_url) as database, trio.open_nursery() as nursery:
            await prepare(database)
            writer = LogWriter(database, settings)
            log = PreviewLog(PREVIEW, settings=settings, writer=writer, store=LogStore(database))
            if stored:
                await nursery.start(run_log_writer, writer)
            if watched:
                nursery.start_soon(watch, log)
            nursery.start_soon(feel_lag, lags_ms)
            child, reading = start_child(lines)
            async with trio.lowlevel.FdStream(reading) as stream:
                await trio.lowlevel.wait_readable(reading)
                start = time.perf_counter()
                await log.read_output(stream)
            if stored:
                await writer.flush(PREVIEW)
            elapsed = time.perf_counter() - start
            child.wait()
            assert log.last_seq == lines
            assert not log.lost_lines
            nursery.cancel_scope.cancel()
    return lines / elapsed


async def feel_lag(lags_ms: list[float]) -> None:
    while True:
        due = trio.current_time() + 0.001
        await trio.sleep_until(due)
        lags_ms.append((trio.current_time() - due) * 1000)


async def watch(log: PreviewLog) -> None:
    """Encodes what it receives, as a stream does."""
    with log.subscribe() as subscription:
        while True:
            for event in await subscription.receive():
                if isinstance(event, Batch):
                    event.encoded(Encoding(Contract.V1))


async def prepare(database: Database) -> None:
    metadata.create_all(database.engine)
    row = {
        "id": PREVIEW, "generation_id": "g", "project_id": "p", "user_id": "u", "status": "running",
        "health_status": "unknown", "created_at": 0, "expires_at": 0, "token_hash": "", "token_expires_at": 0,
        "log_level": "ERROR",
    }  # fmt: skip
    await database.write(lambda connection: connection.execute(insert(preview_instances).values(row)))


def split_floor(data: bytes, lines: int) -> float:
    start = time.perf_counter()
    for position in range(0, len(data), CHUNK):
        data[position : position + CHUNK].split(b"\n")
    return lines / (time.perf_counter() - start)


def frame(data: bytes, lines: int, *, encoded: bool) -> float:
    framer, recogniser, seq = LineFramer(CHUNK), Recogniser(), 1
    start = time.perf_counter()
    for position in range(0, len(data), CHUNK):
        found = framer.feed(data[position : position + CHUNK])
        batch = Batch(PREVIEW, seq, [start_ms] * len(found), recogniser.marks(found), found)
        seq += len(found)
        if encoded:
            batch.encoded(Encoding(Contract.V1))
    assert seq == lines + 1
    return lines / (time.perf_counter() - start)


start_ms = 1_760_962_805_123


def store_floor(lines: int) -> float:
    """``executemany`` on a table of the same shape, transactions of 4000 rows."""
    with tempfile.TemporaryDirectory() as folder:
        connection = sqlite3.connect(Path(folder) / "floor.db")
        connection.executescript(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; CREATE TABLE logs (preview_id, seq, timestamp, "
            "level, source, message, PRIMARY KEY (preview_id, seq)) WITHOUT ROWID;"
        )
        start = time.perf_counter()
        for first in range(1, lines + 1, 4000):
            rows = [(PREVIEW, seq, start_ms, 20, "child.request", LINE) for seq in range(first, first + 4000)]
            with connection:
                connection.executemany("INSERT INTO logs VALUES (?, ?, ?, ?, ?, ?)", rows)
        elapsed = time.perf_counter() - start
        connection.close()
    return lines / elapsed


async def store(lines: int) -> float:
    """The writer alone, offered batches of one read each."""
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(data_dir=Path(folder), log_queue_bytes=2**31)
        async with open_database(settings.resolved_database_url) as database, trio.open_nursery() as nursery:
            await prepare(database)
            writer = LogWriter(database, settings)
            await nursery.start(run_log_writer, writer)
            start = time.perf_counter()
            for first in range(1, lines + 1, 1000):
                writer.offer(Batch(PREVIEW, first, [start_ms] * 1000, b"\5" * 1000, [LINE] * 1000))
            await writer.flush(PREVIEW)
            elapsed = time.perf_counter() - start
            nursery.cancel_scope.cancel()
    return lines / elapsed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lines", type=int, default=200_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--save", type=Path, default=None, help="the figures as JSON")
    options = parser.parse_args()
    lines = max(4000, options.lines // 4000 * 4000)
    data = (LINE + "\n").encode() * lines

    lags_ms: dict[str, list[float]] = {"read": [], "read, encoded": [], "read, encoded, stored": []}

    def run(what: str) -> float:
        watched, stored = "encoded" in what, "stored" in what
        return trio.run(partial(read_pipeline, lines, lags_ms[what], watched=watched, stored=stored))

    read = interleave(
        {
            "floor: os.read + bytes.split": partial(read_floor, lines),
            "pipeline": partial(run, "read"),
            "pipeline, one subscriber": partial(run, "read, encoded"),
            "pipeline, one subscriber, until stored": partial(run, "read, encoded, stored"),
        },
        rounds=options.rounds,
    )
    framed = interleave(
        {
            "floor: bytes.split": partial(split_floor, data, lines),
            "split, recognised, numbered": partial(frame, data, lines, encoded=False),
            "… and encoded": partial(frame, data, lines, encoded=True),
        },
        rounds=options.rounds,
    )
    stored = interleave(
        {"floor: executemany": partial(store_floor, lines), "log writer": partial(trio.run, store, lines)},
        rounds=options.rounds,
    )
    tables = {
        f"read: {lines:,} lines from a child": compare(read, floor="floor: os.read + bytes.split", unit="lines/s"),
        "frame: the same from memory": compare(framed, floor="floor: bytes.split", unit="lines/s"),
        "store: SQLite": compare(stored, floor="floor: executemany", unit="lines/s"),
    }
    for title, figures in tables.items():
        report(title, figures)
    print("\nThe loop's lag meanwhile")
    for what, lags in lags_ms.items():
        p50, p99 = percentile(lags, 50), percentile(lags, 99)
        print(f"  {what}: p50 {p50:.2f} ms, p99 {p99:.2f} ms, most {max(lags):.2f} ms")
    lag = {what: [percentile(lags, 99)] for what, lags in lags_ms.items()}
    tables["lag of the loop meanwhile, p99"] = compare(lag, floor=None, unit="ms")
    save(options.save, tables)


if __name__ == "__main__":
    main()
