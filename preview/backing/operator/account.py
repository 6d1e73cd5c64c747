"""The administrator's account on a PostgreSQL of the operator's."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio

from preview.backing.admin.postgresql_session import Rows, Session
from preview.backing.admin.postgresql_statements import Statements
from preview.backing.answers import as_number
from preview.backing.operator.connection import Connector
from preview.backing.server import ServerUnavailable
from preview.backing.streams import SessionEnded, read_exactly
from preview.backing.wire.postgresql import NO_TLS, SSL_REQUEST
from preview.runtime import beside
from preview.settings_address import ServerAddress

_NAME = "PostgreSQL"
# A preview can hold locks for as long as it likes. It may have functions in the administrator's database.
_OPTIONS = "-c lock_timeout=2s -c statement_timeout=15s -c client_min_messages=error -c search_path=pg_catalog"
_LEAST_VERSION = 13
_RIGHTS = (
    "SELECT current_setting('server_version_num')::int / 10000, split_part(current_setting('server_version'), ' ', 1),"
    " rolsuper OR (rolcreatedb AND rolcreaterole AND rolinherit) FROM pg_roles WHERE rolname = current_user"
)


class PostgresqlServer:
    """The administrator's account on a server.

    Args:
        address: Its address.
    """

    def __init__(self, address: ServerAddress) -> None:
        self._address = address
        file = f"{address.host}/.s.PGSQL.{address.port}"
        self.connector = Connector(_NAME, address, file)
        self._statements = Statements(_NAME, self._log_in)
        # A session that stays open, for a lock.
        self._holding = Statements(_NAME, self._log_in)

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Carry connections with TLS. Cancellation: they end."""
        async with beside(self.connector.run):
            try:
                yield
            finally:
                self._statements.close()
                self._holding.close()

    async def connect(self) -> trio.SocketStream:
        """Connect to the server. Raises and is cancelled like ``Connector.connect``."""
        return await self.connector.connect(_ask_for_tls)

    async def execute(self, *statements: str) -> Rows:
        """Execute statements, one after the other; return the last one's rows.

        Raises:
            ServerUnavailable: The server does not answer in time, or refuses.

        Cancellation: some of the statements may have been executed.
        """
        return await self._statements.execute(self.connect, *statements)

    async def hold(self, number: int, *, alone: bool) -> tuple[str, bool]:
        """Hold a lock together with others, until the session ends.

        Args:
            number: The lock.
            alone: Whether to try to hold it alone; ``let_others_hold`` ends that.

        Returns:
            The session, and whether it holds the lock alone.

        Raises:
            ServerUnavailable: The server does not answer in time, or another session holds it alone.

        Cancellation: it may be held.
        """
        statements = [f"SELECT pg_advisory_lock_shared({number})", "SELECT pg_backend_pid(), false"]
        if alone:
            statements[1] = f"SELECT pg_backend_pid(), pg_try_advisory_lock({number})"
        rows = await self._holding.execute(self.connect, *statements)
        pid, is_alone = rows[0] if rows and len(rows[0]) == 2 else (None, None)
        return pid or "", is_alone == "t"

    async def let_others_hold(self, number: int) -> None:
        """Let other sessions hold the lock too. Raises and is cancelled like ``hold``."""
        await self._holding.execute(self.connect, f"SELECT pg_advisory_unlock({number})")

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
        await session.log_in(address.user, address.password, address.database, _OPTIONS, is_private=address.is_private)


async def _ask_for_tls(stream: trio.SocketStream) -> bool:
    await stream.send_all((8).to_bytes(4) + SSL_REQUEST.to_bytes(4))
    try:
        said = await read_exactly(stream, 1)
    except SessionEnded:
        said = b""
    if said not in (b"S", NO_TLS):
        raise ServerUnavailable(f"{_NAME} does not answer (another server has its address)")
    return said == b"S"
