"""Archived logs: rate of writing, size beside SQLite's, and rate of filters; in processor time of the process.

uv run python benchmarks/archive.py [--lines 1000000] [--kind access|tracebacks|json] [--folder FOLDER]
"""

from __future__ import annotations

import argparse
import json
import os
import random
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial
from itertools import islice
from pathlib import Path
from time import process_time

import trio
from sqlalchemy import insert

from preview.core.clock import now_ms
from preview.logs import LineFilter, LogStore
from preview.logs.archive.archive import Archive
from preview.logs.archive.place import Folder
from preview.logs.model.batch import Batch
from preview.logs.model.events import MARKS
from preview.logs.storage.archived import ArchivedLogs
from preview.logs.storage.archiving import _note, _write
from preview.logs.storage.rows import encode_batches, insert_rows
from preview.storage import prepare
from preview.storage.database import Database, open_database
from preview.storage.tables import preview_instances

_BATCH = 4_000
_ROW = {
    "id": "preview_a", "generation_id": "g", "project_id": "p", "user_id": "u", "status": "stopped",
    "health_status": "unknown", "created_at": 0, "expires_at": 0, "token_hash": "", "token_expires_at": 0,
    "log_level": "ERROR", "stopped_at": 1,
}  # fmt: skip


def access(chance: random.Random) -> Iterator[str]:
    """Access lines with different paths, times and addresses, which compress badly."""
    while True:
        yield (
            f"INFO:     10.0.{chance.randrange(4)}.{chance.randrange(250)}:{chance.randrange(30000, 60000)} - "
            f'"GET /api/books/{chance.randrange(5000)}?page={chance.randrange(50)} HTTP/1.1" 200 OK '
            f"{chance.randrange(1, 400)} ms"
        )


def tracebacks(chance: random.Random) -> Iterator[str]:
    """Tracebacks between access lines."""
    lines = access(chance)
    while True:
        yield from islice(lines, chance.randrange(30))
        yield "Traceback (most recent call last):"
        for name in ("starlette/routing", "fastapi/routing", "sqlalchemy/orm/session"):
            yield f'  File "/app/.venv/lib/python3.11/site-packages/{name}.py", line {chance.randrange(900)}, in call'
            yield "    return await function(*arguments)"
        yield f"KeyError: 'books/{chance.randrange(5000)}'"


def structured(chance: random.Random) -> Iterator[str]:
    """Lines of structlog, as JSON, with a random id of 64 bits in each."""
    at = 1_795_857_220.0
    while True:
        at += chance.random() / 100
        stamp = datetime.fromtimestamp(at, UTC).isoformat()
        yield json.dumps(
            {
                "event": chance.choice(["order placed", "cache miss", "query", "job done"]), "level": "info",
                "timestamp": stamp, "user_id": chance.randrange(2000), "path": f"books/{chance.randrange(5000)}",
                "request_id": f"{chance.getrandbits(64):016x}", "duration_ms": round(chance.random() * 100, 2),
            }
        )  # fmt: skip


KINDS = {"access": access, "tracebacks": tracebacks, "json": structured}


def batch(first: int, source: Iterator[str]) -> Batch:
    """Return the next lines; four come in a millisecond."""
    messages = list(islice(source, _BATCH))
    if first % (25 * _BATCH) == 1:
        messages[7] = "ERROR: connection to the warehouse was lost"
    start = now_ms()
    return Batch(
        "preview_a", first, [start + at // 4 for at in range(_BATCH)], bytes([first % len(MARKS)] * _BATCH), messages
    )


async def fill(database: Database, lines: int, kind: str) -> None:
    """Store the lines in the database."""
    await database.write(lambda connection: connection.execute(insert(preview_instances).values(_ROW)))
    source = KINDS[kind](random.Random(7))
    for first in range(1, lines + 1, _BATCH):
        runs = await encode_batches([batch(first, source)])
        await database.write(partial(insert_rows, runs=runs))


async def search(store: LogStore, lines: int, chosen: LineFilter) -> tuple[int, float]:
    """Return the number of matches in all lines, and the seconds."""
    count, first, started = 0, 1, process_time()
    while first <= lines:
        found = await store.find("preview_a", chosen, first=first, last=lines, limit=1000, newest=False)
        count += len(found.lines)
        first = found.last + 1
    return count, process_time() - started


async def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lines", type=int, default=1_000_000)
    parser.add_argument("--kind", choices=list(KINDS), default="access")
    parser.add_argument("--folder", help="where the database is made: 150 MB for a million lines")
    given = parser.parse_args()
    lines, kind = given.lines // _BATCH * _BATCH, given.kind
    with tempfile.TemporaryDirectory(dir=given.folder) as name:
        folder = Path(name)
        async with open_database(f"sqlite:///{folder / 'preview.db'}", 60) as database:
            await prepare(database)
            empty = sum(one.stat().st_size for one in folder.glob("preview.db*"))
            await fill(database, lines, kind)
            with database.engine.connect() as connection:
                connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
            stored = sum(one.stat().st_size for one in folder.glob("preview.db*")) - empty
            archived = ArchivedLogs(database, Archive(Folder(folder / "archive")))
            started = process_time()
            _, size = await archived.call(partial(_write, archived, "preview_a"))
            seconds = process_time() - started
            print(f"{lines:,} lines of {kind}, {os.cpu_count()} processors, load {os.getloadavg()[0]:.0f}")
            print(f"written: {lines / seconds:,.0f} lines/s; {size / 1e6:.1f} MB, SQLite {stored / 1e6:.1f} MB: "
                  f"{stored / size:.1f} x smaller")  # fmt: skip
            row = {"preview_id": "preview_a", "lines": lines, "size_bytes": size, "archived_at": 0, "is_cleared": 1}
            await database.write(partial(_note, row=row))
            archived.learn("preview_a")
            assert await archived.has("preview_a")
            store = LogStore(database, archived)
            for label, chosen in (("rare word", LineFilter(q="warehouse")), ("common word", LineFilter(q="books/77"))):
                count, seconds = await search(store, lines, chosen)
                print(f"filter, {label}: {lines / seconds:,.0f} lines/s, {count:,} found")


if __name__ == "__main__":
    trio.run(main)
