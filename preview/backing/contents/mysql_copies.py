"""Copies of tables' own files, which MariaDB imports in a fraction of the time that a dump's rows take.

A copy is made beside a dump, in the folder of the same snapshot, and goes with it. While both are made the tables are
locked, so both have the same rows. A restore loads the definitions, and imports the rows. Wherever the copy does not
serve, the whole dump is loaded.

Source: MariaDB's manual, "InnoDB File-Per-Table Tablespaces: Copying Transportable Tablespaces".
"""

from __future__ import annotations

import os
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager, suppress
from functools import partial
from pathlib import Path

import structlog
import trio

from preview.backing.admin.mysql_session import Refused, Session
from preview.backing.contents.files import copy_regular, open_regular
from preview.backing.contents.mysql_copy import (
    DEFINITIONS,
    ENDINGS,
    CopiedTable,
    TableCopy,
    measure,
    remove_copy,
    send_file,
    write_manifest,
)
from preview.backing.contents.mysql_inventory import PLAIN, Inventory, NotCopied, take_inventory
from preview.backing.server import ServerUnavailable
from preview.backing.streams import SessionEnded
from preview.backing.wire.mysql import NotMysql
from preview.errors import DataUnavailable
from preview.runtime import beside

log = structlog.get_logger(__name__)

