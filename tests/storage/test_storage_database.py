from __future__ import annotations

import sqlite3
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import psycopg
import pytest
import trio
from postgres import Server
from sqlalchemy import Connection, Engine, event, func, insert, select, text
from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError, ProgrammingError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from preview.errors import ConfigurationError, DatabaseUnavailable
from preview.storage import Database, open_database, prepare
from preview.storage.engine import make_engine
from preview.storage.outages import translate
from preview.storage.tables import projects, users


def add_user(connection: Connection, user_id: str = "user_1") -> None:
    connection.execute(insert(users).values(id=user_id, created_at=0))


def count_users(connection: Connection) -> int:
    return connection.scalar(select(func.count()).select_from(users)) or 0


def modes_in(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mode & 0o777 for path in folder.iterdir()}


def inodes_in(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_ino for path in folder.iterdir()}


def hurry(database: Database) -> None:
    """Let locks be given up at once."""

    def on_connect(connection: sqlite3.Connection, _record: object) -> None:
        connection.execute("PRAGMA busy_timeout = 10")

    event.listen(database.engine, "connect", on_connect)


@contextmanager
def locked(url: str) -> Iterator[None]:
    """Another program holds SQLite's write lock."""
    connection = sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None)
    try:
        connection.execute("BEGIN IMMEDIATE")
        yield
        connection.execute("ROLLBACK")
    finally:
        connection.close()


# Files


async def test_the_files_of_an_sqlite_database_are_its_owners_alone(tmp_path: Path) -> None:
    async with open_database(f"sqlite:///{tmp_path}/preview.db") as database:
        await prepare(database)
        await database.write(add_user)
        modes = modes_in(tmp_path)
    assert modes == {"preview.db": 0o600, "preview.db-wal": 0o600, "preview.db-shm": 0o600}


async def test_a_database_that_others_could_read_is_closed_to_them(tmp_path: Path) -> None:
    file = tmp_path / "preview.db"
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("CREATE TABLE of_others (id)")
    file.chmod(0o644)
    async with open_database(f"sqlite:///{file}") as database:
        await prepare(database)
    assert file.stat().st_mode & 0o777 == 0o600


async def test_another_program_that_opens_and_closes_the_database_takes_none_of_its_files_away(tmp_path: Path) -> None:
    # SQLite's last user writes the log ahead back and deletes it: another one must see that it is not the last.
    file = tmp_path / "preview.db"
    look = "import sqlite3, sys; it = sqlite3.connect(sys.argv[1]); it.execute('SELECT * FROM users'); it.close()"
    async with open_database(f"sqlite:///{file}") as database:
        await prepare(database)
        await database.write(add_user)
        before = inodes_in(tmp_path)
        subprocess.run([sys.executable, "-c", look, str(file)], check=True)  # noqa: ASYNC221  some milliseconds
        assert inodes_in(tmp_path) == before
        await database.write(lambda connection: add_user(connection, "user_2"))
        assert await database.read(count_users) == 2


async def test_a_database_that_a_link_names_before_it_is_there_is_its_owners_alone(tmp_path: Path) -> None:
    link, file = tmp_path / "preview.db", tmp_path / "disk" / "real.db"
    file.parent.mkdir(mode=0o700)
    link.symlink_to(file)
    async with open_database(f"sqlite:///{link}") as database:
        await prepare(database)
        await database.write(add_user)
        modes = modes_in(file.parent)
    assert modes == {"real.db": 0o600, "real.db-wal": 0o600, "real.db-shm": 0o600}


# Reading and writing


async def test_a_write_is_there_for_the_next_read(database: Database) -> None:
    await database.write(add_user)
    assert await database.read(count_users) == 1


async def test_a_write_that_fails_half_way_leaves_nothing(database: Database) -> None:
    def change(connection: Connection) -> None:
        add_user(connection)
        raise LookupError("half way")

    with pytest.raises(LookupError):
        await database.write(change)
    assert await database.read(count_users) == 0


