"""Copies of tables' own files, which MariaDB imports in a fraction of the time that a dump's rows take.

A copy belongs to one dump, whose last line is its mark. It is made while the tables are locked from before the dump
begins until after its end, so both have the same rows. A load takes the definitions from
the dump's text, and the rows from the copy. Without the copy, or if the server refuses it, the whole dump is loaded.

Copied are databases of plain InnoDB tables alone, from ``_LEAST_BYTES`` to ``_MOST_BYTES``.

Source: MariaDB's manual, "InnoDB File-Per-Table Tablespaces: Copying Transportable Tablespaces".
"""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager, suppress
from functools import partial
from pathlib import Path

import structlog
import trio

from preview.backing.admin.mysql_session import Refused, Session
from preview.backing.contents.files import copy_regular, open_regular
from preview.backing.server import ServerUnavailable
from preview.backing.streams import SessionEnded
from preview.backing.wire.mysql import NotMysql
from preview.core.removal import remove_folder

log = structlog.get_logger(__name__)

# Smaller ones load as fast from the dump. Larger ones would hold the application up.
_LEAST_BYTES, _MOST_BYTES = 8 * 1024 * 1024, 256 * 1024 * 1024
_MOST_TABLES = 100
# All copies of the server; the oldest make way.
_MOST_KEPT_BYTES = 1024 * 1024 * 1024
_CHUNK_BYTES = 1024 * 1024
# Names that files have as they are.
_PLAIN = re.compile(r"[A-Za-z0-9_]{1,64}", re.ASCII)
# The server ends a session that holds the locks for longer, and with it the locks: a dump that takes so long has no
# copy. As long as an application stands still for a snapshot.
_HELD_S = 3
_ANSWER_S = 20.0
_TABLES = (
    "SELECT TABLE_NAME, TABLE_TYPE = 'BASE TABLE' AND ENGINE = 'InnoDB' AND CREATE_OPTIONS = ''"
    " FROM information_schema.TABLES WHERE TABLE_SCHEMA = '{0}' AND TABLE_TYPE <> 'VIEW' LIMIT {1}"
)
# Full texts and places have more than one file, or cannot be imported; generated columns may be computed otherwise.
_UNUSUAL = (
    "SELECT 1 FROM information_schema.STATISTICS WHERE TABLE_SCHEMA = '{0}' AND INDEX_TYPE <> 'BTREE' UNION"
    " SELECT 1 FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = '{0}' AND IS_GENERATED <> 'NEVER'"
)
_FAILED = (
    *(Refused, ServerUnavailable, SessionEnded, NotMysql, OSError, trio.TooSlowError),
    *(trio.BrokenResourceError, trio.ClosedResourceError),
)
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_ENDINGS = (".ibd", ".cfg")


