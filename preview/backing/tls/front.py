"""Stands before a preview's databases, and takes the encryption off connections whose client insists on it.

The handshake runs in a program of its own, in a sandbox: it reads what a stranger's program sends. The service sees
only the first bytes of a connection, which ask for the handshake, and then the session in the clear.
"""

from __future__ import annotations

import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path

import trio

from preview.backing.server import Server, ServerSocket, ServerUnavailable
from preview.backing.server_command import ServerCommand
from preview.backing.streams import FIRST_S, Join, SessionEnded, read_exactly
from preview.backing.tls.certificate import make_certificate
from preview.backing.wire import mysql, postgresql
from preview.detection import ServiceKind
from preview.runtime import Limits, Runtime, Serve, beside, interpreter_paths

_PROGRAM = Path(__file__).with_name("preview_tls.py")
_SOCKET = "tls.sock"
_MIB = 1024 * 1024
_YES = b"S"
# Connections of one preview that may be encrypted, or wait for their handshake. All previews share the program, which
# has two descriptors for each.
MOST_SESSIONS = 150
_OPEN_FILES = 16_384
# The type of a record that begins a handshake (RFC 8446, 5.1).
_HANDSHAKE = 0x16


def certificate_file(data_dir: Path) -> Path:
    """Return the file with the certificate that previews' databases show, while the service runs."""
    return data_dir / "backing" / "tls" / "given" / "certificate"


class TlsFront:
    """Encryption for the previews of one service.

    Args:
        folder: Private folder of the service, for the program's files.
        runtime: Confines the program.
        join: Forwards bytes between two streams.
    """

    def __init__(self, folder: Path, runtime: Runtime, *, join: Join) -> None:
        self._folder = folder
        self._join = join
        self._server = Server(_command(folder), runtime, _listens)

    async def run(self) -> None:
        """Run the program once it is wanted, forever. Cancellation: it is ended (bounded)."""
        await trio.to_thread.run_sync(self._write_files)
        await self._server.run()

    def for_preview(self) -> PreviewTls:
        """Return the encryption of one preview, which has a limit of its own."""
        return PreviewTls(self._server, self._join)

    def _write_files(self) -> None:
        given = self._folder / "given"
        given.mkdir(parents=True, exist_ok=True)
        self._folder.chmod(0o700)
        given.chmod(0o755)
        for name, content in zip(("certificate", "key"), make_certificate(), strict=True):
            (given / name).write_bytes(content)
            (given / name).chmod(0o644)


class PreviewTls:
    """Encryption for one preview. Made by ``TlsFront.for_preview``."""

    def __init__(self, server: Server, join: Join) -> None:
        self._server = server
        self._join = join
        self._sessions = 0

    def before(self, kind: ServiceKind, serve: Serve) -> Serve:
        """Return what serves the connections of a project whose source insists on encryption.

        Args:
            kind: Kind of the database.
            serve: Serves a connection in the clear.
        """
        if kind is ServiceKind.MYSQL:
            return partial(self._serve_mysql, serve)
        return partial(self._serve, serve, kind)

    async def _serve(self, serve: Serve, kind: ServiceKind, client: trio.SocketStream) -> None:
        """Serve PostgreSQL or Redis, whose clients speak first. Cancellation: both ends are closed."""
        with suppress(SessionEnded, ServerUnavailable, trio.BrokenResourceError, trio.ClosedResourceError):
            with trio.move_on_after(FIRST_S) as scope:
                wants = await _asks_for_tls(client, kind)
            if scope.cancelled_caught:
                return
            if not wants:
                await serve(client)
                return
            async with self._opened(client) as inner:
                if kind is ServiceKind.POSTGRESQL:
                    await read_exactly(client, postgresql.HEAD_BYTES)
                    await client.send_all(_YES)
                await _hand_over(inner, client)
                await serve(inner)

    async def _serve_mysql(self, serve: Serve, client: trio.SocketStream) -> None:
        """Serve MySQL, whose server speaks first. Cancellation: both ends are closed."""
        ours, theirs = (trio.SocketStream(trio.socket.from_stdlib_socket(one)) for one in socket.socketpair())

        async def serve_theirs() -> None:
            async with theirs:
                await serve(theirs)

        async with ours, beside(serve_theirs):
            with suppress(
                SessionEnded,
                ServerUnavailable,
                mysql.NotMysql,
                trio.BrokenResourceError,
                trio.ClosedResourceError,
            ):
                await self._join_mysql(client, ours)

    async def _join_mysql(self, client: trio.SocketStream, server: trio.SocketStream) -> None:
        first = b""
        with trio.move_on_after(FIRST_S) as scope:
            sequence, greeting = await _read_packet(server)
            is_greeting = greeting[0] != mysql.ERROR
            await client.send_all(mysql.frame(sequence, mysql.with_tls(greeting) if is_greeting else greeting))
            if is_greeting:
                first = await _peek(client, mysql.TLS_REQUEST_BYTES)
        if scope.cancelled_caught:
            return
        if not mysql.asks_for_tls(first):
            await self._join(client, server)
            return
        async with self._opened(client) as inner:
            await read_exactly(client, mysql.TLS_REQUEST_BYTES)
            await _hand_over(inner, client)
            await self._join(inner, server)

    @asynccontextmanager
    async def _opened(self, client: trio.SocketStream) -> AsyncIterator[trio.SocketStream]:
        """Open a connection to the program, which takes the client's; leaving the context ends both.

        Raises:
            SessionEnded: The preview has too many.
            ServerUnavailable: The program does not run.
        """
        if self._sessions >= MOST_SESSIONS:
            raise SessionEnded
        self._sessions += 1
        try:
            async with await self._server.connect() as inner:
                try:
                    yield inner
                finally:
                    # The program has the same socket: closing ours would leave the connection open.
                    with suppress(OSError):
                        client.socket.shutdown(socket.SHUT_RDWR)
        finally:
            self._sessions -= 1


