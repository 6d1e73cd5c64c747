"""PostgreSQL's statements of the service: one session, opened again when it is broken."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress

import trio

from preview.backing.admin.postgresql_proof import Refused, Unreadable
from preview.backing.admin.postgresql_session import Rows, Session
from preview.backing.server import ServerUnavailable
from preview.backing.streams import SessionEnded

Connect = Callable[[], Awaitable[trio.SocketStream]]

# Statements of one call. A server that was taken over may never answer.
_ANSWER_S = 20.0
ENDED = (SessionEnded, Unreadable, trio.BrokenResourceError, trio.ClosedResourceError, OSError)


class Statements:
    """One session with the server as its administrator, opened again when it is broken.

    Args:
        name: The server's name for people.
        log_in: Begins a session on a new connection.
    """

    def __init__(self, name: str, log_in: Callable[[Session], Awaitable[None]]) -> None:
        self._name = name
        self._log_in = log_in
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
        if connect is None:
            raise ServerUnavailable(f"{self._name} is not running")
        try:
            # With the wait for its turn: statements of many previews may be ahead.
            with trio.fail_after(_ANSWER_S):
                async with self._turn:
                    return await self._execute(connect, statements)
        except Refused as error:
            raise ServerUnavailable(f"{self._name} refuses: {error}") from error
        except (*ENDED, trio.TooSlowError) as error:
            raise ServerUnavailable(f"{self._name} does not answer") from error

    async def _execute(self, connect: Connect, statements: tuple[str, ...]) -> Rows:
        if self._session is not None and statements:
            # The server ends all sessions when one of its processes was killed, and this one may be among them.
            with suppress(*ENDED):
                return await self._execute_in(self._session, statements)
        self._session = await self._open(connect)
        return await self._execute_in(self._session, statements)

    async def _execute_in(self, session: Session, statements: tuple[str, ...]) -> Rows:
        rows: Rows = []
        is_whole = False
        try:
            for one in statements:
                rows = await session.execute(one)
            is_whole = True
        except Refused:
            is_whole = True
            raise
        finally:
            if not is_whole:
                self.close()
        return rows

    async def _open(self, connect: Connect) -> Session:
        session = Session(await connect())
        is_open = False
        try:
            await self._log_in(session)
            is_open = True
        finally:
            if not is_open:
                session.close()
        return session
