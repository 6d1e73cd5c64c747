"""One worker as the service sees it: a connection, a pidfd and the page with the file that it reads."""

from __future__ import annotations

import array
import os
import signal
import socket
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

import trio

from preview.worker.checks import read_progress

_PIECE_BYTES: Final = 64 << 10


class ServerEnded(Exception):
    """The worker server was ended while the job ran: nothing is said by it about the job."""


class ForkedWorker:
    """Takes one job, gives one answer.

    Attributes:
        pid: Its number, while the server has not told of its end.
        file: The file that it read last, in its own word; empty without one. Known after ``kill``.
        ended: Set when it has ended and ``status`` is known.
        status: As ``os.waitstatus_to_exitcode``.
    """

    def __init__(self, pid: int, descriptors: Sequence[int]) -> None:
        connection, self._pidfd, self._progress = descriptors
        self.pid = pid
        self._connection = trio.socket.from_stdlib_socket(socket.socket(fileno=connection))
        self._is_open = True
        self.ended = trio.Event()
        self.status: int | None = None

    @property
    def file(self) -> str:
        """See the class."""
        return read_progress(self._progress) if self._is_open else ""

    async def send(self, data: bytes, files: Sequence[int]) -> None:
        """Send the job. A worker that does not take it shows so by its answer.

        Cancellation: it has taken a part of it: kill it.
        """
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", files))] if files else []
        with suppress(BrokenPipeError, ConnectionResetError):
            sent = await self._connection.sendmsg([data], rights)
            while sent < len(data):
                sent += await self._connection.send(memoryview(data)[sent:])

    async def receive(self, limit_bytes: int) -> bytes:
        """All that it says until it closes the connection, up to one byte more than ``limit_bytes``.

        Cancellation: the rest is lost.
        """
        said = bytearray()
        with suppress(ConnectionResetError):
            while len(said) <= limit_bytes and (piece := await self._connection.recv(_PIECE_BYTES)):
                said += piece
        return bytes(said)

    def end(self, status: int) -> None:
        """Note the end, reported by the server."""
        self.status = status
        self.ended.set()

    def kill(self) -> None:
        """Kill it, and release what is held of it. May be called again."""
        if self._is_open:
            self._is_open = False
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)
            self._connection.close()
            os.close(self._pidfd)
            os.close(self._progress)