async def test_what_a_read_changes_is_rolled_back(database: Database) -> None:
    await database.read(add_user)
    assert await database.read(count_users) == 0


async def test_a_mistake_in_a_statement_is_not_called_an_outage(database: Database) -> None:
    with pytest.raises((OperationalError, ProgrammingError), match="syntax"):
        await database.read(lambda connection: connection.execute(text("SELECT FROM WHERE")))


async def test_a_table_that_is_gone_is_an_outage(database: Database) -> None:
    with pytest.raises(DatabaseUnavailable) as caught:
        await database.read(lambda connection: connection.execute(text("SELECT * FROM no_such_table")))
    assert caught.value.details["reason"] in {"SQLITE_ERROR", "42P01"}


async def test_a_broken_reference_is_refused_and_not_called_an_outage(database: Database) -> None:
    row = insert(projects).values(id="p", user_id="nobody", created_at=0)
    with pytest.raises(IntegrityError):
        await database.write(lambda connection: connection.execute(row))


async def test_a_cancelled_write_that_has_begun_is_made(database: Database) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def change(connection: Connection) -> None:
        begun.set()
        assert go_on.wait(20)
        add_user(connection)

    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(database.write, change)
            await trio.to_thread.run_sync(begun.wait)
            nursery.cancel_scope.cancel()
            go_on.set()
    assert await database.read(count_users) == 1


async def test_more_callers_than_threads_all_get_their_turn(database: Database) -> None:
    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            for number in range(30):
                nursery.start_soon(database.write, lambda connection, n=number: add_user(connection, f"user_{n}"))
                nursery.start_soon(database.read, count_users)
    assert await database.read(count_users) == 30


async def test_a_change_holds_the_lock_from_its_first_read(sqlite_database_url: str) -> None:
    # Two services on one file, each "count, then insert if none": exactly one may insert.
    inserted: list[bool] = []
    reads = threading.Semaphore(0)

    def change(connection: Connection) -> None:
        found = count_users(connection)
        reads.release()
        # Gives the other the time to read the same, if it may.
        reads.acquire(timeout=0.2)
        if not found:
            add_user(connection)
        inserted.append(not found)

    with trio.fail_after(60):
        async with open_database(sqlite_database_url) as one, open_database(sqlite_database_url) as two:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(one.write, change)
                nursery.start_soon(two.write, change)
            assert await one.read(count_users) == 1
    assert sorted(inserted) == [False, True]


async def test_a_read_sees_one_state_although_others_write(sqlite_database_url: str) -> None:
    async with open_database(sqlite_database_url) as database:
        first_done, written = threading.Event(), threading.Event()

        def query(connection: Connection) -> tuple[int, int]:
            before = count_users(connection)
            first_done.set()
            assert written.wait(20)
            return before, count_users(connection)

        results: list[tuple[int, int]] = []

        async def read() -> None:
            results.append(await database.read(query))

        with trio.fail_after(60):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(read)
                await trio.to_thread.run_sync(first_done.wait)
                await database.write(add_user)
                written.set()
        assert results == [(0, 0)]


async def test_sqlite_connections_have_what_we_rely_on(sqlite_database_url: str) -> None:
    async with open_database(sqlite_database_url) as database:
        found = await database.read(
            lambda connection: [
                connection.exec_driver_sql(f"PRAGMA {name}").scalar()
                for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
            ]
        )
        assert database.is_sqlite
    assert found == ["wal", 1, 1, 10_000]


async def test_postgres_connections_have_what_we_rely_on(postgres_database_url: str) -> None:
    async with open_database(postgres_database_url) as database:
        found = await database.read(
            lambda connection: [
                connection.exec_driver_sql(f"SHOW {name}").scalar()
                for name in ("lock_timeout", "statement_timeout", "application_name")
            ]
        )
        assert not database.is_sqlite
    assert found == ["10s", "1min", "preview"]


async def test_what_the_url_says_wins(postgres_database_url: str) -> None:
    async with open_database(f"{postgres_database_url}&application_name=mine") as database:
        found = await database.read(lambda connection: connection.exec_driver_sql("SHOW application_name").scalar())
    assert found == "mine"


