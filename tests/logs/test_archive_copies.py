"""A copy of the service's database does not own the archive of the original, however it was made."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import psycopg
import pytest
import trio
from log_room import make_settings
from postgres import Server

from preview.errors import ConfigurationError, DatabaseUnavailable
from preview.logs.archive.archive import Archive
from preview.logs.archive.identity import ENDING
from preview.logs.archive.owner import MARK
from preview.logs.archive.place import Folder, name_of
from preview.logs.storage.archived import ArchivedLogs, find_archive
from preview.logs.storage.archiving import sweep
from preview.storage.database import Database, open_database

REFUSED = "after a database was copied or moved, end the other service for good, then remove preview-archive.json"
LATER = name_of("preview_later")


@asynccontextmanager
async def owned(url: str, tmp_path: Path) -> AsyncIterator[ArchivedLogs]:
    """The archive of a database, with the log of a preview that no copy knows."""
    async with open_database(url, 60) as database:
        archived = await find_archive(make_settings(tmp_path, archive=str(tmp_path / "archive")), database)
        assert archived is not None
        (tmp_path / "archive" / LATER).write_bytes(b"lines")
        yield archived


async def check_refused(url: str, tmp_path: Path) -> None:
    """A service on a copy does not start with the archive, and removes nothing that the copy does not know."""
    async with open_database(url, 60) as copy:
        with pytest.raises(ConfigurationError, match=REFUSED):
            await find_archive(make_settings(tmp_path, archive=str(tmp_path / "archive")), copy)
        refused = ArchivedLogs(copy, Archive(Folder(tmp_path / "archive")))
        with pytest.raises(ConfigurationError, match=REFUSED):
            await refused.claim()
        with pytest.raises(DatabaseUnavailable, match="no mark"):
            await sweep(refused)
    assert (tmp_path / "archive" / LATER).exists()


async def check_taken_over(url: str, tmp_path: Path, original: Database) -> None:
    """What the refusal says to do works: then the original is the one that is refused."""
    (tmp_path / "archive" / MARK).unlink()
    (tmp_path / "archive" / LATER).unlink()
    async with open_database(url, 60) as copy:
        found = await find_archive(make_settings(tmp_path, archive=str(tmp_path / "archive")), copy)
        assert found is not None
        assert found.is_claimed
    with pytest.raises(ConfigurationError, match=REFUSED):
        await ArchivedLogs(original, Archive(Folder(tmp_path / "archive"))).claim()


def _file_alone(original: Path, copy: Path) -> None:
    copy.mkdir()
    for name in ("preview.db", "preview.db-wal"):
        if (original / name).exists():
            shutil.copy2(original / name, copy / name)


def _whole_folder(original: Path, copy: Path) -> None:
    shutil.copytree(original, copy, copy_function=shutil.copy2)


def _folder_with_a_foreign_id(original: Path, copy: Path) -> None:
    _whole_folder(original, copy)
    (copy / f"preview.db{ENDING}").write_text("another\n")


@pytest.mark.parametrize("make", [_file_alone, _whole_folder, _folder_with_a_foreign_id])
async def test_a_copied_sqlite_database_is_refused(
    sqlite_template: Path, tmp_path: Path, make: Callable[[Path, Path], None]
) -> None:
    original = tmp_path / "original"
    original.mkdir()
    shutil.copy(sqlite_template, original / "preview.db")
    async with owned(f"sqlite:///{original / 'preview.db'}", tmp_path) as archived:
        make(original, tmp_path / "copy")
        await check_refused(f"sqlite:///{tmp_path / 'copy/preview.db'}", tmp_path)
        # The original goes on; so does a service that reaches it by a link.
        assert await archived.is_own()
        (tmp_path / "link").symlink_to(original)
        async with open_database(f"sqlite:///{tmp_path / 'link/preview.db'}", 60) as linked:
            await ArchivedLogs(linked, Archive(Folder(tmp_path / "archive"))).claim()
        await check_taken_over(f"sqlite:///{tmp_path / 'copy/preview.db'}", tmp_path, archived.database)
    assert (original / f"preview.db{ENDING}").stat().st_mode & 0o777 == 0o600


async def test_an_id_that_is_no_file_stops_the_start_with_a_sentence(sqlite_database_url: str, tmp_path: Path) -> None:
    await trio.Path(f"{sqlite_database_url.removeprefix('sqlite:///')}{ENDING}").mkdir()
    async with open_database(sqlite_database_url, 60) as database:
        with pytest.raises(ConfigurationError, match="cannot be used"):
            await find_archive(make_settings(tmp_path, archive=str(tmp_path / "archive")), database)


async def test_a_database_restored_from_pg_dump_is_refused(
    postgres_server: Server, postgres_database_url: str, empty_postgres_url: str, tmp_path: Path
) -> None:
    program = shutil.which("pg_dump")
    if program is None:
        pytest.skip("no pg_dump")
    async with owned(postgres_database_url, tmp_path) as archived:
        dump = await trio.run_process(
            [program, "--inserts", "--no-owner", _conninfo(postgres_database_url)], capture_stdout=True
        )
        # What psql alone understands.
        script = b"\n".join(line for line in dump.stdout.splitlines() if not line.startswith(b"\\"))
        with psycopg.connect(_conninfo(empty_postgres_url), autocommit=True) as connection:
            connection.execute(script)
        await check_refused(empty_postgres_url, tmp_path)
        assert await archived.is_own()
        # A second service on the original.
        again = ArchivedLogs(archived.database, Archive(Folder(tmp_path / "archive")))
        await again.claim()
        await check_taken_over(empty_postgres_url, tmp_path, archived.database)


def _conninfo(url: str) -> str:
    return url.replace("postgresql+psycopg://", "postgresql://")
