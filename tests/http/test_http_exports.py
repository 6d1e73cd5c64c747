"""A log as a file, however long it is."""

from __future__ import annotations

import gc
from pathlib import Path

import trio
from http_direct_kit import PREVIEW, ROW
from sqlalchemy import Connection, text

from preview.http.streams.exports import ExportBody, ExportKind, ExportStyle
from preview.http.streams.log_streams import Waits
from preview.logs import EVERYTHING, Contract, LogLine, LogPager, LogStore, Range
from preview.storage.database import open_database
from preview.storage.tables import metadata, preview_instances

PAGE = 1_000
LINES = 10 * PAGE
_MANY = text(
    "INSERT INTO preview_logs (preview_id, seq, timestamp, level, source, message) "
    "WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < :count) "
    "SELECT :preview, n, n, 20, 'child.preview', printf('%080d', n) FROM numbers"
)


def put_lines(connection: Connection) -> None:
    connection.execute(preview_instances.insert().values(ROW))
    connection.execute(_MANY, {"count": LINES, "preview": PREVIEW})


async def test_an_export_of_very_many_lines_holds_a_page_of_them_at_a_time(tmp_path: Path) -> None:
    async def settle(seq: int | None) -> None:
        await trio.lowlevel.checkpoint()

    async with open_database(f"sqlite:///{tmp_path / 'preview.db'}") as database:
        metadata.create_all(database.engine)
        await database.write(put_lines)
        body = ExportBody(
            LogPager(LogStore(database), PREVIEW, live=None, last_seq=LINES, settle=settle),
            ExportKind.TEXT,
            ExportStyle(Contract.V1, colours=True),
            asked=Range(),
            chosen=EVERYTHING,
            whole=True,
            waits=Waits(),
        )
        gc.collect()
        before = lines()
        pages = most = 0
        async for chunk in body:
            pages += 1
            assert chunk.count(b"\n") == PAGE
            most = max(most, len(lines()))
    assert pages == LINES // PAGE
    assert most <= len(before) + PAGE


def lines() -> list[LogLine]:
    return [one for one in gc.get_objects() if isinstance(one, LogLine)]
