"""PostgreSQL's administrator: the statements that make and drop databases of previews."""

from __future__ import annotations

import secrets
from collections.abc import Collection
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

import structlog
import trio

from preview.backing.admin.postgresql_proof import Refused
from preview.backing.admin.postgresql_session import Rows, Session, quote_name, quote_text
from preview.backing.admin.postgresql_statements import ENDED, Statements
from preview.backing.interface import RESERVED_CONNECTIONS
from preview.backing.server import ServerSocket, ServerUnavailable

log = structlog.get_logger(__name__)

ADMIN = "preview_admin"
SOCKET = ".s.PGSQL.5432"
PREFIX = "pv_"
_PREVIEWS = "previews"

# Only roles of previews, only on the database of the same name; the folder of the socket is the service's alone. The
# administrator has a password, as a preview could have the server connect to itself (dblink, if it were installed).
_ACCESS = f"local all {ADMIN} password\nlocal sameuser +{_PREVIEWS} trust\nlocal all all reject\n"
# A preview can hold locks of its database and of roles for as long as it likes.
_OPTIONS = "-c lock_timeout=1s -c statement_timeout=10s -c client_min_messages=error"
_MOST_DIGITS = 18
_FIRST_S = 5.0
# The table has 500 x 128 locks (``max_connections``, ``max_locks_per_transaction``).
_MOST_LOCKS = 8_000
_HOGS = (
    "SELECT datid, count(pg_terminate_backend(pid)) FROM pg_stat_get_activity(NULL) WHERE datid IN"  # noqa: S608
    f" (SELECT database FROM pg_lock_status() WHERE database <> 0 GROUP BY database HAVING count(*) > {_MOST_LOCKS})"
    " GROUP BY datid"
)
# All previews share one queue of notifications, of 8 GiB. A listener in a transaction takes none of them, so the queue
# grows. Once it is this full, listeners are given this long.
_QUEUE_SHARE = 0.01
_QUEUE_S = 10


@dataclass(frozen=True, slots=True)
class PostgresqlLimits:
    """Limits of PostgreSQL.

    Attributes:
        memory_mb: Memory of the whole server, in MiB.
        connections: Connections of one preview.
        statement_s: Seconds of one statement; a preview may change this for itself.
        ready_made: Databases that are made in advance.
    """

    memory_mb: int
    connections: int
    statement_s: float
    ready_made: int


