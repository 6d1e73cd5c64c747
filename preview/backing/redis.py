"""Redis or Valkey for previews: a small server of its own for each, which starts when the preview first connects."""

from __future__ import annotations

import os
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import trio

from preview.backing.contents.files import copy_regular, open_regular
from preview.backing.interface import RESERVED_CONNECTIONS, QueryResult, RunClient, TableSummary
from preview.backing.server import Server, ServerSocket, ServerUnavailable
from preview.backing.server_command import ServerCommand
from preview.backing.streams import FIRST_S, Join, SessionEnded
from preview.backing.wire.redis import MOST_BYTES, encode, refusal, rewrite_logins
from preview.core.removal import remove_folder
from preview.core.servers import Program
from preview.detection import ServiceKind
from preview.errors import DataUnavailable
from preview.runtime import Limits, Runtime, beside, join

_SOCKET = "redis.sock"
_MIB = 1024 * 1024
_ANSWER_S = 1.0
_MOST_ANSWER_BYTES = 64 * 1024
# What the server saves, and reads when it starts. Databases are listed only if they have keys.
_FILE = "dump.rdb"
_KEYSPACE = b"# Keyspace\r\n"
_STORED = re.compile(rb"\ndb\d{1,9}:keys=")
_SAVE_S = 20.0
_MOST_SAID = 200
_USED = re.compile(rb"\nused_memory:(\d{1,18})\r")
# Memory that `maxmemory` does not count: the program, scripts, buffers of connections.
_BESIDE_MIB = 64
# Time for a client to read an error before its connection is reset for what it has sent since.
_READ_S = 1.0
_REMOVE_S = 5.0
_NO_TABLES = "Redis has no tables."
# Not for previews: they end the server, have it load programs, or fetch from others. By default a server of version 7
# refuses to change settings of files and folders (enable-protected-configs), and an older one is as confined.
_HIDDEN = ("SHUTDOWN", "MODULE", "DEBUG", "REPLICAOF", "SLAVEOF")


@dataclass(frozen=True, slots=True)
class RedisLimits:
    """Limits of each server.

    Attributes:
        memory_mb: Memory for data, in MiB.
        connections: Connections.
    """

    memory_mb: int
    connections: int


class RedisEngine:
    """See ``BackingEngine``.

    Args:
        program: The server program.
        folder: Private folder of the service, in which each server has one.
        limits: Limits.
        runtime: Confines the servers.
        join: Forwards bytes between a client and a server.
    """

    kind = ServiceKind.REDIS

    def __init__(
        self, program: Program, folder: Path, limits: RedisLimits, runtime: Runtime, *, join: Join = join
    ) -> None:
        self._program = program
        self._folder = folder
        self._limits = limits
        self._runtime = runtime
        self._join = join
        # Folders in use.
        self._live: set[str] = set()

    @property
    def version(self) -> str:
        """See ``BackingEngine``."""
        return self._program.describe()

    def want(self) -> None:
        """See ``BackingEngine``: a server starts within 30 ms, so none is started ahead."""

    async def run(self) -> None:
        """Remove what a service that ended has left, then wait. Cancellation: nothing changes."""
        await trio.to_thread.run_sync(self._remove_leftovers)
        await trio.sleep_forever()

    @asynccontextmanager
    async def open_database(self, preview_id: str, slot: int) -> AsyncIterator[RedisDatabase]:
        """See ``BackingEngine``. Cancellation: the database is dropped (bounded)."""
        folder = self._folder / preview_id
        self._live.add(preview_id)
        command = _command(self._program, folder / "server", f"redis-{preview_id}", self._limits, slot)
        server = Server(command, self._runtime, _answers)
        try:
            async with beside(server.run):
                yield RedisDatabase(server, self._join, self._limits)
        finally:
            with trio.move_on_after(_REMOVE_S, shield=True):
                await trio.to_thread.run_sync(remove_folder, folder, abandon_on_cancel=True)
            self._live.discard(preview_id)

    def _remove_leftovers(self) -> None:
        if self._folder.is_dir():
            for one in list(self._folder.iterdir()):
                if one.name not in self._live:
                    remove_folder(one)


