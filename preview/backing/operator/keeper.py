"""Looking after one service's databases on a server of the operator's: what is left of ended previews is dropped."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import structlog
import trio

from preview.backing.server import ServerUnavailable

log = structlog.get_logger(__name__)

_UNLOCK_S = 5.0
# What could not be dropped, and a server that does not answer, are tried again.
_AGAIN_S = 15.0


class Databases(Protocol):
    """The databases of one service on a server; see ``OperatorPostgresql`` and ``OperatorMysql``."""

    async def check(self) -> str:
        """Return the server's version. Raises: ServerUnavailable: The account lacks rights, or there is no answer.

        Cancellation: nothing changes.
        """

    async def hold_lock(self, *, alone: bool) -> tuple[str, bool]:
        """Hold the lock of the service's mark together with others; return the session, and whether it is alone.

        Cancellation: it may be held.
        """

    async def let_others_hold(self) -> None:
        """Let others hold the lock too. Cancellation: they may have to wait."""

    def is_live(self, name: str) -> bool:
        """Return whether a preview uses this name now."""

    async def list_names(self) -> Sequence[str]:
        """Return all names of this service's. Cancellation: nothing changes."""

    async def drop_now(self, name: str) -> None:
        """Drop what has this name. Raises: ServerUnavailable: Some of it may be left. Cancellation: likewise."""


class Keeper:
    """Drops what is left: of a service that has ended, and what could not be dropped before.

    Args:
        server: The server, for the log: ``mysql``.
        databases: The databases.
        refused: Error of a server that answers, but refuses.

    Attributes:
        version: The server's version; empty until it has answered.
        orphans: Names that are still to be dropped, each with the reason that was logged.
        has_looked: Whether what an ended service has left was looked for.
    """

    def __init__(self, server: str, databases: Databases, refused: type[Exception]) -> None:
        self.version = ""
        self.orphans: dict[str, str] = {}
        self.has_looked = False
        self._server = server
        self._databases = databases
        self._refused = refused
        self._setting_up = trio.Lock()
        # Session that holds the lock of the mark.
        self._holder: str | None = None

    async def run(self) -> None:
        """Drop what is left, again and again. Cancellation: it ends."""
        said = ""
        while True:
            try:
                await self.set_up()
                await self._hold_mark()
                said = ""
                for one in tuple(self.orphans):
                    if not await self.drop(one):
                        break
            except ServerUnavailable as error:
                if str(error) != said:
                    log.warning("server unavailable", server=self._server, why=str(error))
                said = str(error)
            await trio.sleep(_AGAIN_S)

    async def drop(self, name: str) -> bool:
        """Drop what has this name, now or later; return false if the server does not answer.

        Cancellation: it is tried again later.
        """
        self.orphans.setdefault(name, "")
        try:
            await self._databases.drop_now(name)
            self.orphans.pop(name, None)
        except ServerUnavailable as error:
            if self.orphans.get(name) != str(error):
                log.warning("database not dropped", server=self._server, database=name, why=str(error))
                self.orphans[name] = str(error)
            return isinstance(error.__cause__, self._refused)
        return True

    async def set_up(self) -> None:
        """Check the account, and find what a service that ended has left; once.

        Raises:
            ServerUnavailable: The server does not answer, or the account lacks rights.

        Cancellation: it is done next time.
        """
        async with self._setting_up:
            if not self.version:
                version = await self._databases.check()
                await self._hold_mark()
                self.version = version

    async def _hold_mark(self) -> None:
        """Hold the lock of the mark, and find what a service that ended has left, once nobody else holds it.

        A copied data folder has the same mark, and its service must not drop this one's databases.

        Raises:
            ServerUnavailable: The server does not answer.
        """
        holder, is_alone = await self._databases.hold_lock(alone=not self.has_looked)
        # After a lost session another service may need a moment to hold the lock again: then the next turn looks.
        is_first, is_same = self._holder is None, self._holder == holder
        self._holder = holder
        if self.has_looked:
            return
        if is_alone:
            try:
                if is_first or is_same:
                    names = await self._databases.list_names()
                    self.orphans |= {name: "" for name in names if not self._databases.is_live(name)}
                    self.has_looked = True
            finally:
                with trio.move_on_after(_UNLOCK_S, shield=True):
                    await self._databases.let_others_hold()
        elif is_first:
            log.warning(
                "old databases kept",
                server=self._server,
                why="another service uses a copy of this data folder, or just ended; delete the copy's backing/mark",
            )
