"""The engine for a URL, what each of its connections is told, and which of its errors mean an outage."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import psycopg
from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.pool import ConnectionPoolEntry

from preview.errors import ConfigurationError, DatabaseUnavailable

__all__ = ["READERS", "SQLITE_BEGIN", "is_outage", "make_engine", "make_folder", "translate", "writers_of"]

# SQLite has one writer at a time; more threads would only wait in its lock. Readers do not block each other (WAL).
_SQLITE_WRITERS = 1
_POSTGRES_WRITERS = 4
READERS = 4
# Longer than any batch takes; another process (a backup, ``db upgrade``) may hold the lock.
_LOCK_TIMEOUT_MS = 10_000
# No statement of ours is meant to take a second; a thread must not wait for ever.
_STATEMENT_TIMEOUT_MS = 60_000
_CONNECT_TIMEOUT_S = 5
# Unacknowledged data: a server that vanished without a word (tcp(7), TCP_USER_TIMEOUT).
_TCP_USER_TIMEOUT_MS = 30_000

SQLITE_BEGIN = "preview_sqlite_begin"
"""Execution option of a connection: how its transactions begin (``DEFERRED`` unless told)."""

# Primary result codes (https://www.sqlite.org/rescode.html) that say "not now" or "not here", not "wrong statement".
_SQLITE_OUTAGES = frozenset(
    {
        sqlite3.SQLITE_PERM,
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_NOMEM,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_INTERRUPT,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_CORRUPT,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_PROTOCOL,
        sqlite3.SQLITE_NOTADB,
    }
)
# SQLSTATE of a standby that was told to write: after a failover, until the address points to the new primary.
_READ_ONLY = "25006"


def make_engine(url: str) -> Engine:
    """An engine for ``sqlite:///FILE`` or ``postgresql://…`` (psycopg 3). Nothing is connected yet.

    Raises:
        ConfigurationError: The URL cannot be read or names another kind of database.
    """
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        # Without its cause: SQLAlchemy's message repeats the URL, and the URL may hold a password.
        raise ConfigurationError(
            "PREVIEW_DATABASE_URL is not a database URL; write sqlite:///FILE or postgresql://USER:PASSWORD@HOST/NAME."
        ) from None
    backend = parsed.drivername.partition("+")[0]
    if backend in {"postgresql", "postgres"}:
        return _postgres_engine(parsed)
    in_memory = parsed.database in {None, "", ":memory:"} or parsed.query.get("mode") == "memory"
    if backend != "sqlite" or in_memory:
        raise ConfigurationError(
            f"PREVIEW_DATABASE_URL names {parsed.drivername!r}; use an SQLite file (sqlite:///FILE) or postgresql://…"
        )
    return _sqlite_engine(parsed)


# What trying again does not mend; by the beginning of SQLite's name for it (https://www.sqlite.org/rescode.html).
_SQLITE_SENTENCES = {
    "SQLITE_FULL": "The service's database cannot grow: its disk is full; make room in the data folder.",
    "SQLITE_READONLY": "The service's database is read-only; give the service's user the right to write it.",
    "SQLITE_CANTOPEN": "The service's database file cannot be opened; see whether it and its folder are there.",
    "SQLITE_NOTADB": "The service's database file is not an SQLite database; move it away, or put its backup back.",
    "SQLITE_CORRUPT": "The service's database file is damaged; move it away, or put its backup back.",
}


def make_folder(engine: Engine) -> None:
    """Make the folder of an SQLite file, for its owner alone; nothing for other databases.

    Raises:
        ConfigurationError: It cannot be made.
    """
    if engine.dialect.name != "sqlite" or engine.url.database is None:
        return
    folder = Path(engine.url.database).absolute().parent
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(
            f"The database's folder {str(folder)!r} cannot be made ({error.strerror}); set PREVIEW_DATA_DIR or "
            "PREVIEW_DATABASE_URL to a place where this user may write."
        ) from error


def writers_of(engine: Engine) -> int:
    """How many threads may write at a time."""
    return _SQLITE_WRITERS if engine.dialect.name == "sqlite" else _POSTGRES_WRITERS


def is_outage(error: DBAPIError) -> bool:
    """A lost or refused connection, a lock held too long, a full disk: the state of things, not a wrong statement."""
    orig = error.orig
    if isinstance(orig, sqlite3.Error):
        # The extended code's low byte is the primary code; the driver's own mistakes carry none.
        return getattr(orig, "sqlite_errorcode", 0) & 0xFF in _SQLITE_OUTAGES
    if isinstance(orig, psycopg.Error) and orig.sqlstate == _READ_ONLY:
        return True
    # psycopg gives each SQLSTATE a class of its own below these two (08, 53, 55, 57, 58, and lost connections).
    return error.connection_invalidated or isinstance(orig, psycopg.OperationalError | psycopg.InterfaceError)


def translate(error: DBAPIError | PoolTimeout) -> Exception:
    """The error to raise in its place: ``DatabaseUnavailable`` for an outage, else the error itself.

    A broken statement is a mistake of ours and stays as it is. The message never holds the URL or values.
    """
    if isinstance(error, PoolTimeout):
        return DatabaseUnavailable("The service's database has no connection left; try again in a moment.")
    if not is_outage(error):
        return error
    reason = _reason(error.orig)
    said = next((text for name, text in _SQLITE_SENTENCES.items() if reason.startswith(name)), None)
    return DatabaseUnavailable(
        said or f"The service's database did not answer ({type(error.orig).__name__}); try again in a moment.",
        reason=reason,
    )


def _reason(orig: BaseException | None) -> str:
    """A word for machines and for the service's own log."""
    if isinstance(orig, sqlite3.Error):
        return getattr(orig, "sqlite_errorname", "") or "sqlite"
    return (orig.sqlstate if isinstance(orig, psycopg.Error) else None) or "connection"


