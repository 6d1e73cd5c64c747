"""PostgreSQL for previews: one server for all, and a role and a database of its own for each."""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psycopg
import structlog
import trio
from psycopg import sql

from preview.backing.programs import Program
from preview.backing.server import Server, ServerCommand, ServerSocket, ServerUnavailable
from preview.backing.streams import FIRST_S, SessionEnded, read_exactly
from preview.backing.wire_postgresql import (
    CANCEL_REQUEST,
    GSS_REQUEST,
    HEAD_BYTES,
    NO_TLS,
    SSL_REQUEST,
    NotPostgresql,
    read_head,
    refusal,
    rewrite_startup,
)
from preview.detection import ServiceKind
from preview.runtime import Limits, Runtime, join

log = structlog.get_logger(__name__)

_ADMIN = "preview_admin"
_PREVIEWS = "previews"
_GROUP = sql.Identifier(_PREVIEWS)
_PREFIX, _READY_MADE = "pv_", "ready_"
_SOCKET = ".s.PGSQL.5432"
_MIB = 1024 * 1024
_DROP_S = 5.0

# Only roles of previews, only on the database of the same name; the folder of the socket is the service's alone. The
# administrator has a password, as a preview could have the server connect to itself (dblink, if it were installed).
_ACCESS = f"local all {_ADMIN} scram-sha-256\nlocal sameuser +{_PREVIEWS} trust\nlocal all all reject\n"


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