# Outages


async def test_a_locked_sqlite_is_an_outage_and_nothing_is_half_done(sqlite_database_url: str) -> None:
    async with open_database(sqlite_database_url) as database:
        hurry(database)
        with locked(sqlite_database_url):
            with pytest.raises(DatabaseUnavailable) as caught:
                await database.write(add_user)
            # Readers are not held up.
            assert await database.read(count_users) == 0
        assert caught.value.details["reason"].startswith("SQLITE_BUSY")  # type: ignore[attr-defined]  # a str
        assert await database.read(count_users) == 0
        await database.write(add_user)
        assert await database.read(count_users) == 1


async def test_a_folder_that_is_not_there_is_an_outage(tmp_path: Path) -> None:
    async with open_database(f"sqlite:///{tmp_path / 'none' / 'preview.db'}") as database:
        with pytest.raises(DatabaseUnavailable) as caught:
            await database.read(count_users)
    assert caught.value.details == {"reason": "SQLITE_CANTOPEN"}


async def test_a_full_disk_is_an_outage_and_nothing_is_half_done(sqlite_database_url: str) -> None:
    async with open_database(sqlite_database_url) as database:

        def on_connect(connection: sqlite3.Connection, _record: object) -> None:
            pages = connection.execute("PRAGMA page_count").fetchone()[0]
            connection.execute(f"PRAGMA max_page_count = {pages}")

        event.listen(database.engine, "connect", on_connect)

        def change(connection: Connection) -> None:
            for number in range(1000):
                add_user(connection, f"user_{number}")

        with pytest.raises(DatabaseUnavailable) as caught:
            await database.write(change)
        assert caught.value.details == {"reason": "SQLITE_FULL"}
        assert await database.read(count_users) == 0


async def test_connections_that_the_server_cut_are_replaced(
    postgres_server: Server, postgres_database_url: str
) -> None:
    async with open_database(postgres_database_url) as database:
        await database.write(add_user)
        cut_all(postgres_server)
        assert await database.read(count_users) == 1
        cut_all(postgres_server)
        await database.write(lambda connection: add_user(connection, "user_2"))
        assert await database.read(count_users) == 2


async def test_a_connection_cut_in_the_middle_is_an_outage_and_nothing_is_half_done(
    postgres_server: Server, postgres_database_url: str
) -> None:
    def change(connection: Connection) -> None:
        add_user(connection)
        cut_all(postgres_server)
        add_user(connection, "user_2")

    async with open_database(postgres_database_url) as database:
        with pytest.raises(DatabaseUnavailable):
            await database.write(change)
        assert await database.read(count_users) == 0


async def test_a_server_that_is_not_there_is_an_outage(tmp_path: Path) -> None:
    async with open_database(f"postgresql://preview:sesame@/x?host={tmp_path}") as database:
        with pytest.raises(DatabaseUnavailable) as caught:
            await database.read(count_users)
    assert caught.value.details == {"reason": "connection"}
    assert "sesame" not in str(caught.value)


@pytest.mark.parametrize(("setting", "sqlstate"), [("lock_timeout", "55P03"), ("statement_timeout", "57014")])
async def test_a_postgres_lock_held_too_long_is_an_outage(
    postgres_database_url: str, setting: str, sqlstate: str
) -> None:
    def change(connection: Connection) -> None:
        connection.exec_driver_sql(f"SET LOCAL {setting} = '20ms'")
        add_user(connection)

    async with open_database(postgres_database_url) as database:
        with psycopg.connect(postgres_database_url) as holder:
            holder.execute("LOCK TABLE users IN ACCESS EXCLUSIVE MODE")
            with pytest.raises(DatabaseUnavailable) as caught:
                await database.write(change)
        assert caught.value.details == {"reason": sqlstate}
        assert await database.read(count_users) == 0


