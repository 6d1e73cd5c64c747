"""The engine for a URL, and what each of its connections is set to."""

from __future__ import annotations

import os
import sqlite3
import stat
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, InvalidatePoolError
from sqlalchemy.pool import ConnectionPoolEntry

from preview.core.descriptors import make_private_folder
from preview.core.escapes import without_colours
from preview.errors import ConfigurationError
from preview.storage.calls import Wire, current_call

# SQLite has one writer at a time; more threads would only wait in its lock. Readers do not block each other (WAL).
_SQLITE_WRITERS = 1
_POSTGRES_WRITERS = 4
READERS = 4
# Whether the database answers is asked beside all else, by one at a time.
CHECKERS = 1
# Longer than any batch takes; another process (a backup, ``db upgrade``) may hold the lock.
_LOCK_TIMEOUT_MS = 10_000
# No statement of ours is meant to take a second; a thread must not wait for ever.
STATEMENT_TIMEOUT_S = 60
_CONNECT_TIMEOUT_S = 5
# The mode of the database's files: read and written by their owner alone.
_OWN = stat.S_IRUSR | stat.S_IWUSR
# Unacknowledged data: a server that vanished without a word (tcp(7), TCP_USER_TIMEOUT).
_TCP_USER_TIMEOUT_MS = 30_000

# Where a pooled connection's wire is kept.
_WIRE = "preview_wire"

SQLITE_BEGIN = "preview_sqlite_begin"
"""Execution option of a connection: how its transactions begin (``DEFERRED`` unless told)."""


