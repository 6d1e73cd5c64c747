"""Copies of the service's database, of either kind, as an SQLite file; and back into a database of either kind.

A backup always has an SQLite file. It needs no program of PostgreSQL, whose ``pg_dump`` must be as new as its server,
and no SQL from a backup is ever executed. A service can move from one kind to the other with it.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
from sqlalchemy import Connection, Engine, MetaData, Row, Table, insert, inspect, literal, make_url, select
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from preview.cli.backup.archive import BadArchive
from preview.cli.exits import CommandFailed
from preview.core.key_file import make_private_folder
from preview.errors import ConfigurationError, PreviewError
from preview.logs.archive.owner import FACT
from preview.storage import migrate
from preview.storage.engine import make_engine
from preview.storage.outages import translate
from preview.storage.tables import HEAD, metadata

# Some MiB of memory, with rows of usual size; files of generations have up to 50 MB, and are copied by tens.
_ROWS = 500
_LARGE_ROWS = 10
_LARGE = frozenset({"file_contents", "generation_files"})
_BUSY_S = 60
_COPY_AGAIN = "Copy the backup again, or restore an older one."

Progress = Callable[[str], None]


def kind_of(url: str) -> str:
    """Return ``sqlite`` or ``postgresql``."""
    return "sqlite" if make_url(url).get_backend_name() == "sqlite" else "postgresql"


def save_database(url: str, copy: Path, progress: Progress) -> str:
    """Copy the database of one moment into a new SQLite file; services may use it meanwhile. Returns its revision.

    Args:
        url: As ``PREVIEW_DATABASE_URL``.
        copy: The new file, in a folder of this user alone.
        progress: Called with what is copied.

    Raises:
        CommandFailed: There is no database yet.
        ConfigurationError: PostgreSQL has another revision than this version.
        DatabaseUnavailable: The database did not respond.
    """
    revision = migrate.current(url)
    if revision is None:
        raise CommandFailed("There is no database to save yet; the first `preview serve` creates one.")
    if kind_of(url) == "sqlite":
        progress("saving the database…")
        _copy_sqlite(Path(make_url(url).database or ""), copy)
        return revision
    if revision != HEAD:
        raise ConfigurationError(
            f"The database is at revision {revision}, and this version of preview needs {HEAD}. Run `preview db "
            "upgrade` first, or make the backup with the version of preview that the service runs.",
            current=revision,
            head=HEAD,
        )
    target = f"sqlite:///{copy}"
    migrate.upgrade(target)
    _copy_tables(make_engine(url), make_engine(target), progress)
    return revision


def _copy_sqlite(source: Path, copy: Path) -> None:
    """Copy by SQLite's online backup, in one step: a reader of a write-ahead log stops no writer."""
    try:
        # Read and write: without a running service, opening makes the files beside the database.
        with (
            closing(sqlite3.connect(f"{source.absolute().as_uri()}?mode=rw", uri=True, timeout=_BUSY_S)) as opened,
            closing(sqlite3.connect(copy)) as target,
        ):
            opened.backup(target)
            # One file: the journal of the copy must not stay beside it.
            target.execute("PRAGMA journal_mode = DELETE")
    except sqlite3.Error as error:
        raise CommandFailed(f"The database {source} cannot be saved: {error}.") from error


def check_saved(copy: Path) -> str:
    """Check the database of a backup; return its revision.

    Raises:
        BadArchive: It is damaged, not a database of this service, or of a newer version.
    """
    try:
        with closing(sqlite3.connect(f"{copy.absolute().as_uri()}?mode=ro", uri=True)) as opened:
            # A view or trigger could run code of the file's author with the rows of this service.
            opened.execute("PRAGMA trusted_schema = OFF")
            odd = opened.execute("SELECT name FROM sqlite_master WHERE type NOT IN ('table', 'index') LIMIT 1")
            if odd.fetchone() is not None:
                raise BadArchive("The backup's database has views or triggers, so it is not from this service.")
            if (result := opened.execute("PRAGMA integrity_check(1)").fetchone()) != ("ok",):
                raise BadArchive(f"The backup's database is damaged: {str(result)[:100]}. {_COPY_AGAIN}")
            found = opened.execute("SELECT version_num FROM alembic_version").fetchall()
    except sqlite3.Error as error:
        raise BadArchive(
            f"The backup's database is damaged, or is not from this service: {error}. {_COPY_AGAIN}"
        ) from error
    revision = str(found[0][0]) if len(found) == 1 else ""
    if not revision.isalnum() or len(revision) > len(HEAD):
        raise BadArchive("The backup's database is not from this service: it has no revision number.")
    if revision > HEAD:
        raise BadArchive(
            f"The backup is at revision {revision}, newer than this version of preview knows ({HEAD}); restore it "
            "with the newer version."
        )
    return revision


def check_empty(url: str) -> None:
    """Check that a database has no rows that a restore would mix with.

    Raises:
        CommandFailed: It has some, or an SQLite file exists.
        ConfigurationError, DatabaseUnavailable: It cannot be used.
    """
    path = make_url(url).database
    if kind_of(url) == "sqlite":
        if path and Path(path).exists():
            raise CommandFailed(f"The database {path} exists already; restore into an empty data folder.")
        return
    engine = make_engine(url)
    try:
        with engine.connect() as connection:
            there = set(inspect(connection).get_table_names()) & metadata.tables.keys()
            filled = [name for name in sorted(there) if _has_rows(connection, name)]
    except DBAPIError as error:
        raise translate(error) from error
    finally:
        engine.dispose()
    if filled:
        raise CommandFailed(f"The database has rows already (table {filled[0]}); restore into an empty one.")


