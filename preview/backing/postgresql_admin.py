"""PostgreSQL's administrator: the statements that make and drop databases of previews."""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Container, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
import trio
from psycopg import sql

from preview.backing.server import ServerSocket, ServerUnavailable

ADMIN = "preview_admin"
SOCKET = ".s.PGSQL.5432"
PREFIX, READY_MADE = "pv_", "ready_"
_PREVIEWS = "previews"
_GROUP = sql.Identifier(_PREVIEWS)

# Only roles of previews, only on the database of the same name; the folder of the socket is the service's alone. The
# administrator has a password, as a preview could have the server connect to itself (dblink, if it were installed).
_ACCESS = f"local all {ADMIN} scram-sha-256\nlocal sameuser +{_PREVIEWS} trust\nlocal all all reject\n"

Rows = list[tuple[object, ...]]
Statement = sql.SQL | sql.Composed


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
    """One connection to the server as its administrator, opened again when it is broken.

    Args:
        name: The server's name for people.
        folder: Private folder of the service; ``given`` in it is what the server may read.
    """

    def __init__(self, name: str, folder: Path) -> None:
        self._name = name
        self._folder = folder
        self._connection: psycopg.Connection[tuple[object, ...]] | None = None
        self._turn = trio.Lock()

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()

    async def execute(self, socket: ServerSocket | None, *statements: Statement) -> Rows:
        """Execute statements, one after the other; return the last one's rows.

        Args:
            socket: The running server's; None if none runs.
            statements: Each is a transaction of its own.

        Raises:
            ServerUnavailable: The server does not run, or refuses.

        Cancellation: the running statement ends first.
        """
        async with self._turn:
            if socket is None:
                raise ServerUnavailable(f"{self._name} does not run")
            try:
                return await trio.to_thread.run_sync(self._execute_now, socket, statements)
            except psycopg.Error as error:
                raise ServerUnavailable(f"{self._name} refuses: {_one_line(error)}") from error

    async def set_up(self, socket: ServerSocket, live: Container[str]) -> bool:
        """Drop what a service that ended has left, all but ``live``; return false if the server is not up yet.

        Raises:
            ServerUnavailable: The server refuses.

        Cancellation: the running statement ends first.
        """
        try:
            return await trio.to_thread.run_sync(self._set_up_now, socket, live)
        except psycopg.Error as error:
            raise ServerUnavailable(_one_line(error)) from error

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

    def _execute_now(self, socket: ServerSocket, statements: tuple[Statement, ...]) -> list[tuple[object, ...]]:
        if self._connection is None or self._connection.closed or self._connection.broken:
            self.close()
            self._connection = self._connect(socket)
        rows: list[tuple[object, ...]] = []
        for one in statements:
            cursor = self._connection.execute(one)
            rows = cursor.fetchall() if cursor.description else []
        return rows

    def _connect(self, socket: ServerSocket) -> psycopg.Connection[tuple[object, ...]]:
        with _door(self._folder / "door", socket) as host:
            return psycopg.connect(
                host=host,
                user=ADMIN,
                password=(self._folder / "secret").read_text("ascii"),
                dbname="postgres",
                autocommit=True,
                connect_timeout=5,
            )

    def _set_up_now(self, socket: ServerSocket, live: Container[str]) -> bool:
        try:
            admin = self._connect(socket)
        except (psycopg.OperationalError, OSError):
            time.sleep(0.01)
            return False
        self.close()
        self._connection = admin
        if not admin.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (_PREVIEWS,)).fetchall():
            admin.execute(sql.SQL("CREATE ROLE {} NOLOGIN").format(_GROUP))
            for name in ("postgres", "template1"):
                admin.execute(sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(sql.Identifier(name)))
        found = admin.execute(
            "SELECT datname FROM pg_database WHERE NOT datistemplate UNION SELECT rolname FROM pg_roles"
        ).fetchall()
        for name in sorted(str(row[0]) for row in found):
            if name.startswith((PREFIX, READY_MADE)) and name not in live:
                for one in dropped(name):
                    admin.execute(one)
        return True


def made(name: str, limits: PostgresqlLimits) -> tuple[sql.Composed, ...]:
    """Return the statements that make a role, and a database that it owns."""
    own, limit = sql.Identifier(name), sql.Literal(limits.connections)
    timeout = sql.Literal(f"{int(limits.statement_s * 1000)}ms")
    return (
        # With inheritance: the owner of a database may create in its schema "public" by an inherited role.
        sql.SQL("CREATE ROLE {} LOGIN IN ROLE {} CONNECTION LIMIT {}").format(own, sql.Identifier(_PREVIEWS), limit),
        sql.SQL("ALTER ROLE {} SET statement_timeout = {}").format(own, timeout),
        sql.SQL(
            "CREATE DATABASE {} OWNER {} TEMPLATE template0 ENCODING 'UTF8' STRATEGY file_copy CONNECTION LIMIT {}"
        ).format(own, own, limit),
        sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(own),
    )


def renamed(ready: str, name: str) -> tuple[sql.Composed, ...]:
    """Return the statements that give a ready-made database, and its role, another name."""
    given, own = sql.Identifier(ready), sql.Identifier(name)
    return (
        sql.SQL("ALTER DATABASE {} RENAME TO {}").format(given, own),
        sql.SQL("ALTER ROLE {} RENAME TO {}").format(given, own),
    )


def dropped(name: str) -> tuple[sql.Composed, ...]:
    """Return the statements that drop a database and its role, and end its sessions."""
    return (
        sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)),
        sql.SQL("DROP ROLE IF EXISTS {}").format(sql.Identifier(name)),
    )


@contextmanager
def _door(folder: Path, socket: ServerSocket) -> Iterator[str]:
    """Yield a folder in which the socket has the name that libpq expects, as a path that is short enough."""
    folder.mkdir(exist_ok=True, mode=0o700)
    link = folder / SOCKET
    link.unlink(missing_ok=True)
    link.symlink_to(socket.path)
    descriptor = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)


def _one_line(error: psycopg.Error) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
