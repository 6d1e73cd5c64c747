"""A PostgreSQL of the operator's: a role and a database of its own for each preview.

The administrator needs CREATEDB and CREATEROLE. Nothing of the server is changed but what has this service's names.
"""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from functools import partial

import trio

from preview.backing.admin.postgresql import PostgresqlLimits
from preview.backing.admin.postgresql_proof import Refused, Unreadable, prove, verifier
from preview.backing.admin.postgresql_session import quote_name, quote_text
from preview.backing.answers import as_number
from preview.backing.interface import RESERVED_CONNECTIONS
from preview.backing.operator.account import PostgresqlServer
from preview.backing.operator.keeper import Keeper
from preview.backing.operator.names import Names
from preview.backing.postgresql import PostgresqlDatabase
from preview.backing.server import ServerUnavailable
from preview.backing.streams import Join, SessionEnded, read_exactly
from preview.core.servers import Program
from preview.detection import ServiceKind
from preview.settings_address import ServerAddress

_NAME = "PostgreSQL"
_DROP_S = 5.0
_PROVE_S = 15.0
# Without this right the function fails.
_HIDDEN = -1
_SIZE = (
    "SELECT CASE WHEN has_database_privilege({name}, 'CONNECT') OR pg_has_role('pg_read_all_stats', 'USAGE')"
    f" THEN pg_database_size({{name}}) ELSE {_HIDDEN} END"
)
_NAMES = "SELECT datname FROM pg_database UNION SELECT rolname FROM pg_roles"
_ENDED = (SessionEnded, Unreadable, trio.BrokenResourceError, trio.ClosedResourceError)


