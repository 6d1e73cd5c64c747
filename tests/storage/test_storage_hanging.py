"""A PostgreSQL whose processes are stopped: connections stand, and nothing answers."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psycopg
import pytest
import trio
from sqlalchemy import Connection, insert, text

from preview.errors import DatabaseUnavailable
from preview.generations import GenerationLibrary
from preview.generations.editing import Edit
from preview.runtime.kernel.proctree import descendants
from preview.settings import Settings
from preview.storage import open_database
from preview.storage.tables import users


@contextmanager
def stopped(url: str) -> Iterator[None]:
    """The server and all of its processes are stopped (SIGSTOP), and continued at the end."""
    with psycopg.connect(url) as asked:
        found = asked.execute("SELECT current_setting('data_directory')").fetchone()
        assert found is not None
        server = int((Path(found[0]) / "postmaster.pid").read_text().splitlines()[0])
    # The first of them first: it starts no further ones then.
    os.kill(server, signal.SIGSTOP)
    children = descendants(server)
    try:
        for pid in children:
            _send(pid, signal.SIGSTOP)
        yield
    finally:
        for pid in (*children, server):
            _send(pid, signal.SIGCONT)


def _send(pid: int, number: signal.Signals) -> None:
    # That of a connection that was just closed may end meanwhile.
    with suppress(ProcessLookupError):
        os.kill(pid, number)


def add_user(connection: Connection) -> None:
    connection.execute(insert(users).values(id="user_1", created_at=0))


@pytest.mark.timed
async def test_a_call_is_given_up_in_time_and_the_next_one_after_it_works(postgres_database_url: str) -> None:
    async with open_database(postgres_database_url, timeout_s=0.5) as database:
        await database.write(add_user)
        with stopped(postgres_database_url):
            began = trio.current_time()
            for call in (database.read, database.write):
                with pytest.raises(DatabaseUnavailable) as caught:
                    await call(lambda connection: connection.execute(text("SELECT 1")))
                assert caught.value.details["reason"] == "timeout"
            assert trio.current_time() - began < 2
        with trio.fail_after(60):
            found = await database.read(lambda connection: connection.scalar(text("SELECT count(*) FROM users")))
    assert found == 1


async def test_many_calls_are_all_given_up_in_time(postgres_database_url: str) -> None:
    late = 0

    async with open_database(postgres_database_url, timeout_s=0.5) as database:

        async def ask() -> None:
            nonlocal late
            with pytest.raises(DatabaseUnavailable):
                await database.read(lambda connection: connection.execute(text("SELECT 1")))
            late += 1

        await database.write(add_user)
        with stopped(postgres_database_url), trio.fail_after(3):
            async with trio.open_nursery() as nursery:
                for _ in range(20):
                    nursery.start_soon(ask)
            with pytest.raises(DatabaseUnavailable):
                await database.check(0.3)
    assert late == 20


async def test_a_caller_that_is_cancelled_does_not_wait_for_it(postgres_database_url: str) -> None:
    async with open_database(postgres_database_url, timeout_s=30) as database:
        await database.write(add_user)
        with stopped(postgres_database_url), trio.fail_after(3):
            with trio.move_on_after(0.1) as scope:
                await database.read(lambda connection: connection.execute(text("SELECT 1")))
            assert scope.cancelled_caught


async def test_a_change_that_writes_much_has_more_time(postgres_database_url: str) -> None:
    def slow(connection: Connection) -> None:
        connection.execute(text("SELECT pg_sleep(1)"))
        add_user(connection)

    async with open_database(postgres_database_url, timeout_s=0.3) as database:
        with pytest.raises(DatabaseUnavailable):
            await database.write(slow)
        await database.write(slow, size_bytes=10 * 2**20)
        shown = "SELECT current_setting('statement_timeout')"
        # The server's own limit, 60 s, is no earlier.
        found = await database.write(lambda connection: connection.scalar(text(shown)), size_bytes=100 * 2**20)
    assert found == "100300ms"


async def test_a_large_upload_and_a_large_edit_have_more_time(
    postgres_database_url: str, make_settings_in: Callable[..., Settings]
) -> None:
    with psycopg.connect(postgres_database_url, autocommit=True) as owner:
        owner.execute(
            "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$ "
            "BEGIN PERFORM pg_sleep(1); RETURN NEW; END $$"
        )
        owner.execute("CREATE TRIGGER slow BEFORE INSERT ON generation_files FOR EACH ROW EXECUTE FUNCTION slow()")
    async with open_database(postgres_database_url, timeout_s=0.5) as database:
        library = GenerationLibrary(database, make_settings_in())
        large = {"main.py": b"#" * (4 * 2**20)}
        made = await library.create(user_id="user_1", project_id=None, name="", files=large)
        await library.edit(made.id, Edit({"other.py": b"#" * (4 * 2**20)}))
        assert len(await library.file_list(made.id)) == 2


async def test_a_service_that_stands_still_in_a_change_loses_its_locks(postgres_database_url: str) -> None:
    lock = text("SELECT pg_advisory_xact_lock(1)")
    async with (
        open_database(postgres_database_url, timeout_s=1) as frozen,
        open_database(postgres_database_url, timeout_s=120) as other,
    ):
        has_lock = trio.Event()
        token = trio.lowlevel.current_trio_token()

        def change(connection: Connection) -> None:
            connection.execute(lock)
            token.run_sync_soon(has_lock.set)
            # Until the server has taken the lock away, or for as long as a frozen machine may stand still.
            taken_away.wait(90)

        taken_away = threading.Event()

        async def stand_still() -> None:
            with suppress(DatabaseUnavailable):
                await frozen.write(change)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(stand_still)
            await has_lock.wait()
            try:
                with trio.fail_after(60):
                    await other.write(lambda connection: connection.execute(lock).all())
            finally:
                taken_away.set()
