"""A session with MariaDB as its administrator, which does not believe the server.

The server runs in a sandbox, and has run statements of strangers. What it answers is limited in size and time: a driver
would store any answer, and waits again for each byte.

Source: MySQL's internals manual, "Text Protocol".
"""

from __future__ import annotations

import trio

from preview.backing.server import ServerSocket, ServerUnavailable
from preview.backing.streams import SessionEnded, read_exactly
from preview.backing.wire.mysql import (
    ERROR,
    HEAD_BYTES,
    OK,
    PLUGIN,
    Answer,
    NotMysql,
    frame,
    log_in,
    read_greeting,
    read_head,
)

Rows = list[tuple[str, ...]]

# Names of some hundred users and databases are 30 KB.
_MOST_BYTES = 1024 * 1024
_MOST_SAID = 200
# Statements of one call.
_ANSWER_S = 20.0
# Largest packet 16 MiB, utf8mb4 (45), reserved.
_FIXED = (1 << 24).to_bytes(4, "little") + bytes([45]) + bytes(23)
# include/mysql_com.h: protocol 4.1, transactions.
_CAPABILITIES = 0x200 | 0x2000
_QUERY, _END = b"\x03", 0xFE
_MOST_END_BYTES = 9
# Lengths above this take more than a byte (length-encoded integers).
_MOST_SHORT = 250
_LONG = {0xFC: 2, 0xFD: 3}


class Refused(Exception):
    """The server refuses a statement; the message is its sentence."""


_BROKEN = (SessionEnded, NotMysql, trio.BrokenResourceError, trio.ClosedResourceError, OSError)


class Administrator:
    """One session with the server as its administrator, opened again when it is broken.

    Args:
        name: The server's name for people.
        user: The administrator.
        password: Its password.
        first: Statement with which a session begins.
    """

    def __init__(self, name: str, user: str, password: str, first: str) -> None:
        self._name = name
        self._user = user
        self._password = password
        self._first = first
        self._stream: trio.SocketStream | None = None
        self._left = 0
        self._turn = trio.Lock()

    def close(self) -> None:
        """Close the session."""
        if self._stream is not None:
            self._stream.socket.close()
            self._stream = None

    async def execute(self, socket: ServerSocket | None, *statements: str) -> Rows:
        """Execute statements, one after the other; return the last one's rows.

        Args:
            socket: The running server's; None if none runs.
            statements: Each is a transaction of its own.

        Raises:
            ServerUnavailable: The server does not run, refuses, or does not answer in time.

        Cancellation: some of the statements may have been executed.
        """
        async with self._turn:
            if socket is None:
                raise ServerUnavailable(f"{self._name} does not run")
            is_whole = False
            try:
                with trio.fail_after(_ANSWER_S):
                    rows = await self._execute(socket, statements)
                is_whole = True
            except Refused as error:
                is_whole = True
                raise ServerUnavailable(f"{self._name} refuses: {error}") from error
            except (*_BROKEN, trio.TooSlowError) as error:
                raise ServerUnavailable(f"{self._name} does not answer") from error
            finally:
                if not is_whole:
                    self.close()
            return rows

    async def _execute(self, socket: ServerSocket, statements: tuple[str, ...]) -> Rows:
        if self._stream is not None:
            try:
                return await self._execute_in(self._stream, statements)
            except _BROKEN:
                # The server ends a session that is idle for hours. All statements may be executed twice.
                self.close()
        self._stream = await socket.connect()
        await self._log_in(self._stream)
        return await self._execute_in(self._stream, (self._first, *statements))

    async def _execute_in(self, stream: trio.SocketStream, statements: tuple[str, ...]) -> Rows:
        rows: Rows = []
        for one in statements:
            self._left = _MOST_BYTES
            await stream.send_all(frame(0, _QUERY + one.encode()))
            rows = await self._read_rows(stream)
        return rows

    async def _log_in(self, stream: trio.SocketStream) -> None:
        self._left = _MOST_BYTES
        try:
            greeting = read_greeting(await self._read(stream))
            answer = Answer(_CAPABILITIES, _FIXED, PLUGIN, b"")
            said = log_in(answer, greeting.salt, self._user, self._password, "mysql")
            await stream.send_all(frame(1, said))
            if (await self._read(stream))[0] != OK:
                raise NotMysql("another proof is asked for")
        except Refused:
            self.close()
            raise

    async def _read_rows(self, stream: trio.SocketStream) -> Rows:
        content = await self._read(stream)
        if content[0] == OK:
            return []
        # Any other answer (0xFB asks for a file of this machine) is the number of columns.
        if not 0 < content[0] <= _MOST_SHORT:
            raise NotMysql("an answer that was not asked for")
        while not _is_end(await self._read(stream)):
            pass
        rows: Rows = []
        while not _is_end(content := await self._read(stream)):
            rows.append(_read_row(content))
        return rows

    async def _read(self, stream: trio.SocketStream) -> bytes:
        size, _ = read_head(await read_exactly(stream, HEAD_BYTES))
        self._left -= HEAD_BYTES + size
        if self._left < 0:
            raise NotMysql("an answer that is too long")
        content = await read_exactly(stream, size)
        if content[0] == ERROR:
            said = content[9 : 9 + _MOST_SAID].decode("utf-8", "replace")
            raise Refused("".join(one if one.isprintable() else " " for one in said))
        return content


def _is_end(content: bytes) -> bool:
    return content[0] == _END and len(content) < _MOST_END_BYTES


def _read_row(content: bytes) -> tuple[str, ...]:
    values: list[str] = []
    at = 0
    while at < len(content):
        size, at = content[at], at + 1
        if size > _MOST_SHORT:
            if size not in _LONG:
                raise NotMysql("a value that was not asked for")
            size, at = int.from_bytes(content[at : at + _LONG[size]], "little"), at + _LONG[size]
        if at + size > len(content):
            raise NotMysql("a row that is cut off")
        values.append(content[at : at + size].decode("utf-8", "replace"))
        at += size
    return tuple(values)