class OperatorPostgresql:
    """See ``BackingEngine``.

    Args:
        address: The server, with an administrator's account.
        program: Program beside which the client programs are, if there is one.
        names: Names of this service.
        limits: Limits.
        size_bytes: Size that a preview's databases may have.
        join: Forwards bytes between a client and the server.
    """

    kind = ServiceKind.POSTGRESQL

    def __init__(
        self,
        address: ServerAddress,
        program: Program,
        names: Names,
        limits: PostgresqlLimits,
        *,
        size_bytes: int,
        join: Join,
    ) -> None:
        self.program = program
        self.join = join
        self._names = names
        self.is_private = address.is_private
        self._limits = limits
        self.connections = limits.connections
        self._size_bytes = size_bytes
        self._server = PostgresqlServer(address)
        # Passwords of the roles in use.
        self._live: dict[str, str] = {}
        self.keeper = Keeper("postgresql", self, Refused)

    @property
    def version(self) -> str:
        """See ``BackingEngine``."""
        return f"{_NAME} {self.keeper.version}".rstrip()

    def want(self) -> None:
        """See ``BackingEngine``: the operator runs the server."""

    async def run(self) -> None:
        """Drop what a service that ended has left, and what could not be dropped. Cancellation: it ends."""
        async with self._server.open():
            await self.keeper.run()

    @asynccontextmanager
    async def open_database(self, preview_id: str, slot: int) -> AsyncIterator[PostgresqlDatabase]:  # noqa: ARG002
        """See ``BackingEngine``. Cancellation: the database is dropped (bounded)."""
        database = PostgresqlDatabase(self)
        try:
            yield database
        finally:
            if database.name is not None:
                with trio.move_on_after(_DROP_S, shield=True):
                    await self.drop(database.name)

    async def connect(self) -> trio.SocketStream:
        """See ``PostgresqlEngine``. Cancellation: no connection is left."""
        return await self._server.connect()

    async def begin(self, client: trio.SocketStream, first: bytes, name: str) -> trio.SocketStream:
        """Begin a session of a preview's role: prove its password, and tell the client that it is accepted.

        Args:
            client: The client, whose first message was read.
            first: First message for the server.
            name: Name of the role.

        Raises:
            ServerUnavailable: The server does not answer, or refuses.

        Cancellation: no connection is left.
        """
        server = await self.connect()
        is_begun = False
        try:
            with trio.fail_after(_PROVE_S):
                await server.send_all(first)
                said = await prove(
                    server, partial(read_exactly, server), name, self.password(name), is_private=self.is_private
                )
            await client.send_all(said)
            is_begun = True
        except Refused as error:
            raise ServerUnavailable(f"{_NAME} refuses: {error}") from error
        except (*_ENDED, trio.TooSlowError) as error:
            raise ServerUnavailable(f"{_NAME} does not answer") from error
        finally:
            if not is_begun:
                await trio.aclose_forcefully(server)
        return server

    def password(self, name: str) -> str:
        """Return the password of a role."""
        return self._live.get(name, "")

    async def make(self) -> str:
        """Make a role and its database; return their name.

        Raises:
            ServerUnavailable: The server does not answer, or refuses.

        Cancellation: what exists is dropped later.
        """
        await self.keeper.set_up()
        name, password = self._names.new(), secrets.token_urlsafe(24)
        self._live[name] = password
        is_made = False
        try:
            await self._server.execute(*_made(name, verifier(password), self._limits))
            is_made = True
        finally:
            if not is_made:
                self._live.pop(name, None)
                self.keeper.orphans[name] = ""
        return name

    async def drop(self, name: str) -> None:
        """Drop a database with its role, and end its sessions. Cancellation: it is tried again later."""
        self._live.pop(name, None)
        await self.keeper.drop(name)

    async def drop_now(self, name: str) -> None:
        """See ``Databases``. Cancellation: some of it may be left."""
        own = quote_text(name)
        roles = await self._server.execute(f"SELECT 1 FROM pg_roles WHERE rolname = {own}")  # noqa: S608
        databases = await self._server.execute(f"SELECT 1 FROM pg_database WHERE datname = {own}")  # noqa: S608
        await self._server.execute(*_dropped(name, has_role=bool(roles), has_database=bool(databases)))

    async def check(self) -> str:
        """See ``Databases``. Cancellation: nothing changes."""
        return await self._server.check()

    async def hold_lock(self, *, alone: bool) -> tuple[str, bool]:
        """See ``Databases``. Cancellation: it may be held."""
        return await self._server.hold(self._names.number, alone=alone)

    async def let_others_hold(self) -> None:
        """See ``Databases``. Cancellation: they may have to wait."""
        await self._server.let_others_hold(self._names.number)

    def is_live(self, name: str) -> bool:
        """See ``Databases``."""
        return name in self._live

    async def list_names(self) -> list[str]:
        """Return the names of this service's databases and roles. Raises: ServerUnavailable: No answer.

        Cancellation: nothing changes.
        """
        return [row[0] for row in await self._server.execute(_NAMES) if row[0] is not None and self._is_own(row)]

    async def measure(self, name: str) -> int | None:
        """Return a database's size in bytes; None if there is no answer. Cancellation: nothing changes.

        A role can take the right to measure its database from the administrator. Then the right is granted again. If
        that fails, the size counts as too large.
        """
        with suppress(ServerUnavailable):
            found = await self._read_size(name)
            if found == _HIDDEN:
                await self._allow_measuring(name)
                found = await self._read_size(name)
            return self._size_bytes + 1 if found == _HIDDEN else found
        return None

    async def _read_size(self, name: str) -> int | None:
        rows = await self._server.execute(_SIZE.format(name=quote_text(name)))
        said = rows[0][0] if rows and rows[0] else None
        return _HIDDEN if said == str(_HIDDEN) else as_number(said)

    async def _allow_measuring(self, name: str) -> None:
        own = quote_name(name)
        for one in (f"GRANT {own} TO CURRENT_USER", f"GRANT CONNECT ON DATABASE {own} TO {own}"):
            try:
                await self._server.execute(one)
            except ServerUnavailable as error:
                if not isinstance(error.__cause__, Refused):
                    raise

    def _is_own(self, row: tuple[str | None, ...]) -> bool:
        return self._names.is_own(row[0])


def _made(name: str, verifier: str, limits: PostgresqlLimits) -> tuple[str, ...]:
    """Return the statements that make a role, and a database that it owns.

    Previews have what ``template1`` has: an operator may create extensions there.
    """
    own = quote_name(name)
    most = limits.connections + RESERVED_CONNECTIONS
    return (
        f"CREATE ROLE {own} LOGIN CONNECTION LIMIT {most} PASSWORD {quote_text(verifier)}",
        f"ALTER ROLE {own} SET statement_timeout = '{int(limits.statement_s * 1000)}ms'",
        # Who is no superuser makes databases only for a role that it is a member of.
        f"GRANT {own} TO CURRENT_USER",
        f"CREATE DATABASE {own} OWNER {own}",
        f"REVOKE ALL ON DATABASE {own} FROM PUBLIC",
    )


def _dropped(name: str, *, has_role: bool, has_database: bool) -> tuple[str, ...]:
    """Return the statements that drop a database and its role, and end its sessions."""
    own, text = quote_name(name), quote_text(name)
    return (
        # The role may have left it out: before PostgreSQL 16 a role could take its own membership from others.
        *((f"ALTER ROLE {own} NOLOGIN", f"GRANT {own} TO CURRENT_USER") if has_role else ()),
        f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = {text}",  # noqa: S608
        # Its owner may have made it a template, which cannot be dropped.
        *((f"ALTER DATABASE {own} IS_TEMPLATE false",) if has_database else ()),
        f"DROP DATABASE IF EXISTS {own} WITH (FORCE)",
        f"DROP ROLE IF EXISTS {own}",
    )
