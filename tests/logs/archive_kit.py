"""A stored log with and without the archive, and an S3-compatible store."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from subprocess import PIPE, Popen, run

import httpx2
import pytest
import uv
from log_room import Room, make_settings
from sqlalchemy import delete, func, select

from preview.logs import LogStore, LogWriter
from preview.logs.archive.archive import Archive
from preview.logs.archive.place import Folder
from preview.logs.model.batch import StoredLine, batches_of
from preview.logs.model.events import LEVELS, STORED_SOURCES
from preview.logs.storage.archived import ArchivedLogs
from preview.logs.storage.rows import encode_batches, insert_rows
from preview.storage.database import Database
from preview.storage.tables import preview_logs, service_facts

_IS_LEASE = service_facts.c.name == "log archiver"


async def end_all_leases(database: Database) -> None:
    """End the archiver's lease of a service that was killed: by itself it ends after ten minutes."""
    await database.write(lambda connection: connection.execute(delete(service_facts).where(_IS_LEASE)))


def lines(count: int, skip: frozenset[int] = frozenset()) -> list[StoredLine]:
    words = ["GET /books 200", 'error \x1b[31mred\x1b[0m "quoted" \\ back', "Ünïcode \u2028 Kelvin \u212a", "", "plain"]
    return [
        (
            seq,
            1_795_857_220_000 + seq,
            int(LEVELS[seq % len(LEVELS)]),
            STORED_SOURCES[seq % len(STORED_SOURCES)],
            f"{words[seq % len(words)]} {seq}",
            f"req-{seq}" if seq % 3 == 0 else None,
        )
        for seq in range(1, count + 1)
        if seq not in skip
    ]


@dataclass
class Logs:
    """A stored log, with and without the archive."""

    database: Database
    archived: ArchivedLogs
    plain: LogStore
    store: LogStore
    preview_id: str
    rows: list[StoredLine]

    async def stored(self) -> int:
        query = select(func.count()).select_from(preview_logs)
        return await self.database.read(lambda connection: connection.execute(query).scalar_one())


@pytest.fixture
async def logs(database: Database, tmp_path: Path) -> Logs:
    preview_id, configured = "preview_a", make_settings(tmp_path)
    await Room(configured, database, LogStore(database), LogWriter(database, configured)).add_preview(preview_id)
    rows = lines(300, frozenset({7, 8, 100}))
    runs = await encode_batches(batches_of(preview_id, rows))
    await database.write(lambda connection: insert_rows(connection, runs))
    archived = ArchivedLogs(database, Archive(Folder(tmp_path / "archive")))
    await archived.claim()
    return Logs(database, archived, LogStore(database), LogStore(database, archived), preview_id, rows)


_MOTO = "moto[server,s3]==5.2.5"


@pytest.fixture
def bucket(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A bucket of moto's server, a program of its own: its packages contradict those of other tests."""
    folder = tmp_path_factory.mktemp("moto")
    own = os.environ | {"UV_TOOL_DIR": str(folder / "tools"), "UV_TOOL_BIN_DIR": str(folder)}
    made = run([uv.find_uv_bin(), "tool", "install", "--quiet", _MOTO], env=own, stderr=PIPE, text=True, check=False)
    if made.returncode != 0 and "CI" not in os.environ:
        pytest.skip(f"{_MOTO} cannot be installed: {made.stderr}")
    with Popen([folder / "moto_server", "-p", "0"], stderr=PIPE, text=True) as server:
        assert server.stderr is not None
        try:
            address = next(line.rpartition(" ")[2].strip() for line in server.stderr if "Running on http" in line)
            for name, value in {
                "AWS_ENDPOINT_URL": address, "AWS_ACCESS_KEY_ID": "k", "AWS_SECRET_ACCESS_KEY": "s",
                "AWS_REGION": "us-east-1",
            }.items():  # fmt: skip
                monkeypatch.setenv(name, value)
            httpx2.put(f"{address}/logs", timeout=20).raise_for_status()
            yield "s3://logs/previews"
        finally:
            server.kill()