def _has_rows(connection: Connection, table: str) -> bool:
    return connection.execute(select(literal(1)).select_from(metadata.tables[table]).limit(1)).first() is not None


def upgrade_saved(copy: Path) -> None:
    """Upgrade a checked copy to this version's revision.

    Raises:
        BadArchive: The copy does not have the tables of its revision.
    """
    url = f"sqlite:///{copy}"
    try:
        migrate.upgrade(url)
        _check_tables(url)
    except (SQLAlchemyError, PreviewError) as error:
        if isinstance(error, BadArchive):
            raise
        raise BadArchive("The backup's database lacks tables of its revision. Restore another backup.") from error


def disown_archive(copy: Path) -> None:
    """Take the id that owns an archive out of an upgraded copy: the saved service may still run, and use its archive.

    An older copy also lacks previews whose logs are archived; their files would be removed as unknown.

    Raises:
        BadArchive: The copy cannot be changed.
    """
    try:
        with closing(sqlite3.connect(copy)) as opened, opened:
            opened.execute("DELETE FROM service_facts WHERE name = ?", (FACT,))
    except sqlite3.Error as error:
        raise BadArchive(f"The temporary copy of the backup's database cannot be changed: {error}.") from error


def load_database(copy: Path, url: str, progress: Progress) -> None:
    """Put an upgraded copy into the empty database of ``url``, in one step.

    Args:
        copy: An SQLite file.
        url: As ``PREVIEW_DATABASE_URL``.
        progress: Called with what is copied.

    Raises:
        CommandFailed: The database cannot be created.
        ConfigurationError, DatabaseUnavailable: The database cannot be used.
    """
    source = f"sqlite:///{copy}"
    if kind_of(url) == "postgresql":
        migrate.upgrade(url)
        _copy_tables(make_engine(source), make_engine(url), progress)
        return
    path = Path(make_url(url).database or "").absolute()
    make_private_folder(path.parent)
    # In the same folder, which may be on another disk than the copy; then it appears in one step.
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    os.close(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    try:
        with closing(sqlite3.connect(copy)) as opened, closing(sqlite3.connect(draft)) as made:
            opened.backup(made)
        os.link(draft, path)
    except (OSError, sqlite3.Error) as error:
        raise CommandFailed(f"The database {path} cannot be created: {error}.") from error
    finally:
        draft.unlink(missing_ok=True)


def _check_tables(url: str) -> None:
    """Compare tables and columns with those of this version."""
    engine = make_engine(url)
    try:
        found = MetaData()
        found.reflect(engine)
    finally:
        engine.dispose()
    for name, table in metadata.tables.items():
        if name not in found.tables or set(found.tables[name].columns.keys()) != set(table.columns.keys()):
            raise BadArchive(
                f"The backup's database does not have the table {name} of its revision. Restore another backup."
            )


def _copy_tables(source: Engine, target: Engine, progress: Progress) -> None:
    """Copy all rows of one moment, in one transaction."""
    try:
        with source.connect() as read, target.begin() as written:
            if source.dialect.name == "postgresql":
                read.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
                read.exec_driver_sql("SET LOCAL statement_timeout = 0")
            for table in metadata.sorted_tables:
                progress(f"copying {table.name}…")
                _copy_rows(read, written, table.name)
    except DBAPIError as error:
        meant = translate(error)
        if isinstance(meant, PreviewError):
            raise meant from error
        raise CommandFailed(f"A row cannot be copied: {type(error.orig).__name__}; nothing was changed.") from error
    finally:
        source.dispose()
        target.dispose()


def _copy_rows(read: Connection, written: Connection, name: str) -> None:
    table = metadata.tables[name]
    rows = _LARGE_ROWS if name in _LARGE else _ROWS
    parts = read.execution_options(yield_per=rows).execute(select(table)).partitions(rows)
    if written.dialect.name == "postgresql":
        _copy_in(written, table, parts)
        return
    for part in parts:
        written.execute(insert(table), [dict(row._mapping) for row in part])  # noqa: SLF001  the documented way


def _copy_in(written: Connection, table: Table, parts: Iterable[Sequence[Row[Any]]]) -> None:
    """Copy rows by PostgreSQL's COPY, which takes a fraction of the time of INSERT, in the connection's transaction.

    Raises:
        CommandFailed: PostgreSQL refuses a row.
    """
    quote = written.dialect.identifier_preparer.quote
    columns = ", ".join(quote(column.name) for column in table.columns)
    connection = written.connection.driver_connection
    assert isinstance(connection, psycopg.Connection)  # noqa: S101  the only driver for PostgreSQL
    try:
        with connection.cursor() as cursor, cursor.copy(f"COPY {quote(table.name)} ({columns}) FROM STDIN") as copy:
            for part in parts:
                for row in part:
                    copy.write_row(tuple(row))
    except psycopg.Error as error:
        raise CommandFailed(
            f"PostgreSQL refuses a row of the table {table.name} ({type(error).__name__}); its database is unchanged."
        ) from error
