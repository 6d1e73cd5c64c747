"""Create the engine for a URL, and configure each of its connections."""

from __future__ import annotations

import os
import sqlite3
import stat
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
from sqlalchemy import Connection, Engine, column, create_engine, event, inspect, select, table
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, InvalidatePoolError
from sqlalchemy.pool import ConnectionPoolEntry

from preview.core.escapes import without_colours
from preview.core.key_file import make_private_folder
from preview.errors import ConfigurationError
from preview.storage.calls import Wire, current_call

# SQLite has one writer at a time; more threads would only wait for its lock. Readers do not block each other (WAL).
_SQLITE_WRITERS = 1
_POSTGRES_WRITERS = 4
READERS = 4
# Availability checks run on a separate connection, one at a time.
CHECKERS = 1
# Longer than any batch takes. Another process (a backup, ``db upgrade``) may have the lock.
_LOCK_TIMEOUT_MS = 10_000
# No statement is expected to take a second; the limit prevents a thread from waiting forever.
STATEMENT_TIMEOUT_S = 60
_CONNECT_TIMEOUT_S = 5
# A service that stands still for so long within a transaction loses it with its locks: other services on the database
# wait for some of them, such as that of the audit. A running one needs milliseconds.
_MOST_IDLE_S = 5.0
# The mode of the database's files: readable and writable only by their owner.
_OWN = stat.S_IRUSR | stat.S_IWUSR
# Limit for unacknowledged data, in case the server vanishes silently (tcp(7), TCP_USER_TIMEOUT).
_TCP_USER_TIMEOUT_MS = 30_000

# Key of a pooled connection's ``info`` for its ``Wire``.
_WIRE = "preview_wire"

SQLITE_BEGIN = "preview_sqlite_begin"
"""Execution option of a connection: the mode of its BEGIN statement (default: ``DEFERRED``)."""


