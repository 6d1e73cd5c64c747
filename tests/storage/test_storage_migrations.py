from __future__ import annotations

import logging
import re
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import trio
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from postgres import Server
from sqlalchemy import Engine, inspect, text

from preview.errors import ConfigurationError, DatabaseUnavailable
from preview.storage import migrate, open_database, prepare
from preview.storage.engine import make_engine
from preview.storage.tables import HEAD, metadata

TABLES = set(metadata.tables)
FIRST_TABLES = {"generation_files", "generations", "preview_instances", "preview_logs", "projects", "users"}


def tables_of(url: str) -> set[str]:
    engine = make_engine(url)
    try:
        return set(inspect(engine).get_table_names()) - {"alembic_version"}
    finally:
        engine.dispose()


def differences(engine: Engine) -> list[object]:
    try:
        with engine.connect() as connection:
            context = MigrationContext.configure(
                connection, opts={"compare_type": True, "compare_server_default": True}
            )
            return list(compare_metadata(context, metadata))
    finally:
        engine.dispose()


def test_the_constant_head_is_the_newest_script() -> None:
    assert migrate.head() == HEAD


def test_migrations_lead_to_the_tables_of_the_code(database_url: str) -> None:
    assert differences(make_engine(database_url)) == []


def test_migrations_write_the_same_sqlite_tables_as_the_code(sqlite_database_url: str, tmp_path: Path) -> None:
    # What Alembic's comparison does not see: WITHOUT ROWID, names and actions of constraints.
    created = make_engine(f"sqlite:///{tmp_path / 'created.db'}")
    metadata.create_all(created)
    created.dispose()

    def schema(path: str) -> dict[str, set[str]]:
        connection = sqlite3.connect(path)
        rows = connection.execute("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL").fetchall()
        connection.close()
        return {
            # A column that was added later stands behind the others' last line, separated by a comma. A table that was
            # rebuilt has its defaults in brackets.
            name: {
                re.sub(r"DEFAULT \((\S+)\)", r"DEFAULT \1", part).strip(" \t,)").replace('"', "")
                for part in re.split(r"\n|,(?![^(]*\))", sql)
            }
            - {""}
            for name, sql in rows
            if name != "alembic_version"
        }

    assert schema(sqlite_database_url.removeprefix("sqlite:///")) == schema(str(tmp_path / "created.db"))


def test_up_and_down_and_up_again(empty_database_url: str) -> None:
    url = empty_database_url
    assert migrate.current(url) is None
    migrate.upgrade(url)
    assert (migrate.current(url), tables_of(url)) == (HEAD, TABLES)
    migrate.downgrade(url, "base")
    assert (migrate.current(url), tables_of(url)) == (None, set())
    migrate.upgrade(url, "+1")
    assert migrate.current(url) == "0001"
    migrate.upgrade(url, "+1")
    assert (migrate.current(url), tables_of(url)) == ("0002", FIRST_TABLES)
    migrate.upgrade(url, "+1")
    assert migrate.current(url) == "0003"
    migrate.upgrade(url, "+1")
    assert migrate.current(url) == "0004"
    migrate.upgrade(url, "+1")
    assert migrate.current(url) == "0005"
    migrate.upgrade(url, "+1")
    assert migrate.current(url) == "0006"
    migrate.upgrade(url)
    assert (migrate.current(url), tables_of(url)) == (HEAD, TABLES)
    migrate.downgrade(url, "0001")
    assert migrate.current(url) == "0001"


def test_upgrading_twice_is_upgrading_once(database_url: str) -> None:
    migrate.upgrade(database_url)
    assert migrate.current(database_url) == HEAD


def test_two_upgrades_at_once_wait_for_each_other(empty_database_url: str) -> None:
    failures: list[Exception] = []
    gate = threading.Barrier(2, timeout=20)

    def run() -> None:
        try:
            gate.wait()
            migrate.upgrade(empty_database_url)
        except Exception as error:  # noqa: BLE001  shown by the assertion in the other thread
            failures.append(error)

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert failures == []
    assert migrate.current(empty_database_url) == HEAD


def test_a_failing_migration_leaves_nothing_behind(empty_database_url: str) -> None:
    engine = make_engine(empty_database_url)
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE preview_logs (id INTEGER)"))
    with pytest.raises(Exception, match="preview_logs"):
        migrate.upgrade(empty_database_url)
    engine.dispose()
    assert tables_of(empty_database_url) == {"preview_logs"}
    assert migrate.current(empty_database_url) is None


def test_a_migration_does_not_go_on_over_broken_references(sqlite_database_url: str) -> None:
    connection = sqlite3.connect(sqlite_database_url.removeprefix("sqlite:///"))
    connection.execute("INSERT INTO projects VALUES ('p', 'nobody', '', 0)")
    connection.commit()
    connection.close()
    with pytest.raises(ConfigurationError, match="'projects'"):
        migrate.upgrade(sqlite_database_url)


def test_an_unknown_revision_is_told_in_a_sentence(database_url: str) -> None:
    with pytest.raises(ConfigurationError, match="'no_such'"):
        migrate.upgrade(database_url, "no_such")