def make_engine(url: str) -> Engine:
    """Return an engine for ``sqlite:///FILE`` or ``postgresql://…`` (psycopg 3). Nothing is connected yet.

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


def make_folder(engine: Engine) -> None:
    """Make the folder and the file of an SQLite database, for their owner alone; nothing for other databases.

    A file that is there and open to others is closed to them, where it is ours.

    Raises:
        ConfigurationError: The folder cannot be made.
    """
    if engine.dialect.name != "sqlite" or engine.url.database is None:
        return
    file = Path(engine.url.database).absolute()
    folder = file.parent
    try:
        make_private_folder(folder)
    except OSError as error:
        raise ConfigurationError(
            f"The database's folder {str(folder)!r} cannot be made ({error.strerror}); set PREVIEW_DATA_DIR or "
            "PREVIEW_DATABASE_URL to a place where this user may write."
        ) from error
    if not engine.url.database.startswith("file:"):
        _keep_private(file)


def _keep_private(file: Path) -> None:
    """SQLite gives the mode of the database's file to those that it makes beside it (-wal, -shm).

    Where this cannot be done (a file of another user, a read-only disk) it is left as it is.

    Invariant: the database's file is never opened here, only by SQLite. A process that closes any descriptor of a file
    loses all its POSIX locks on it (fcntl(2)), those of connections that are in use too. Another program's last
    connection would then take itself for the last of all, and delete the log ahead from under us
    (https://www.sqlite.org/howtocorrupt.html, section 2.2).
    """
    # SQLite puts its files beside the one that a link leads to.
    file = Path(os.path.realpath(file))
    with suppress(OSError):
        # An empty file is an empty database. SQLite itself would make one that all may read.
        os.mknod(file, stat.S_IFREG | _OWN)
    for name in (file.name, f"{file.name}-wal", f"{file.name}-shm", f"{file.name}-journal"):
        one = file.with_name(name)
        with suppress(OSError):
            found = one.stat()
            if stat.S_ISREG(found.st_mode) and found.st_uid == os.geteuid() and found.st_mode & ~_OWN & 0o777:
                one.chmod(_OWN)


def writers_of(engine: Engine) -> int:
    """Return the maximum of writing threads."""
    return _SQLITE_WRITERS if engine.dialect.name == "sqlite" else _POSTGRES_WRITERS


def _sqlite_engine(url: URL) -> Engine:
    engine = create_engine(url, pool_size=_SQLITE_WRITERS + READERS + CHECKERS, max_overflow=0, hide_parameters=True)
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
        pool_size=_POSTGRES_WRITERS + READERS + CHECKERS,
        max_overflow=0,
        # Values may be what users keep; they would stand in the text of each error.
        hide_parameters=True,
        # What the URL says wins.
        connect_args={name: value for name, value in ours.items() if name not in url.query},
    )
    event.listen(engine, "do_connect", _connect_postgres)
    event.listen(engine, "connect", _on_postgres_connect)
    event.listen(engine, "checkout", partial(_on_postgres_checkout, engine))
    event.listen(engine, "close", _on_postgres_close)
    return engine


def _on_sqlite_connect(connection: sqlite3.Connection, _record: ConnectionPoolEntry) -> None:
    """Pragmas of each connection (https://www.sqlite.org/pragma.html)."""
    # The driver would begin transactions by itself, but late: ``_on_sqlite_begin`` does.
    connection.isolation_level = None
    connection.execute(f"PRAGMA busy_timeout = {_LOCK_TIMEOUT_MS}")
    _write_ahead(connection)
    # With WAL, NORMAL cannot corrupt; a power cut may lose the last commits, a crash of the service cannot.
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute("PRAGMA foreign_keys = ON")
    # For searches: SQLite has no regular expressions.
    connection.create_function("without_colours", 1, without_colours, deterministic=True)


def _write_ahead(connection: sqlite3.Connection) -> None:
    """Have the database write ahead; one that does already only says so.

    Two connections that switch a new file at the same moment may each hold what the other one waits for: SQLite then
    answers BUSY at once, whatever the timeout (https://www.sqlite.org/c3ref/busy_handler.html).
    """
    switch = partial(connection.execute, "PRAGMA journal_mode = WAL")
    try:
        switch()
    except sqlite3.OperationalError as error:
        if not _is_busy(error):
            raise
        # Imported where it is needed: nearly every start does without.
        import stamina  # noqa: PLC0415

        patient = stamina.RetryingCaller(
            attempts=None, timeout=_LOCK_TIMEOUT_MS / 1000, wait_initial=0.005, wait_max=0.1, wait_jitter=0.01
        )
        patient(_is_busy, switch)


def _is_busy(error: Exception) -> bool:
    return getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_BUSY


def _on_sqlite_begin(connection: Connection) -> None:
    """Begin where SQLAlchemy means it, so that a read is one snapshot and a change holds the lock from its first read.

    A transaction that begins by reading cannot always become a writing one: SQLite answers BUSY at once
    (https://www.sqlite.org/isolation.html). So changes begin IMMEDIATE.
    """
    how = connection.get_execution_options().get(SQLITE_BEGIN, "DEFERRED")
    connection.exec_driver_sql(f"BEGIN {how}")


def _connect_postgres(
    _dialect: object, record: ConnectionPoolEntry, arguments: list[Any], options: dict[str, Any]
) -> psycopg.Connection[object]:
    """Connect, within ``connect_timeout``; from then on the call that waits can be given up."""
    connection: psycopg.Connection[object] = psycopg.connect(*arguments, **options)
    record.info[_WIRE] = Wire(connection.fileno())
    _note_wire(record)
    return connection


def _on_postgres_checkout(
    engine: Engine, connection: psycopg.Connection[object], record: ConnectionPoolEntry, _proxy: object
) -> None:
    """Ask whether the connection still stands: ``pool_pre_ping`` would, but before a call can be given up."""
    _note_wire(record)
    try:
        engine.dialect.do_ping(connection)  # type: ignore[arg-type]  # SQLAlchemy's protocol for any driver
    except psycopg.Error as error:
        raise InvalidatePoolError from error


def _on_postgres_close(_connection: object, record: ConnectionPoolEntry) -> None:
    wire = record.info.pop(_WIRE, None)
    if wire is not None:
        wire.close()


def _note_wire(record: ConnectionPoolEntry) -> None:
    call = current_call()
    if call is not None:
        call.use(record.info.get(_WIRE))


def _on_postgres_connect(connection: psycopg.Connection[object], _record: ConnectionPoolEntry) -> None:
    with connection.cursor() as cursor:
        cursor.execute(f"SET lock_timeout = {_LOCK_TIMEOUT_MS}")
        cursor.execute(f"SET statement_timeout = {STATEMENT_TIMEOUT_S * 1000}")
    connection.commit()
