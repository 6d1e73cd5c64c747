"""A PostgreSQL of the operator's: a role and a database of its own for each preview.

The administrator needs CREATEDB and CREATEROLE. Nothing of the server is changed but what has this service's names.
"""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from functools import partial

import structlog
import trio

from preview.backing.admin.postgresql import PostgresqlLimits
from preview.backing.admin.postgresql_proof import Refused, Unreadable, prove, verifier
from preview.backing.admin.postgresql_session import Rows, Session, quote_name, quote_text
from preview.backing.admin.postgresql_statements import Statements
from preview.backing.answers import as_number
from preview.backing.operator.connection import Connector
from preview.backing.operator.names import Names
from preview.backing.postgresql import PostgresqlDatabase
from preview.backing.server import ServerUnavailable
from preview.backing.streams import Join, SessionEnded, read_exactly
from preview.backing.wire.postgresql import NO_TLS, SSL_REQUEST
from preview.core.servers import Program
from preview.detection import ServiceKind
from preview.runtime import beside
from preview.settings_address import ServerAddress

log = structlog.get_logger(__name__)

_NAME = "PostgreSQL"
# A preview can hold locks for as long as it likes. It may have functions in the administrator's database.
_OPTIONS = "-c lock_timeout=2s -c statement_timeout=15s -c client_min_messages=error -c search_path=pg_catalog"
_DROP_S = 5.0
# What could not be dropped, and a server that does not answer, are tried again.
_AGAIN_S = 15.0
_PROVE_S = 15.0
_LEAST_VERSION = 13
_RIGHTS = (
    "SELECT current_setting('server_version_num')::int / 10000, split_part(current_setting('server_version'), ' ', 1),"
    " rolsuper OR (rolcreatedb AND rolcreaterole AND rolinherit) FROM pg_roles WHERE rolname = current_user"
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
        join: Forwards bytes between a client and the server.
    """

    kind = ServiceKind.POSTGRESQL

    def __init__(
        self, address: ServerAddress, program: Program, names: Names, limits: PostgresqlLimits, *, join: Join
    ) -> None:
        self.program = program
        self.join = join
        self._names = names
        self._limits = limits
        self._server = PostgresqlServer(address)
        # Passwords of the roles in use; what is still to be dropped.
        self._live: dict[str, str] = {}
        self._orphans: set[str] = set()
        self._version = ""
        self._setting_up = trio.Lock()

    @property
    def version(self) -> str:
        """See ``BackingEngine``."""
        return f"{_NAME} {self._version}".rstrip()

    def want(self) -> None:
        """See ``BackingEngine``: the operator runs the server."""

    async def run(self) -> None:
        """Drop what a service that ended has left, and what could not be dropped. Cancellation: it ends."""
        said = ""
        async with self._server.open():
            while True:
                try:
                    await self._set_up()
                    said = ""
                    for one in tuple(self._orphans):
                        await self.drop(one)
                except ServerUnavailable as error:
                    if str(error) != said:
                        log.warning("server unavailable", server="postgresql", why=str(error))
                    said = str(error)
                await trio.sleep(_AGAIN_S)

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
        return await self._server.connector.connect()

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
                said = await prove(server, partial(read_exactly, server), name, self.password(name))
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
        await self._set_up()
        name, password = self._names.new(), secrets.token_urlsafe(24)
        self._live[name] = password
        is_made = False
        try:
            await self._server.execute(*_made(name, verifier(password), self._limits))
            is_made = True
        finally:
            if not is_made:
                self._live.pop(name, None)
                self._orphans.add(name)
        return name

    async def drop(self, name: str) -> None:
        """Drop a database with its role, and end its sessions. Cancellation: it is tried again later."""
        self._live.pop(name, None)
        self._orphans.add(name)
        try:
            own = quote_text(name)
            roles = await self._server.execute(f"SELECT 1 FROM pg_roles WHERE rolname = {own}")  # noqa: S608
            databases = await self._server.execute(f"SELECT 1 FROM pg_database WHERE datname = {own}")  # noqa: S608
            await self._server.execute(*_dropped(name, has_role=bool(roles), has_database=bool(databases)))
            self._orphans.discard(name)
        except ServerUnavailable as error:
            log.warning("database not dropped", server="postgresql", why=str(error))

    async def list_names(self) -> list[str]:
        """Return the names of this service's databases and roles. Raises: ServerUnavailable: No answer.

        Cancellation: nothing changes.
        """
        return [row[0] for row in await self._server.execute(_NAMES) if row[0] is not None and self._is_own(row)]

    async def measure(self, name: str) -> int | None:
        """Return a database's size in bytes; None if there is no answer. Cancellation: nothing changes."""
        with suppress(ServerUnavailable):
            rows = await self._server.execute(f"SELECT pg_database_size({quote_text(name)})")
            return as_number(rows[0][0]) if rows and rows[0] else None
        return None

    def _is_own(self, row: tuple[str | None, ...]) -> bool:
        return self._names.is_own(row[0])

    async def _set_up(self) -> None:
        """Check the account, and find what a service that ended has left; once.

        Raises:
            ServerUnavailable: The server does not answer, or the account lacks rights.
        """
        async with self._setting_up:
            if not self._version:
                version = await self._server.check()
                self._orphans |= {name for name in await self.list_names() if name not in self._live}
                self._version = version


class PostgresqlServer:
    """The administrator's account on a server.

    Args:
        address: Its address.
    """

    def __init__(self, address: ServerAddress) -> None:
        self._address = address
        file = f"{address.host}/.s.PGSQL.{address.port}"
        self.connector = Connector(_NAME, address, file, _ask_for_tls)
        self._statements = Statements(_NAME, self._log_in)

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Carry connections with TLS. Cancellation: they end."""
        async with beside(self.connector.run):
            try:
                yield
            finally:
                self._statements.close()

    async def execute(self, *statements: str) -> Rows:
        """Execute statements, one after the other; return the last one's rows.

        Raises:
            ServerUnavailable: The server does not answer in time, or refuses.

        Cancellation: some of the statements may have been executed.
        """
        return await self._statements.execute(self.connector.connect, *statements)

    async def check(self) -> str:
        """Return the server's version.

        Raises:
            ServerUnavailable: It does not answer, is too old, or the account lacks rights.

        Cancellation: nothing changes.
        """
        rows = await self.execute(_RIGHTS)
        number, version, may = rows[0] if rows and len(rows[0]) == 3 else (None, None, None)
        shown = "".join(one for one in version or "" if one.isalnum() or one == ".")[:20]
        if (as_number(number) or 0) < _LEAST_VERSION:
            raise ServerUnavailable(f"{_NAME} {shown} is too old: previews need {_LEAST_VERSION} or newer")
        if may != "t":
            raise ServerUnavailable(
                f"the account lacks rights in {_NAME} {shown}: ALTER ROLE … CREATEDB CREATEROLE INHERIT gives them"
            )
        return shown

    async def _log_in(self, session: Session) -> None:
        address = self._address
        await session.log_in(address.user, address.password, address.database, _OPTIONS)


async def _ask_for_tls(stream: trio.SocketStream) -> bool:
    await stream.send_all((8).to_bytes(4) + SSL_REQUEST.to_bytes(4))
    try:
        said = await read_exactly(stream, 1)
    except SessionEnded:
        said = b""
    if said not in (b"S", NO_TLS):
        raise ServerUnavailable(f"{_NAME} does not answer (another server has its address)")
    return said == b"S"


def _made(name: str, verifier: str, limits: PostgresqlLimits) -> tuple[str, ...]:
    """Return the statements that make a role, and a database that it owns.

    Previews have what ``template1`` has: an operator may create extensions there.
    """
    own = quote_name(name)
    return (
        f"CREATE ROLE {own} LOGIN CONNECTION LIMIT {limits.connections} PASSWORD {quote_text(verifier)}",
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
