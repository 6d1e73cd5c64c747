"""Reading a PostgreSQL database: its tables, their rows, and answers to statements.

Each reading has a session of its own, as the preview's own role, and a transaction that only reads and never commits.
A statement cannot leave the transaction and then write: no other statement follows it, and blocks of code (``DO``)
cannot commit inside a transaction.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import trio

from preview.backing.admin.postgresql_proof import Refused, Unreadable
from preview.backing.admin.postgresql_session import Field, Rows, Session, quote_name, quote_text
from preview.backing.answers import Kept, as_number, reading
from preview.backing.interface import Column, QueryResult, TableSummary
from preview.backing.streams import SessionEnded
from preview.errors import DataUnavailable, QueryRefused

_STATEMENT_S = 10
# A server that was taken over may never answer.
_ANSWER_S = _STATEMENT_S + 5.0
_OPTIONS = (
    f"-c default_transaction_read_only=on -c statement_timeout={_STATEMENT_S}s -c client_min_messages=error"
    " -c client_encoding=UTF8 -c standard_conforming_strings=on"
)
# For the service's own statements: a table may be locked, and a preview may have functions of the same names.
_OWN = " -c lock_timeout=500ms -c search_path=pg_catalog"
_MOST_STATEMENT_BYTES = 64 * 1024
# Tables up to this size are counted; of others the server has an estimate.
_MOST_COUNTED, _MOST_COUNTS = 10_000, 100
_TABLES = (
    "SELECT format('%I.%I', n.nspname, c.relname), c.relkind, CASE WHEN c.relispopulated THEN"
    " greatest(c.reltuples::bigint, pg_stat_get_live_tuples(c.oid), 0) END, {size}"
    " FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
    " WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'"
    " ORDER BY n.nspname, c.relname LIMIT 1000"
)
_SIZE = "CASE WHEN c.relkind IN ('r', 'm') THEN pg_total_relation_size(c.oid) END"
_TABLE = (
    "SELECT n.nspname, c.relname, c.relkind, a.attname"
    " FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
    " LEFT JOIN pg_index i ON i.indrelid = c.oid AND i.indisprimary"
    " LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = ANY (i.indkey)"
    " WHERE format('%I.%I', n.nspname, c.relname) = {name} ORDER BY array_position(i.indkey::int2[], a.attnum)"
)
_ENDED = (SessionEnded, Unreadable, trio.BrokenResourceError, trio.ClosedResourceError, OSError, trio.TooSlowError)


@dataclass(frozen=True, slots=True)
class PostgresqlTables:
    """The tables of one preview's database; see ``BackingDatabase``.

    Attributes:
        connect: Connects to the server.
        name: Name of the database.
        user: Role; None if it has the database's name.
        password: Password of the role; empty if none is needed.
        is_private: Whether the password itself may be sent; see ``ServerAddress.is_private``.
    """

    connect: Callable[[], Awaitable[trio.SocketStream]]
    name: str
    user: str | None = None
    password: str = field(default="", repr=False)
    is_private: bool = False

    async def list_tables(self) -> Sequence[TableSummary]:
        """See ``BackingDatabase``. Cancellation: nothing changes."""
        async with self._session(_OWN) as session:
            try:
                rows = await session.execute(_TABLES.format(size=_SIZE))
            except Refused:
                # A table that is locked cannot be measured.
                rows = await session.execute(_TABLES.format(size="NULL"))
            return await _summarize(session, rows)

    async def read_table(self, name: str, *, offset: int, limit: int) -> QueryResult:
        """See ``BackingDatabase``. Cancellation: nothing changes."""
        async with self._session(_OWN) as session:
            found = await session.execute(_TABLE.format(name=quote_text(name)))
            if not found:
                raise DataUnavailable("There is no table of this name.")
            return await _fetch(session, _rows_of(found, offset, limit), limit)

    async def query(self, statement: str, *, most_rows: int) -> QueryResult:
        """See ``BackingDatabase``. Cancellation: nothing changes."""
        if len(statement.encode("utf-8", "replace")) > _MOST_STATEMENT_BYTES:
            raise QueryRefused(f"The statement is longer than {_MOST_STATEMENT_BYTES // 1024} KiB.")
        async with self._session() as session:
            return await _fetch(session, statement, most_rows)

    @asynccontextmanager
    async def _session(self, options: str = "") -> AsyncIterator[Session]:
        """Open a session. Cancellation: it ends."""
        with reading("PostgreSQL", Refused, _ENDED), trio.fail_after(_ANSWER_S):
            session = Session(await self.connect())
            try:
                try:
                    await session.log_in(
                        *(self.user or self.name, self.password, self.name, _OPTIONS + options),
                        is_private=self.is_private,
                    )
                except Refused as error:
                    raise DataUnavailable(f"PostgreSQL refuses: {error}.") from error
                yield session
            finally:
                session.close()


async def _fetch(session: Session, statement: str, most_rows: int) -> QueryResult:
    await session.execute("BEGIN READ ONLY")
    fields = await session.prepare(statement)
    if fields is None:
        # An administrator's session would run a program here: COPY … TO PROGRAM.
        raise QueryRefused("Only statements that return rows can run here.")
    columns = await _columns(session, fields)
    kept = Kept(most_rows)
    await session.fetch(kept)
    return kept.result(columns)


async def _columns(session: Session, fields: Sequence[Field]) -> Sequence[Column]:
    if not fields:
        return ()
    asked = ", ".join(f"pg_catalog.format_type({one.type_number}, {one.modifier})" for one in fields)
    rows = await session.execute(f"SELECT {asked}")
    types = rows[0] if rows else ()
    return [
        Column(field.name, types[number] or "" if number < len(types) else "") for number, field in enumerate(fields)
    ]


def _rows_of(found: Rows, offset: int, limit: int) -> str:
    """Return the statement that reads rows of a table, always in the same order."""
    if any(len(row) != 4 for row in found):
        raise Unreadable("unexpected rows")
    schema, name, kind, _ = found[0]
    keys = [quote_name(row[3]) for row in found if row[3] is not None]
    order = ", ".join(keys) or ("ctid" if kind in ("r", "m") else "")
    ordered = f" ORDER BY {order}" if order else ""
    table = f"{quote_name(schema or '')}.{quote_name(name or '')}"
    return f"SELECT * FROM {table}{ordered} LIMIT {limit + 1} OFFSET {offset}"  # noqa: S608


async def _summarize(session: Session, rows: Rows) -> Sequence[TableSummary]:
    if any(len(row) != 4 for row in rows):
        raise Unreadable("unexpected rows")
    found = [(name or "", kind, as_number(estimate), as_number(size)) for name, kind, estimate, size in rows]
    small = [
        name
        for name, kind, estimate, _ in found
        if kind in ("r", "p", "m") and estimate is not None and estimate <= _MOST_COUNTED
    ]
    counts = await _count(session, small[:_MOST_COUNTS])
    return [
        TableSummary(name, counts.get(name, estimate if kind in ("r", "m") else None), size)
        for name, kind, estimate, size in found
    ]


async def _count(session: Session, names: Sequence[str]) -> Mapping[str, int | None]:
    """Return the rows of tables, None if a table has many; nothing if one of the tables cannot be read now."""
    # The server has quoted the names; the session can do nothing that the preview could not.
    asked = ", ".join(
        f"(SELECT count(*) FROM (SELECT FROM {name} LIMIT {_MOST_COUNTED + 1}) AS part)"  # noqa: S608
        for name in names
    )
    try:
        rows = await session.execute(f"SELECT {asked}") if names else []
    except Refused:
        return {}
    counts = {name: as_number(said) for name, said in zip(names, rows[0] if rows else (), strict=False)}
    # The estimate of a table that has more, and that was not analyzed yet, says nothing.
    return {name: None if count is None or count > _MOST_COUNTED else count for name, count in counts.items()}
