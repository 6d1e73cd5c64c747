"""One log that cannot be archived holds up no other log, and never ends the service."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import pytest
import structlog
import trio
from archive_kit import Logs
from log_room import Room, make_settings
from obstore.exceptions import GenericError, NotSupportedError
from sqlalchemy import update

from preview.errors import DatabaseUnavailable
from preview.logs import LogStore, LogWriter
from preview.logs.archive.place import Bucket, Folder, name_of
from preview.logs.model.batch import batches_of
from preview.logs.storage import archiving
from preview.logs.storage.archiving import archive_round, run_archiver
from preview.logs.storage.rows import encode_batches, insert_rows
from preview.settings import Settings
from preview.storage.tables import preview_instances, preview_logs


@pytest.fixture
def configured(tmp_path: Path) -> Settings:
    return make_settings(tmp_path, archive_after_s=0.001)


async def _add_ended(logs: Logs, configured: Settings, *names: str) -> None:
    """Add previews with a log each, and end all previews."""
    room = Room(configured, logs.database, LogStore(logs.database), LogWriter(logs.database, configured))
    for name in names:
        await room.add_preview(name)
        await _add_lines(logs, name)
    await logs.database.write(lambda connection: connection.execute(update(preview_instances).values(status="stopped")))


async def _add_lines(logs: Logs, name: str) -> None:
    runs = await encode_batches(batches_of(name, logs.rows[:3]))
    await logs.database.write(lambda connection: insert_rows(connection, runs))


async def _spoil(logs: Logs, name: str) -> None:
    """Give a log a level that no version of the service has written."""
    bad = update(preview_logs).where(preview_logs.c.preview_id == name).values(level=77)
    await logs.database.write(lambda connection: connection.execute(bad))


async def test_a_row_that_cannot_be_packed_holds_up_no_other_log(
    logs: Logs, configured: Settings, tmp_path: Path
) -> None:
    await _add_ended(logs, configured, "preview_b")
    await _spoil(logs, "preview_a")
    writer = LogWriter(logs.database, configured)
    with structlog.testing.capture_logs() as said:
        await archive_round(logs.archived, configured, writer)
    assert await logs.archived.has("preview_b")
    assert not await logs.archived.has("preview_a")
    assert logs.archived.failures == 1
    assert [(one["event"], one.get("preview_id")) for one in said if one["log_level"] != "info"] == [
        ("log not archived", "preview_a")
    ]
    assert {one.name for one in (tmp_path / "archive").iterdir()} == {"preview-archive.json", name_of("preview_b")}
    # Its lines stay in the database, and it waits before it is tried again.
    assert await archive_round(logs.archived, configured, writer) == 0
    assert logs.archived.failures == 1


async def test_logs_that_fail_do_not_keep_the_next_ones_from_their_turn(
    logs: Logs, configured: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [f"preview_{letter}" for letter in "bcde"]
    await _add_ended(logs, configured, *names)
    for name in ("preview_a", *names[:3]):
        await _spoil(logs, name)
    monkeypatch.setattr(archiving, "_ROUND", 4)
    for _ in range(3):
        await archive_round(logs.archived, configured, LogWriter(logs.database, configured))
    assert await logs.archived.has("preview_e")
    assert logs.archived.failures == 4


async def test_a_place_that_is_full_is_not_asked_for_each_log(
    logs: Logs, configured: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    await _add_ended(logs, configured, *[f"preview_{letter}" for letter in "bcdefgh"])

    def fail(*_: object) -> int:
        raise DatabaseUnavailable("The archive of logs does not answer.", reason="archive")

    monkeypatch.setattr(Folder, "write", fail)
    await archive_round(logs.archived, configured, LogWriter(logs.database, configured))
    assert logs.archived.failures == 3


async def test_an_error_of_the_driver_is_one_of_the_database(
    logs: Logs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The driver's own tuples are read without SQLAlchemy, which would have wrapped it."""

    class Result:
        cursor: Any

        def __enter__(self) -> Self:
            self.cursor = self
            return self

        def __exit__(self, *_: object) -> None:
            pass

        def fetchall(self) -> list[Any]:
            error: Any = logs.database.engine.dialect.loaded_dbapi.OperationalError("disk I/O error")
            error.sqlite_errorcode, error.sqlite_errorname = sqlite3.SQLITE_IOERR, "SQLITE_IOERR"
            raise error

    class Connected(Result):
        def execute(self, *_: object) -> Result:
            return Result()

    monkeypatch.setattr(logs.database.engine, "connect", Connected)
    with pytest.raises(DatabaseUnavailable, match="The service's database"):
        list(archiving._read(logs.database, logs.preview_id))


async def test_no_error_of_a_round_ends_the_archiver(
    logs: Logs, configured: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    rounds = trio.Event()

    async def fail(*_: object) -> int:
        if logs.archived.failures:
            rounds.set()
        raise sqlite3.DatabaseError("database disk image is malformed")

    monkeypatch.setattr(archiving, "archive_round", fail)
    monkeypatch.setattr(archiving, "_EACH_S", 0.001)
    with trio.fail_after(10), structlog.testing.capture_logs():
        async with trio.open_nursery() as nursery:
            nursery.start_soon(run_archiver, logs.archived, configured, LogWriter(logs.database, configured))
            await rounds.wait()
            nursery.cancel_scope.cancel()


@pytest.mark.parametrize("error", [KeyError(77), sqlite3.DatabaseError("malformed")])
def test_a_file_that_is_not_completed_leaves_no_draft(tmp_path: Path, error: Exception) -> None:
    def parts() -> Iterator[bytes]:
        yield b"first"
        raise error

    with pytest.raises(type(error)):
        Folder(tmp_path).write(name_of("preview_a"), parts())
    assert list(tmp_path.iterdir()) == []


async def test_a_failed_log_is_archived_later(
    logs: Logs, configured: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    await _add_ended(logs, configured)
    await _spoil(logs, "preview_a")
    writer = LogWriter(logs.database, configured)
    await archive_round(logs.archived, configured, writer)
    whole = update(preview_logs).values(level=20)
    await logs.database.write(lambda connection: connection.execute(whole))
    monkeypatch.setattr(archiving, "_AGAIN_S", 0.0)
    assert await archive_round(logs.archived, configured, writer) == 1
    assert await logs.archived.has("preview_a")


@pytest.mark.parametrize(
    ("failure", "is_written"),
    [
        (GenericError("Client error with status 501 Not Implemented: <Code>NotImplemented</Code>"), True),
        (NotImplementedError("not implemented"), True),
        (NotSupportedError("the condition is not known"), True),
        (GenericError("HTTP error: operation timed out"), False),
        (GenericError("Server returned non-2xx status code: 503 Slow Down"), False),
        (GenericError("Client error with status 409 Conflict: ConditionalRequestConflict"), False),
    ],
)
def test_a_mark_is_written_without_a_condition_only_if_the_store_knows_none(
    monkeypatch: pytest.MonkeyPatch, failure: Exception, is_written: bool
) -> None:
    """After any other error, the mark may be another service's."""
    monkeypatch.setenv("AWS_REGION", "r")
    bucket = Bucket("s3://logs/previews")
    written: list[bytes] = []

    class Store:
        def put(self, _name: str, data: bytes, *, mode: str = "overwrite") -> None:
            if mode == "create":
                raise failure
            written.append(data)

    bucket._store = Store()
    if is_written:
        bucket.create("preview-archive.json", b"mine")
    else:
        with pytest.raises(DatabaseUnavailable):
            bucket.create("preview-archive.json", b"mine")
    assert written == ([b"mine"] if is_written else [])