def _sqlite_engine(url: URL) -> Engine:
    engine = create_engine(url, pool_size=_SQLITE_WRITERS + READERS, max_overflow=0)
    event.listen(engine, "connect", _on_sqlite_connect)
    event.listen(engine, "begin", _on_sqlite_begin)
    return engine


def _postgres_engine(url: URL) -> Engine:
    ours: dict[str, object] = {
        "connect_timeout": _CONNECT_TIMEOUT_S,
        "tcp_user_timeout": _TCP_USER_TIMEOUT_MS,
        "application_name": "preview",
    }
    engine = create_engine(
        url.set(drivername="postgresql+psycopg"),
        pool_size=_POSTGRES_WRITERS + READERS,
        max_overflow=0,
        pool_pre_ping=True,
        # What the URL says wins.
        connect_args={name: value for name, value in ours.items() if name not in url.query},
    )
    event.listen(engine, "connect", _on_postgres_connect)
    return engine


def _on_sqlite_connect(connection: sqlite3.Connection, _record: ConnectionPoolEntry) -> None:
    """Pragmas of each connection (https://www.sqlite.org/pragma.html)."""
    # The driver would begin transactions by itself, but late: ``_on_sqlite_begin`` does.
    connection.isolation_level = None
    connection.execute(f"PRAGMA busy_timeout = {_LOCK_TIMEOUT_MS}")
    connection.execute("PRAGMA journal_mode = WAL")
    # With WAL, NORMAL cannot corrupt; a power cut may lose the last commits, a crash of the service cannot.
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute("PRAGMA foreign_keys = ON")


def _on_sqlite_begin(connection: Connection) -> None:
    """Begin where SQLAlchemy means it, so that a read is one snapshot and a change holds the lock from its first read.

    A transaction that begins by reading cannot always become a writing one: SQLite answers BUSY at once
    (https://www.sqlite.org/isolation.html). So changes begin IMMEDIATE.
    """
    how = connection.get_execution_options().get(SQLITE_BEGIN, "DEFERRED")
    connection.exec_driver_sql(f"BEGIN {how}")


def _on_postgres_connect(connection: psycopg.Connection[object], _record: ConnectionPoolEntry) -> None:
    with connection.cursor() as cursor:
        cursor.execute(f"SET lock_timeout = {_LOCK_TIMEOUT_MS}")
        cursor.execute(f"SET statement_timeout = {_STATEMENT_TIMEOUT_MS}")
    connection.commit()
