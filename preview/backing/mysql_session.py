"""A preview's connections to its own MySQL database: whatever name they ask for, they get it."""

from __future__ import annotations

import os
import secrets
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import structlog
import trio

from preview.backing.admin.mysql_link import Link, log_in_to, read_packet
from preview.backing.contents import mysql_dump
from preview.backing.contents.files import copy_regular, open_regular
from preview.backing.contents.mysql_copies import MysqlCopies
from preview.backing.contents.mysql_copy import DEFINITIONS, TableCopy, read_copy
from preview.backing.contents.mysql_tables import MysqlTables
from preview.backing.interface import QueryResult, RunClient, TableSummary
from preview.backing.mysql_command import MysqlLimits
from preview.backing.server import ServerUnavailable
from preview.backing.streams import FIRST_S, Join, SessionEnded, read_exactly
from preview.backing.wire.mysql import (
    ERROR,
    HEAD_BYTES,
    OK,
    PLUGIN,
    Answer,
    NotMysql,
    frame,
    read_answer,
    read_greeting,
    read_head,
    refusal,
    switch_request,
    too_many,
)
from preview.core.servers import Program
from preview.detection import ServiceKind
from preview.errors import DataUnavailable

log = structlog.get_logger(__name__)


class Engine(Protocol):
    """The server, as its databases use it; see ``MysqlEngine``."""

    program: Program
    limits: MysqlLimits
    join: Join

    @property
    def copies(self) -> MysqlCopies | None:
        """Copies of its tables; None if the server's files are not the service's."""

    async def connect(self) -> Link:
        """Connect as a client. Cancellation: no connection is left."""

    async def make(self, name: str, password: str, wanted: str) -> str:
        """Make a user and a database; return the database's name. Cancellation: it may exist."""

    async def empty(self, name: str) -> None:
        """Drop everything in a user's database, and end its sessions. Cancellation: some of it may be left."""

    async def drop(self, name: str) -> bool:
        """Drop a user with its database; return whether they are gone. Cancellation: they may exist."""

    async def measure(self, database: str) -> int | None:
        """Return the size of a database's files in bytes. Cancellation: nothing changes."""


