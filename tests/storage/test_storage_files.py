"""The files of an SQLite database are removed, moved and replaced while it is open."""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path

import pytest
import trio
from sqlalchemy import Connection, func, insert, select
from structlog.testing import capture_logs

from preview.errors import DatabaseUnavailable
from preview.storage import Database, open_database
from preview.storage.tables import users


def file_of(url: str) -> Path:
    return Path(url.removeprefix("sqlite:///"))


def beside(file: Path, ending: str) -> Path:
    return file.with_name(f"{file.name}-{ending}")


async def add(database: Database, *names: str) -> None:
    def change(connection: Connection) -> None:
        connection.execute(insert(users), [{"id": name, "created_at": 0} for name in names])

    await database.write(change)


async def count(database: Database) -> int:
    found = await database.read(lambda connection: connection.scalar(select(func.count()).select_from(users)))
    assert found is not None
    return found


def count_in(file: Path, folder: Path) -> int:
    """As after a kill: what lies in the files, read from a copy."""
    folder.mkdir()
    for one in file.parent.glob(f"{file.name}*"):
        if not one.name.endswith("-shm"):
            shutil.copy(one, folder)
    connection = sqlite3.connect(folder / file.name)
    try:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        return int(connection.execute("SELECT count(*) FROM users").fetchone()[0])
    finally:
        connection.close()


@pytest.mark.parametrize("gone", [("wal",), ("shm",), ("wal", "shm")])
async def test_a_log_ahead_that_was_removed_costs_no_row(
    sqlite_database_url: str, tmp_path: Path, gone: tuple[str, ...]
) -> None:
    file = file_of(sqlite_database_url)
    async with open_database(sqlite_database_url) as database:
        await add(database, "a", "b")
        for ending in gone:
            beside(file, ending).unlink()
        with capture_logs() as said:
            await add(database, "c")
            assert await count(database) == 3
        assert [one["log_level"] for one in said] == ["warning"]
        assert count_in(file, tmp_path / "copy") == 3
        await add(database, "d")
        assert count_in(file, tmp_path / "again") == 4


async def test_it_is_noticed_among_many_calls_at_once(sqlite_database_url: str, tmp_path: Path) -> None:
    file = file_of(sqlite_database_url)
    async with open_database(sqlite_database_url) as database:
        await add(database, "first")

        async def write(worker: int) -> None:
            for number in range(20):
                await add(database, f"{worker}_{number}")
                await count(database)

        with trio.fail_after(60):
            async with trio.open_nursery() as nursery:
                for worker in range(6):
                    nursery.start_soon(write, worker)
                for _ in range(5):
                    await trio.sleep(0.02)
                    beside(file, "wal").unlink(missing_ok=True)
        assert await count(database) == 121
        assert count_in(file, tmp_path / "copy") == 121


async def test_a_log_ahead_that_was_removed_is_noticed_by_the_check(sqlite_database_url: str, tmp_path: Path) -> None:
    file = file_of(sqlite_database_url)
    async with open_database(sqlite_database_url) as database:
        await add(database, "a")
        beside(file, "wal").unlink()
        await database.check(5)
        assert count_in(file, tmp_path / "copy") == 1


async def test_a_database_that_was_moved_is_an_outage_until_it_is_back(
    sqlite_database_url: str, tmp_path: Path
) -> None:
    file, moved = file_of(sqlite_database_url), tmp_path / "moved.db"
    async with open_database(sqlite_database_url) as database:
        await add(database, "a")
        file.rename(moved)
        with capture_logs() as said:
            for _ in range(2):
                with pytest.raises(DatabaseUnavailable, match="put it back") as caught:
                    await add(database, "b")
                assert caught.value.details == {"reason": "moved"}
            with pytest.raises(DatabaseUnavailable):
                await database.check(1)
        # Once, for the operator; the file that was moved has all rows by itself.
        assert [(one["log_level"], one["path"]) for one in said] == [("error", str(file))]
        assert count_in(moved, tmp_path / "copy") == 1
        assert not file.exists()
        moved.rename(file)
        await add(database, "b")
        assert count_in(file, tmp_path / "again") == 2


async def test_a_database_that_was_moved_with_its_log_ahead_and_back_is_used_again(
    sqlite_database_url: str, tmp_path: Path
) -> None:
    file, elsewhere = file_of(sqlite_database_url), tmp_path / "elsewhere"
    elsewhere.mkdir()
    async with open_database(sqlite_database_url) as database:
        await add(database, "a")
        for one in list(file.parent.glob(f"{file.name}*")):
            one.rename(elsewhere / one.name)
        with pytest.raises(DatabaseUnavailable):
            await count(database)
        for one in list(elsewhere.iterdir()):
            one.rename(file.with_name(one.name))
        await add(database, "b")
        assert count_in(file, tmp_path / "copy") == 2


async def test_a_database_that_was_replaced_is_an_outage_and_the_other_file_is_left_alone(
    sqlite_database_url: str, tmp_path: Path, sqlite_template: Path
) -> None:
    file, moved = file_of(sqlite_database_url), tmp_path / "moved.db"
    async with open_database(sqlite_database_url) as database:
        await add(database, "a")
        file.rename(moved)
        shutil.copy(sqlite_template, file)
        before = file.read_bytes()
        with pytest.raises(DatabaseUnavailable, match="restart"):
            await add(database, "b")
    assert file.read_bytes() == before
    assert count_in(moved, tmp_path / "copy") == 1
