"""The administrator's account on a MariaDB of the operator's."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import trio

from preview.backing.admin.mysql import Administrator, Rows
from preview.backing.admin.mysql_link import Link, open_link
from preview.backing.operator.connection import Connector
from preview.backing.server import ServerUnavailable
from preview.backing.streams import SessionEnded
from preview.backing.wire.mysql import ERROR, Greeting, NotMysql, read_greeting
from preview.runtime import beside
from preview.settings_address import ServerAddress

_NAME = "MariaDB"
# A preview can hold locks for as long as it likes.
_FIRST = (
    "SET SESSION lock_wait_timeout = 2, innodb_lock_wait_timeout = 2, max_statement_time = 15, sql_mode = '',"
    " autocommit = 1"
)
# KILL USER of other users' sessions (CONNECTION ADMIN) is newer than all else.
_LEAST_VERSION = (10, 5)
_VERSION = re.compile(r"(?:5\.5\.5-)?(\d{1,3})\.(\d{1,3})\.(\d{1,3})-.{0,40}?MariaDB", re.ASCII)
_HOST = "SUBSTRING_INDEX(CURRENT_USER(), '@', -1)"
_USER = f"LEFT(CURRENT_USER(), CHAR_LENGTH(CURRENT_USER()) - CHAR_LENGTH({_HOST}) - 1)"
_ACCOUNT = f"CONCAT('''', {_USER}, '''@''', {_HOST}, '''')"
_WANTED = ("CREATE USER", "PROCESS", "CONNECTION ADMIN")
_RIGHTS = (
    f"SELECT PRIVILEGE_TYPE FROM information_schema.USER_PRIVILEGES WHERE GRANTEE = {_ACCOUNT}"  # noqa: S608
    " AND (IS_GRANTABLE = 'YES' OR PRIVILEGE_TYPE <> 'CREATE')"
    f" UNION SELECT 'CREATE' FROM information_schema.SCHEMA_PRIVILEGES WHERE GRANTEE = {_ACCOUNT}"
    " AND IS_GRANTABLE = 'YES' AND PRIVILEGE_TYPE = 'CREATE' AND TABLE_SCHEMA IN ('%', 'pv\\_%', 'pv\\\\_%')"
)
_USERS = "SELECT User FROM mysql.user LIMIT 0"
# Services that may use copies of one data folder at once.
_MOST_SERVICES = 8
_DOOR_S = 5
_RELEASE_S = 2.0


class MysqlServer:
    """The administrator's account on a server.

    Args:
        address: Its address.
    """

    def __init__(self, address: ServerAddress) -> None:
        self._connector = Connector(_NAME, address, address.host)
        self._admin = Administrator(_NAME, address.user, address.password, _FIRST, address.database)
        # A session that stays open, for locks.
        self._holding = Administrator(_NAME, address.user, address.password, _FIRST, address.database)

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Carry connections with TLS. Cancellation: they end."""
        async with beside(self._connector.run):
            try:
                yield
            finally:
                self._admin.close()
                self._holding.close()

    async def connect(self) -> Link:
        """Connect to the server; a login encrypts the connection, if the address says so.

        Raises:
            ServerUnavailable: The server does not answer, or is no MariaDB.

        Cancellation: no connection is left.
        """
        try:
            link = await open_link(await self._connector.connect())
            # An error, as of a server that is full, is the caller's.
            greeting = Greeting(b"", b"") if link.greeting[0] == ERROR else read_greeting(link.greeting)
        except (SessionEnded, NotMysql):
            raise ServerUnavailable(f"{_NAME} does not answer (another server has its address)") from None
        is_used = False
        try:
            if link.greeting[0] != ERROR:
                _check_version(greeting.version)
                if self._connector.wants_tls(is_offered=greeting.offers_tls):
                    link = replace(link, encrypt=self._connector.encrypt)
            is_used = True
        finally:
            if not is_used:
                link.close()
        return link

    async def execute(self, *statements: str) -> Rows:
        """Execute statements, one after the other; return the last one's rows.

        Raises:
            ServerUnavailable: The server does not answer in time, or refuses.

        Cancellation: some of the statements may have been executed.
        """
        return await self._admin.execute(self.connect, *statements)

    async def hold(self, lock: str, *, alone: bool) -> tuple[str, bool]:
        """Hold a lock together with others, until the session ends.

        A lock of MariaDB has one owner, so each service takes one of several. They look at each other's behind a door
        that one of them can pass at a time.

        Args:
            lock: Start of the locks' names.
            alone: Whether to look for others; if there are none, they are kept out until ``let_others_hold``.

        Returns:
            The session, and whether no other service holds the lock.

        Raises:
            ServerUnavailable: The server does not answer in time, or another service is at the door.

        Cancellation: it may be held.
        """
        names = [f"{lock}_{number}" for number in range(_MOST_SERVICES)]
        door = f"{lock}_door"
        own, *users = await self._owners(f"GET_LOCK('{door}', {_DOOR_S})", [door, *names])
        is_alone = False
        try:
            if own not in users:
                free = next((name for name, user in zip(names, users, strict=True) if not user), None)
                if free is None:
                    raise ServerUnavailable(f"more than {_MOST_SERVICES} services use copies of this data folder")
                if own != (await self._owners(f"GET_LOCK('{free}', 0)", [free]))[0]:
                    raise ServerUnavailable(f"{_NAME} has ended a session")
            is_alone = alone and not any(user for user in users if user != own)
        finally:
            if not is_alone:
                with trio.move_on_after(_RELEASE_S, shield=True):
                    await self.let_others_hold(lock)
        return own, is_alone

    async def let_others_hold(self, lock: str) -> None:
        """Let other services hold the lock too. Raises and is cancelled like ``hold``."""
        await self._holding.execute(self.connect, f"SELECT RELEASE_LOCK('{lock}_door')")

    async def _owners(self, first: str, names: list[str]) -> list[str]:
        """Take a lock; return the sessions that have each of these, empty for none. The first must be this one's."""
        asked = ", ".join(f"IS_USED_LOCK('{name}')" for name in names)
        rows = await self._holding.execute(self.connect, f"SELECT {first}", f"SELECT CONNECTION_ID(), {asked}")
        row = rows[0] if rows and len(rows[0]) == 1 + len(names) else ("", *("?" for _ in names))
        if row[0] != row[1]:
            raise ServerUnavailable("another service with the same backing/mark is looking for old databases now")
        return list(row[1:])

    async def check(self) -> str:
        """Return the server's version.

        Raises:
            ServerUnavailable: It does not answer, is too old, or the account lacks rights.

        Cancellation: nothing changes.
        """
        version = _check_version((await self.execute("SELECT VERSION()"))[0][0])
        rights = {row[0] for row in await self.execute(_RIGHTS)}
        lacking = [one for one in _WANTED if one not in rights]
        if lacking:
            raise ServerUnavailable(
                f"the account lacks rights in {_NAME} {version}: GRANT {', '.join(lacking)} ON *.* TO … gives them"
            )
        if "CREATE" not in rights:
            raise ServerUnavailable(
                f"the account lacks rights in {_NAME} {version}: GRANT ALL ON `pv\\_%`.* TO … WITH GRANT OPTION gives "
                "them"
            )
        try:
            await self.execute(_USERS)
        except ServerUnavailable as error:
            raise ServerUnavailable(
                f"the account lacks rights in {_NAME} {version}: GRANT SELECT ON mysql.user TO … gives them"
            ) from error
        return version


def _check_version(said: str) -> str:
    found = _VERSION.match(said)
    if found is None:
        shown = "".join(one for one in said if one.isalnum() or one in ".-")[:20]
        raise ServerUnavailable(f"the server is not {_NAME} ({shown}): previews need {_NAME} 10.5 or newer")
    version = ".".join(found.groups())
    if (int(found[1]), int(found[2])) < _LEAST_VERSION:
        raise ServerUnavailable(f"{_NAME} {version} is too old: previews need 10.5 or newer")
    return version
