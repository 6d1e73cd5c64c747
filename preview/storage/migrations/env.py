"""Alembic's entry, from two sides.

``preview.storage.migrate`` hands over a connection: it owns the connection and its transaction, so nothing is
committed here. The program ``alembic`` hands over none: then the database is the one of the settings. Unlike Alembic's
template this leaves the process's logging alone.
"""

from __future__ import annotations

from alembic import context
from alembic.util import CommandError
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from preview.core.env_file import find_env_file
from preview.errors import PreviewError
from preview.settings import load_settings
from preview.storage.migrate import open_exclusive
from preview.storage.outages import translate
from preview.storage.tables import metadata


def _migrate(connection: Connection) -> None:
    context.configure(
        connection=connection,
        target_metadata=metadata,
        # SQLite knows few forms of ALTER TABLE: Alembic then rebuilds the table.
        render_as_batch=connection.dialect.name == "sqlite",
        # SQLite has transactional DDL as well; the driver's default only hides it.
        transactional_ddl=True,
    )
    with context.begin_transaction():
        context.run_migrations()


def _migrate_by_settings() -> None:
    """Migrate like the program ``alembic``, which shows a ``CommandError`` as one sentence."""
    if context.is_offline_mode():
        raise CommandError("--sql is not supported: a migration looks at the database")
    try:
        with open_exclusive(load_settings(find_env_file()).resolved_database_url) as connection:
            _migrate(connection)
    except DBAPIError as error:
        raise CommandError(str(translate(error))) from None
    except PreviewError as error:
        raise CommandError(error.message) from None


given: Connection | None = context.config.attributes.get("connection")
if given is None:
    _migrate_by_settings()
else:
    _migrate(given)
