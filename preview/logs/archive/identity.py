"""The identity of a database: what a copy of its content does not have."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from sqlalchemy import Connection, text

from preview.core.key_file import KeyFileUnusable, read_or_create
from preview.errors import ConfigurationError

ENDING: Final = "-id"
"""Ending of the file beside an SQLite database that has its id."""

# Any role may read both. ``pg_dump`` takes neither along; ``pg_upgrade`` makes another system identifier.
_POSTGRESQL = text(
    """
    SELECT system_identifier, (SELECT oid FROM pg_database WHERE datname = current_database())
    FROM pg_control_system()
    """
)


def identity_of(connection: Connection) -> str:
    """Return the identity of a connection's database.

    1. PostgreSQL: the server's system identifier and the database's number in it.
    2. SQLite: the id in a file beside the database, made when it is first needed, and the database's path. So neither
       a copied file has it, nor a copy of the whole folder.

    Raises:
        ConfigurationError: The id's file cannot be read or made.
        SQLAlchemyError: The database does not answer.
    """
    if connection.dialect.name == "postgresql":
        return " ".join(map(str, connection.execute(_POSTGRESQL).one()))
    # The path as SQLite resolves it, with links and URIs followed.
    databases = connection.exec_driver_sql("PRAGMA database_list").all()
    # A connection that has made a temporary table has a second one.
    path = Path(next(str(file) for _, name, file in databases if name == "main")).resolve()
    try:
        return f"{read_or_create(path.with_name(path.name + ENDING))} {path}"
    except (OSError, KeyFileUnusable) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
        raise ConfigurationError(f"The file {path}{ENDING} cannot be used ({reason}).") from error
