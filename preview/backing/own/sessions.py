"""Sessions of the service with a preview's own PostgreSQL server, which is not believed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import trio

from preview.backing.admin.postgresql_proof import Refused, Unreadable
from preview.backing.admin.postgresql_session import Session, quote_name, quote_text
from preview.backing.own.server_folder import ADMIN, FIRST_DATABASE
from preview.backing.server import ServerSocket, ServerUnavailable
from preview.backing.streams import SessionEnded

# The project may have set anything for its roles and databases.
_OPTIONS = (
    "-c lock_timeout=1s -c statement_timeout=10s -c client_min_messages=error -c search_path=pg_catalog"
    " -c default_transaction_read_only=off -c client_encoding=UTF8 -c standard_conforming_strings=on"
)
_ANSWER_S = 15.0
_ENDED = (SessionEnded, Unreadable, trio.BrokenResourceError, trio.ClosedResourceError, OSError, trio.TooSlowError)
_EXISTS = (
    "SELECT (SELECT count(*) FROM pg_roles WHERE rolname = {user}::name),"
    " (SELECT count(*) FROM pg_database WHERE datname = {database}::name)"
)
# "… is starting up", "… is not yet accepting connections", "… is in recovery mode".
_NOT_YET = "the database system is "
# The one that was used before, else the first by its name that the project has made.
_FIRST = (
    "SELECT datname FROM pg_database WHERE NOT datistemplate"  # noqa: S608
    f" ORDER BY datname = {{before}} DESC, datname = '{FIRST_DATABASE}', datname LIMIT 1"
)


async def answers(socket: ServerSocket) -> bool:
    """Return whether the server takes sessions already. Cancellation: nothing changes."""
    try:
        async with _session(socket):
            return True
    except Refused as error:
        # Any other refusal is the project's doing: it may have removed the service's role or database.
        if not str(error).startswith(_NOT_YET):
            return True
    except ServerUnavailable:
        pass
    await trio.sleep(0.01)
    return False


async def make_missing(socket: ServerSocket, user: str, database: str) -> None:
    """Make a role and a database that do not exist yet; the role is an administrator, and owns the database.

    Where this is refused the server itself tells the client so: a name may be impossible, or the project has removed
    the administrator of the service.

    Raises:
        ServerUnavailable: The server does not answer.

    Cancellation: either may have been made.
    """
    asked = _EXISTS.format(user=quote_text(user), database=quote_text(database))
    try:
        async with _session(socket) as session:
            rows = await session.execute(asked)
            found = rows[0] if rows and len(rows[0]) == 2 else ("", "")
            if found[0] == "0":
                await session.execute(f"CREATE ROLE {quote_name(user)} LOGIN SUPERUSER")
            if found[1] == "0":
                await session.execute(f"CREATE DATABASE {quote_name(database)} OWNER {quote_name(user)}")
    except Refused:
        pass


async def rename_database(socket: ServerSocket, old: str, new: str) -> None:
    """Give a database another name, unless there is one of this name. Raises and is cancelled like ``make_missing``."""
    with suppress(Refused):
        async with _session(socket) as session:
            rows = await session.execute(f"SELECT 1 FROM pg_database WHERE datname = {quote_text(new)}::name")  # noqa: S608
            if not rows:
                # Nobody may be connected to it: the page may show its tables now.
                await session.execute(
                    f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = {quote_text(old)}"  # noqa: S608
                )
                await session.execute(f"ALTER DATABASE {quote_name(old)} RENAME TO {quote_name(new)}")


async def find_used(socket: ServerSocket, before: str | None) -> str:
    """Return the database that the project is taken to use after a load.

    Args:
        socket: The server's.
        before: The one that it used before; None if it has not connected.

    Cancellation: nothing changes.
    """
    try:
        async with _session(socket) as session:
            rows = await session.execute(_FIRST.format(before=quote_text(before or "")))
            return (rows[0][0] if rows and rows[0] else None) or FIRST_DATABASE
    except (Refused, ServerUnavailable):
        return FIRST_DATABASE


@asynccontextmanager
async def _session(socket: ServerSocket) -> AsyncIterator[Session]:
    """Open a session as the administrator, bounded in time with all that is done in it.

    Raises:
        Refused: The server refuses the session, or a statement.
        ServerUnavailable: It does not answer.
    """
    try:
        with trio.fail_after(_ANSWER_S):
            session = Session(await socket.connect())
            try:
                await session.log_in(ADMIN, "", FIRST_DATABASE, _OPTIONS)
                yield session
            finally:
                session.close()
    except _ENDED as error:
        raise ServerUnavailable("PostgreSQL does not answer") from error