class PostgresqlEngine:
    """See ``BackingEngine``.

    Args:
        program: The server program.
        folder: Private folder of the service, for the server's files.
        limits: Limits.
        runtime: Confines the server.
        kept: See ``ServerCommand``.
    """

    kind = ServiceKind.POSTGRESQL

    def __init__(
        self,
        program: Program,
        folder: Path,
        limits: PostgresqlLimits,
        runtime: Runtime,
        *,
        kept: Path | None = None,
    ) -> None:
        self._program = program
        self._folder = folder
        self._limits = limits
        self._server = Server(_command(program, folder, limits, kept), runtime, self._set_up)
        self._admin: psycopg.Connection[tuple[object, ...]] | None = None
        self._turn = trio.Lock()
        # Names in use, which the next start of the server keeps.
        self._live: set[str] = set()
        self._ready: list[str] = []
        self._taken = trio.Event()

    @property
    def version(self) -> str:
        """See ``BackingEngine``."""
        return self._program.describe()

    async def run(self) -> None:
        """Run the server once it is wanted, and make databases in advance. Cancellation: the server ends (bounded)."""
        await trio.to_thread.run_sync(self._write_files)
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._server.run)
                nursery.start_soon(self._keep_ready)
        finally:
            if self._admin is not None:
                self._admin.close()

    @asynccontextmanager
    async def open_database(self, preview_id: str, slot: int) -> AsyncIterator[PostgresqlDatabase]:  # noqa: ARG002
        """See ``BackingEngine``."""
        database = PostgresqlDatabase(self, _PREFIX + preview_id.replace("-", "_").lower())
        try:
            yield database
        finally:
            if database.name in self._live:
                with trio.move_on_after(_DROP_S, shield=True):
                    await self.drop(database.name)
                # What could not be dropped is an orphan, which the server's next start drops.
                self._live.discard(database.name)

    def want(self) -> None:
        """See ``BackingEngine``."""
        self._server.want()

    async def connect(self) -> trio.SocketStream:
        """Connect to the server as a client.

        Raises:
            ServerUnavailable: It does not run.

        Cancellation: no connection is left.
        """
        try:
            return await (await self._server.connected()).connect()
        except OSError as error:
            raise ServerUnavailable(f"{self._program.name} does not answer ({error.strerror or error})") from error

    async def make(self, name: str) -> None:
        """Make a database, and the role that owns it, both with this name; take a ready-made one, if there is one.

        Raises:
            ServerUnavailable: The server does not run, or refuses.

        Cancellation: the database may exist; ``drop`` drops it.
        """
        await self._server.connected()
        self._live.add(name)
        ready = self._ready.pop() if self._ready else None
        self._taken.set()
        if ready is not None:
            with suppress(ServerUnavailable):
                await self._execute(*_renamed(ready, name))
                return
        await self._execute(*self._made(name))

    async def drop(self, name: str) -> None:
        """Drop a database with its role, and end its sessions. Cancellation: it may still exist.

        A server that does not run is not started: it drops what nobody owns when it starts.
        """
        if self._server.socket is not None:
            with suppress(ServerUnavailable):
                await self._execute(*_dropped(name))

    async def measure(self, name: str) -> int | None:
        """Return a database's size in bytes; None if the server does not run. Cancellation: nothing changes."""
        if self._server.socket is None:
            return None
        try:
            rows = await self._execute(sql.SQL("SELECT pg_database_size({})").format(sql.Literal(name)))
        except ServerUnavailable:
            return None
        return int(str(rows[0][0])) if rows else None

    async def _keep_ready(self) -> None:
        while True:
            self._taken = trio.Event()
            # Nothing is made before the first preview needs a database.
            await self._server.wait_running()
            while self._server.socket is not None and len(self._ready) < self._limits.ready_made:
                name = _READY_MADE + secrets.token_hex(8)
                try:
                    await self._execute(*self._made(name))
                except ServerUnavailable as error:
                    log.warning("no database made in advance", why=str(error))
                    break
                self._ready.append(name)
            await self._taken.wait()

    def _made(self, name: str) -> tuple[sql.Composed, ...]:
        own, limit = sql.Identifier(name), sql.Literal(self._limits.connections)
        timeout = sql.Literal(f"{int(self._limits.statement_s * 1000)}ms")
        return (
            # With inheritance: the owner of a database may create in its schema "public" by an inherited role.
            sql.SQL("CREATE ROLE {} LOGIN IN ROLE {} CONNECTION LIMIT {}").format(
                own, sql.Identifier(_PREVIEWS), limit
            ),
            sql.SQL("ALTER ROLE {} SET statement_timeout = {}").format(own, timeout),
            sql.SQL(
                "CREATE DATABASE {} OWNER {} TEMPLATE template0 ENCODING 'UTF8' STRATEGY file_copy CONNECTION LIMIT {}"
            ).format(own, own, limit),
            sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(own),
        )

    async def _execute(self, *statements: sql.Composed) -> list[tuple[object, ...]]:
        """Execute statements as administrator, one after the other; return the last one's rows.

        Raises:
            ServerUnavailable: The server does not run, or refuses.

        Cancellation: the running statement ends first.
        """
        async with self._turn:
            socket = self._server.socket
            if socket is None:
                raise ServerUnavailable(f"{self._program.name} does not run")
            try:
                return await trio.to_thread.run_sync(self._execute_now, socket, statements)
            except psycopg.Error as error:
                raise ServerUnavailable(f"{self._program.name} refuses: {_one_line(error)}") from error

    def _execute_now(self, socket: ServerSocket, statements: tuple[sql.Composed, ...]) -> list[tuple[object, ...]]:
        if self._admin is None or self._admin.closed or self._admin.broken:
            self._admin = self._connect_admin(socket)
        rows: list[tuple[object, ...]] = []
        for one in statements:
            cursor = self._admin.execute(one)
            rows = cursor.fetchall() if cursor.description else []
        return rows

    def _connect_admin(self, socket: ServerSocket) -> psycopg.Connection[tuple[object, ...]]:
        with _door(self._folder / "door", socket) as host:
            return psycopg.connect(
                host=host,
                user=_ADMIN,
                password=(self._folder / "secret").read_text("ascii"),
                dbname="postgres",
                autocommit=True,
                connect_timeout=5,
            )

    async def _set_up(self, socket: ServerSocket) -> bool:
        """Drop what a service that ended has left; return false while the server does not take connections yet."""
        if not await trio.to_thread.run_sync(self._set_up_now, socket):
            return False
        self._ready.clear()
        return True

    def _set_up_now(self, socket: ServerSocket) -> bool:
        try:
            admin = self._connect_admin(socket)
        except (psycopg.OperationalError, OSError):
            time.sleep(0.01)
            return False
        self._admin = admin
        if not admin.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (_PREVIEWS,)).fetchall():
            admin.execute(sql.SQL("CREATE ROLE {} NOLOGIN").format(_GROUP))
            for name in ("postgres", "template1"):
                admin.execute(sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(sql.Identifier(name)))
        found = admin.execute(
            "SELECT datname FROM pg_database WHERE NOT datistemplate UNION SELECT rolname FROM pg_roles"
        ).fetchall()
        for name in sorted(str(row[0]) for row in found):
            if name.startswith((_PREFIX, _READY_MADE)) and name not in self._live:
                for one in _dropped(name):
                    admin.execute(one)
        return True

    def _write_files(self) -> None:
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


