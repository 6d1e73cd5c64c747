"""Make sure, at the start of the service, that the database has the shape this version needs."""

from __future__ import annotations

import importlib
from functools import partial

import structlog
import trio
from sqlalchemy import Connection

from preview.errors import ConfigurationError
from preview.storage.database import Database
from preview.storage.engine import make_folder
from preview.storage.tables import HEAD, current_revision

log = structlog.get_logger(__name__)


async def prepare(database: Database) -> None:
    """Bring an SQLite file to the newest revision; of PostgreSQL only check that it is there.

    A PostgreSQL server may be shared by several services and has a person who decides when it changes; an SQLite file
    is ours alone. Where nothing is to do this is one look at the database.

    Raises:
        ConfigurationError: PostgreSQL is behind, or the database is of a newer version; says what to run.
        DatabaseUnavailable: The database did not answer; nothing was changed.

    Cancellation: takes effect when the migration that runs has ended.
    """
    await trio.to_thread.run_sync(make_folder, database.engine)
    found = await database.read(_revision)
    if found == HEAD:
        return
    if database.is_sqlite:
        await trio.to_thread.run_sync(partial(_upgrade, str(database.engine.url)))
        log.info("database upgraded", before=found, after=HEAD)
        return
    if found is not None and found > HEAD:
        raise ConfigurationError(
            f"The database is at revision {found}, newer than this version of preview knows ({HEAD}): "
            "run the newer version.",
            current=found,
            head=HEAD,
        )
    raise ConfigurationError(
        f"The database is at revision {found or 'none'}, and this version needs {HEAD}: run `preview db upgrade`.",
        current=found,
        head=HEAD,
    )


def _revision(connection: Connection) -> str | None:
    return current_revision(connection)


def _upgrade(url: str) -> None:
    # Imported where it is needed: Alembic costs 0.1 s, and at nearly every start nothing is to be migrated.
    importlib.import_module("preview.storage.migrate").upgrade(url)