# Smaller ones load as fast from the dump. Larger ones would hold the application up.
_LEAST_BYTES, _MOST_BYTES = 8 * 1024 * 1024, 256 * 1024 * 1024
_MOST_DEFINITIONS_BYTES = 16 * 1024 * 1024
# The tables stay locked for so long at most: less than an application stands still for a snapshot. A dump that takes
# longer has no copy.
_HELD_S = 2.5
# Each statement meanwhile; those that wait for a lock of the application's end at once.
_STATEMENT_S = 2
# The server ends a session that says nothing for so long, and with it the locks, should the service be killed.
_SILENT_S = 3
# An import is ended in less time than a service has to stop, even if the server does not answer.
_OPEN_S, _IMPORT_S, _END_S, _AGAIN_S = 5.0, 60.0, 5.0, 0.05
_FAILED = (
    *(Refused, ServerUnavailable, SessionEnded, NotMysql, NotCopied, OSError, ValueError, trio.TooSlowError),
    *(trio.BrokenResourceError, trio.ClosedResourceError),
)
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class MysqlCopies:
    """Makes and loads copies of one server of the service.

    Attributes:
        run: The server's run.

    Args:
        server: The server's folder, whose ``data`` has a folder for each database. The server may write there.
        admin: The administrator's name.
        open_session: Opens a session of the administrator.
    """

    def __init__(self, server: Path, admin: str, open_session: Callable[[], Awaitable[Session]]) -> None:
        self._server = server
        self._admin = admin
        self._open_session = open_session
        self.run = ""
        self.renew()

    def renew(self) -> None:
        """Use no copy of before: the server has been started."""
        self.run = secrets.token_hex(16)

    @asynccontextmanager
    async def copying(self, database: str, folder: Path) -> AsyncIterator[Locked | None]:
        """Lock the tables, and copy their files; None if that cannot be done at once.

        The copy is kept by ``Locked.keep``, or removed at the end.

        Args:
            database: The database.
            folder: Folder to make.

        Cancellation: there is no copy.
        """
        async with self._open() as session:
            locked = None
            try:
                if session is not None:
                    locked = await self._lock(session, database, folder)
                if session is None or locked is None:
                    yield None
                else:
                    async with beside(partial(_release_in_time, session, locked.deadline)):
                        yield locked
            finally:
                if locked is None or not locked.is_kept:
                    with trio.CancelScope(deadline=trio.current_time() + _END_S, shield=True):
                        await trio.to_thread.run_sync(remove_copy, folder)

    @asynccontextmanager
    async def _open(self) -> AsyncIterator[Session | None]:
        session = None
        try:
            with trio.fail_after(_OPEN_S):
                session = await self._open_session()
        except _FAILED as error:
            log.info("tables not copied", server="mysql", why=str(error))
        try:
            yield session
        finally:
            if session is not None:
                session.close()

    async def _lock(self, session: Session, database: str, folder: Path) -> Locked | None:
        """Lock and copy; None if the tables cannot be copied."""
        locked = None
        deadline = trio.current_time() + _HELD_S
        try:
            with trio.fail_at(deadline):
                if PLAIN.fullmatch(database) is None:
                    raise NotCopied("the database's name is not plain")
                # No waiting: the application may hold a table for as long as it likes.
                await session.execute(
                    f"SET SESSION lock_wait_timeout = 0, innodb_lock_wait_timeout = 0, wait_timeout = {_SILENT_S},"
                    f" max_statement_time = {_STATEMENT_S}"
                )
                inventory = await take_inventory(session, database)
                if not _LEAST_BYTES <= inventory.size_bytes <= _MOST_BYTES:
                    return None
                names = ", ".join(f"`{database}`.`{name}`" for name in inventory.tables)
                await session.execute(f"FLUSH TABLES {names} FOR EXPORT")
                locked = Locked(session, database, folder, self.run, inventory, deadline)
                await locked.check()
                await trio.to_thread.run_sync(partial(self._copy, database, folder, inventory))
        except _FAILED as error:
            log.info("tables not copied", server="mysql", why=str(error))
            session.close()
            return None
        return locked

    def _copy(self, database: str, folder: Path, inventory: Inventory) -> None:
        folder.mkdir(mode=0o700)
        left = _MOST_BYTES
        with self._open_data(database) as data:
            for name in (table + ending for table in inventory.tables for ending in ENDINGS):
                source = open_regular(name, data)
                try:
                    found = os.fstat(source)
                    left -= found.st_size
                    if found.st_nlink != 1 or left < 0:
                        raise NotCopied("a file has another name too, or all are too large")
                    with (folder / name).open("xb") as target:
                        send_file(source, target.fileno(), found.st_size)
                finally:
                    os.close(source)

    async def load(self, copy: TableCopy, database: str) -> bool:
        """Give a database that has a copy's definitions the copy's rows; return false if the server refuses them.

        If it does, the database must be emptied.

        Raises:
            DataUnavailable: An import cannot be ended.

        Cancellation: some tables may have no rows, and no import runs.
        """
        async with self._open() as session:
            if session is None:
                return False
            number, run = None, self.run
            is_loaded, has_ended = False, True
            placed: list[CopiedTable] = []
            try:
                with trio.fail_after(_IMPORT_S):
                    [[number]] = await session.execute("SELECT CONNECTION_ID()")
                    if copy.run != self.run:
                        raise NotCopied("another run of the server")
                    await self._import_all(session, copy, database, placed)
                    is_loaded = True
            except _FAILED as error:
                log.warning("tables not imported", server="mysql", why=str(error))
            finally:
                if not is_loaded:
                    session.close()
                    with trio.move_on_after(_END_S, shield=True) as scope:
                        await self._end(number or "0", run)
                        await trio.to_thread.run_sync(partial(self._take_back, database, placed, ENDINGS))
                        await trio.to_thread.run_sync(partial(self._take_back, database, copy.tables, ENDINGS[1:]))
                    has_ended = not scope.cancelled_caught
            if not has_ended:
                raise DataUnavailable("MariaDB does not end an import of tables; try again later.")
            return is_loaded

    async def _import_all(self, session: Session, copy: TableCopy, database: str, placed: list[CopiedTable]) -> None:
        """Import all tables. ``placed`` has the one whose files the server may not know."""
        await session.execute(
            "SET SESSION foreign_key_checks = 0, lock_wait_timeout = 1, innodb_lock_wait_timeout = 1,"
            f" max_statement_time = {_IMPORT_S:g}"
        )
        await _check_same(session, database, copy.inventory)
        for table in copy.tables:
            name = f"`{database}`.`{table.name}`"
            await session.execute(f"ALTER TABLE {name} DISCARD TABLESPACE")
            placed.append(table)
            await trio.to_thread.run_sync(partial(self._give, copy.folder, database, table))
            await session.execute(f"ALTER TABLE {name} IMPORT TABLESPACE")
            # The server uses the table's file from now on: it is not taken back any more.
            placed.clear()
            await trio.to_thread.run_sync(partial(self._take_back, database, [table], ENDINGS[1:]))
        await _check_same(session, database, copy.inventory)
        found = await _count(session, database, [table.name for table in copy.tables])
        if found != [table.rows for table in copy.tables]:
            raise NotCopied("the tables have other numbers of rows")

    async def _end(self, number: str, run: str) -> None:
        """End a session, and wait until it has: a statement that it was sent could still be executed.

        A server that was started again has ended it, and may have given its number to another one.
        """
        while self.run == run:
            with suppress(*_FAILED):
                session = await self._open_session()
                try:
                    mine = f"FROM information_schema.PROCESSLIST WHERE ID = {int(number)} AND USER = '{self._admin}'"
                    while self.run == run and await session.execute(f"SELECT ID {mine}"):
                        with suppress(Refused):
                            await session.execute(f"KILL HARD CONNECTION {int(number)}")
                        await trio.sleep(_AGAIN_S)
                    return
                finally:
                    session.close()
            await trio.sleep(_AGAIN_S)

    def _give(self, folder: Path, database: str, table: CopiedTable) -> None:
        if PLAIN.fullmatch(table.name) is None:
            raise NotCopied("a table's name is not plain")
        with self._open_data(database) as data:
            owner = os.fstat(data)
            for ending, size in zip(ENDINGS, table.sizes, strict=True):
                made = os.open(table.name + ending, _NEW_FILE, 0o600, dir_fd=data)
                try:
                    source = open_regular(folder / f"{table.name}{ending}")
                    try:
                        send_file(source, made, size)
                    finally:
                        os.close(source)
                    os.fchmod(made, 0o660)
                    if (owner.st_uid, owner.st_gid) != (os.geteuid(), os.getegid()):
                        os.fchown(made, owner.st_uid, owner.st_gid)
                finally:
                    os.close(made)

    def _take_back(self, database: str, tables: Sequence[CopiedTable], endings: Sequence[str]) -> None:
        """Remove files: one that the server does not know would keep the database from being dropped."""
        with suppress(OSError), self._open_data(database) as data:
            for name in (table.name + ending for table in tables for ending in endings):
                with suppress(FileNotFoundError):
                    os.unlink(name, dir_fd=data)

    @contextmanager
    def _open_data(self, database: str) -> Iterator[int]:
        """Yield the folder of a database's files; no link is followed, as the server may write there."""
        with ExitStack() as held:
            descriptor = os.open(self._server, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
            held.callback(os.close, descriptor)
            for name in ("data", database):
                descriptor = os.open(name, _FOLDER, dir_fd=descriptor)
                held.callback(os.close, descriptor)
            yield descriptor


class Locked:
    """Tables that are locked, and whose files are copied.

    Attributes:
        deadline: Time at which the locks are released.
        is_kept: Whether the copy is kept.
    """

    def __init__(
        self,
        session: Session,
        database: str,
        folder: Path,
        run: str,
        inventory: Inventory,
        deadline: float,
    ) -> None:
        self._session = session
        self._database = database
        self._folder = folder
        self._run = run
        self._inventory = inventory
        self.deadline = deadline
        self.is_kept = False

    async def check(self) -> None:
        """Check that no table was made, changed or removed before the locks, or since.

        Raises:
            NotCopied: One was.
            Refused, NotMysql, SessionEnded, trio.BrokenResourceError: The server does not say.

        Cancellation: the session cannot be used any more.
        """
        await _check_same(self._session, self._database, self._inventory.mark)
        # Their changes are in the files, committed or not.
        if await self._session.execute("XA RECOVER"):
            raise NotCopied("transactions are prepared")

    async def keep(self, definitions: Path) -> None:
        """Keep the copy, if nothing has changed since the locks; the dump is written.

        Args:
            definitions: The database's definitions. The file is not believed.

        Cancellation: it is not kept.
        """
        try:
            with trio.fail_at(self.deadline):
                await self.check()
                names = self._inventory.tables
                rows = await _count(self._session, self._database, names)
                await trio.to_thread.run_sync(partial(self._write, definitions, rows))
                # Refused by a server that has ended the session, and with it the locks.
                await self._session.execute("UNLOCK TABLES")
                self.is_kept = True
        except _FAILED as error:
            log.info("tables not copied", server="mysql", why=str(error))

    def _write(self, definitions: Path, rows: Sequence[int]) -> None:
        source = open_regular(definitions)
        try:
            copy_regular(source, self._folder / DEFINITIONS, _MOST_DEFINITIONS_BYTES)
        finally:
            os.close(source)
        tables = measure(self._folder, self._inventory.tables, rows)
        write_manifest(TableCopy(self._folder, self._run, self._inventory.mark, tables))


async def _release_in_time(session: Session, deadline: float) -> None:
    await trio.sleep_until(deadline)
    session.close()


async def _check_same(session: Session, database: str, mark: str) -> None:
    if (await take_inventory(session, database)).mark != mark:
        raise NotCopied("the tables are others")


async def _count(session: Session, database: str, names: Sequence[str]) -> list[int]:
    counts = ", ".join(f"(SELECT COUNT(*) FROM `{database}`.`{name}`)" for name in names)  # noqa: S608  plain names
    [row] = await session.execute(f"SELECT {counts}")
    return [int(one or "-1") for one in row]
