"""MariaDB for previews that want MySQL: one server for all, and a user and a database of its own for each."""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager, suppress
from itertools import islice
from pathlib import Path

import structlog
import trio

from preview.backing.admin.mysql import Administrator, Connect
from preview.backing.admin.mysql_link import Link, linked, open_link
from preview.backing.admin.mysql_session import Session
from preview.backing.contents.mysql_copies import MysqlCopies
from preview.backing.mysql_command import MysqlLimits, mysql_command
from preview.backing.mysql_session import MysqlDatabase
from preview.backing.server import Server, ServerSocket, ServerUnavailable
from preview.backing.streams import Join
from preview.backing.wire.mysql import PLUGIN, hash_password
from preview.core.servers import Program
from preview.detection import ServiceKind
from preview.runtime import Runtime, join

log = structlog.get_logger(__name__)

_ADMIN = "preview_admin"
_PREFIX = "pv_"
_OWN_USERS = frozenset({_ADMIN, "mariadb.sys"})
_OWN_DATABASES = frozenset({"information_schema", "mysql", "performance_schema", "sys"})
_DROP_S = 5.0
# Names that a preview's database can have: files have them too, as they are. None of another preview's own.
_PLAIN = re.compile(r"(?!pv_)[A-Za-z][A-Za-z0-9_]{0,62}", re.IGNORECASE)
# Statements of previews hold the administrator's up for this long.
_LOCK_S = 1
# What could not be dropped is tried again.
_AGAIN_S = 30.0
# Files of one database that are counted for its size: some 25,000 tables.
_MOST_FILES = 50_000
# stat(2): the unit of st_blocks.
_BLOCK_BYTES = 512


