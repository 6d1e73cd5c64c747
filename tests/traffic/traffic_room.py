"""The store of recorded requests over a real database, with a log that is only a number."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import trio
from sqlalchemy import insert

from preview.settings import Settings
from preview.storage.database import Database
from preview.storage.tables import preview_instances
from preview.traffic import (
    Draft,
    DraftMessage,
    Origin,
    PreviewTraffic,
    TrafficStore,
    TrafficWriter,
    Who,
    run_traffic_writer,
)


@dataclass
class Lines:
    last_seq: int = 0
    #: Lines that are in the pipe still.
    unread: int = 0

    async def read_on(self) -> None:
        self.last_seq, self.unread = self.last_seq + self.unread, 0


@dataclass
class TrafficRoom:
    database: Database
    store: TrafficStore
    writer: TrafficWriter
    lines: Lines

    async def add_preview(self, preview_id: str, *, user: str = "u", status: str = "running", ended: int = 0) -> None:
        row = {
            "id": preview_id, "generation_id": "g", "project_id": "p", "user_id": user, "status": status,
            "health_status": "unknown", "created_at": 0, "expires_at": 0, "token_hash": "", "token_expires_at": 0,
            "log_level": "ERROR", "stopped_at": ended or None,
        }  # fmt: skip
        await self.database.write(lambda connection: connection.execute(insert(preview_instances).values(row)))

    async def open(self, preview_id: str = "preview_a", **row: Any) -> PreviewTraffic:
        await self.add_preview(preview_id, **row)
        return self.writer.open(preview_id, self.lines)


@asynccontextmanager
async def open_traffic_room(database: Database, path: Path, **values: object) -> AsyncIterator[TrafficRoom]:
    settings = Settings(data_dir=path, **values)  # type: ignore[arg-type]  # pydantic validates each value
    writer = TrafficWriter(database, settings)
    async with trio.open_nursery() as nursery:
        await nursery.start(run_traffic_writer, writer)
        yield TrafficRoom(database, TrafficStore(database), writer, Lines())
        nursery.cancel_scope.cancel()


def draft(**changes: Any) -> Draft:
    made = Draft(
        request_id=b"abc", origin=Origin.BROWSER, who=Who.VIEWER, method="GET", target=b"/books?x=1", status=200,
        error=None, ended_ms=1_760_000_000_000, queued=0.001, connected=-1.0, first_byte=0.002, ended=0.0035,
        sent_bytes=0, received_bytes=12, reload=0, first_line=1,
    )  # fmt: skip
    return made._replace(**changes)


def message(body: bytes = b"", size: int | None = None, **fields: str) -> DraftMessage:
    named = [(name.replace("_", "-").encode(), value.encode()) for name, value in fields.items()]
    return DraftMessage(named, body, len(body) if size is None else size)


def direct_report(name: str = "r1", *, dropped: int = 0, target: str = "/books?x=1") -> bytes:
    """A launcher's report of a request at the preview's own port."""
    return f"request {dropped} GET 404 1500 {name} {target}".encode()