class PostgresqlDatabase:
    """See ``BackingDatabase``.

    Args:
        engine: The server.
        name: Name of the role and of the database.
    """

    kind = ServiceKind.POSTGRESQL

    def __init__(self, engine: PostgresqlEngine, name: str) -> None:
        self._engine = engine
        self.name = name
        self._turn = trio.Lock()
        self._is_made = False

    async def serve(self, client: trio.SocketStream) -> None:
        """See ``BackingDatabase``."""
        with suppress(SessionEnded, NotPostgresql, trio.BrokenResourceError, trio.ClosedResourceError):
            server = await self._open_session(client)
            if server is not None:
                async with server:
                    await join(client, server)

    async def _open_session(self, client: trio.SocketStream) -> trio.SocketStream | None:
        with trio.move_on_after(FIRST_S) as scope:
            code, body = await _read_first(client)
        if scope.cancelled_caught:
            return None
        try:
            return await self._begin(code, body)
        except ServerUnavailable as error:
            await client.send_all(refusal(str(error)))
        return None

    async def _begin(self, code: int, body: bytes) -> trio.SocketStream | None:
        """Return a connection on which the session has begun; None if the client only cancels a statement."""
        if code == CANCEL_REQUEST:
            async with await self._engine.connect() as server:
                await server.send_all((HEAD_BYTES + len(body)).to_bytes(4) + code.to_bytes(4) + body)
            return None
        first = rewrite_startup(code, body, self.name)
        async with self._turn:
            if not self._is_made:
                await self._engine.make(self.name)
                self._is_made = True
        server = await self._engine.connect()
        await server.send_all(first)
        return server

    async def measure(self) -> int | None:
        """See ``BackingDatabase``."""
        return await self._engine.measure(self.name) if self._is_made else None


async def _read_first(client: trio.SocketStream) -> tuple[int, bytes]:
    """Return the code and the rest of the client's first message; a wish for encryption is answered with no."""
    for _ in range(3):
        left, code = read_head(await read_exactly(client, HEAD_BYTES))
        if code not in (SSL_REQUEST, GSS_REQUEST):
            return code, await read_exactly(client, left)
        await client.send_all(NO_TLS)
    raise NotPostgresql("it asks for encryption again and again")


def _command(program: Program, folder: Path, limits: PostgresqlLimits, kept: Path | None) -> ServerCommand:
    files = folder / "server"
    data = str(files / "data")
    settings = {
        "listen_addresses": "",
        # Relative to the data folder: a path of a socket may have 107 bytes at most (unix(7)).
        "unix_socket_directories": "../socket",
        "hba_file": str(folder / "given" / "access"),
        "max_connections": "500",
        "shared_buffers": "64MB",
        "max_wal_size": "256MB",
        "temp_file_limit": f"{1024 * 1024}kB",
        "max_parallel_workers": "0",
        "jit": "off",
        "wal_level": "minimal",
        "max_wal_senders": "0",
        # Previews' data need not outlive a crash of the machine; after one, the data folder is made again.
        "fsync": "off",
        "full_page_writes": "off",
        "synchronous_commit": "off",
        "timezone": "UTC",
        "log_timezone": "UTC",
        "log_statement": "none",
        "log_min_messages": "log",
    }
    options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
    return ServerCommand(
        name="postgresql",
        shown=program.name,
        argv=(str(program.path), "-D", data, *options),
        folder=files,
        socket=_SOCKET,
        limits=Limits(
            memory_bytes=limits.memory_mb * _MIB,
            open_files=4096,
            processes=1024,
            file_bytes=64 * 1024 * _MIB,
            cpu_cores=2.0,
            temp_bytes=256 * _MIB,
        ),
        slot=2,
        readable=(*program.readable, folder / "given"),
        prepare=(
            str(program.beside("initdb")),
            *("-D", data, "-U", _ADMIN, "-E", "UTF8", "--locale=C.UTF-8", "--auth=scram-sha-256", "--no-sync"),
            f"--pwfile={folder / 'given' / 'password'}",
        ),
        kept=kept,
        made_by=lambda: f"{program.name} {program.version().partition('.')[0]}",
    )


def _renamed(ready: str, name: str) -> tuple[sql.Composed, ...]:
    given, own = sql.Identifier(ready), sql.Identifier(name)
    return (
        sql.SQL("ALTER DATABASE {} RENAME TO {}").format(given, own),
        sql.SQL("ALTER ROLE {} RENAME TO {}").format(given, own),
    )


def _dropped(name: str) -> tuple[sql.Composed, ...]:
    return (
        sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)),
        sql.SQL("DROP ROLE IF EXISTS {}").format(sql.Identifier(name)),
    )


@contextmanager
def _door(folder: Path, socket: ServerSocket) -> Iterator[str]:
    """Yield a folder in which the socket has the name that libpq expects, as a path that is short enough."""
    folder.mkdir(exist_ok=True, mode=0o700)
    link = folder / _SOCKET
    link.unlink(missing_ok=True)
    link.symlink_to(socket.path)
    descriptor = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)


def _one_line(error: psycopg.Error) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
