"""A MariaDB of the operator's: a user and a database of its own for each preview.

Nothing of the server is changed but what has this service's names.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import structlog
import trio

from preview.backing.admin.mysql_link import Link
from preview.backing.admin.mysql_session import Refused
from preview.backing.answers import as_number
from preview.backing.mysql_command import MysqlLimits
from preview.backing.mysql_session import MysqlDatabase
from preview.backing.operator.mysql_account import MysqlServer
from preview.backing.operator.names import Names
from preview.backing.server import ServerUnavailable
from preview.backing.streams import Join
from preview.backing.wire.mysql import PLUGIN, hash_password
from preview.core.servers import Program
from preview.detection import ServiceKind
from preview.settings_address import ServerAddress

log = structlog.get_logger(__name__)

_DROP_S = 5.0
_UNLOCK_S = 5.0
# What could not be dropped, and a server that does not answer, are tried again.
_AGAIN_S = 15.0
# InnoDB's files; its tables in the server's one shared file, and those of other engines, say their size themselves.
_SIZE = (
    "SELECT COALESCE(SUM(FILE_SIZE), 0) FROM information_schema.INNODB_SYS_TABLESPACES WHERE LEFT(NAME, {length}) ="
    " '{name}/' UNION ALL SELECT COALESCE(SUM(DATA_LENGTH + INDEX_LENGTH), 0) FROM information_schema.TABLES WHERE"
    " TABLE_SCHEMA = '{name}' AND (ENGINE <> 'InnoDB' OR NOT @@GLOBAL.innodb_file_per_table)"
)


class OperatorMysql:
    """See ``BackingEngine``.

    Args:
        address: The server, with an administrator's account.
        program: Program beside which the client programs are, if there is one.
        names: Names of this service.
        limits: Limits.
        join: Forwards bytes between a client and the server.
    """

    kind = ServiceKind.MYSQL

    def __init__(
        self, address: ServerAddress, program: Program, names: Names, limits: MysqlLimits, *, join: Join
    ) -> None:
        self.program = program
        self.limits = limits
        self.join = join
        self._names = names
        self._server = MysqlServer(address)
        self._live: set[str] = set()
        # What is still to be dropped, with the reason that was logged.
        self._orphans: dict[str, str] = {}
        self._version = ""
        self._setting_up = trio.Lock()
        # Session that holds the lock of the mark; whether what an ended service has left was looked for.
        self._holder: str | None = None
        self._has_looked = False

    @property
    def version(self) -> str:
        """See ``BackingEngine``."""
        return f"MariaDB {self._version}".rstrip()

    def want(self) -> None:
        """See ``BackingEngine``: the operator runs the server."""

    async def run(self) -> None:
        """Drop what a service that ended has left, and what could not be dropped. Cancellation: it ends."""
        said = ""
        async with self._server.open():
            while True:
                try:
                    await self._set_up()
                    await self._hold_mark()
                    said = ""
                    for one in tuple(self._orphans):
                        if not await self._try_drop(one):
                            break
                except ServerUnavailable as error:
                    if str(error) != said:
                        log.warning("server unavailable", server="mysql", why=str(error))
                    said = str(error)
                await trio.sleep(_AGAIN_S)

    @asynccontextmanager
    async def open_database(self, preview_id: str, slot: int) -> AsyncIterator[MysqlDatabase]:  # noqa: ARG002
        """See ``BackingEngine``. Cancellation: the database is dropped (bounded)."""
        database = MysqlDatabase(self, self._names.new())
        try:
            yield database
        finally:
            if database.name in self._live:
                self._live.discard(database.name)
                self._orphans.setdefault(database.name, "")
                with trio.move_on_after(_DROP_S, shield=True):
                    await self._try_drop(database.name)

    async def connect(self) -> Link:
        """See ``MysqlEngine``. Cancellation: no connection is left."""
        return await self._server.connect()

    async def make(self, name: str, password: str, wanted: str) -> str:  # noqa: ARG002  a name of the service's
        """Make a user and its database, both of this name; return it.

        Raises:
            ServerUnavailable: The server does not answer, or refuses.

        Cancellation: what exists is dropped later.
        """
        await self._set_up()
        self._live.add(name)
        # Again where an earlier try was cut off: nobody else has this name.
        await self._server.execute(
            _made(name),
            f"CREATE OR REPLACE USER `{name}`@'%' IDENTIFIED VIA {PLUGIN.decode()} USING '{hash_password(password)}'"
            f" WITH MAX_USER_CONNECTIONS {self.limits.of_user} MAX_STATEMENT_TIME {self.limits.statement_s}",
            # In a grant `_` stands for any character.
            f"GRANT ALL ON `{name.replace('_', chr(92) + '_')}`.* TO `{name}`@'%'",
        )
        return name

    async def empty(self, name: str) -> None:
        """Drop everything in a user's database, and end the user's sessions. Raises and is cancelled like ``make``."""
        await self._server.execute(f"KILL USER `{name}`@'%'", f"DROP DATABASE IF EXISTS `{name}`", _made(name))

    async def drop(self, name: str) -> bool:
        """Drop a user with its database, and end its sessions; return whether they are gone.

        Cancellation: they may still exist.
        """
        with suppress(ServerUnavailable):
            await self._drop(name)
            return True
        return False

    async def _drop(self, name: str) -> None:
        # The user first: no session begins any more. The database waits until those that run have ended.
        await self._server.execute(
            f"DROP USER IF EXISTS `{name}`@'%'", f"KILL USER `{name}`@'%'", f"DROP DATABASE IF EXISTS `{name}`"
        )

    async def _try_drop(self, name: str) -> bool:
        """Drop what is left of a preview; return false if the server does not answer."""
        try:
            await self._drop(name)
            self._orphans.pop(name, None)
        except ServerUnavailable as error:
            if self._orphans.get(name) != str(error):
                log.warning("database not dropped", server="mysql", database=name, why=str(error))
                self._orphans[name] = str(error)
            return isinstance(error.__cause__, Refused)
        return True

    async def list_names(self) -> list[str]:
        """Return the names of this service's databases and users. Raises: ServerUnavailable: No answer.

        Cancellation: nothing changes.
        """
        start = f"pv\\_{self._names.mark}\\_%"
        rows = await self._server.execute(
            f"SELECT SCHEMA_NAME FROM information_schema.SCHEMATA WHERE SCHEMA_NAME LIKE '{start}'"  # noqa: S608
            f" UNION ALL SELECT User FROM mysql.user WHERE User LIKE '{start}'"
        )
        return [row[0] for row in rows if row and self._names.is_own(row[0])]

    async def measure(self, database: str) -> int | None:
        """Return a database's size in bytes; None if there is no answer. Cancellation: nothing changes."""
        with suppress(ServerUnavailable):
            rows = await self._server.execute(_SIZE.format(name=database, length=len(database) + 1))
            return sum(as_number(row[0]) or 0 for row in rows if row)
        return None

    async def _set_up(self) -> None:
        """Check the account, and find what a service that ended has left; once.

        Raises:
            ServerUnavailable: The server does not answer, or the account lacks rights.
        """
        async with self._setting_up:
            if not self._version:
                version = await self._server.check()
                await self._hold_mark()
                self._version = version

    async def _hold_mark(self) -> None:
        """Hold the lock of the mark, and find what a service that ended has left, once nobody else holds it.

        A copied data folder has the same mark, and its service must not drop this one's databases.

        Raises:
            ServerUnavailable: The server does not answer.
        """
        holder, is_alone = await self._server.hold(self._names.lock, alone=not self._has_looked)
        # After a lost session another service may need a moment to hold the lock again: then the next turn looks.
        is_first, is_same = self._holder is None, self._holder == holder
        self._holder = holder
        if self._has_looked:
            return
        if is_alone:
            try:
                if is_first or is_same:
                    self._orphans |= {name: "" for name in await self.list_names() if name not in self._live}
                    self._has_looked = True
            finally:
                with trio.move_on_after(_UNLOCK_S, shield=True):
                    await self._server.let_others_hold(self._names.lock)
        elif is_first:
            log.warning(
                "old databases kept",
                server="mysql",
                why="another service uses a copy of this data folder, or has just ended: a copy needs a new mark",
            )


def _made(name: str) -> str:
    return f"CREATE DATABASE IF NOT EXISTS `{name}` CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci"