async def _asks_for_tls(client: trio.SocketStream, kind: ServiceKind) -> bool:
    """Look at the client's first bytes, which stay unread. Cancellation: nothing changes."""
    if kind is ServiceKind.POSTGRESQL:
        return await _peek(client, postgresql.HEAD_BYTES) == postgresql.ASKS_FOR_TLS
    return await _peek(client, 1) == bytes([_HANDSHAKE])


async def _peek(client: trio.SocketStream, size: int) -> bytes:
    """Return the bytes that have arrived, at most ``size``; clients send so few at once.

    Raises:
        SessionEnded: The client has closed the connection.
    """
    try:
        found = await client.socket.recv(size, socket.MSG_PEEK)
    except OSError as error:
        raise SessionEnded from error
    if not found:
        raise SessionEnded
    return bytes(found)


async def _read_packet(server: trio.SocketStream) -> tuple[int, bytes]:
    size, sequence = mysql.read_head(await read_exactly(server, mysql.HEAD_BYTES))
    return sequence, await read_exactly(server, size)


async def _hand_over(inner: trio.SocketStream, client: trio.SocketStream) -> None:
    """Send the client's connection to the program, which has one message to read."""
    descriptor = client.socket.fileno().to_bytes(4, sys.byteorder)
    try:
        await inner.socket.sendmsg([b"."], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, descriptor)])
    except OSError as error:
        raise ServerUnavailable(f"the TLS proxy did not accept the connection ({error.strerror or error})") from error


async def _listens(socket: ServerSocket) -> bool:
    """Return whether the program takes connections."""
    with suppress(OSError):
        async with await socket.connect():
            return True
    return False


def _command(folder: Path) -> ServerCommand:
    python = Path(sys.executable)
    given = folder / "given"
    return ServerCommand(
        name="tls",
        shown="The TLS proxy",
        argv=(
            *(str(python), "-I", "-S", str(_PROGRAM)),
            # Relative to its folder: a path of a socket may have 107 bytes at most (unix(7)).
            *(f"socket/{_SOCKET}", str(given / "certificate"), str(given / "key")),
        ),
        folder=folder / "server",
        socket=_SOCKET,
        limits=Limits(
            memory_bytes=256 * _MIB,
            open_files=_OPEN_FILES,
            processes=16,
            file_bytes=_MIB,
            cpu_cores=1.0,
            temp_bytes=_MIB,
        ),
        slot=4,
        readable=(given, _PROGRAM.parent, *interpreter_paths(python)),
        grace_s=0,
    )
