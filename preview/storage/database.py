"""The database and the one way to use it from trio: short functions, run in threads of our own limiter."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import TypeVar

import trio
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from preview.storage.calls import run_call
from preview.storage.engine import CHECKERS, READERS, SQLITE_BEGIN, make_engine, writers_of
from preview.storage.outages import translate

__all__ = ["Database", "open_database"]

T = TypeVar("T")

# Longer than the server's and SQLite's own waits for a lock (10 s), which give a definite answer.
CALL_TIMEOUT_S = 15.0


class Database:
    """The engine with its thread limiters.

    Functions given to ``read`` and ``write`` must be short: one transaction, a bounded number of rows. A call that is
    late is given up, see ``run_call``. Own limiters keep slow statements away from trio's shared threads.

    Invariant: the pool has a connection for each place in the limiters, so no thread waits for one.
    """

    def __init__(self, engine: Engine, timeout_s: float = CALL_TIMEOUT_S) -> None:
        self.engine = engine
        self._timeout_s = timeout_s
        self._checks = trio.CapacityLimiter(CHECKERS)
        self._writers = trio.CapacityLimiter(writers_of(engine))
        self._readers = trio.CapacityLimiter(READERS)

    @property
    def is_sqlite(self) -> bool:
        """Whether the file-based default is in use."""
        return self.engine.dialect.name == "sqlite"

    async def read(self, query: Callable[[Connection], T]) -> T:
        """Run ``query`` in a thread, in a transaction that is rolled back; it sees one state of the database on SQLite.

        Raises:
            DatabaseUnavailable: The database did not answer.

        Cancellation: see ``run_call``.
        """
        return await self._run(partial(self._in_read, query), self._readers)

    async def write(self, change: Callable[[Connection], T]) -> T:
        """Run ``change`` in a thread, in one transaction: all of it is committed, or nothing.

        On SQLite it holds the write lock from the start, so what it reads first is still so when it writes.

        Raises:
            DatabaseUnavailable: The database did not answer; nothing was changed, unless the connection was lost at
                the very commit: then nobody knows, so a change that is tried again must bear to be made twice.

        Cancellation: see ``run_call``; once the thread runs, the change is made although the caller may not see it.
        """
        return await self._run(partial(self._in_write, change), self._writers)

    async def check(self, timeout_s: float) -> None:
        """Ask the database for an answer, on a thread and connection that nothing else uses.

        Raises:
            DatabaseUnavailable: It did not answer in time.

        Cancellation: nothing changes.
        """
        await self._run(partial(self._in_read, _ask), self._checks, timeout_s)

    async def _run(self, work: Callable[[], T], limiter: trio.CapacityLimiter, timeout_s: float | None = None) -> T:
        try:
            return await run_call(work, limiter, self._timeout_s if timeout_s is None else timeout_s)
        except (DBAPIError, PoolTimeout) as error:
            meant = translate(error)
            if meant is error:
                raise
            raise meant from error

    def _in_read(self, query: Callable[[Connection], T]) -> T:
        with self.engine.connect() as connection:
            return query(connection)

    def _in_write(self, change: Callable[[Connection], T]) -> T:
        with self.engine.connect() as connection:
            connection.execution_options(**{SQLITE_BEGIN: "IMMEDIATE"})
            with connection.begin():
                return change(connection)


def _ask(connection: Connection) -> None:
    connection.execute(text("SELECT 1"))


@asynccontextmanager
async def open_database(url: str, timeout_s: float = CALL_TIMEOUT_S) -> AsyncIterator[Database]:
    """The database, its connections closed at the end. It does not migrate: see ``prepare``.

    Raises:
        ConfigurationError: The URL cannot be read or names another kind of database.

    Cancellation: connections are closed.
    """
    engine = make_engine(url)
    try:
        yield Database(engine, timeout_s)
    finally:
        engine.dispose()
