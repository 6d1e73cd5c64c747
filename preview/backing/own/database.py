"""One preview's own PostgreSQL server: its connections, and what it has stored."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

import structlog
import trio

from preview.backing.contents.postgresql_tables import PostgresqlTables
from preview.backing.interface import QueryResult, RunClient, TableSummary
from preview.backing.own import cluster_dump
from preview.backing.own.server_folder import (
    ADMIN,
    FIRST_DATABASE,
    OwnLimits,
    drop_aside,
    put_aside,
    put_back,
    renew,
)
from preview.backing.own.sessions import find_used, make_missing, rename_database
from preview.backing.postgresql_first import read_first
from preview.backing.server import Server, ServerUnavailable
from preview.backing.streams import FIRST_S, Join, SessionEnded
from preview.backing.wire.postgresql import (
    CANCEL_REQUEST,
    TOO_MANY_CONNECTIONS,
    NotPostgresql,
    read_startup,
    refusal,
    with_head,
)
from preview.core.servers import Program
from preview.detection import ServiceKind
from preview.errors import DataUnavailable
from preview.runtime import measure

log = structlog.get_logger(__name__)

# A project has some; for more than these, each connection looks at the server.
_MOST_MADE = 1000
# Has the data of a dump without a name until the first connection names it.
_UNNAMED = "app"
# A server is ended at once, and is up again within 0.5 s.
_BACK_S = 10.0
_LOST = (SessionEnded, NotPostgresql, trio.BrokenResourceError, trio.ClosedResourceError)


class OwnPostgresqlDatabase:
    """See ``BackingDatabase``: all databases of the preview's own server.

    Args:
        program: The server program.
        server: The server; it runs once ``wanted`` is set.
        limits: Limits.
        join: Forwards bytes between a client and the server.
    """

    kind = ServiceKind.POSTGRESQL

    def __init__(self, program: Program, server: Server, limits: OwnLimits, join: Join) -> None:
        self.wanted = trio.Event()
        self._program = program
        self._server = server
        self._limits = limits
        self._join = join
        self._connections = 0
        # Pairs of user and database that a client has asked for before. What the project drops is not made again.
        self._made: set[tuple[str, str]] = set()
        # The database that the project uses: the last one asked for. None before the first connection.
        self._used: str | None = None
        # Whether that is _UNNAMED, and takes the next connection's name.
        self._is_unnamed = False
        # Held while the server's folder is exchanged.
        self._turn = trio.Lock()

    def want(self) -> None:
        """See ``BackingDatabase``."""
        self.wanted.set()
        self._server.want()

    async def serve(self, client: trio.SocketStream) -> None:
        """See ``BackingDatabase``. Cancellation: both ends are closed."""
        self._connections += 1
        try:
            with suppress(*_LOST):
                await self._serve(client)
        finally:
            self._connections -= 1

    async def reset(self) -> None:
        """See ``BackingDatabase``. Cancellation: the data is removed all the same."""
        async with self._turn:
            if self._used is None:
                return
            self._forget()
            try:
                await self._server.restart(partial(renew, self._server.command))
            except ServerUnavailable as error:
                log.warning("server did not start", server=self._server.command.name, why=str(error))

    async def measure(self) -> int | None:
        """See ``BackingDatabase``: the size of the server's folder. Cancellation: nothing changes."""
        if self._used is None:
            return None
        process = self._server.process
        if process is not None:
            await process.usage()
        pids = process.members() if process is not None else ()
        limit = self._limits.size_bytes
        use = await trio.to_thread.run_sync(measure, [self._server.command.folder], pids, limit, abandon_on_cancel=True)
        return limit + 1 if use.is_too_deep else use.used_bytes

    async def save(self, file: Path, run: RunClient) -> bool:
        """See ``BackingDatabase``. Cancellation: there may be a part of the file."""
        if self._used is None:
            return False
        await cluster_dump.save(self._program, file, run, self._serve_program)
        return True

    async def load(self, file: Path, run: RunClient) -> None:
        """See ``BackingDatabase``: into a new server. Cancellation: nothing has changed."""
        is_of_all = await cluster_dump.is_of_all(file)
        async with self._turn:
            is_unnamed = not is_of_all and (self._used is None or self._is_unnamed)
            await self._load(file, run, None if is_of_all else self._used or _UNNAMED)
            self._is_unnamed = is_unnamed

    async def list_tables(self) -> Sequence[TableSummary]:
        """See ``BackingDatabase``: of the database that the project uses. Cancellation: nothing changes."""
        return [] if self._used is None else await self._tables().list_tables()

    async def read_table(self, name: str, *, offset: int, limit: int) -> QueryResult:
        """See ``BackingDatabase``. Cancellation: nothing changes."""
        return await self._tables().read_table(name, offset=offset, limit=limit)

    async def query(self, statement: str, *, most_rows: int) -> QueryResult:
        """See ``BackingDatabase``. Cancellation: nothing changes."""
        return await self._tables().query(statement, most_rows=most_rows)

    def _tables(self) -> PostgresqlTables:
        if self._used is None:
            raise DataUnavailable("The preview has stored nothing in PostgreSQL yet.")
        return PostgresqlTables(self._server.connect, self._used, ADMIN)

    def _forget(self) -> None:
        self._made.clear()
        self._used, self._is_unnamed = None, False

    async def _serve(self, client: trio.SocketStream) -> None:
        with trio.move_on_after(FIRST_S) as scope:
            code, body = await read_first(client)
        if scope.cancelled_caught:
            return
        try:
            if code == CANCEL_REQUEST:
                # There is nothing to cancel in a server that does not run.
                if self._server.socket is not None:
                    async with await self._server.connect() as server:
                        await server.send_all(with_head(code, body))
                return
            if self._connections > self._limits.connections:
                said = f"too many connections: a preview may have {self._limits.connections}"
                await client.send_all(refusal(said, TOO_MANY_CONNECTIONS))
                return
            await self._begin(*read_startup(code, body))
            async with await self._server.connect() as server:
                await server.send_all(with_head(code, body))
                await self._join(client, server)
        except ServerUnavailable as error:
            await client.send_all(refusal(str(error)))

    async def _begin(self, user: str, database: str) -> None:
        """Wait until the server runs, and make what does not exist when it is asked for first.

        Raises:
            ServerUnavailable: The server does not run.
        """
        self.wanted.set()
        async with self._turn:
            socket = await self._server.connected()
            if self._is_unnamed and database != FIRST_DATABASE:
                await rename_database(socket, _UNNAMED, database)
                self._is_unnamed = False
            if (user, database) not in self._made:
                await make_missing(socket, user, database)
                if len(self._made) < _MOST_MADE:
                    self._made.add((user, database))
            # Tools connect to the first database to make another.
            if self._used is None or database != FIRST_DATABASE:
                self._used = database

    async def _serve_program(self, client: trio.SocketStream) -> None:
        """Serve a client program of the service: nothing is made for it, and it does not wait for its own load."""
        with suppress(*_LOST):
            with trio.move_on_after(FIRST_S) as scope:
                code, body = await read_first(client)
            if scope.cancelled_caught:
                return
            try:
                async with await self._server.connect() as server:
                    await server.send_all(with_head(code, body))
                    await self._join(client, server)
            except ServerUnavailable as error:
                await client.send_all(refusal(str(error)))

    async def _load(self, file: Path, run: RunClient, into: str | None) -> None:
        command, is_loaded = self._server.command, False
        self.wanted.set()
        try:
            if self._used is None:
                socket = await self._server.connected()
            else:
                await self._server.restart(partial(put_aside, command))
                socket = await self._server.connected()
            if into is not None:
                await make_missing(socket, ADMIN, into)
            await cluster_dump.load(self._program, file, run, self._serve_program, into)
            used = await find_used(socket, into or self._used)
            is_loaded = True
        except ServerUnavailable as error:
            raise DataUnavailable(str(error)) from error
        finally:
            if not is_loaded:
                with trio.move_on_after(_BACK_S, shield=True), suppress(ServerUnavailable):
                    await self._server.restart(partial(put_back if self._used is not None else renew, command))
        self._made.clear()
        self._used = used
        # What is left is removed by the next load, or with the preview.
        with suppress(OSError):
            await trio.to_thread.run_sync(drop_aside, command)
