"""Several services on one database archive: none overwrites the file of another, or deletes lines that it lacks."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any, cast

import pytest
import trio
from archive_kit import Logs
from log_room import Room, make_settings
from sqlalchemy import insert, select, update

from preview.core.clock import now_ms
from preview.logs import LogStore, LogWriter
from preview.logs.archive.archive import Archive
from preview.logs.archive.lease import end_lease, take_lease
from preview.logs.archive.place import Folder, name_of
from preview.logs.model.batch import batches_of
from preview.logs.storage import archiving
from preview.logs.storage.archived import ArchivedLogs
from preview.logs.storage.archiving import archive_one, archive_round
from preview.logs.storage.rows import encode_batches, insert_rows
from preview.settings import Settings
from preview.storage.database import Fences
from preview.storage.tables import archived_logs, preview_instances

_P = preview_instances.c


@pytest.fixture
def configured(tmp_path: Path) -> Settings:
    return make_settings(tmp_path / "data", archive_after_s=0.001)


async def another(logs: Logs, tmp_path: Path) -> ArchivedLogs:
    """The archive as another service on this database has it."""
    archived = ArchivedLogs(logs.database, Archive(Folder(tmp_path / "archive")))
    await archived.claim()
    return archived


async def end(logs: Logs, preview_id: str = "preview_a", **values: object) -> None:
    ended = {"status": "stopped", "stopped_at": now_ms() - 1000} | values
    change = update(preview_instances).where(_P.id == preview_id).values(ended)
    await logs.database.write(lambda connection: connection.execute(change))


async def add(logs: Logs, configured: Settings, preview_id: str, count: int, **values: object) -> None:
    """Add an ended preview with the first lines of the fixture's log."""
    room = Room(configured, logs.database, LogStore(logs.database), LogWriter(logs.database, configured))
    await room.add_preview(preview_id)
    await add_lines(logs, preview_id, 0, count)
    await end(logs, preview_id, **values)


async def add_lines(logs: Logs, preview_id: str, first: int, last: int) -> None:
    runs = await encode_batches(batches_of(preview_id, logs.rows[first:last]))
    await logs.database.write(lambda connection: insert_rows(connection, runs))


async def lines_of(logs: Logs) -> list[int]:
    page = await LogStore(logs.database, logs.archived).read_page(logs.preview_id, after=0, limit=1000)
    return [line.seq for batch in page.batches for line in batch]


async def test_a_service_with_an_older_list_overwrites_no_file(logs: Logs, tmp_path: Path) -> None:
    late = await another(logs, tmp_path)
    await archive_one(logs.archived, logs.preview_id)
    await archiving._release(logs.archived)
    await archive_one(late, logs.preview_id)
    assert await lines_of(logs) == [row[0] for row in logs.rows]
    rows = select(archived_logs.c.lines)
    assert await logs.database.read(lambda connection: connection.scalar(rows)) == len(logs.rows)


