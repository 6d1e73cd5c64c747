"""MariaDB's administrator: one session, opened again when it is broken."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import trio

from preview.backing.admin.mysql_link import Link
from preview.backing.admin.mysql_session import Refused, Session
from preview.backing.server import ServerUnavailable
from preview.backing.streams import SessionEnded
from preview.backing.wire.mysql import NotMysql

Rows = list[tuple[str, ...]]

# Statements of one call.
_ANSWER_S = 20.0
# Connects to the server; its caller closes the link.
Connect = Callable[[], Awaitable[Link]]
_BROKEN = (SessionEnded, NotMysql, trio.BrokenResourceError, trio.ClosedResourceError, OSError)


class Administrator:
    """One session with the server as its administrator, opened again when it is broken.

    Args:
        name: The server's name for people.
        user: The administrator.
        password: Its password.
        first: Statement with which a session begins.
        database: Database in which a session begins; none if it is empty.
    """

    def __init__(self, name: str, user: str, password: str, first: str, database: str = "mysql") -> None:
        self._database = database
        self._name = name
        self._user = user
        self._password = password
        self._first = first
        self._session: Session | None = None
        self._turn = trio.Lock()

    def close(self) -> None:
        """Close the session."""
        if self._session is not None:
            self._session.close()
            self._session = None

    async def execute(self, connect: Connect | None, *statements: str) -> Rows:
        """Execute statements, one after the other; return the last one's rows.

        Args:
            connect: Connects to the running server; None if none runs.
            statements: Each is a transaction of its own.

        Raises:
            ServerUnavailable: The server does not run, refuses, or does not answer in time.

        Cancellation: some of the statements may have been executed.
        """
        async with self._turn:
            if connect is None:
                raise ServerUnavailable(f"{self._name} is not running")
            is_whole = False
            try:
                with trio.fail_after(_ANSWER_S):
                    rows = await self._execute(connect, statements)
                is_whole = True
            except Refused as error:
                is_whole = True
                raise ServerUnavailable(f"{self._name} refuses: {error}") from error
            except (*_BROKEN, trio.TooSlowError) as error:
                raise ServerUnavailable(f"{self._name} does not answer") from error
            finally:
                if not is_whole:
                    self.close()
            return rows

    async def _execute(self, connect: Connect, statements: tuple[str, ...]) -> Rows:
        if self._session is not None:
            try:
                return await _execute_in(self._session, statements)
            except _BROKEN:
                # The server ends a session that is idle for hours. All statements may be executed twice.
                self.close()
        self._session = Session(await connect())
        try:
            await self._session.log_in(self._user, self._password, self._database)
        except Refused:
            self.close()
            raise
        return await _execute_in(self._session, (self._first, *statements))


async def _execute_in(session: Session, statements: tuple[str, ...]) -> Rows:
    rows: Rows = []
    for one in statements:
        rows = [tuple(value or "" for value in row) for row in await session.execute(one)]
    return rows