def make_engine(url: str) -> Engine:
    """Return an engine for ``sqlite:///FILE`` or ``postgresql://…`` (psycopg 3). Does not connect yet.

    Raises:
        ConfigurationError: The URL is invalid, or names an unsupported kind of database.
    """
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        # The cause is omitted: SQLAlchemy's message repeats the URL, which may contain a password.
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
    """Create an SQLite database's folder and file, accessible only by their owner; do nothing for other databases.

    Removes other users' access to an existing file, if this user owns the file.

    Raises:
        ConfigurationError: The folder cannot be created.
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
    """Make the database's file private; SQLite gives the same mode to the files beside it (-wal, -shm).

    Files whose mode cannot be changed (another owner, a read-only disk) are left unchanged.

    Invariant: only SQLite opens the database's file, never this function. A process that closes any descriptor of a
    file loses all its POSIX locks on the file, even those of active connections (fcntl(2)). Another program's last
    connection would then consider itself the only one, and delete the write-ahead log
    (https://www.sqlite.org/howtocorrupt.html, section 2.2).
    """
    # SQLite puts its other files next to a link's target.
    file = Path(os.path.realpath(file))
    with suppress(OSError):
        # An empty file is an empty database. SQLite would create a file that all users can read.
        os.mknod(file, stat.S_IFREG | _OWN)
    for name in (file.name, f"{file.name}-wal", f"{file.name}-shm", f"{file.name}-journal"):
        one = file.with_name(name)
        with suppress(OSError):
            found = one.stat()
            if stat.S_ISREG(found.st_mode) and found.st_uid == os.geteuid() and found.st_mode & ~_OWN & 0o777:
                one.chmod(_OWN)


def limit_idle(engine: Engine, most_s: float) -> None:
    """End transactions of new connections that are idle for seconds; no effect on SQLite.

    Args:
        engine: One of ``make_engine``, for short transactions only.
        most_s: Most seconds; the module's own maximum applies too.
    """

    def on_connect(connection: psycopg.Connection[object], _record: ConnectionPoolEntry) -> None:
        idle_ms = int(min(most_s, _MOST_IDLE_S) * 1000)
        connection.execute(f"SET idle_in_transaction_session_timeout = {idle_ms}")
        connection.commit()

    if engine.dialect.name == "postgresql":
        event.listen(engine, "connect", on_connect)


def writers_of(engine: Engine) -> int:
    """Return the maximum number of writing threads."""
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
        # Values may be users' data, and would appear in the text of each error.
        hide_parameters=True,
        # Parameters of the URL take precedence.
        connect_args={name: value for name, value in ours.items() if name not in url.query},
    )
    event.listen(engine, "do_connect", _connect_postgres)
    event.listen(engine, "connect", _on_postgres_connect)
    event.listen(engine, "checkout", partial(_on_postgres_checkout, engine))
    event.listen(engine, "close", _on_postgres_close)
    return engine


def _on_sqlite_connect(connection: sqlite3.Connection, _record: ConnectionPoolEntry) -> None:
    """Set the pragmas of a connection (https://www.sqlite.org/pragma.html)."""
    # Disable the driver's own BEGIN, which comes too late; see ``_on_sqlite_begin``.
    connection.isolation_level = None
    connection.execute(f"PRAGMA busy_timeout = {_LOCK_TIMEOUT_MS}")
    _write_ahead(connection)
    # With WAL, NORMAL cannot corrupt. A power failure may lose the last commits; a crash of the service cannot.
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute("PRAGMA foreign_keys = ON")
    # For searches: SQLite has no regular expressions.
    connection.create_function("without_colours", 1, without_colours, deterministic=True)


def _write_ahead(connection: sqlite3.Connection) -> None:
    """Switch the database to WAL mode; no effect if it already uses WAL.

    Two connections that switch a new file at the same time may deadlock. SQLite then returns BUSY at once, regardless
    of the timeout (https://www.sqlite.org/c3ref/busy_handler.html).
    """
    switch = partial(connection.execute, "PRAGMA journal_mode = WAL")
    try:
        switch()
    except sqlite3.OperationalError as error:
        if not _is_busy(error):
            raise
        # Imported lazily, because hardly any start needs to retry.
        import stamina  # noqa: PLC0415

        patient = stamina.RetryingCaller(
            attempts=None, timeout=_LOCK_TIMEOUT_MS / 1000, wait_initial=0.005, wait_max=0.1, wait_jitter=0.01
        )
        patient(_is_busy, switch)


def _is_busy(error: Exception) -> bool:
    return getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_BUSY


def _on_sqlite_begin(connection: Connection) -> None:
    """Begin a transaction where SQLAlchemy does: a read sees one snapshot, and a change locks before its first read.

    A transaction that starts with a read cannot always be upgraded to a write: SQLite returns BUSY at once
    (https://www.sqlite.org/isolation.html). Changes therefore begin with IMMEDIATE.
    """
    how = connection.get_execution_options().get(SQLITE_BEGIN, "DEFERRED")
    connection.exec_driver_sql(f"BEGIN {how}")


def _connect_postgres(
    _dialect: object, record: ConnectionPoolEntry, arguments: list[Any], options: dict[str, Any]
) -> psycopg.Connection[object]:
    """Connect within ``connect_timeout``. Afterwards the waiting call can be abandoned."""
    connection: psycopg.Connection[object] = psycopg.connect(*arguments, **options)
    _check_encoding(connection)
    record.info[_WIRE] = Wire(connection.fileno())
    _note_wire(record)
    return connection


def _check_encoding(connection: psycopg.Connection[object]) -> None:
    """Close the connection if its database cannot store all characters.

    In SQL_ASCII, PostgreSQL returns bytes in place of texts, and compares bytes (PostgreSQL, 24.3.4).

    Raises:
        ConfigurationError: The database's encoding is not UTF8.
    """
    encoding = connection.info.parameter_status("server_encoding")
    # A connection pooler may not pass it on.
    if encoding in {None, "", "UTF8"}:
        return
    name = connection.info.dbname
    connection.close()
    raise ConfigurationError(
        f"The database {name!r} has the encoding {encoding}, and the service needs UTF8; create it again with "
        f"`createdb --encoding UTF8 --template template0 {name}`.",
        encoding=encoding,
    )


def _on_postgres_checkout(
    engine: Engine, connection: psycopg.Connection[object], record: ConnectionPoolEntry, _proxy: object
) -> None:
    """Ping the connection. ``pool_pre_ping`` would do so before the call's wire is set, when it cannot be abandoned."""
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


_VERSION_TABLE = "alembic_version"


def current_revision(connection: Connection) -> str | None:
    """Return the database's revision; None if it was never migrated, or was downgraded to the base."""
    if not inspect(connection).has_table(_VERSION_TABLE):
        return None
    version: str | None = connection.scalar(select(column("version_num")).select_from(table(_VERSION_TABLE)))
    return version
