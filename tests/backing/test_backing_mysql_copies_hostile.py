"""Nothing is lost by a copy of tables: whatever fails, and whatever happens meanwhile."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

import pytest
import trio
from backing_kit import Driver, Host
from mysql_copies_kit import Saved

from preview.backing.admin.mysql_session import Rows, Session
from preview.backing.contents import mysql_copies, mysql_dump
from preview.backing.contents.mysql_copies import MysqlCopies
from preview.backing.contents.mysql_copy import remove_copy
from preview.backing.interface import ClientCommand
from preview.backing.mysql import MysqlEngine
from preview.runtime import beside

pytestmark = pytest.mark.parametrize("host", ["mysql"], indirect=True)

Execute = Callable[[Session, str], Awaitable[Rows]]
# Statements at which a connection ends in the short form of the tests.
FIRST = "innodb_lock_wait_timeout = 0"
LOADING = ("DISCARD", "IMPORT")
SAVING = ("FLUSH", "XA RECOVER", "UNLOCK")


class Faults:
    """Notes the statements of copies, and lets one of them fail.

    Attributes:
        said: All statements.
        fails: Whether a statement fails, by its number and words.
        is_during: Whether it is killed while it is executed, not before.
    """

    def __init__(self, engine: MysqlEngine, execute: Execute) -> None:
        self._engine = engine
        self._execute = execute
        self.said: list[str] = []
        self.fails: Callable[[int, str], bool] = lambda _number, _said: False
        self.is_during = False
        # Words of a statement, and what happens before it.
        self.before: tuple[str, Callable[[], None]] | None = None

    async def __call__(self, session: Session, statement: str) -> Rows:
        number, execute = len(self.said), self._execute
        self.said.append(statement)
        if self.before is not None and self.before[0] in statement:
            await trio.to_thread.run_sync(self.before[1])
        if "PROCESSLIST" in statement or "KILL" in statement or not self.fails(number, statement):
            return await execute(session, statement)
        self.fails = lambda _number, _said: False
        [[found]] = await execute(session, "SELECT CONNECTION_ID()")
        if not self.is_during:
            await self._kill(found)
            return await execute(session, statement)
        async with beside(partial(self._kill, found)):
            return await execute(session, statement)

    async def _kill(self, number: str | None) -> None:
        other = await self._engine._log_in()
        try:
            await self._execute(other, f"KILL CONNECTION {number}")
        finally:
            other.close()


@pytest.fixture
def faults(host: Host, monkeypatch: pytest.MonkeyPatch) -> Faults:
    assert isinstance(host.engine, MysqlEngine)
    found = Faults(host.engine, Session.execute)

    async def execute(self: Session, statement: str) -> Rows:
        return await found(self, statement)

    monkeypatch.setattr(mysql_copies, "Session", Session)
    monkeypatch.setattr(Session, "execute", execute)
    return found


def steps(faults: Faults, words: tuple[str, ...]) -> list[int]:
    """The first number of each of these words' statements."""
    return [next(number for number, said in enumerate(faults.said) if word in said) for word in words]


def is_number(number: int, found: int, _said: str) -> bool:
    return found == number


def check_loads(saved: Saved, faults: Faults, loads: list[bool], words: tuple[str, ...] | None) -> None:
    before = saved.seen()
    saved.save()
    assert saved.is_copied
    faults.said.clear()
    saved.load()
    assert loads == [True]
    if words is None:
        cases = [(number, is_during) for number in range(len(faults.said)) for is_during in (False, True)]
    else:
        cases = [(number, "IMPORT" in faults.said[number]) for number in steps(faults, words)]
    for number, is_during in cases:
        faults.said.clear()
        faults.fails, faults.is_during = partial(is_number, number), is_during
        saved.execute("DELETE FROM books WHERE id > 1000 ORDER BY id DESC")
        saved.load()
        assert saved.seen() == before, (number, is_during, faults.said)
    assert False in loads


def test_a_restore_whose_connection_ends_at_any_step_loses_nothing(
    saved: Saved, faults: Faults, loads: list[bool]
) -> None:
    check_loads(saved, faults, loads, LOADING)


@pytest.mark.long
def test_a_restore_whose_connection_ends_at_each_step_loses_nothing(
    saved: Saved, faults: Faults, loads: list[bool]
) -> None:
    check_loads(saved, faults, loads, None)


def check_saves(saved: Saved, faults: Faults, words: tuple[str, ...] | None) -> None:
    before = saved.seen()
    saved.save()
    [first] = steps(faults, (FIRST,))
    numbers = range(first, len(faults.said)) if words is None else steps(faults, words)
    for number in numbers:
        remove_copy(saved.copy)
        faults.said.clear()
        faults.fails = partial(is_number, number)
        saved.save()
        assert not saved.copy.exists(), number
        # The locks are gone.
        saved.execute("DELETE FROM books WHERE id > 1000 ORDER BY id DESC")
        saved.load()
        assert saved.seen() == before, number


def test_a_snapshot_whose_connection_ends_at_any_step_has_the_dump_alone(saved: Saved, faults: Faults) -> None:
    check_saves(saved, faults, SAVING)


@pytest.mark.long
def test_a_snapshot_whose_connection_ends_at_each_step_has_the_dump_alone(saved: Saved, faults: Faults) -> None:
    check_saves(saved, faults, None)


