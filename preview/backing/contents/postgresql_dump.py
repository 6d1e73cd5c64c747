"""Saving and loading a PostgreSQL database: the text of ``pg_dump``, loaded by ``psql``.

Both programs run as the preview's own role. Owners and rights are left out, so any other preview can load the text.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import trio

from preview.backing.contents.clients import client_environment, find_client
from preview.backing.interface import CLIENT_SOCKETS, ClientCommand, RunClient
from preview.core.servers import Program
from preview.errors import DataUnavailable
from preview.runtime import Serve

SOCKET = ".s.PGSQL.5432"
_PACKAGE = "postgresql-client"
# Time to wait for a table that a transaction has locked.
_LOCK_MS = 5_000
# pg_dump sets a limit of time only while it locks the tables.
LOCKED = "statement timeout"
# pg_dump says what is wrong, and then shows its statement: the sentence is repeated as the last line.
SAVE = """
said=$("$@" 2>&1) && exit
printf '%s\\n' "$said"
printf '%s\\n' "$said" | grep '^pg_dump: error: '
exit 1
"""


async def save(program: Program, file: Path, run: RunClient, serve: Serve) -> None:
    """Write a database into a file.

    Args:
        program: The server program.
        file: See ``BackingDatabase.save``.
        run: See ``BackingDatabase.save``.
        serve: Leads to the database.

    Raises:
        DataUnavailable: It cannot be saved.

    Cancellation: there may be a part of the file.
    """
    options = ("--no-owner", "--no-privileges", f"--lock-wait-timeout={_LOCK_MS}", "-f", str(file))
    try:
        command = await _command(program, "pg_dump", options, file, serve)
        await run(replace(command, argv=("/bin/sh", "-c", SAVE, "save", *command.argv)))
    except DataUnavailable as error:
        if LOCKED in str(error):
            raise DataUnavailable(
                f"A table is locked by a transaction of the application that did not end within {_LOCK_MS // 1000} s."
            ) from error
        raise


async def load(program: Program, file: Path, run: RunClient, serve: Serve) -> None:
    """Load a file into an empty database, in one transaction. Arguments, Raises as for ``save``.

    Cancellation: the file may have committed a part itself; the caller drops the database.
    """
    options = ("-X", "-q", "-v", "ON_ERROR_STOP=1", "-v", "VERBOSITY=terse", "-1", "-o", "/dev/null", "-f", str(file))
    await run(await _command(program, "psql", options, file, serve))


async def _command(program: Program, name: str, options: tuple[str, ...], file: Path, serve: Serve) -> ClientCommand:
    path = await trio.to_thread.run_sync(find_client, program, name, _PACKAGE)
    environment = client_environment(file.parent) | {
        "PGHOST": str(CLIENT_SOCKETS),
        "PGPORT": "5432",
        # The service puts the preview's own names in their place.
        "PGUSER": "preview",
        "PGDATABASE": "preview",
        "PGSSLMODE": "disable",
        "PGGSSENCMODE": "disable",
        "PGCONNECT_TIMEOUT": "20",
        # A role's own setting would have each statement fail.
        "PGOPTIONS": "-c default_transaction_read_only=off -c client_min_messages=warning",
    }
    return ClientCommand((path, *options), environment, program.readable, SOCKET, serve)