class RedisDatabase:
    """See ``BackingDatabase``.

    Args:
        server: The preview's own server.
        join: Forwards bytes between a client and the server.
        limits: Limits of the server.
    """

    kind = ServiceKind.REDIS

    def __init__(self, server: Server, join: Join, limits: RedisLimits) -> None:
        self._server = server
        self._join = join
        self._most_bytes = _most_file_bytes(limits)
        self._most = limits.connections
        self._connections = 0

    def want(self) -> None:
        """See ``BackingDatabase``: a server starts within 30 ms."""

    async def serve(self, client: trio.SocketStream) -> None:
        """See ``BackingDatabase``. Cancellation: both ends are closed."""
        self._connections += 1
        try:
            await self._serve(client)
        finally:
            self._connections -= 1

    async def _serve(self, client: trio.SocketStream) -> None:
        with suppress(SessionEnded, trio.BrokenResourceError, trio.ClosedResourceError):
            first: bytes | None = None
            with trio.move_on_after(FIRST_S):
                first = await _read_first(client)
            if first is None:
                return
            if self._connections > self._most:
                await _refuse(client, f"max number of clients reached: a preview may have {self._most}")
                return
            try:
                server = await self._server.connect()
            except ServerUnavailable as error:
                await _refuse(client, str(error))
                return
            async with server:
                # A server with too many connections says so, and has closed this one.
                with suppress(trio.BrokenResourceError):
                    await server.send_all(first)
                await self._join(client, server)

    async def reset(self) -> None:
        """See ``BackingDatabase``. Cancellation: some of the data may be left.

        Raises:
            DataUnavailable: The data may not be removed: the server refuses, and does not start again.
        """
        socket = self._server.socket
        if socket is None or (await _ask(socket, b"FLUSHALL")).startswith(b"+OK"):
            return
        try:
            # A script runs, there are too many clients, or a password was set. A new server is empty.
            await self._server.restart(lambda: None)
        except ServerUnavailable as error:
            raise DataUnavailable(str(error)) from error

    async def measure(self) -> int | None:
        """See ``BackingDatabase``: the memory that its data takes. Cancellation: nothing changes."""
        socket = self._server.socket
        if socket is None:
            return None
        found = _USED.search(await _ask(socket, b"INFO", b"memory"))
        return int(found[1]) if found else None

    async def save(self, file: Path, run: RunClient) -> bool:  # noqa: ARG002  the server itself writes
        """See ``BackingDatabase``: a copy of the file that the server writes. Cancellation: may leave a part of it."""
        socket = self._server.socket
        if socket is None:
            return False
        said = await _ask(socket, b"INFO", b"keyspace")
        if _KEYSPACE not in said:
            raise DataUnavailable(f"{self._server.command.shown} did not list its data: {_sentence(said)}.")
        if _STORED.search(said) is None:
            return False
        said = await _ask(socket, b"SAVE", limit_s=_SAVE_S)
        if not said.startswith(b"+OK"):
            raise DataUnavailable(f"{self._server.command.shown} could not save its data: {_sentence(said)}.")
        try:
            await trio.to_thread.run_sync(_copy_saved, self._server.command.folder, file, self._most_bytes)
        except OSError as error:
            shown = self._server.command.shown
            raise DataUnavailable(f"The data saved by {shown} cannot be copied: {error.strerror or error}.") from error
        return True

    async def load(self, file: Path, run: RunClient) -> None:  # noqa: ARG002  the server itself reads
        """See ``BackingDatabase``: only the server reads the content. Cancellation: the server starts all the same."""
        target = self._server.command.folder / _FILE
        failed: ServerUnavailable | None = None
        try:
            # Before the server ends for it.
            os.close(await trio.to_thread.run_sync(open_regular, file))
            await self._server.restart(lambda: _copy(file, None, target, self._most_bytes))
        except OSError as error:
            raise DataUnavailable(f"The saved file cannot be read: {error.strerror or error}.") from error
        except ServerUnavailable as error:
            failed = error
        if failed is not None:
            with suppress(ServerUnavailable):
                await self._server.restart(lambda: None)
            raise DataUnavailable(str(failed)) from failed

    async def list_tables(self) -> Sequence[TableSummary]:
        """See ``BackingDatabase``. Cancellation: nothing changes."""
        raise DataUnavailable(_NO_TABLES)

    async def read_table(self, name: str, *, offset: int, limit: int) -> QueryResult:  # noqa: ARG002
        """See ``BackingDatabase``. Cancellation: nothing changes."""
        raise DataUnavailable(_NO_TABLES)

    async def query(self, statement: str, *, most_rows: int) -> QueryResult:  # noqa: ARG002
        """See ``BackingDatabase``. Cancellation: nothing changes."""
        raise DataUnavailable(_NO_TABLES)