@pytest.mark.long
async def test_while_a_service_writes_another_does_not(
    logs: Logs, configured: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = await another(logs, tmp_path)
    writer = LogWriter(logs.database, configured)
    await end(logs)
    writing, go_on, found = trio.Event(), threading.Event(), list[int]()
    token, write = trio.lowlevel.current_trio_token(), Folder.write

    def slow(self: Folder, name: str, parts: Any) -> int:
        token.run_sync_soon(writing.set)
        assert go_on.wait(60)
        return write(self, name, parts)

    monkeypatch.setattr(Folder, "write", slow)
    with trio.fail_after(120):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(archive_round, logs.archived, configured, writer)
            try:
                await writing.wait()
                found.append(await archive_round(other, configured, writer))
            finally:
                go_on.set()
    assert found == [0]
    assert (logs.archived.logs, other.logs) == (1, 0)
    assert await lines_of(logs) == [row[0] for row in logs.rows]
    # The lease has ended with the round.
    await archiving.hold(other)


async def test_a_service_that_slept_while_another_archived_shows_no_file(
    logs: Logs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = await another(logs, tmp_path)
    read = archiving._read

    def take_over(*given: Any) -> Any:
        yield next(parts := read(*given))
        # The lease has ended meanwhile, and the other service has it.
        with logs.database.engine.begin() as connection:
            end_lease(connection, logs.archived.holder)
            assert take_lease(connection, other.holder)
        yield from parts

    monkeypatch.setattr(archiving, "_read", take_over)
    with pytest.raises(archiving.LeaseLost):
        await archive_one(logs.archived, logs.preview_id)
    assert await logs.stored() == len(logs.rows)
    assert not [one for one in (tmp_path / "archive").iterdir() if name_of(logs.preview_id) in one.name]


async def test_lines_that_came_after_the_file_are_not_deleted(
    logs: Logs, configured: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    await add(logs, configured, "preview_b", 10)
    clear = archiving._clear

    async def later(archived: ArchivedLogs, preview_id: str) -> None:
        await add_lines(logs, preview_id, 10, 15)
        await clear(archived, preview_id)

    monkeypatch.setattr(archiving, "_clear", later)
    before = await logs.stored()
    await archive_one(logs.archived, "preview_b")
    assert await logs.stored() == before - 5


async def test_no_empty_file_replaces_the_only_copy(logs: Logs, tmp_path: Path) -> None:
    await archive_one(logs.archived, logs.preview_id)
    await logs.database.write(lambda connection: connection.execute(archived_logs.delete()))
    await archive_one(logs.archived, logs.preview_id)
    assert await lines_of(logs) == [row[0] for row in logs.rows]


async def test_previews_of_other_services_do_not_keep_own_ones_from_their_turn(
    logs: Logs, configured: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archiving, "_ROUND", 2)
    for name in "bcd":
        await add(logs, configured, f"preview_{name}", 3, directory="/elsewhere/previews/x")
    await end(logs, directory=f"{configured.data_dir}/previews/a", created_at=5)
    writer = LogWriter(logs.database, configured)
    assert await archive_round(logs.archived, configured, writer) == 1
    assert await logs.archived.has("preview_a")
    # Their service may be gone for good.
    await end(logs, "preview_b", stopped_at=now_ms() - 25 * 3600 * 1000)
    assert await archive_round(logs.archived, configured, writer) == 1
    assert await logs.archived.has("preview_b")


async def test_a_node_waits_for_the_lines_that_another_node_has_not_stored(logs: Logs, configured: Settings) -> None:
    """All nodes have the same path of the data folder, on different machines."""
    logs.database.fences = cast("Fences", object())
    folder, writer = f"{configured.data_dir}/previews/a", LogWriter(logs.database, configured)
    await end(logs, directory=folder, last_seq=logs.rows[-1][0] + 1)
    assert await archive_round(logs.archived, configured, writer) == 0
    await end(logs, directory=folder, last_seq=logs.rows[-1][0])
    assert await archive_round(logs.archived, configured, writer) == 1


async def test_a_service_of_an_earlier_version_that_takes_no_lease_loses_no_line(
    logs: Logs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = archiving._read
    row = {"preview_id": logs.preview_id, "lines": 9, "size_bytes": 9, "archived_at": now_ms(), "is_cleared": 0}

    def meanwhile(*given: Any) -> Any:
        # The other one has written its file and its row, and has deleted the lines that this one has not read.
        with logs.database.engine.begin() as connection:
            connection.execute(insert(archived_logs).values(row))
        yield next(read(*given))

    monkeypatch.setattr(archiving, "_read", meanwhile)
    with pytest.raises(archiving.LeaseLost):
        await archive_one(logs.archived, logs.preview_id)
    assert await logs.stored() == len(logs.rows)
    assert not [one for one in (tmp_path / "archive").iterdir() if name_of(logs.preview_id) in one.name]