class MysqlDatabase:
    """See ``BackingDatabase``.

    Args:
        engine: The server.
        name: Name of the user.
    """

    kind = ServiceKind.MYSQL

    def __init__(self, engine: Engine, name: str) -> None:
        self._engine = engine
        self.name = name
        self._password = secrets.token_urlsafe(24)
        self._turn = trio.Lock()
        # Its name, once it is made.
        self._made: str | None = None
        # The preview's connections, those without a session too.
        self._connections = 0

    def want(self) -> None:
        """See ``BackingDatabase``: the engine starts the server that all share."""

    async def serve(self, client: trio.SocketStream) -> None:
        """See ``BackingDatabase``. Cancellation: both ends are closed."""
        most = self._engine.limits.connections
        if self._connections >= most:
            with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
                await client.send_all(too_many(f"too many connections: a preview may have {most}"))
            return
        self._connections += 1
        try:
            await self._serve_program(client)
        finally:
            self._connections -= 1

    async def _serve_program(self, client: trio.SocketStream) -> None:
        """Serve a connection that does not count as the preview's: of a client program of the service."""
        with suppress(SessionEnded, NotMysql, trio.BrokenResourceError, trio.ClosedResourceError):
            try:
                server = await self._open_session(client)
            except ServerUnavailable as error:
                await client.send_all(refusal(str(error)))
                return
            if server is not None:
                async with server:
                    await self._engine.join(client, server)

    async def _open_session(self, client: trio.SocketStream) -> trio.SocketStream | None:
        """Return the server's side once the session runs; None if it does not, which the client has read.

        Raises:
            ServerUnavailable: The server does not run.
        """
        with trio.move_on_after(FIRST_S):
            return await self._log_in(client, await self._engine.connect())
        return None

    async def _log_in(self, client: trio.SocketStream, link: Link) -> trio.SocketStream | None:
        is_used = False
        try:
            if link.greeting[0] == ERROR:
                await client.send_all(frame(link.sequence, link.greeting))
                return None
            greeting = read_greeting(link.greeting)
            await client.send_all(frame(link.sequence, greeting.shown))
            sequence, content = await read_packet(client)
            answer = _read_answer(content)
            if isinstance(answer, NotMysql):
                await client.send_all(
                    refusal(f"no session could be opened: {answer}", sequence=sequence + 1, is_greeted=True)
                )
                return None
            if answer.plugin not in (None, PLUGIN):
                await client.send_all(frame(sequence + 1, switch_request(greeting.salt)))
                sequence = await _skip_proof(client)
            is_used = True
        finally:
            if not is_used:
                link.close()
        return await self._begin(client, link, answer, sequence + 1)

    async def _begin(
        self, client: trio.SocketStream, link: Link, answer: Answer, sequence: int
    ) -> trio.SocketStream | None:
        """Log in to the server in place of the client, and pass on what it says, with this sequence number."""
        is_open = False
        try:
            made = await self._make_once(answer.database)
            server, said = await log_in_to(link, answer, self.name, self._password, made)
            link = replace(link, stream=server)
            await client.send_all(frame(sequence, said))
            is_open = said[0] == OK
        except ServerUnavailable as error:
            await client.send_all(refusal(str(error), sequence=sequence, is_greeted=True))
            return None
        finally:
            if not is_open:
                link.close()
        return server if is_open else None

    async def reset(self) -> None:
        """See ``BackingDatabase``. Cancellation: the database may still exist."""
        async with self._turn:
            if self._made is not None:
                if not await self._engine.drop(self.name):
                    raise DataUnavailable("MySQL did not drop the data; try again in a moment.")
                self._made = None

    async def _make_once(self, wanted: bytes) -> str:
        async with self._turn:
            if self._made is None:
                self._made = await self._engine.make(self.name, self._password, wanted.decode("ascii", "replace"))
            return self._made

    async def measure(self) -> int | None:
        """See ``BackingDatabase``. Cancellation: nothing changes."""
        return None if self._made is None else await self._engine.measure(self._made)

    async def save(self, file: Path, run: RunClient, copy: Path | None = None) -> bool:
        """See ``BackingDatabase``.

        Args:
            file: The file.
            run: Runs a client program.
            copy: Folder of the service to make for a copy of the tables' files, from which ``load`` is faster. There
                may be none afterwards.

        Cancellation: there may be a part of the file.
        """
        if self._made is None:
            return False
        await self._tables().check_locks()
        program, copies, made = self._engine.program, self._engine.copies, self._made
        if copies is None or copy is None:
            await mysql_dump.save(program, file, run, self._serve_program, made)
            return True
        async with copies.copying(made, copy) as locked:
            is_copied = locked is not None
            await mysql_dump.save(program, file, run, self._serve_program, made, with_definitions=is_copied)
            if locked is not None:
                await locked.keep(mysql_dump.definitions_of(file))
        return True

    async def load(self, file: Path, run: RunClient, copy: Path | None = None) -> None:
        """See ``BackingDatabase``.

        Args:
            file: The file.
            run: Runs a client program.
            copy: Folder of the copy that was made with the file, if there is one.

        Cancellation: the database may be empty, or have a part of the file.
        """
        wanted = await trio.to_thread.run_sync(mysql_dump.named_in, file)
        copies, found = self._engine.copies, None
        made = await self._make_empty(wanted)
        if copy is not None and copies is not None:
            found = await trio.to_thread.run_sync(read_copy, copy, copies.run)
        if copies is not None and found is not None:
            if await self._load_copy(copies, found, file, run):
                return
            made = await self._make_empty(wanted)
        await mysql_dump.load(self._engine.program, file, run, self._serve_program, made)

    async def _make_empty(self, wanted: str) -> str:
        """Return the name of the database, which is made or emptied."""
        try:
            async with self._turn:
                if self._made is None:
                    self._made = await self._engine.make(self.name, self._password, wanted)
                await self._engine.empty(self.name)
                return self._made
        except ServerUnavailable as error:
            raise DataUnavailable(str(error)) from error

    async def _load_copy(self, copies: MysqlCopies, copy: TableCopy, file: Path, run: RunClient) -> bool:
        """Load definitions and rows of a copy; return false if the dump is to be loaded."""
        if self._made is None:
            return False
        definitions = file.with_name(secrets.token_hex(8))
        try:
            await trio.to_thread.run_sync(_give_file, copy.folder / DEFINITIONS, definitions)
            await mysql_dump.load(self._engine.program, definitions, run, self._serve_program, self._made)
        except (OSError, DataUnavailable) as error:
            log.warning("tables not imported", server="mysql", why=str(error))
            return False
        return await copies.load(copy, self._made)

    async def list_tables(self) -> Sequence[TableSummary]:
        """See ``BackingDatabase``. Cancellation: nothing changes."""
        return [] if self._made is None else await self._tables().list_tables()

    async def read_table(self, name: str, *, offset: int, limit: int) -> QueryResult:
        """See ``BackingDatabase``. Cancellation: nothing changes."""
        return await self._tables().read_table(name, offset=offset, limit=limit)

    async def query(self, statement: str, *, most_rows: int) -> QueryResult:
        """See ``BackingDatabase``. Cancellation: nothing changes."""
        return await self._tables().query(statement, most_rows=most_rows)

    def _tables(self) -> MysqlTables:
        if self._made is None:
            raise DataUnavailable("The preview has stored nothing in MySQL yet.")
        return MysqlTables(self._engine.connect, self.name, self._password, self._made)


def _give_file(source: Path, target: Path) -> None:
    descriptor = open_regular(source)
    try:
        copy_regular(descriptor, target, os.fstat(descriptor).st_size)
    finally:
        os.close(descriptor)
    target.chmod(0o644)


def _read_answer(content: bytes) -> Answer | NotMysql:
    try:
        return read_answer(content)
    except NotMysql as error:
        return error


async def _skip_proof(client: trio.SocketStream) -> int:
    """Skip the proof of a password, which is empty if the client has none; return its sequence number."""
    head = await read_exactly(client, HEAD_BYTES)
    if any(head[:3]):
        await read_exactly(client, read_head(head)[0])
    return head[3]