def test_migrating_does_not_touch_the_logging_of_the_process(empty_database_url: str) -> None:
    root = logging.getLogger()
    before = (root.level, list(root.handlers), logging.getLogger("sqlalchemy").level)
    bystander = logging.getLogger("some.library")
    migrate.upgrade(empty_database_url)
    assert (root.level, list(root.handlers), logging.getLogger("sqlalchemy").level) == before
    assert not bystander.disabled


def test_a_percent_sign_in_the_url_is_no_interpolation(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / '100%s %(x)s.db'}"
    migrate.upgrade(url)
    assert migrate.current(url) == HEAD


def test_asking_for_the_revision_of_a_file_that_is_not_there_makes_none(tmp_path: Path) -> None:
    assert migrate.current(f"sqlite:///{tmp_path / 'folder' / 'new.db'}") is None
    assert migrate.current(f"sqlite:///{tmp_path / 'new.db'}") is None
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_no_database_is_an_outage(tmp_path: Path) -> None:
    path = tmp_path / "text.db"
    path.write_text("this is not a database, and long enough for a header of one: " * 20)
    for call in (migrate.current, migrate.upgrade):
        with pytest.raises(DatabaseUnavailable) as caught:
            call(f"sqlite:///{path}")
        assert caught.value.details["reason"] == "SQLITE_NOTADB"


# prepare


async def test_prepare_makes_and_migrates_an_sqlite_file_and_its_folder(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'deep' / 'er' / 'preview.db'}"
    async with open_database(url) as database:
        await prepare(database)
        await prepare(database)
    assert tables_of(url) == TABLES
    assert (tmp_path / "deep" / "er").stat().st_mode & 0o777 == 0o700


async def test_prepare_only_checks_postgres_and_says_what_to_run(empty_postgres_url: str) -> None:
    async with open_database(empty_postgres_url) as database:
        with pytest.raises(ConfigurationError, match="run `preview db upgrade`") as caught:
            await prepare(database)
    assert caught.value.details == {"current": None, "head": HEAD}
    assert tables_of(empty_postgres_url) == set()


async def test_prepare_accepts_a_postgres_that_is_up_to_date(postgres_database_url: str) -> None:
    async with open_database(postgres_database_url) as database:
        await prepare(database)


async def test_services_that_may_upgrade_postgres_do_so_once_and_wait_for_each_other(empty_postgres_url: str) -> None:
    async def one() -> None:
        async with open_database(empty_postgres_url) as database:
            await prepare(database, upgrades=True)
            await prepare(database)

    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            for _ in range(3):
                nursery.start_soon(one)
    assert tables_of(empty_postgres_url) == TABLES


async def test_a_newer_postgres_is_refused_by_a_service_that_may_upgrade_too(postgres_database_url: str) -> None:
    async with open_database(postgres_database_url) as database:
        await database.write(
            lambda connection: connection.execute(text("UPDATE alembic_version SET version_num='9999'"))
        )
        with pytest.raises(ConfigurationError, match=r"9999.*newer version"):
            await prepare(database, upgrades=True)


async def test_a_postgres_without_an_encoding_is_refused_in_one_sentence(postgres_server: Server) -> None:
    postgres_server.run("CREATE DATABASE {} ENCODING 'SQL_ASCII' TEMPLATE template0", "bytes")
    url = postgres_server.url("bytes")
    for call in (migrate.current, migrate.upgrade):
        with pytest.raises(ConfigurationError, match=r"'bytes' has the encoding SQL_ASCII.*createdb --enc"):
            call(url)
    async with open_database(url) as database:
        with pytest.raises(ConfigurationError, match="SQL_ASCII"):
            await prepare(database)


async def test_prepare_refuses_a_database_of_a_newer_version(database_url: str) -> None:
    async with open_database(database_url) as database:
        await database.write(
            lambda connection: connection.execute(text("UPDATE alembic_version SET version_num='9999'"))
        )
        with pytest.raises(ConfigurationError, match=r"9999.*newer version"):
            await prepare(database)


async def test_prepare_refuses_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    async with open_database(f"sqlite:///{tmp_path / 'file' / 'preview.db'}") as database:
        with pytest.raises(ConfigurationError, match="PREVIEW_DATA_DIR"):
            await prepare(database)


async def test_two_services_may_prepare_one_sqlite_file_at_once(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'preview.db'}"

    async def one() -> None:
        async with open_database(url) as database:
            await prepare(database)

    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(one)
            nursery.start_soon(one)
    assert migrate.current(url) == HEAD


def test_a_start_without_anything_to_migrate_does_not_import_alembic(sqlite_database_url: str) -> None:
    script = (
        "import sys, trio\n"
        "from preview.storage import open_database, prepare\n"
        "async def main():\n"
        f"    async with open_database({sqlite_database_url!r}) as database:\n"
        "        await prepare(database)\n"
        "trio.run(main)\n"
        "assert 'alembic' not in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-W", "error", "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
