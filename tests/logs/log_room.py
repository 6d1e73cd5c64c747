from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import delete, insert

from preview.logs import End, LogStore, LogWriter, PreviewLog
from preview.settings import Settings
from preview.storage.database import Database
from preview.storage.tables import preview_instances


def make_settings(path: Path, **values: object) -> Settings:
    return Settings(data_dir=path, **values)  # type: ignore[arg-type]  # pydantic validates each value


def end_of(preview_id: str) -> End:
    return End(preview_id, "stopped", "You stopped it.", 0, None, 1_760_000_000_000)


@dataclass
class Room:
    """The log room over a real SQLite file, without a running writer."""

    settings: Settings
    database: Database
    store: LogStore
    writer: LogWriter

    async def add_preview(self, preview_id: str, stopped_at: int | None = None) -> None:
        row = {
            "id": preview_id, "generation_id": "g", "project_id": "p", "user_id": "u", "status": "running",
            "health_status": "unknown", "created_at": 0, "expires_at": 0, "token_hash": "", "token_expires_at": 0,
            "log_level": "ERROR", "stopped_at": stopped_at,
        }  # fmt: skip
        await self.database.write(lambda connection: connection.execute(insert(preview_instances).values(row)))

    async def delete_preview(self, preview_id: str) -> None:
        gone = delete(preview_instances).where(preview_instances.c.id == preview_id)
        await self.database.write(lambda connection: connection.execute(gone))

    def log(self, preview_id: str = "preview_a") -> PreviewLog:
        return PreviewLog(preview_id, settings=self.settings, writer=self.writer, store=self.store)


MakeRoom = Callable[..., Room]
