"""Migrate a database to a revision by Alembic's API, without its command line.

The import takes 0.1 s; it is skipped when the database is at the newest revision (see ``prepare``). All functions
block: call them in a thread.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection, event
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import ConnectionPoolEntry

from preview.errors import ConfigurationError
from preview.storage.engine import SQLITE_BEGIN, current_revision, make_engine, make_folder
from preview.storage.outages import translate

_SCRIPTS = Path(__file__).parent / "migrations"
# "preview" in ASCII, as a 56-bit number: an arbitrary constant that no other program on the server uses.
_ADVISORY_LOCK = 0x70726576696577
# Limit for another service's migration, and for one statement of ours. A new index on a large table takes minutes.
_OTHER_MIGRATION_MS = 30 * 60 * 1000


def upgrade(url: str, revision: str = "head") -> None:
    """Upgrade the database to ``revision``, completely or not at all. Concurrent migrations wait for each other.

    Args:
        url: As ``PREVIEW_DATABASE_URL``; an SQLite file and its folder are created.
        revision: A revision's id, ``head``, or a step such as ``+1``.

    Raises:
        ConfigurationError: The URL or the revision is invalid, or the database belongs to a newer version.
        DatabaseUnavailable: The database did not respond; nothing was changed.
    """
    _run(url, revision, command.upgrade)


def downgrade(url: str, revision: str) -> None:
    """Downgrade the database to ``revision``, completely or not at all. Data that the old schema cannot store is lost.

    Args:
        url: As ``PREVIEW_DATABASE_URL``.
        revision: A revision's id, ``base``, or a step such as ``-1``.

    Raises:
        ConfigurationError, DatabaseUnavailable: As ``upgrade``.
    """
    _run(url, revision, command.downgrade)


def current(url: str) -> str | None:
    """Return the database's revision; None if it has no tables of this service.

    Raises:
        ConfigurationError, DatabaseUnavailable: As ``upgrade``.
    """
    engine = make_engine(url)
    if engine.dialect.name == "sqlite" and not Path(engine.url.database or "").exists():
        return None  # connecting would create an empty file
    try:
        with engine.connect() as connection:
            return current_revision(connection)
    except DBAPIError as error:
        raise translate(error) from error
    finally:
        engine.dispose()


def head() -> str:
    """Return the newest revision that this version supports."""
    newest = ScriptDirectory.from_config(_config()).get_current_head()
    assert newest is not None  # noqa: S101  the first revision always exists
    return newest


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(_SCRIPTS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config


def _run(url: str, revision: str, action: Callable[[Config, str], None]) -> None:
    config = _config()
    try:
        with open_exclusive(url) as connection:
            config.attributes["connection"] = connection
            action(config, revision)
    except CommandError as error:
        raise ConfigurationError(
            f"The database cannot be migrated to the revision {revision!r}: {error}. If a newer version of preview "
            "has used this database, run that version.",
            revision=revision,
        ) from error
    except DBAPIError as error:
        raise translate(error) from error


@contextmanager
def open_exclusive(url: str) -> Iterator[Connection]:
    """Provide a connection in a transaction that excludes other migrations.

    Raises:
        ConfigurationError: The URL is invalid, or a foreign key refers to a missing row.
    """
    engine = make_engine(url)
    make_folder(engine)
    is_sqlite = engine.dialect.name == "sqlite"
    if is_sqlite:
        event.listen(engine, "connect", _foreign_keys_off)
    try:
        with engine.connect() as connection:
            connection.execution_options(**{SQLITE_BEGIN: "IMMEDIATE"})
            with connection.begin():
                if not is_sqlite:
                    _wait_for_others(connection)
                yield connection
                if is_sqlite:
                    _check_references(connection)
    finally:
        engine.dispose()


def _wait_for_others(connection: Connection) -> None:
    """Wait for another migration on this PostgreSQL; afterwards table locks have their usual limit again."""
    usual = connection.exec_driver_sql("SHOW lock_timeout").scalar_one()
    connection.exec_driver_sql(f"SET LOCAL statement_timeout = {_OTHER_MIGRATION_MS}")
    connection.exec_driver_sql(f"SET LOCAL lock_timeout = {_OTHER_MIGRATION_MS}")
    connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_ADVISORY_LOCK})")
    connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{usual}'")


def _foreign_keys_off(connection: sqlite3.Connection, _record: ConnectionPoolEntry) -> None:
    """Turn foreign keys off, so that tables can be rebuilt.

    With foreign keys on, dropping a table's old copy would delete the rows that refer to it (ON DELETE CASCADE). Inside
    a transaction the pragma has no effect (https://www.sqlite.org/lang_altertable.html, section 7).
    """
    connection.execute("PRAGMA foreign_keys = OFF")


def _check_references(connection: Connection) -> None:
    broken = connection.exec_driver_sql("PRAGMA foreign_key_check").first()
    if broken is not None:
        raise ConfigurationError(
            f"Rows of the table {broken[0]!r} refer to rows that are not there, so the migration was undone; "
            "repair the database, or go back to its last backup.",
            table=broken[0],
        )