async def test_a_standby_that_takes_no_writes_is_an_outage(postgres_database_url: str) -> None:
    def change(connection: Connection) -> None:
        connection.exec_driver_sql("SET LOCAL transaction_read_only = on")
        add_user(connection)

    async with open_database(postgres_database_url) as database:
        with pytest.raises(DatabaseUnavailable) as caught:
            await database.write(change)
    assert caught.value.details == {"reason": "25006"}


def test_a_pool_without_a_connection_left_is_an_outage() -> None:
    assert isinstance(translate(PoolTimeout("QueuePool limit")), DatabaseUnavailable)


def cut_all(server: Server) -> None:
    """End all sessions that this package has opened."""
    server.run("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name = 'preview'")


# URLs


@pytest.mark.parametrize(
    "url",
    ["", "nonsense", "mysql://root:sesame@localhost/x", "sqlite://", "sqlite:///:memory:", "http://sesame@x",
     "sqlite:///file:x?mode=memory&uri=true&password=sesame", "postgresql+asyncpg://u:sesame@h:notaport/x"],
)  # fmt: skip
def test_a_url_that_we_cannot_use_is_told_without_its_secrets(url: str) -> None:
    with pytest.raises(ConfigurationError, match="PREVIEW_DATABASE_URL") as caught:
        make_engine(url)
    assert "sesame" not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize("scheme", ["postgresql", "postgresql+psycopg", "postgresql+psycopg2", "postgres"])
def test_every_spelling_of_postgres_means_psycopg(scheme: str) -> None:
    engine = make_engine(f"{scheme}://u:p@localhost/x")
    assert engine.url.drivername == "postgresql+psycopg"
    engine.dispose()


def test_closing_leaves_no_warning(sqlite_database_url: str) -> None:
    script = (
        "import gc, trio\n"
        "from preview.storage import open_database\n"
        "async def main():\n"
        f"    async with open_database({sqlite_database_url!r}) as database:\n"
        "        async with trio.open_nursery() as nursery:\n"
        "            for _ in range(8):\n"
        "                nursery.start_soon(database.read, lambda connection: None)\n"
        "trio.run(main)\n"
        "gc.collect()\n"
    )
    done = subprocess.run([sys.executable, "-W", "error", "-c", script], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def _full(database: Path) -> None:
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("CREATE TABLE t (text)")
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
        connection.execute(f"PRAGMA max_page_count = {pages}")
        connection.execute("INSERT INTO t VALUES (zeroblob(1000000))")


def _not_a_database(database: Path) -> None:
    database.write_bytes(b"no database" * 1000)
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("SELECT * FROM sqlite_master")


def _no_file(database: Path) -> None:
    sqlite3.connect(f"file:{database}?mode=ro", uri=True)


@pytest.mark.parametrize(
    ("cause", "said"),
    [(_full, "disk is full"), (_not_a_database, "not an SQLite database"), (_no_file, "cannot be opened")],
)
def test_what_trying_again_does_not_mend_is_said(cause: Callable[[Path], None], said: str, tmp_path: Path) -> None:
    with pytest.raises(sqlite3.Error) as caught:
        cause(tmp_path / "a.db")
    error = translate(DBAPIError("statement", None, caught.value))
    assert isinstance(error, DatabaseUnavailable)
    assert said in error.message
    assert "again" not in error.message


def test_connections_that_open_a_new_file_at_once_wait_for_each_other(tmp_path: Path) -> None:
    """SQLite answers BUSY at once where two of them switch its journal, whatever their patience."""
    failures: list[Exception] = []
    for number in range(40):
        gate = threading.Barrier(4, timeout=20)
        engines = [make_engine(f"sqlite:///{tmp_path / str(number)}.db") for _ in range(4)]

        def connect(engine: Engine, gate: threading.Barrier = gate) -> None:
            gate.wait()
            try:
                with engine.connect():
                    pass
            except OperationalError as error:
                failures.append(error)
            engine.dispose()

        threads = [threading.Thread(target=connect, args=(engine,)) for engine in engines]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
    assert failures == []
