"""PostgreSQL for previews: one server for all, and a role and a database of its own for each."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import structlog
import trio

from preview.backing.admin.interface import PostgresqlServing
from preview.backing.admin.postgresql import ADMIN, PREFIX, SOCKET, Administrator, PostgresqlLimits, dropped, made
from preview.backing.contents import postgresql_dump
from preview.backing.contents.postgresql_tables import PostgresqlTables
from preview.backing.interface import QueryResult, RunClient, TableSummary
from preview.backing.postgresql_first import read_first
from preview.backing.server import Server, ServerSocket, ServerUnavailable
from preview.backing.server_command import ServerCommand
from preview.backing.streams import FIRST_S, Join, SessionEnded
from preview.backing.wire.postgresql import (
    CANCEL_REQUEST,
    TOO_MANY_CONNECTIONS,
    NotPostgresql,
    refusal,
    rewrite_startup,
    with_head,
)
from preview.core.servers import Program
from preview.detection import ServiceKind
from preview.errors import DataUnavailable
from preview.runtime import Limits, Runtime, join

log = structlog.get_logger(__name__)

_MIB = 1024 * 1024
_DROP_S = 5.0
# What could not be dropped, or made, is tried again.
_AGAIN_S = 30.0
# Locks are counted this often.
_LOOK_S = 1.0


class PostgresqlEngine:
    """See ``BackingEngine``.

    Args:
        program: The server program.
        folder: Private folder of the service, for the server's files.
        limits: Limits.
        runtime: Confines the server.
        join: Forwards bytes between a client and the server.
        kept: See ``ServerCommand``.
    """

    kind = ServiceKind.POSTGRESQL
    is_private = False

    def __init__(
        self,
        program: Program,
        folder: Path,
        limits: PostgresqlLimits,
        runtime: Runtime,
        *,
        join: Join = join,
        kept: Path | None = None,
    ) -> None:
        self.program = program
        self._folder = folder
        self._limits = limits
        self.connections = limits.connections
        self.join = join
        self._server = Server(_command(program, folder, limits, kept), runtime, self._set_up)
        self._admin = Administrator(program.name, folder)
        # Names in use, which the next start of the server keeps; what is made in advance; what is still to be dropped.
        self._live: set[str] = set()
        self._ready: list[str] = []
        self._orphans: set[str] = set()
        self._taken = trio.Event()

    @property
    def version(self) -> str:
        """See ``BackingEngine``."""
        return self.program.describe()

    async def run(self) -> None:
        """Run the server once it is wanted, and make databases in advance. Cancellation: the server ends (bounded)."""
        await trio.to_thread.run_sync(self._admin.write_files)
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._server.run)
                nursery.start_soon(self._keep_ready)
                nursery.start_soon(self._end_hogs)
        finally:
            self._admin.close()

    @asynccontextmanager
    async def open_database(self, preview_id: str, slot: int) -> AsyncIterator[PostgresqlDatabase]:  # noqa: ARG002
        """See ``BackingEngine``. Cancellation: the database is dropped (bounded)."""
        database = PostgresqlDatabase(self)
        try:
            yield database
        finally:
            if database.name is not None:
                with trio.move_on_after(_DROP_S, shield=True):
                    await self.drop(database.name)
                if database.name in self._orphans:
                    self._taken.set()

    def want(self) -> None:
        """See ``BackingEngine``."""
        self._server.want()

    async def connect(self) -> trio.SocketStream:
        """Connect to the server as a client.

        Raises:
            ServerUnavailable: It does not run.

        Cancellation: no connection is left.
        """
        return await self._server.connect()

    async def begin(self, client: trio.SocketStream, first: bytes, name: str) -> trio.SocketStream:  # noqa: ARG002
        """See ``PostgresqlServing``: no proof is needed. Cancellation: no connection is left."""
        server = await self.connect()
        is_begun = False
        try:
            await server.send_all(first)
            is_begun = True
        finally:
            if not is_begun:
                await trio.aclose_forcefully(server)
        return server

    def password(self, name: str) -> str:  # noqa: ARG002
        """See ``PostgresqlServing``: none is needed."""
        return ""

    async def make(self) -> str:
        """Make a database, and the role that owns it; return the name of both, which says nothing.

        Raises:
            ServerUnavailable: The server does not run, or refuses.

        Cancellation: what exists is dropped later.
        """
        await self._server.connected()
        self._taken.set()
        if self._ready:
            name = self._ready.pop()
            self._live.add(name)
            return name
        return await self._make_new()

    async def drop(self, name: str) -> None:
        """Drop a database with its role, and end its sessions. Cancellation: it is tried again later.

        A server that does not run is not started: it drops what nobody owns when it starts.
        """
        self._live.discard(name)
        self._orphans.add(name)
        if self._server.socket is not None:
            with suppress(ServerUnavailable):
                await self._admin.execute(self._server.socket, *dropped(name))
                self._orphans.discard(name)

    async def list_names(self) -> list[str]:
        """Return the names of all databases and roles.

        Raises:
            ServerUnavailable: The server does not run.

        Cancellation: nothing changes.
        """
        return await self._admin.list_names(self._server.socket)

    async def measure(self, name: str) -> int | None:
        """Return a database's size in bytes; None if the server does not run. Cancellation: nothing changes."""
        return await self._admin.measure(self._server.socket, name)

    async def _make_new(self) -> str:
        # Random: previews see the names, and the id of a preview is in its address.
        name = PREFIX + secrets.token_hex(8)
        self._live.add(name)
        is_made = False
        try:
            await self._admin.execute(self._server.socket, *made(name, self._limits))
            is_made = True
        finally:
            if not is_made:
                self._live.discard(name)
                self._orphans.add(name)
        return name

    async def _end_hogs(self) -> None:
        while True:
            await trio.sleep(_LOOK_S)
            if self._live and self._server.socket is not None:
                with suppress(ServerUnavailable):
                    await self._admin.end_hogs(self._server.socket)

    async def _keep_ready(self) -> None:
        while True:
            self._taken = trio.Event()
            # Nothing is made before the first preview needs a database.
            await self._server.wait_running()
            while self._server.socket is not None and len(self._ready) < self._limits.ready_made:
                try:
                    name = await self._make_new()
                    await self._admin.begin_once(self._server.socket, name)
                except ServerUnavailable as error:
                    log.warning("no database made in advance", why=str(error))
                    break
                self._live.discard(name)
                self._ready.append(name)
            for one in tuple(self._orphans):
                await self.drop(one)
            with trio.move_on_after(_AGAIN_S):
                await self._taken.wait()

    async def _set_up(self, socket: ServerSocket) -> bool:
        """Drop what a service that ended has left; return false while the server does not take connections yet."""
        self._ready.clear()
        left = await self._admin.set_up(socket, self._live)
        if left is None:
            return False
        self._orphans = left
        return True


