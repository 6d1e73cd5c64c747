"""The engine and the one way to use it from trio: short functions, run in threads of our own limiter."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import TypeVar

import trio
from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.pool import ConnectionPoolEntry

from preview.errors import ConfigurationError, DatabaseUnavailable

__all__ = ["Database", "open_database"]

T = TypeVar("T")

# SQLite has one writer at a time; more threads would only wait in its lock. Readers do not block each other (WAL).
_SQLITE_WRITERS = 1
_POSTGRES_WRITERS = 4
_READERS = 4
# Longer than any batch takes; another process (a backup, ``db upgrade``) may hold the lock.
_BUSY_TIMEOUT_MS = 10_000


class Database:
    """The engine with its thread limiters.

    Threads ignore cancellation (trio.to_thread), so functions given to ``read`` and ``write`` must be short: one
    transaction, a bounded number of rows. Own limiters keep slow statements away from trio's shared threads.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        writers = _SQLITE_WRITERS if engine.dialect.name == "sqlite" else _POSTGRES_WRITERS
        self._writers = trio.CapacityLimiter(writers)
        self._readers = trio.CapacityLimiter(_READERS)

    @property
    def is_sqlite(self) -> bool:
        """Whether the file-based default is in use."""
        return self.engine.dialect.name == "sqlite"

    async def read(self, query: Callable[[Connection], T]) -> T:
        """Run ``query`` in a thread, in a transaction that is rolled back.

        Raises:
            DatabaseUnavailable: The database did not answer.

        Cancellation: takes effect before the thread starts, or after it has ended with its result dropped.
        """
        return await self._run(partial(self._in_read, query), self._readers)

    async def write(self, change: Callable[[Connection], T]) -> T:
        """Run ``change`` in a thread, in one transaction: all of it is committed, or nothing.

        Raises:
            DatabaseUnavailable: The database did not answer; nothing was changed.

        Cancellation: as ``read``; once the thread runs, the change is made although the caller does not see it.
        """
        return await self._run(partial(self._in_write, change), self._writers)

    async def _run(self, work: Callable[[], T], limiter: trio.CapacityLimiter) -> T:
        try:
            return await trio.to_thread.run_sync(work, limiter=limiter)
        except DBAPIError as error:
            if isinstance(error.orig, Exception) and _is_outage(error):
                raise DatabaseUnavailable(
                    f"The service's database did not answer ({type(error.orig).__name__}); try again in a moment."
                ) from error
            raise

    def _in_read(self, query: Callable[[Connection], T]) -> T:
        with self.engine.connect() as connection:
            return query(connection)

    def _in_write(self, change: Callable[[Connection], T]) -> T:
        with self.engine.begin() as connection:
            return change(connection)


def _is_outage(error: DBAPIError) -> bool:
    """A lost or refused connection, a lock held too long, a full disk: operational, not a mistake in a statement."""
    return error.connection_invalidated or type(error.orig).__name__ in {"OperationalError", "InterfaceError"}


def _on_sqlite_connect(connection: object, _record: ConnectionPoolEntry) -> None:
    """Pragmas of each SQLite connection (https://www.sqlite.org/pragma.html)."""
    cursor = connection.cursor()  # type: ignore[attr-defined]  # a DBAPI connection, untyped in SQLAlchemy
    try:
        cursor.execute(f"PRAGMA busy_timeout = {_BUSY_TIMEOUT_MS}")
        cursor.execute("PRAGMA journal_mode = WAL")
        # With WAL, NORMAL cannot corrupt; a power cut may lose the last commits, a crash of the service cannot.
        cursor.execute("PRAGMA synchronous = NORMAL")
        cursor.execute("PRAGMA foreign_keys = ON")
    finally:
        cursor.close()


def make_engine(url: str) -> Engine:
    """An engine for ``sqlite:///FILE`` or ``postgresql://…`` (psycopg 3).

    Raises:
        ConfigurationError: The URL cannot be read or names another kind of database.
    """
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise ConfigurationError(
            "PREVIEW_DATABASE_URL is not a database URL; write sqlite:///FILE or postgresql://USER:PASSWORD@HOST/NAME"
        ) from error
    if parsed.get_backend_name() == "postgresql":
        return create_engine(
            parsed.set(drivername="postgresql+psycopg"),
            pool_size=_POSTGRES_WRITERS + _READERS,
            max_overflow=0,
            pool_pre_ping=True,
            connect_args={"connect_timeout": 5},
        )
    if parsed.get_backend_name() != "sqlite" or not parsed.database or parsed.database == ":memory:":
        raise ConfigurationError(
            f"PREVIEW_DATABASE_URL names {parsed.drivername!r}; use an SQLite file (sqlite:///FILE) or postgresql://…"
        )
    engine = create_engine(parsed, pool_size=_SQLITE_WRITERS + _READERS, max_overflow=0)
    event.listen(engine, "connect", _on_sqlite_connect)
    return engine


@asynccontextmanager
async def open_database(url: str) -> AsyncIterator[Database]:
    """The database, its connections closed at the end. It does not migrate: see ``storage.migrate``.

    Raises:
        ConfigurationError: See ``make_engine``.

    Cancellation: connections are closed.
    """
    engine = make_engine(url)
    try:
        yield Database(engine)
    finally:
        engine.dispose()
