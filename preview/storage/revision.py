"""Which revision this code needs, and which a database has, without importing Alembic (0.1 s at each start)."""

from __future__ import annotations

from sqlalchemy import Connection, column, inspect, select, table

# The newest file in ``migrations/versions``; a test compares them.
HEAD = "0006"

_VERSION_TABLE = "alembic_version"


def current_revision(connection: Connection) -> str | None:
    """The revision the database is at; None for one that was never migrated, or was taken back to the base."""
    if not inspect(connection).has_table(_VERSION_TABLE):
        return None
    version: str | None = connection.scalar(select(column("version_num")).select_from(table(_VERSION_TABLE)))
    return version
