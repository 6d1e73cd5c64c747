r"""Saving and loading all databases of a server: the text of ``pg_dumpall``, loaded by ``psql``.

The text begins with the roles. For each database there are a line ``\connect NAME``, and the text that ``pg_dump``
writes for it. A text of one database alone (``PREVIEW_DATABASES=shared``) can be loaded too.
"""

from __future__ import annotations

import os
from pathlib import Path

import trio

from preview.backing.contents.clients import client_environment, find_client
from preview.backing.contents.files import open_regular
from preview.backing.contents.postgresql_dump import LOCKED, SAVE, SOCKET
from preview.backing.interface import CLIENT_SOCKETS, ClientCommand, RunClient
from preview.backing.own.server_folder import ADMIN, FIRST_DATABASE
from preview.core.servers import Program
from preview.errors import DataUnavailable
from preview.runtime import Serve

_PACKAGE = "postgresql-client"
# Time to wait for a table that a transaction has locked.
_LOCK_MS = 5_000
_HEAD = b"--\n-- PostgreSQL database cluster dump\n"
# $0: the file, then the program. A new server has its administrator already; all roles come before the databases.
_LOAD = f"""
test -r "$0" && LC_ALL=C sed '1,/^-- Databases$/{{/^CREATE ROLE {ADMIN};$/d;}}' "$0" | "$@"
"""


async def save(program: Program, file: Path, run: RunClient, serve: Serve) -> None:
    """Write all databases and roles into a file.

    Args:
        program: The server program.
        file: See ``BackingDatabase.save``.
        run: See ``BackingDatabase.save``.
        serve: Leads to the server.

    Raises:
        DataUnavailable: They cannot be saved.

    Cancellation: there may be a part of the file.
    """
    path = await trio.to_thread.run_sync(find_client, program, "pg_dumpall", _PACKAGE)
    options = ("--no-tablespaces", f"--lock-wait-timeout={_LOCK_MS}", "-f", str(file))
    try:
        argv = ("/bin/sh", "-c", SAVE, "save", path, *options)
        await run(_command(program, argv, file, serve, FIRST_DATABASE))
    except DataUnavailable as error:
        if LOCKED in str(error):
            raise DataUnavailable(
                f"A table is locked by a transaction of the application that did not end within {_LOCK_MS // 1000} s."
            ) from error
        raise


async def is_of_all(file: Path) -> bool:
    """Return whether a saved file has all databases, or one alone. Cancellation: nothing changes.

    Raises:
        DataUnavailable: It cannot be read.
    """
    try:
        return await trio.to_thread.run_sync(_starts_with, file, _HEAD)
    except OSError as error:
        raise DataUnavailable(f"The saved file cannot be read: {error.strerror or error}.") from error


async def load(program: Program, file: Path, run: RunClient, serve: Serve, database: str | None) -> None:
    """Load a file into a new server.

    Args:
        program: The server program.
        file: See ``BackingDatabase.load``.
        run: See ``BackingDatabase.load``.
        serve: Leads to the server.
        database: Where a text of one database is loaded; None for all databases.

    Raises:
        DataUnavailable: It cannot be loaded; a part of it may be.

    Cancellation: a part of it may be loaded.
    """
    path = await trio.to_thread.run_sync(find_client, program, "psql", _PACKAGE)
    psql = (path, "-X", "-q", "-v", "ON_ERROR_STOP=1", "-o", "/dev/null")
    if database is None:
        argv: tuple[str, ...] = ("/bin/sh", "-c", _LOAD, str(file), *psql)
    else:
        argv = (*psql, "-1", "-f", str(file))
    await run(_command(program, argv, file, serve, database or FIRST_DATABASE))


def _command(program: Program, argv: tuple[str, ...], file: Path, serve: Serve, database: str) -> ClientCommand:
    environment = client_environment(file.parent) | {
        "PGHOST": str(CLIENT_SOCKETS),
        "PGPORT": "5432",
        "PGUSER": ADMIN,
        "PGDATABASE": database,
        "PGSSLMODE": "disable",
        "PGGSSENCMODE": "disable",
        "PGCONNECT_TIMEOUT": "20",
        # The text may set a database or a role to only read, or to end long statements.
        "PGOPTIONS": "-c default_transaction_read_only=off -c client_min_messages=warning -c statement_timeout=0",
    }
    return ClientCommand(argv, environment, program.readable, SOCKET, serve)


def _starts_with(file: Path, head: bytes) -> bool:
    descriptor = open_regular(file)
    try:
        return os.read(descriptor, len(head)) == head
    finally:
        os.close(descriptor)
