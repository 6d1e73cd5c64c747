"""Reading a MySQL database: its tables, their rows, and answers to statements.

Each reading has a session of its own, as the preview's own user, and a transaction that only reads. A block of code
(``BEGIN NOT ATOMIC``, a procedure) could commit this transaction and then write, so only statements that begin with a
word of ``_WORDS`` are executed. Inside of these MariaDB commits nothing.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import trio

from preview.backing.admin.mysql_link import Link
from preview.backing.admin.mysql_session import Refused, Rows, Session
from preview.backing.answers import Kept, as_number, reading
from preview.backing.interface import QueryResult, TableSummary
from preview.backing.streams import SessionEnded
from preview.backing.wire.mysql import NotMysql
from preview.errors import DataUnavailable, QueryRefused

_STATEMENT_S = 10
# A server that was taken over may never answer.
_ANSWER_S = _STATEMENT_S + 5.0
_FIRST = (
    f"SET SESSION max_statement_time = {_STATEMENT_S}, lock_wait_timeout = 1, innodb_lock_wait_timeout = 1,"
    " tx_read_only = 1, sql_select_limit = {most}"
)
_BEGIN = "START TRANSACTION READ ONLY"
# Time to wait for a table that the application has locked.
_LOCK_S = 5
_MOST_STATEMENT_BYTES = 64 * 1024
_WORDS = ("SELECT", "SHOW", "WITH", "DESCRIBE", "DESC", "EXPLAIN", "VALUES")
# Spaces, opening brackets and comments; not those that MariaDB executes (/*! and /*M!).
_BEFORE = re.compile(r"(?:[\s(]|--\s[^\n]*(?:\n|\Z)|#[^\n]*(?:\n|\Z)|/\*(?!M?!)(?:[^*]|\*(?!/))*\*/)*+([A-Za-z]*)")
# Tables up to this size are counted; of others the server has an estimate.
_MOST_COUNTED, _MOST_COUNTS = 10_000, 100
_TABLES = (
    "SELECT TABLE_NAME, TABLE_TYPE, TABLE_ROWS, DATA_LENGTH + INDEX_LENGTH FROM information_schema.TABLES"
    " WHERE TABLE_SCHEMA = DATABASE() AND TABLE_TYPE <> 'SEQUENCE' ORDER BY TABLE_NAME LIMIT 1000"
)
_KEYS = (
    "SELECT COLUMN_NAME FROM information_schema.STATISTICS WHERE TABLE_SCHEMA = DATABASE() AND INDEX_NAME = 'PRIMARY'"
    " AND TABLE_NAME = CONVERT(X'{name}' USING utf8mb4) ORDER BY SEQ_IN_INDEX"
)
_ENDED = (SessionEnded, NotMysql, trio.BrokenResourceError, trio.ClosedResourceError, OSError, trio.TooSlowError)


@dataclass(frozen=True, slots=True)
class MysqlTables:
    """The tables of one preview's database; see ``BackingDatabase``.

    Attributes:
        connect: Connects to the server.
        user: The preview's user.
        password: Its password.
        database: Its database.
    """

    connect: Callable[[], Awaitable[Link]]
    user: str
    password: str = field(repr=False)
    database: str

    async def list_tables(self) -> Sequence[TableSummary]:
        """See ``BackingDatabase``. Cancellation: nothing changes."""
        async with self._session(_MOST_COUNTED) as session:
            return await _summarize(session, await session.execute(_TABLES))

    async def check_locks(self) -> None:
        """Wait until all tables can be read, for a moment: ``mariadb-dump`` would wait without a limit.

        Raises:
            DataUnavailable: A table is locked, or the server does not answer.

        Cancellation: nothing changes.
        """
        async with self._session(_MOST_COUNTED) as session:
            names = [row[0] or "" for row in await session.execute(_TABLES) if row[1] == "BASE TABLE"]
            await session.execute(f"SET SESSION lock_wait_timeout = {_LOCK_S}")
            parts = ", ".join(f"(SELECT COUNT(*) FROM (SELECT 1 FROM {_quoted(one)} LIMIT 0) AS part)" for one in names)  # noqa: S608
            try:
                await session.execute(f"SELECT {parts or 1}")
            except Refused as error:
                raise DataUnavailable(f"A table could not be read within {_LOCK_S} s: {error}.") from error

    async def read_table(self, name: str, *, offset: int, limit: int) -> QueryResult:
        """See ``BackingDatabase``. Cancellation: nothing changes."""
        async with self._session(limit + 1) as session:
            keys = await session.execute(_KEYS.format(name=name.encode("utf-8", "replace").hex()))
            order = ", ".join(_quoted(row[0]) for row in keys if row and row[0] is not None)
            ordered = f" ORDER BY {order}" if order else ""
            statement = f"SELECT * FROM {_quoted(name)}{ordered} LIMIT {limit + 1} OFFSET {offset}"  # noqa: S608
            return await _fetch(session, statement, limit)

    async def query(self, statement: str, *, most_rows: int) -> QueryResult:
        """See ``BackingDatabase``. Cancellation: nothing changes."""
        if len(statement.encode("utf-8", "replace")) > _MOST_STATEMENT_BYTES:
            raise QueryRefused(f"The statement is longer than {_MOST_STATEMENT_BYTES // 1024} KiB.")
        found = _BEFORE.match(statement)
        if found is None or found[1].upper() not in _WORDS:
            raise QueryRefused(f"Only read-only statements are allowed here: {', '.join(_WORDS)}.")
        async with self._session(most_rows + 1) as session:
            return await _fetch(session, statement, most_rows)

    @asynccontextmanager
    async def _session(self, most_rows: int) -> AsyncIterator[Session]:
        """Open a session. Cancellation: it ends."""
        with reading("MariaDB", Refused, _ENDED), trio.fail_after(_ANSWER_S):
            session = Session(await self.connect())
            try:
                try:
                    await session.log_in(self.user, self.password, self.database)
                except Refused as error:
                    raise DataUnavailable(f"MariaDB refuses: {error}.") from error
                await session.execute(_FIRST.format(most=most_rows))
                await session.execute(_BEGIN)
                yield session
            finally:
                session.close()


async def _fetch(session: Session, statement: str, most_rows: int) -> QueryResult:
    kept = Kept(most_rows)
    columns = await session.fetch(statement, kept)
    return kept.result(columns)


async def _summarize(session: Session, rows: Rows) -> Sequence[TableSummary]:
    if any(len(row) != 4 for row in rows):
        raise NotMysql("unexpected rows")
    found = [(name or "", kind, as_number(estimate), as_number(size)) for name, kind, estimate, size in rows]
    tables = [(name, estimate or 0) for name, kind, estimate, _ in found if kind == "BASE TABLE"]
    counts = await _count(session, [name for name, estimate in tables if estimate <= _MOST_COUNTED][:_MOST_COUNTS])
    return [TableSummary(name, counts.get(name, estimate), size) for name, _, estimate, size in found]


async def _count(session: Session, names: Sequence[str]) -> Mapping[str, int | None]:
    """Return the rows of tables, None if a table has many; nothing if one of the tables cannot be read now."""
    asked = ", ".join(
        f"(SELECT COUNT(*) FROM (SELECT 1 FROM {_quoted(name)} LIMIT {_MOST_COUNTED + 1}) AS part)"  # noqa: S608
        for name in names
    )
    try:
        rows = await session.execute(f"SELECT {asked}") if names else []
    except Refused:
        return {}
    counts = {name: as_number(said) for name, said in zip(names, rows[0] if rows else (), strict=False)}
    # The estimate of a table that has more, and that was not analyzed yet, says nothing.
    return {name: None if count is None or count > _MOST_COUNTED else count for name, count in counts.items()}


def _quoted(name: str) -> str:
    return "`" + name.replace("`", "``").replace("\0", "") + "`"