class MysqlEngine:
    """See ``BackingEngine``.

    Args:
        program: The server program.
        folder: Private folder of the service, for the server's files.
        limits: Limits.
        runtime: Confines the server.
        join: Forwards bytes between a client and the server.
        kept: See ``ServerCommand``.
    """

    kind = ServiceKind.MYSQL

    def __init__(
        self,
        program: Program,
        folder: Path,
        limits: MysqlLimits,
        runtime: Runtime,
        *,
        join: Join = join,
        kept: Path | None = None,
    ) -> None:
        self.program = program
        self._folder = folder
        self.limits = limits
        self.join = join
        self._server = Server(mysql_command(program, folder, limits, kept), runtime, self._set_up)
        self.copies = MysqlCopies(self._server.command.folder, _ADMIN, self._log_in)
        # The administrator's; each start of the server sets it again.
        self._password = secrets.token_urlsafe(24)
        first = f"SET SESSION lock_wait_timeout = {_LOCK_S}, innodb_lock_wait_timeout = {_LOCK_S}"
        self._admin = Administrator(program.name, _ADMIN, self._password, first)
        # Users and their databases, which the next start of the server keeps.
        self._live: dict[str, str] = {}
        # Users whose databases could not be dropped, with these: nobody gets their names before they are.
        self._orphans: dict[str, str] = {}

    @property
    def version(self) -> str:
        """See ``BackingEngine``."""
        return self.program.describe()

    async def run(self) -> None:
        """Run the server once it is wanted. Cancellation: the server ends (bounded)."""
        await trio.to_thread.run_sync(self._write_files)
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._server.run)
                nursery.start_soon(self._drop_orphans)
        finally:
            self._admin.close()

    @asynccontextmanager
    async def open_database(self, preview_id: str, slot: int) -> AsyncIterator[MysqlDatabase]:  # noqa: ARG002
        """See ``BackingEngine``. Cancellation: the database is dropped (bounded)."""
        database = MysqlDatabase(self, _PREFIX + preview_id.replace("-", "_").lower())
        try:
            yield database
        finally:
            if database.name in self._live:
                is_dropped = False
                with trio.move_on_after(_DROP_S, shield=True):
                    is_dropped = await self.drop(database.name)
                name = self._live.pop(database.name)
                if not is_dropped:
                    self._orphans[database.name] = name

    def want(self) -> None:
        """See ``BackingEngine``."""
        self._server.want()

    async def _log_in(self) -> Session:
        """Open a session of the administrator. Raises like ``connect``, and Refused. Cancellation: there is none."""
        session = Session(await self.connect())
        is_open = False
        try:
            await session.log_in(_ADMIN, self._password, "mysql")
            is_open = True
        finally:
            if not is_open:
                session.close()
        return session

    async def connect(self) -> Link:
        """Connect to the server as a client.

        Raises:
            ServerUnavailable: It does not run.
            SessionEnded, NotMysql: It does not greet.

        Cancellation: no connection is left.
        """
        return await open_link(await self._server.connect())

    async def make(self, name: str, password: str, wanted: str) -> str:
        """Make a user with this name, and its database.

        Args:
            name: Name of the user.
            password: Its password.
            wanted: Name that the project has for its database. Statements may contain it, so the database gets it; if
                it is no plain word, or another preview's, the database has the user's name.

        Returns:
            The database's name.

        Raises:
            ServerUnavailable: The server does not run, or refuses.

        Cancellation: the database may exist; ``drop`` drops it.
        """
        await self._server.connected()
        if name not in self._live:
            is_free = _PLAIN.fullmatch(wanted) is not None and wanted.lower() not in self._taken()
            self._live[name] = wanted if is_free else name
        database = self._live[name]
        await self._execute(
            # Again where an earlier try was cut off: nobody else has this name.
            f"CREATE OR REPLACE USER `{name}`@localhost IDENTIFIED VIA {PLUGIN.decode()}"
            f" USING '{hash_password(password)}'"
            f" WITH MAX_USER_CONNECTIONS {self.limits.of_user} MAX_STATEMENT_TIME {self.limits.statement_s}",
            f"CREATE DATABASE IF NOT EXISTS `{database}`",
            # In a grant `_` stands for any character.
            f"GRANT ALL ON `{database.replace('_', chr(92) + '_')}`.* TO `{name}`@localhost",
        )
        return database

    async def empty(self, name: str) -> None:
        """Drop everything in a user's database, which keeps its name, and end the user's sessions.

        Raises:
            ServerUnavailable: The server does not run, or refuses.

        Cancellation: some of it may be left.
        """
        await self._server.connected()
        database = self._live[name]
        await self._execute(f"KILL USER {_quoted(name)}@localhost")
        try:
            await self._drop_database(database)
        finally:
            # Without a database, no session of the preview would begin any more.
            with trio.move_on_after(_DROP_S, shield=True):
                await self._execute(f"CREATE DATABASE IF NOT EXISTS {_quoted(database)}")

    def _taken(self) -> set[str]:
        return {one.lower() for one in (*self._live.values(), *self._orphans.values())} | _OWN_DATABASES

    async def drop(self, name: str) -> bool:
        """Drop a user with its database, and end its sessions; return whether they are gone.

        A server that does not run is not started: it drops what nobody owns when it starts.

        Cancellation: they may still exist.
        """
        if self._server.socket is None:
            return False
        try:
            await self._drop_now(name, self._live.get(name, name))
        except ServerUnavailable:
            return False
        return True

    async def measure(self, database: str) -> int | None:
        """Return the size of a database's files in bytes. Cancellation: nothing changes."""
        return await trio.to_thread.run_sync(_files_bytes, self._server.command.folder, ("data", database))

    async def list_names(self) -> list[str]:
        """Return the names of all databases and users.

        Raises:
            ServerUnavailable: The server does not run.

        Cancellation: nothing changes.
        """
        socket = self._server.socket
        users = await self._admin.execute(_to(socket), "SELECT User FROM mysql.global_priv")
        return [row[0] for row in (*users, *await self._admin.execute(_to(socket), "SHOW DATABASES")) if row]

    async def _drop_orphans(self) -> None:
        while True:
            await trio.sleep(_AGAIN_S)
            for user, database in tuple(self._orphans.items()):
                if self._server.socket is not None:
                    with suppress(ServerUnavailable):
                        await self._drop_now(user, database)
                        self._orphans.pop(user, None)

    async def _drop_now(self, user: str, database: str) -> None:
        # The user first: no session begins any more. The database waits until those that run have ended.
        await self._execute(f"DROP USER IF EXISTS {_quoted(user)}@localhost", f"KILL USER {_quoted(user)}@localhost")
        await self._drop_database(database)

    async def _drop_database(self, database: str) -> None:
        try:
            await self._execute(f"DROP DATABASE IF EXISTS {_quoted(database)}")
        except ServerUnavailable:
            await self._end_prepared(self._server.socket)
            await self._execute(f"DROP DATABASE IF EXISTS {_quoted(database)}")

    async def _end_prepared(self, socket: ServerSocket | None) -> None:
        """Roll back prepared transactions whose session has ended: their locks outlast it, and a new start.

        The server does not say whose they are. It refuses those of sessions that run.
        """
        for row in await self._admin.execute(_to(socket), "XA RECOVER FORMAT='SQL'"):
            with suppress(ServerUnavailable):
                await self._admin.execute(_to(socket), f"XA ROLLBACK {row[-1]}")

    async def _execute(self, *statements: str) -> None:
        await self._admin.execute(_to(self._server.socket), *statements)

    async def _set_up(self, socket: ServerSocket) -> bool:
        """Drop what a service that ended has left; return false while the server does not take connections yet."""
        self._admin.close()
        self.copies.renew()
        try:
            users = await self._admin.execute(_to(socket), "SELECT User, Host FROM mysql.global_priv")
            databases = await self._admin.execute(_to(socket), "SHOW DATABASES")
            await self._end_prepared(socket)
            for user, host in users:
                if user not in _OWN_USERS and user not in self._live:
                    await self._admin.execute(_to(socket), f"DROP USER IF EXISTS {_quoted(user)}@{_quoted(host)}")
        except (ServerUnavailable, ValueError):
            await trio.sleep(0.01)
            return False
        self._orphans.clear()
        for name in [row[0] for row in databases if row]:
            if name not in _OWN_DATABASES and name not in self._live.values():
                try:
                    await self._admin.execute(_to(socket), f"DROP DATABASE IF EXISTS {_quoted(name)}")
                except ServerUnavailable as error:
                    log.warning("database not dropped", server="mysql", why=str(error))
                    self._orphans[name] = name
        return True

    def _write_files(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        given = self._folder / "given"
        (given / "none").mkdir(parents=True, exist_ok=True)
        for folder in (given, given / "none"):
            folder.chmod(0o755)
        password = hash_password(self._password)
        (given / "setup.sql").write_text(
            f"CREATE OR REPLACE USER {_ADMIN}@localhost IDENTIFIED VIA {PLUGIN.decode()} USING '{password}';\n"
            f"GRANT ALL ON *.* TO {_ADMIN}@localhost WITH GRANT OPTION;\n",
            "ascii",
        )
        (given / "setup.sql").chmod(0o644)


def _to(socket: ServerSocket | None) -> Connect | None:
    """Return what connects to a running server."""
    return None if socket is None else linked(socket.connect)


def _files_bytes(folder: Path, names: tuple[str, ...]) -> int | None:
    """Return the bytes on the disk of a folder's files; no link is followed, as the server may write there."""
    with ExitStack() as held:
        try:
            descriptor = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
            held.callback(os.close, descriptor)
            for name in names:
                descriptor = os.open(
                    name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=descriptor
                )
                held.callback(os.close, descriptor)
            with os.scandir(descriptor) as entries:
                return sum(_disk_bytes(entry) for entry in islice(entries, _MOST_FILES))
        except OSError:
            return None


def _disk_bytes(entry: os.DirEntry[str]) -> int:
    try:
        return entry.stat(follow_symlinks=False).st_blocks * _BLOCK_BYTES
    except FileNotFoundError:
        return 0


def _quoted(name: str) -> str:
    return "`" + name.replace("`", "``") + "`"
