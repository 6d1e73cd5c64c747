"""Check at the start of the service that the database has the schema of this version."""

from __future__ import annotations

import importlib
from functools import partial

import structlog
import trio
from sqlalchemy import Connection

from preview.errors import ConfigurationError
from preview.storage.database import Database
from preview.storage.engine import current_revision, make_folder
from preview.storage.tables import HEAD

log = structlog.get_logger(__name__)


async def prepare(database: Database, *, upgrades: bool = False) -> None:
    """Upgrade an SQLite file to the newest revision; for PostgreSQL, only check the revision.

    A PostgreSQL server may be shared by several services, and its administrator decides when to migrate. An SQLite file
    belongs to this service alone. If the revision is current, this is a single query.

    Args:
        database: The database.
        upgrades: Whether PostgreSQL is upgraded too. Services that start at the same time wait for each other.

    Raises:
        ConfigurationError: PostgreSQL needs an upgrade, or the database is newer. The message says what to run.
        DatabaseUnavailable: The database did not respond; nothing was changed.

    Cancellation: takes effect when a running migration has ended.
    """
    await trio.to_thread.run_sync(make_folder, database.engine)
    found = await database.read(_revision)
    if found == HEAD:
        return
    if database.is_sqlite or (upgrades and (found is None or found < HEAD)):
        url = database.engine.url.render_as_string(hide_password=False)
        await trio.to_thread.run_sync(partial(_upgrade, url))
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
        f"The database is at revision {found or 'none'}, and this version needs {HEAD}: run `preview db upgrade`, "
        "or set PREVIEW_DATABASE_UPGRADE=auto.",
        current=found,
        head=HEAD,
    )


def _revision(connection: Connection) -> str | None:
    return current_revision(connection)


def _upgrade(url: str) -> None:
    # Imported lazily: Alembic takes 0.1 s to import, and hardly any start needs a migration.
    importlib.import_module("preview.storage.migrate").upgrade(url)
