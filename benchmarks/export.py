"""How quickly is a long log given as a file, and how much memory does that take?

``uv run python benchmarks/export.py [--lines N] [--rounds N] [--save FILE]``

A million lines (unless told otherwise) are put into SQLite, and exported as each kind of file, page by page, as over
HTTP; the bytes are counted and thrown away. Memory is what the process has at most more than before. Floor: one
``SELECT`` of the same rows, read to its end.
"""

from __future__ import annotations

import argparse
import sqlite3
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import psutil
import trio
from _measure import compare, interleave, report, save
from sqlalchemy import Connection, insert, text

from preview.http.streams.exports import ExportBody, ExportKind, ExportStyle
from preview.http.streams.log_streams import Waits
from preview.logs import EVERYTHING, Contract, LogPager, LogStore, Range
from preview.storage.database import Database, open_database
from preview.storage.tables import metadata, preview_instances

PREVIEW = "preview_benchmark"
FLOOR = "floor: SELECT"
LINE = "printf('INFO:     127.0.0.1:%d - \"GET /items/%d?q=abc HTTP/1.1\" 200 OK', 40000 + n % 9999, n)"
MANY = text(
    "INSERT INTO preview_logs (preview_id, seq, timestamp, level, source, message) "
    "WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < :count) "
    f"SELECT :preview, n, 1760962805123 + n, 20, 'child.request', {LINE} FROM numbers"
)


@asynccontextmanager
async def filled(folder: Path, lines: int) -> AsyncIterator[Database]:
    row = {
        "id": PREVIEW, "generation_id": "g", "project_id": "p", "user_id": "u", "status": "stopped",
        "health_status": "unknown", "created_at": 0, "expires_at": 0, "token_hash": "", "token_expires_at": 0,
        "log_level": "ERROR",
    }  # fmt: skip

    def fill(connection: Connection) -> None:
        connection.execute(insert(preview_instances).values(row))
        connection.execute(MANY, {"count": lines, "preview": PREVIEW})

    async with open_database(f"sqlite:///{folder / 'preview.db'}") as database:
        if not (folder / "filled").exists():
            metadata.create_all(database.engine)
            await database.write(fill)
            (folder / "filled").touch()
        yield database


async def export(folder: Path, lines: int, kind: ExportKind, grown: list[float]) -> float:
    """Lines per second; ``grown`` gets the memory that the process had at most more than before, in MiB."""

    async def settle(seq: int | None) -> None:
        await trio.lowlevel.checkpoint()

    process, given = psutil.Process(), 0
    async with filled(folder, lines) as database:
        before = most = process.memory_info().rss
        body = ExportBody(
            LogPager(LogStore(database), PREVIEW, live=None, last_seq=lines, settle=settle),
            kind,
            ExportStyle(Contract.V1, colours=True),
            asked=Range(),
            chosen=EVERYTHING,
            whole=True,
            waits=Waits(),
        )
        begun = time.perf_counter()
        async for chunk in body:
            given += chunk.count(b"\n")
            most = max(most, process.memory_info().rss)
        elapsed = time.perf_counter() - begun
    assert given == lines + (kind is ExportKind.CSV)
    grown.append((most - before) / 2**20)
    return lines / elapsed


def select(folder: Path, lines: int) -> float:
    connection = sqlite3.connect(folder / "preview.db")
    begun, count = time.perf_counter(), 0
    found = connection.execute("SELECT * FROM preview_logs WHERE preview_id = ? ORDER BY seq", [PREVIEW])
    while rows := found.fetchmany(1000):
        count += len(rows)
    elapsed = time.perf_counter() - begun
    connection.close()
    assert count == lines
    return lines / elapsed


async def fill(folder: Path, lines: int) -> None:
    async with filled(folder, lines):
        await trio.lowlevel.checkpoint()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lines", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--save", type=Path, default=None, help="the figures as JSON")
    options = parser.parse_args()
    grown: dict[str, list[float]] = {kind.value: [] for kind in ExportKind}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        trio.run(fill, folder, options.lines)

        def run(kind: ExportKind) -> float:
            return trio.run(export, folder, options.lines, kind, grown[kind.value])

        variants = {
            FLOOR: partial(select, folder, options.lines),
            **{kind.value: partial(run, kind) for kind in ExportKind},
        }
        figures = compare(interleave(variants, rounds=options.rounds, warm_up=0), floor=FLOOR, unit="lines/s")
    report(f"{options.lines:,} lines as a file", figures)
    print()
    for kind, values in grown.items():
        print(f"  {kind}: the process grew by {max(values):.1f} MiB at most")
    save(options.save, {"export": figures})


if __name__ == "__main__":
    main()
