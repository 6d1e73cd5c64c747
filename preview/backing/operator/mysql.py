"""A MariaDB of the operator's: a user and a database of its own for each preview.

Nothing of the server is changed but what has this service's names.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import trio

from preview.backing.admin.mysql_link import Link
from preview.backing.admin.mysql_session import Refused
from preview.backing.answers import as_number
from preview.backing.contents.mysql_copies import MysqlCopies
from preview.backing.mysql_command import MysqlLimits
from preview.backing.mysql_session import MysqlDatabase
from preview.backing.operator.keeper import Keeper
from preview.backing.operator.mysql_account import MysqlServer
from preview.backing.operator.names import Names
from preview.backing.server import ServerUnavailable
from preview.backing.streams import Join
from preview.backing.wire.mysql import PLUGIN, hash_password
from preview.core.servers import Program
from preview.detection import ServiceKind
from preview.settings_address import ServerAddress

_DROP_S = 5.0
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
        self.copies: MysqlCopies | None = None
        self._names = names
        self._server = MysqlServer(address)
        self._live: set[str] = set()
        self.keeper = Keeper("mysql", self, Refused)

    @property
    def version(self) -> str:
        """See ``BackingEngine``."""
        return f"MariaDB {self.keeper.version}".rstrip()

    def want(self) -> None:
        """See ``BackingEngine``: the operator runs the server."""

    async def run(self) -> None:
        """Drop what a service that ended has left, and what could not be dropped. Cancellation: it ends."""
        async with self._server.open():
            await self.keeper.run()

    @asynccontextmanager
    async def open_database(self, preview_id: str, slot: int) -> AsyncIterator[MysqlDatabase]:  # noqa: ARG002
        """See ``BackingEngine``. Cancellation: the database is dropped (bounded)."""
        database = MysqlDatabase(self, self._names.new())
        try:
            yield database
        finally:
            if database.name in self._live:
                self._live.discard(database.name)
                with trio.move_on_after(_DROP_S, shield=True):
                    await self.keeper.drop(database.name)

    async def connect(self) -> Link:
        """See ``MysqlEngine``. Cancellation: no connection is left."""
        return await self._server.connect()

    async def make(self, name: str, password: str, wanted: str) -> str:  # noqa: ARG002  a name of the service's
        """Make a user and its database, both of this name; return it.

        Raises:
            ServerUnavailable: The server does not answer, or refuses.

        Cancellation: what exists is dropped later.
        """
        await self.keeper.set_up()
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
            await self.drop_now(name)
            return True
        return False

    async def drop_now(self, name: str) -> None:
        """See ``Databases``. Cancellation: some of it may be left."""
        # The user first: no session begins any more. The database waits until those that run have ended.
        await self._server.execute(
            f"DROP USER IF EXISTS `{name}`@'%'", f"KILL USER `{name}`@'%'", f"DROP DATABASE IF EXISTS `{name}`"
        )

    async def check(self) -> str:
        """See ``Databases``. Cancellation: nothing changes."""
        return await self._server.check()

    async def hold_lock(self, *, alone: bool) -> tuple[str, bool]:
        """See ``Databases``. Cancellation: it may be held."""
        return await self._server.hold(self._names.lock, alone=alone)

    async def let_others_hold(self) -> None:
        """See ``Databases``. Cancellation: they may have to wait."""
        await self._server.let_others_hold(self._names.lock)

    def is_live(self, name: str) -> bool:
        """See ``Databases``."""
        return name in self._live

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


def _made(name: str) -> str:
    return f"CREATE DATABASE IF NOT EXISTS `{name}` CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci"