async def _read_first(client: trio.SocketStream) -> bytes:
    """Return the client's first bytes, rewritten.

    Raises:
        SessionEnded: The client has closed the connection.
    """
    done, rest = bytearray(), b""
    while True:
        chunk = await client.receive_some(MOST_BYTES)
        if not chunk:
            raise SessionEnded
        # A login is read again with each chunk, and never those before it: chunks may have one byte.
        rewritten, rest = rewrite_logins(rest + chunk)
        done += rewritten
        if not rest or len(done) > MOST_BYTES:
            return bytes(done) + rest


async def _refuse(client: trio.SocketStream, sentence: str) -> None:
    """Send an error, and wait until the client has ended the connection, or for a moment."""
    await client.send_all(refusal(sentence))
    await client.send_eof()
    with trio.move_on_after(_READ_S):
        while await client.receive_some(MOST_BYTES):
            pass


async def _answers(socket: ServerSocket) -> bool:
    """Return whether the server answers. It runs in a sandbox of its own, and need not be what it was."""
    return (await _ask(socket, b"PING")).startswith(b"+PONG")


async def _ask(socket: ServerSocket, *words: bytes, limit_s: float = _ANSWER_S) -> bytes:
    """Return the start of a server's answer; it is empty if there is none within the time and size."""
    read = bytearray()
    with trio.move_on_after(limit_s), suppress(OSError, trio.BrokenResourceError):
        async with await socket.connect() as stream:
            await stream.send_all(encode(words) + encode((b"QUIT",)))
            while len(read) < _MOST_ANSWER_BYTES and (chunk := await stream.receive_some(_MOST_ANSWER_BYTES)):
                read += chunk
    return bytes(read)


def _sentence(said: bytes) -> str:
    text = said.partition(b"\r")[0][1 : 1 + _MOST_SAID].decode("utf-8", "replace")
    return "".join(one if one.isprintable() else " " for one in text) or "it does not answer"


def _copy_saved(folder: Path, file: Path, most_bytes: int) -> None:
    """Copy the file that the server has written. It may have put anything else in its place."""
    held = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        _copy(_FILE, held, file, most_bytes)
    finally:
        os.close(held)


def _copy(source: Path | str, folder: int | None, target: Path, most_bytes: int) -> None:
    opened = open_regular(source, folder)
    try:
        copy_regular(opened, target, most_bytes)
    finally:
        os.close(opened)


def _most_file_bytes(limits: RedisLimits) -> int:
    return 2 * limits.memory_mb * _MIB


def _command(program: Program, folder: Path, name: str, limits: RedisLimits, slot: int) -> ServerCommand:
    settings = {
        "port": "0",
        # Relative to the server's folder: a path of a socket may have 107 bytes at most (unix(7)).
        "unixsocket": f"socket/{_SOCKET}",
        "save": "",
        "dbfilename": _FILE,
        "appendonly": "no",
        "maxmemory": f"{limits.memory_mb}mb",
        "maxmemory-policy": "noeviction",
        "maxclients": str(limits.connections + RESERVED_CONNECTIONS),
        "databases": "16",
        # An idle server wakes once a second.
        "hz": "1",
        "dynamic-hz": "yes",
        "crash-log-enabled": "no",
        "loglevel": "warning",
    }
    options = [word for key, value in settings.items() for word in (f"--{key}", value)]
    hidden = [word for one in _HIDDEN for word in ("--rename-command", one, "")]
    return ServerCommand(
        name=name,
        shown=program.name,
        argv=(str(program.path), *options, *hidden),
        folder=folder,
        socket=_SOCKET,
        limits=Limits(
            memory_bytes=(2 * limits.memory_mb + _BESIDE_MIB) * _MIB,
            open_files=limits.connections + 64,
            processes=16,
            # A preview may have its server write files (BGSAVE).
            file_bytes=_most_file_bytes(limits),
            cpu_cores=1.0,
            temp_bytes=_MIB,
        ),
        slot=slot,
        # It has nothing to save, and would look for the signal once a second.
        grace_s=0,
        readable=program.readable,
    )
