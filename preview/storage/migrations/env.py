"""Alembic's environment, called in two ways.

``preview.storage.migrate`` passes a connection; it owns the connection and the transaction, so this module does not
commit. The program ``alembic`` passes none; then the settings name the database. Unlike Alembic's template, this
module does not configure logging.
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
        # SQLite supports few forms of ALTER TABLE, so Alembic rebuilds the table instead.
        render_as_batch=connection.dialect.name == "sqlite",
        # SQLite has transactional DDL too; only the driver's default disables it.
        transactional_ddl=True,
    )
    with context.begin_transaction():
        context.run_migrations()


def _migrate_by_settings() -> None:
    """Migrate for the program ``alembic``, which prints a ``CommandError`` as one sentence."""
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