class Administrator:
    """One session with the server as its administrator, opened again when it is broken.

    Args:
        name: The server's name for people.
        folder: Private folder of the service; ``given`` in it is what the server may read.
    """

    def __init__(self, name: str, folder: Path) -> None:
        self._folder = folder
        self._statements = Statements(name, self._log_in)
        # Databases, by their number in the server, whose roles may log in no more.
        self._hogs: set[str] = set()

    def close(self) -> None:
        """Close the session."""
        self._statements.close()

    async def execute(self, socket: ServerSocket | None, *statements: str) -> Rows:
        """Execute statements, one after the other; return the last one's rows.

        Args:
            socket: The running server's; None if none runs.
            statements: Each is a transaction of its own.

        Raises:
            ServerUnavailable: The server does not run, refuses, or does not answer in time.

        Cancellation: some of the statements may have been executed.
        """
        return await self._statements.execute(None if socket is None else socket.connect, *statements)

    async def set_up(self, socket: ServerSocket, live: Collection[str]) -> set[str] | None:
        """Drop what a service that ended has left, all but ``live``; return what could not be dropped.

        Returns:
            None if the server is not up yet.

        Raises:
            ServerUnavailable: The server refuses.

        Cancellation: some of it may be left.
        """
        self.close()
        try:
            await self.execute(socket)
        except ServerUnavailable:
            await trio.sleep(0.01)
            return None
        if _PREVIEWS not in await self.list_names(socket):
            await self.execute(socket, f"CREATE ROLE {_PREVIEWS} NOLOGIN")
            for name in ("postgres", "template1"):
                await self.execute(socket, f"REVOKE ALL ON DATABASE {name} FROM PUBLIC")
        left: set[str] = set()
        for name in await self.list_names(socket):
            if name.startswith(PREFIX) and name not in live:
                try:
                    await self.execute(socket, *dropped(name))
                except ServerUnavailable as error:
                    # A preview may have given rights to another one's role, which exists as long as they do.
                    log.warning("database not dropped", server="postgresql", why=str(error))
                    left.add(name)
        return left

    async def begin_once(self, socket: ServerSocket | None, name: str) -> None:
        """Begin a first session with a new database: it writes a list of tables, which takes it as long as the rest.

        Nothing depends on it. Cancellation: the session ends.
        """
        with trio.move_on_after(_FIRST_S), suppress(Refused, *ENDED):
            if socket is not None:
                session = Session(await socket.connect())
                with closing(session):
                    await session.log_in(name, "", name, "", is_private=True)

    async def list_names(self, socket: ServerSocket | None) -> list[str]:
        """Return the names of all databases and roles.

        Raises:
            ServerUnavailable: The server does not run.

        Cancellation: nothing changes.
        """
        rows = await self.execute(socket, "SELECT datname FROM pg_database UNION SELECT rolname FROM pg_roles")
        return [row[0] for row in rows if row and row[0]]

    async def measure(self, socket: ServerSocket | None, name: str) -> int | None:
        """Return the bytes of a database, with the temporary files of its sessions; None if there is no answer.

        Cancellation: nothing changes.
        """
        own = quote_text(name)
        temporary = "SELECT sum(size) FROM pg_ls_tmpdir() AS files JOIN pg_stat_activity AS sessions ON files.name LIKE"
        of_it = f"'pgsql\\_tmp' || sessions.pid || '.%' AND sessions.datname = {own}"
        statement = f"SELECT pg_database_size({own}) + coalesce(({temporary} {of_it}), 0)"
        try:
            rows = await self.execute(socket, statement)
        except ServerUnavailable:
            return None
        said = rows[0][0] if rows and rows[0] else None
        return int(said) if said and said.isdecimal() and len(said) <= _MOST_DIGITS else None

    async def end_hogs(self, socket: ServerSocket | None) -> None:
        """End the sessions of previews that hold very many locks, and let them begin no more.

        Sessions whose transaction is old end while the queue of notifications is filled.

        All previews share the table of locks. When it is full, nobody can use the server, except for what needs no
        lock: this statement reads no table of roles or databases.

        Raises:
            ServerUnavailable: The server does not run, or refuses.

        Cancellation: some sessions may have been ended.
        """
        await self.execute(
            socket,
            "SELECT pg_terminate_backend(pid) FROM pg_stat_get_activity(NULL) WHERE backend_type = 'client backend'"  # noqa: S608
            f" AND xact_start < clock_timestamp() - interval '{_QUEUE_S} s'"
            f" AND pg_notification_queue_usage() > {_QUEUE_SHARE}",
        )
        rows = await self.execute(socket, _HOGS)
        self._hogs.update(row[0] for row in rows if row[0] is not None and row[0].isdecimal())
        # Until the sessions have ended these statements fail. Then the next call tries again.
        for number in tuple(self._hogs):
            for (name,) in await self.execute(socket, f"SELECT datname FROM pg_database WHERE oid = {number}"):  # noqa: S608
                if name is not None and name.startswith(PREFIX):
                    await self.execute(socket, f"ALTER ROLE {quote_name(name)} NOLOGIN")
                    log.warning("sessions ended", server="postgresql", database=name, why="too many locks")
            self._hogs.discard(number)

    def write_files(self) -> None:
        """Write the password and the rules of access that the server reads. Blocks on the disk."""
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        secret = self._folder / "secret"
        if not secret.exists():
            secret.touch(0o600)
            secret.write_text(secrets.token_urlsafe(24), "ascii")
        given = self._folder / "given"
        given.mkdir(exist_ok=True)
        given.chmod(0o755)
        for name, text in (("access", _ACCESS), ("password", secret.read_text("ascii"))):
            (given / name).write_text(text, "ascii")
            (given / name).chmod(0o644)

    async def _log_in(self, session: Session) -> None:
        # A new folder may have been filled with a kept one, which has its own password.
        password = await trio.Path(self._folder / "secret").read_text("ascii")
        # Its socket is in the server's folder, which only the service opens.
        await session.log_in(ADMIN, password, "postgres", _OPTIONS, is_private=True)


def made(name: str, limits: PostgresqlLimits) -> tuple[str, ...]:
    """Return the statements that make a role, and a database that it owns."""
    own, limit = quote_name(name), limits.connections + RESERVED_CONNECTIONS
    return (
        # With inheritance: the owner of a database may create in its schema "public" by an inherited role.
        f"CREATE ROLE {own} LOGIN IN ROLE {_PREVIEWS} CONNECTION LIMIT {limit}",
        f"ALTER ROLE {own} SET statement_timeout = '{int(limits.statement_s * 1000)}ms'",
        f"CREATE DATABASE {own} OWNER {own} TEMPLATE template0 ENCODING 'UTF8' STRATEGY file_copy",
        f"ALTER DATABASE {own} CONNECTION LIMIT {limit}",
        f"REVOKE ALL ON DATABASE {own} FROM PUBLIC",
    )


def dropped(name: str) -> tuple[str, ...]:
    """Return the statements that drop a database and its role, and end its sessions."""
    own, text = quote_name(name), quote_text(name)
    return (
        # First: a session may hold locks that the others need, and may have a statement that takes hours.
        f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = {text} OR usename = {text}",  # noqa: S608
        # Its owner may have made it a template, which cannot be dropped.
        f"UPDATE pg_database SET datistemplate = false WHERE datname = {text} AND datistemplate",  # noqa: S608
        f"DROP DATABASE IF EXISTS {own} WITH (FORCE)",
        f"DROP ROLE IF EXISTS {own}",
    )