class MysqlCopies:
    """The copies of one server of the service.

    Args:
        folder: Private folder of the service; what is in it is removed by ``clear``.
        server: The server's folder, whose ``data`` has a folder for each database. The server may write there.
        open_session: Opens a session of the administrator.
    """

    def __init__(self, folder: Path, server: Path, open_session: Callable[[], Awaitable[Session]]) -> None:
        self._folder = folder
        self._server = server
        self._open_session = open_session

    def clear(self) -> None:
        """Remove all copies: the server may be another one now. Blocks on the disk."""
        if self._folder.exists():
            remove_folder(self._folder)

    @asynccontextmanager
    async def copying(self, database: str) -> AsyncIterator[str]:
        """Yield the mark of a copy, which is kept if the tables stay locked until the end; empty if there is none.

        Cancellation: there is no copy.
        """
        mark, is_kept = secrets.token_hex(16), False
        session = await self._begin(database, mark) if _PLAIN.fullmatch(database) else None
        try:
            yield mark if session is not None else ""
            if session is not None:
                with suppress(*_FAILED), trio.fail_after(_ANSWER_S):
                    # Refused by a server that has ended the session, and with it the locks.
                    await session.execute("UNLOCK TABLES")
                    is_kept = True
        finally:
            if session is not None:
                session.close()
                if not is_kept:
                    self._remove(mark)

    async def _begin(self, database: str, mark: str) -> Session | None:
        """Lock the tables and copy their files; None if that cannot be done at once."""
        session: Session | None = None
        is_copied = False
        try:
            with trio.fail_after(_ANSWER_S):
                session = await self._open_session()
                tables = await _find_tables(session, database)
                if await trio.to_thread.run_sync(partial(self._pays, database, tables)):
                    # No waiting: the application may hold a table for as long as it likes.
                    await session.execute(f"SET SESSION lock_wait_timeout = 0, wait_timeout = {_HELD_S}")
                    names = ", ".join(f"`{database}`.`{name}`" for name in tables)
                    await session.execute(f"FLUSH TABLES {names} FOR EXPORT")
                    await trio.to_thread.run_sync(partial(self._copy, database, mark, tables))
                    is_copied = True
        except _FAILED as error:
            log.info("tables not copied", server="mysql", why=str(error))
        finally:
            if not is_copied:
                if session is not None:
                    session.close()
                self._remove(mark)
        return session if is_copied else None

    def _pays(self, database: str, tables: Sequence[str]) -> bool:
        with self._open_data(database) as data:
            sizes = [os.stat(f"{name}.ibd", dir_fd=data, follow_symlinks=False).st_size for name in tables]
        return _LEAST_BYTES <= sum(sizes) <= _MOST_BYTES

    def _copy(self, database: str, mark: str, tables: Sequence[str]) -> None:
        made = self._folder / mark
        made.mkdir(parents=True, mode=0o700)
        left = _MOST_BYTES
        with self._open_data(database) as data:
            for name in (table + ending for table in tables for ending in _ENDINGS):
                source = open_regular(name, data)
                try:
                    copy_regular(source, made / name, left)
                finally:
                    os.close(source)
                left -= (made / name).stat().st_size
        self._make_space(mark)

    def _make_space(self, mark: str) -> None:
        copies = sorted(self._folder.iterdir(), key=lambda one: one.stat().st_mtime, reverse=True)
        left = _MOST_KEPT_BYTES
        for one in copies:
            left -= sum(file.stat().st_size for file in one.iterdir())
            if left < 0 and one.name != mark:
                remove_folder(one)

    def _remove(self, mark: str) -> None:
        with suppress(OSError):
            if (self._folder / mark).exists():
                remove_folder(self._folder / mark)

    def has(self, mark: str) -> bool:
        """Return whether there is a copy. Blocks on the disk."""
        return re.fullmatch(r"[0-9a-f]{32}", mark, re.ASCII) is not None and (self._folder / mark).is_dir()

    async def load(self, mark: str, database: str) -> bool:
        """Give a database's empty tables the rows of a copy; return false if the server does not take them.

        Cancellation: some tables may have no files.
        """
        try:
            tables = await trio.to_thread.run_sync(self._tables_of, mark)
            with trio.fail_after(_ANSWER_S):
                session = await self._open_session()
            try:
                await session.execute("SET SESSION foreign_key_checks = 0, lock_wait_timeout = 1")
                for table in tables:
                    await self._import(session, mark, database, table)
            finally:
                session.close()
        except _FAILED as error:
            log.warning("tables not imported", server="mysql", why=str(error))
            return False
        return True

    async def _import(self, session: Session, mark: str, database: str, table: str) -> None:
        is_imported = False
        with trio.fail_after(_ANSWER_S):
            try:
                await session.execute(f"ALTER TABLE `{database}`.`{table}` DISCARD TABLESPACE")
                await trio.to_thread.run_sync(partial(self._give, mark, database, table))
                await session.execute(f"ALTER TABLE `{database}`.`{table}` IMPORT TABLESPACE")
                is_imported = True
            finally:
                # A file that the server does not know would keep the database from being dropped.
                self._take_back(database, table, _ENDINGS[1:] if is_imported else _ENDINGS)

    def _tables_of(self, mark: str) -> list[str]:
        return sorted(file.stem for file in (self._folder / mark).iterdir() if file.suffix == ".ibd")

    def _give(self, mark: str, database: str, table: str) -> None:
        with self._open_data(database) as data:
            owner = os.fstat(data)
            for name in (table + ending for ending in _ENDINGS):
                made = os.open(name, _NEW_FILE, 0o600, dir_fd=data)
                with open(made, "wb") as target, (self._folder / mark / name).open("rb") as source:  # noqa: PTH123
                    while chunk := source.read(_CHUNK_BYTES):
                        target.write(chunk)
                    os.fchmod(made, 0o660)
                    if (owner.st_uid, owner.st_gid) != (os.geteuid(), os.getegid()):
                        os.fchown(made, owner.st_uid, owner.st_gid)

    def _take_back(self, database: str, table: str, endings: Sequence[str]) -> None:
        with suppress(OSError), self._open_data(database) as data:
            for ending in endings:
                with suppress(FileNotFoundError):
                    os.unlink(table + ending, dir_fd=data)

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


async def _find_tables(session: Session, database: str) -> list[str]:
    """Return the tables to copy; none if one of them cannot be copied."""
    rows = await session.execute(_TABLES.format(database, _MOST_TABLES + 1))
    names = [name or "" for name, is_plain in rows if is_plain == "1"]
    if not len(names) == len(rows) <= _MOST_TABLES:
        return []
    if not all(map(_PLAIN.fullmatch, names)) or await session.execute(_UNUSUAL.format(database)):
        return []
    return names
