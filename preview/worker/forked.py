"""The service's handle of one worker: a connection, a pidfd and the page with the name of the current file."""

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
    """The worker server ended while the job ran; the job itself may be fine."""


class ForkedWorker:
    """A worker that takes one job and gives one answer.

    Attributes:
        pid: Process id; the system may reuse it after the server has reaped the worker.
        file: Untrusted name of the file that the worker read last; empty if unknown and after ``kill``.
        ended: Set when the worker has ended and ``status`` is known.
        status: Exit status as from ``os.waitstatus_to_exitcode``; None while unknown.
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
        """Name of the file that the worker read last; see the class."""
        return read_progress(self._progress) if self._is_open else ""

    async def send(self, data: bytes, files: Sequence[int]) -> None:
        """Send the job. If the worker closes the connection early, ``receive`` shows that.

        Cancellation: a part of the job may be sent already; kill the worker.
        """
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", files))] if files else []
        with suppress(BrokenPipeError, ConnectionResetError):
            sent = await self._connection.sendmsg([data], rights)
            while sent < len(data):
                sent += await self._connection.send(memoryview(data)[sent:])

    async def receive(self, limit_bytes: int) -> bytes:
        """Return all data until the worker closes the connection, or until it is longer than ``limit_bytes``.

        Cancellation: the data received so far is lost.
        """
        said = bytearray()
        with suppress(ConnectionResetError):
            while len(said) <= limit_bytes and (piece := await self._connection.recv(_PIECE_BYTES)):
                said += piece
        return bytes(said)

    def end(self, status: int) -> None:
        """Record the exit status that the server reported."""
        self.status = status
        self.ended.set()

    def kill(self) -> None:
        """Kill the worker and close its descriptors. May be called again."""
        if self._is_open:
            self._is_open = False
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)
            self._connection.close()
            os.close(self._pidfd)
            os.close(self._progress)
