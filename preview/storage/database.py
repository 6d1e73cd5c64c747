"""The database and the one way to use it from trio: short functions, run in threads of our own limiter."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, nullcontext
from functools import partial
from typing import TypeVar

import trio
from sqlalchemy import Connection, Engine, bindparam, literal, select, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.types import ARRAY, Text

from preview.errors import DatabaseUnavailable
from preview.storage.calls import run_call
from preview.storage.engine import CHECKERS, READERS, SQLITE_BEGIN, STATEMENT_TIMEOUT_S, make_engine, writers_of
from preview.storage.outages import translate
from preview.storage.sqlite_files import SqliteFiles
from preview.storage.tables import metadata, preview_instances, preview_logs

# A row of each, where there is one; a table that cannot be read is an error.
_READ = [select(literal(1)).select_from(table).limit(1) for table in (preview_instances, preview_logs)]
# A list of privileges in one call asks for any of them (PostgreSQL, 9.27), so each is asked for. Statements that wait
# for a lock are none of these: the answer comes from the catalogue.
_WRITE = text(
    """
    SELECT current_setting('transaction_read_only') = 'on', (
        SELECT min(name) FROM unnest(:tables) AS name
        WHERE NOT (has_table_privilege(name, 'SELECT') AND has_table_privilege(name, 'INSERT')
            AND has_table_privilege(name, 'UPDATE') AND has_table_privilege(name, 'DELETE'))
    )
    """
).bindparams(bindparam("tables", sorted(metadata.tables), ARRAY(Text)))


def check_tables(connection: Connection) -> None:
    """Read our tables and, on PostgreSQL, ask for the right to write them.

    SQLite has no rights: there the log writer's state says whether writing works.

    Raises:
        DatabaseUnavailable: PostgreSQL would refuse a change.
    """
    for query in _READ:
        connection.execute(query).first()
    if connection.dialect.name != "postgresql":
        return
    is_read_only, refused = connection.execute(_WRITE).one()
    if is_read_only:
        raise DatabaseUnavailable(
            "The service's database takes no writes now; see whether its server is a standby.", reason="25006"
        )
    if refused is not None:
        raise DatabaseUnavailable(
            f"The service's database refuses access to the table {refused}; grant the service's role its rights again.",
            reason="42501",
        )


T = TypeVar("T")

# As of ``PREVIEW_DATABASE_TIMEOUT``.
CALL_TIMEOUT_S = 15.0
# A large upload is one change. A disk that writes less than 1 MiB in a second serves nobody.
_WRITE_BYTES_PER_S = 1024 * 1024


class Database:
    """The engine with its thread limiters.

    Functions given to ``read`` and ``write`` must be short: one transaction, a bounded number of rows. A call that is
    late is given up, see ``run_call``. Own limiters keep slow statements away from trio's shared threads.

    Invariant: the pool has a connection for each place in the limiters, so no thread waits for one.
    """

    def __init__(self, engine: Engine, timeout_s: float = CALL_TIMEOUT_S) -> None:
        self.engine = engine
        self._timeout_s = timeout_s
        self._in_place = SqliteFiles(engine).in_place if self.is_sqlite else nullcontext
        self._checks = trio.CapacityLimiter(CHECKERS)
        self._writers = trio.CapacityLimiter(writers_of(engine))
        self._readers = trio.CapacityLimiter(READERS)

    @property
    def is_sqlite(self) -> bool:
        """True if the file-based default is in use."""
        return self.engine.dialect.name == "sqlite"

    async def read(self, query: Callable[[Connection], T]) -> T:
        """Run ``query`` in a thread, in a transaction that is rolled back; it sees one state of the database on SQLite.

        Raises:
            DatabaseUnavailable: The database did not answer.

        Cancellation: see ``run_call``.
        """
        return await self._run(partial(self._in_read, query), self._readers)

    async def write(self, change: Callable[[Connection], T], *, size_bytes: int = 0) -> T:
        """Run ``change`` in a thread, in one transaction: all of it is committed, or nothing.

        On SQLite it holds the write lock from the start, so what it reads first is still so when it writes.

        Args:
            change: See above.
            size_bytes: How much it writes, where that is much: the deadline is later by a second for each MiB.

        Raises:
            DatabaseUnavailable: The database did not answer; nothing was changed, unless the connection was lost at
                the very commit: then nobody knows, so a change that is tried again must bear to be made twice.

        Cancellation: see ``run_call``; once the thread runs, the change is made although the caller may not see it.
        """
        timeout_s = self._timeout_s + size_bytes / _WRITE_BYTES_PER_S
        return await self._run(partial(self._in_write, _with_time(change, timeout_s)), self._writers, timeout_s)

    async def check(self, timeout_s: float) -> None:
        """Ask whether our tables can be read and written, on a thread and connection that nothing else uses.

        Raises:
            DatabaseUnavailable: They cannot, or the database did not answer in time.

        Cancellation: nothing changes.
        """
        await self._run(partial(self._in_read, check_tables), self._checks, timeout_s)

    async def _run(self, work: Callable[[], T], limiter: trio.CapacityLimiter, timeout_s: float | None = None) -> T:
        try:
            return await run_call(work, limiter, self._timeout_s if timeout_s is None else timeout_s)
        except (DBAPIError, PoolTimeout) as error:
            meant = translate(error)
            if meant is error:
                raise
            raise meant from error

    def _in_read(self, query: Callable[[Connection], T]) -> T:
        with self._in_place(), self.engine.connect() as connection:
            return query(connection)

    def _in_write(self, change: Callable[[Connection], T]) -> T:
        with self._in_place(), self.engine.connect() as connection:
            connection.execution_options(**{SQLITE_BEGIN: "IMMEDIATE"})
            with connection.begin():
                return change(connection)


def _with_time(change: Callable[[Connection], T], timeout_s: float) -> Callable[[Connection], T]:
    """Have PostgreSQL's own limit of a statement be no earlier than the call's."""
    if timeout_s <= STATEMENT_TIMEOUT_S:
        return change

    def with_time(connection: Connection) -> T:
        if connection.dialect.name == "postgresql":
            connection.exec_driver_sql(f"SET LOCAL statement_timeout = {int(timeout_s * 1000)}")
        return change(connection)

    return with_time


@asynccontextmanager
async def open_database(url: str, timeout_s: float = CALL_TIMEOUT_S) -> AsyncIterator[Database]:
    """Provide the database, connections closed at the end. Does not migrate: see ``prepare``.

    Raises:
        ConfigurationError: The URL cannot be read or names another kind of database.

    Cancellation: connections are closed.
    """
    engine = make_engine(url)
    try:
        yield Database(engine, timeout_s)
    finally:
        engine.dispose()