@pytest.mark.parametrize(
    "change",
    [
        "CREATE TABLE newer AS SELECT seq FROM seq_1_to_100",
        "DROP TABLE loud",
        "ALTER TABLE loud ADD COLUMN newer int DEFAULT 5",
        "ALTER TABLE loud ENGINE=Aria",
    ],
)
def test_a_table_that_changes_between_list_and_lock_leaves_the_dump(
    saved: Saved, faults: Faults, loads: list[bool], change: str
) -> None:
    faults.before = ("FLUSH TABLES", partial(saved.execute, change))
    saved.save()
    faults.before = None
    assert not saved.copy.exists()
    before = saved.seen()
    saved.load()
    assert saved.seen() == before
    assert loads == []


def test_a_table_that_is_made_while_the_dump_is_written_leaves_the_dump(
    saved: Saved, loads: list[bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = saved.run

    async def run_then_make(command: ClientCommand) -> None:
        await run(command)
        await trio.to_thread.run_sync(saved.execute, "CREATE TABLE newer AS SELECT seq FROM seq_1_to_100")

    monkeypatch.setattr(saved, "run", run_then_make)
    saved.save()
    assert not saved.copy.exists()
    assert loads == []


def test_a_dump_that_takes_long_does_not_hold_the_application_up(saved: Saved, monkeypatch: pytest.MonkeyPatch) -> None:
    run = saved.run

    async def run_until_free(command: ClientCommand) -> None:
        await run(command)
        # Waits for the locks, which end long before the dump.
        await trio.to_thread.run_sync(saved.execute, "INSERT INTO books (said) VALUES ('meanwhile')")

    monkeypatch.setattr(saved, "run", run_until_free)
    monkeypatch.setattr(mysql_copies, "_HELD_S", 4)
    saved.save()
    assert not saved.copy.exists()


def test_an_import_that_takes_too_long_is_ended_before_its_files_are_taken_back(
    saved: Saved, faults: Faults, loads: list[bool], driver: Driver, host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = saved.seen()
    saved.save()
    running: list[object] = []
    execute, take_back = faults._execute, MysqlCopies._take_back

    async def slow(session: Session, statement: str) -> Rows:
        is_import = "IMPORT TABLESPACE" in statement
        return await execute(session, "SELECT SLEEP(1000)" if is_import else statement)

    def noted(self: MysqlCopies, database: str, tables: list[object], endings: tuple[str, ...]) -> None:
        async def ask() -> None:
            assert isinstance(host.engine, MysqlEngine)
            session = await host.engine._log_in()
            running.append(
                await execute(session, "SELECT ID FROM information_schema.PROCESSLIST WHERE INFO LIKE 'SELECT SLEEP%'")
            )
            session.close()

        trio.from_thread.run(ask)
        take_back(self, database, tables, endings)  # type: ignore[arg-type]

    faults._execute = slow
    monkeypatch.setattr(MysqlCopies, "_take_back", noted)
    monkeypatch.setattr(mysql_copies, "_IMPORT_S", 2)
    started = time.monotonic()
    saved.load()
    assert time.monotonic() - started < 120
    assert (set(running), loads) == ({()}, [False])
    assert saved.seen() == before


def test_a_server_that_is_killed_in_an_import_loses_nothing(
    saved: Saved, host: Host, loads: list[bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = saved.seen()
    saved.save()
    give = MysqlCopies._give

    def kill_then_give(self: MysqlCopies, folder: Path, database: str, table: object) -> None:
        give(self, folder, database, table)  # type: ignore[arg-type]
        host.kill_server()

    monkeypatch.setattr(MysqlCopies, "_give", kill_then_give)
    saved.load()
    monkeypatch.undo()
    assert saved.seen() == before
    assert loads == [False]


def test_a_cancelled_import_leaves_a_database_that_is_loaded_again(
    saved: Saved, host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = saved.seen()
    saved.save()
    give = MysqlCopies._give

    def give_then_cancel(self: MysqlCopies, folder: Path, database: str, table: object) -> None:
        give(self, folder, database, table)  # type: ignore[arg-type]
        trio.from_thread.run_sync(scope.cancel)

    async def load() -> None:
        with scope:
            await saved.database.load(saved.file, saved.run, saved.copy)

    with monkeypatch.context() as patched:
        patched.setattr(MysqlCopies, "_give", give_then_cancel)
        scope = trio.CancelScope()
        saved.wait(load)
        assert scope.cancelled_caught
    assert isinstance(host.engine, MysqlEngine)
    data = host.engine._server.command.folder / "data"
    assert list(data.glob("shop/*.cfg")) == []
    saved.load()
    assert saved.seen() == before


async def test_a_copy_is_only_a_wish(saved: Saved, monkeypatch: pytest.MonkeyPatch) -> None:
    """A dump without a folder for a copy, as for a comparison, writes no definitions and asks for no lock."""
    asked: list[bool] = []
    save = mysql_dump.save

    async def noted(*values: object, with_definitions: bool = False) -> None:
        asked.append(with_definitions)
        await save(*values)  # type: ignore[arg-type]

    monkeypatch.setattr(mysql_dump, "save", noted)
    saved.file.unlink(missing_ok=True)
    await trio.to_thread.run_sync(saved.wait, saved.database.save, saved.file, saved.run)
    assert asked == [False]
    assert not saved.copy.exists()