class PostgresqlDatabase:
    """See ``BackingDatabase``.

    Args:
        engine: The server.
    """

    kind = ServiceKind.POSTGRESQL

    def __init__(self, engine: PostgresqlServing) -> None:
        self._engine = engine
        # Of the role and of the database, None until the first connection; and of one that is loaded in its place.
        self.name: str | None = None
        self._loaded: str | None = None
        self._turn = trio.Lock()
        self._connections = 0

    def want(self) -> None:
        """See ``BackingDatabase``: the engine starts the server that all share."""

    async def serve(self, client: trio.SocketStream) -> None:
        """See ``BackingDatabase``. Cancellation: both ends are closed."""
        self._connections += 1
        try:
            await self._serve(client, self._engine.connections)
        finally:
            self._connections -= 1

    async def _serve(self, client: trio.SocketStream, most: int = 1 << 30) -> None:
        """Serve a connection: of a client program of the service, if no limit is given."""
        with suppress(SessionEnded, NotPostgresql, trio.BrokenResourceError, trio.ClosedResourceError):
            server = await self._open_session(client, most)
            if server is not None:
                async with server:
                    await self._engine.join(client, server)

    async def _open_session(self, client: trio.SocketStream, most: int) -> trio.SocketStream | None:
        with trio.move_on_after(FIRST_S) as scope:
            code, body = await read_first(client)
        if scope.cancelled_caught:
            return None
        if self._connections > most and code != CANCEL_REQUEST:
            await client.send_all(refusal(f"too many connections: a preview may have {most}", TOO_MANY_CONNECTIONS))
            return None
        try:
            return await self._begin(client, code, body)
        except ServerUnavailable as error:
            await client.send_all(refusal(str(error)))
        return None

    async def _begin(self, client: trio.SocketStream, code: int, body: bytes) -> trio.SocketStream | None:
        """Return a connection on which the session starts; None if the client only cancels a statement."""
        if code == CANCEL_REQUEST:
            async with await self._engine.connect() as server:
                await server.send_all(with_head(code, body))
            return None
        async with self._turn:
            if self.name is None:
                self.name = await self._engine.make()
            first = rewrite_startup(code, body, self.name)
        return await self._engine.begin(client, first, self.name)

    async def reset(self) -> None:
        """See ``BackingDatabase``. Cancellation: the database may still exist."""
        async with self._turn:
            if self.name is not None:
                name, self.name = self.name, None
                await self._engine.drop(name)

    async def measure(self) -> int | None:
        """See ``BackingDatabase``: the larger one while another is loaded. Cancellation: nothing changes."""
        sizes = [await self._engine.measure(name) for name in (self.name, self._loaded) if name is not None]
        return max((size for size in sizes if size is not None), default=None)

    async def save(self, file: Path, run: RunClient) -> bool:
        """See ``BackingDatabase``. Cancellation: there may be a part of the file."""
        if self.name is None:
            return False
        await postgresql_dump.save(self._engine.program, file, run, self._serve)
        return True

    async def load(self, file: Path, run: RunClient) -> None:
        """See ``BackingDatabase``. Cancellation: nothing has changed."""
        new = PostgresqlDatabase(self._engine)
        try:
            new.name = self._loaded = await self._engine.make()
            await postgresql_dump.load(self._engine.program, file, run, new._serve)
            async with self._turn:
                self.name, new.name = new.name, self.name
        except ServerUnavailable as error:
            raise DataUnavailable(str(error)) from error
        finally:
            # The old database, or the new one if it is not complete.
            self._loaded = None
            if new.name is not None:
                with trio.move_on_after(_DROP_S, shield=True):
                    await self._engine.drop(new.name)

    async def list_tables(self) -> Sequence[TableSummary]:
        """See ``BackingDatabase``. Cancellation: nothing changes."""
        return [] if self.name is None else await self._tables().list_tables()

    async def read_table(self, name: str, *, offset: int, limit: int) -> QueryResult:
        """See ``BackingDatabase``. Cancellation: nothing changes."""
        return await self._tables().read_table(name, offset=offset, limit=limit)

    async def query(self, statement: str, *, most_rows: int) -> QueryResult:
        """See ``BackingDatabase``. Cancellation: nothing changes."""
        return await self._tables().query(statement, most_rows=most_rows)

    def _tables(self) -> PostgresqlTables:
        if self.name is None:
            raise DataUnavailable("The preview has stored nothing in PostgreSQL yet.")
        engine, password = self._engine, self._engine.password(self.name)
        return PostgresqlTables(engine.connect, self.name, password=password, is_private=engine.is_private)


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
        "max_locks_per_transaction": "128",
        "temp_file_limit": f"{1024 * 1024}kB",
        "max_parallel_workers": "0",
        "jit": "off",
        "wal_level": "minimal",
        "max_wal_senders": "0",
        # Previews' data need not outlive a crash of the machine; after one, the data folder is made again.
        "fsync": "off",
        "full_page_writes": "off",
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
        socket=SOCKET,
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
            *("-D", data, "-U", ADMIN, "-E", "UTF8", "--locale=C.UTF-8", "--auth=scram-sha-256", "--no-sync"),
            f"--pwfile={folder / 'given' / 'password'}",
        ),
        kept=kept,
        made_by=lambda: f"{program.name} {program.version().partition('.')[0]}",
    )
