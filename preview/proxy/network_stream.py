"""One end of a relayed connection: a socket that is read and written directly, without buffering above the kernel."""

from __future__ import annotations

import socket
import struct
from collections.abc import Sequence
from contextlib import suppress

import trio

from preview.proxy.http1 import Payload

# Roughly the number of pieces that one ``send`` takes. The kernel allows IOV_MAX pieces (1024, sendmsg(2)).
_MAX_PIECES = 64
# Below this size, joining pieces costs less than passing each to the kernel.
_SMALL_BYTES = 8 * 1024
NOTHING = memoryview(b"")
# struct linger: on, 0 s (socket(7)).
_AT_ONCE = struct.pack("ii", 1, 0)


class BrokenConnection(Exception):
    """A connection ended too early, or cannot be written to."""


class ClientGone(BrokenConnection):
    """The client's connection ended too early, or cannot be written to."""


class UpstreamGone(BrokenConnection):
    """The preview's connection ended too early, or cannot be written to."""


class NetworkStream:
    """A connected, non-blocking socket. The code that creates the stream closes it.

    A read without available data waits; a read with data returns without a checkpoint, so loops must yield themselves
    (see ``SlowPath``). At most one reader and one writer may use the stream at a time.

    Attributes:
        sock: The socket.
        fd: File descriptor of the socket.
        rest: Received bytes that are not processed yet.

    Args:
        sock: The socket.
        gone: Exception to raise when the connection breaks.
    """

    __slots__ = ("_gone", "fd", "rest", "sock")

    def __init__(self, sock: socket.socket, gone: type[BrokenConnection]) -> None:
        self.sock = sock
        self.rest = b""
        self.fd = sock.fileno()
        self._gone = gone

    async def receive(self, size: int) -> bytes:
        """Wait for the next bytes; empty at the end of the stream.

        Raises:
            BrokenConnection: The connection was reset.

        Cancellation: no data is lost.
        """
        while True:
            await trio.lowlevel.wait_readable(self.fd)
            try:
                return self.sock.recv(size)
            except BlockingIOError:
                continue
            except OSError as error:
                raise self._gone from error

    async def receive_into(self, buffer: memoryview) -> int:
        """Receive into a buffer. Data that is available is taken without waiting.

        Raises:
            BrokenConnection: The connection was reset.

        Cancellation: no data is lost.
        """
        while True:
            try:
                return self.sock.recv_into(buffer)
            except BlockingIOError:
                await trio.lowlevel.wait_readable(self.fd)
            except OSError as error:
                raise self._gone from error

    def send_now(self, pieces: Sequence[Payload]) -> memoryview:
        """Send as much as the kernel takes without waiting, and return a copy of the rest.

        Raises:
            BrokenConnection: The peer accepts no more data.
        """
        size = sum(map(len, pieces))
        if len(pieces) > 1 and (size < _SMALL_BYTES or len(pieces) > _MAX_PIECES):
            pieces = (b"".join(pieces),)
        try:
            sent = self.sock.send(pieces[0]) if len(pieces) == 1 else self.sock.sendmsg(pieces)
        except BlockingIOError:
            sent = 0
        except OSError as error:
            raise self._gone from error
        if sent == size:
            return NOTHING
        return memoryview(b"".join(pieces))[sent:]

    async def send_on(self, data: memoryview) -> memoryview:
        """Wait until the kernel takes more, send it, and return the rest.

        Raises:
            BrokenConnection: The peer accepts no more data.

        Cancellation: nothing was sent.
        """
        await trio.lowlevel.wait_writable(self.fd)
        try:
            return data[self.sock.send(data) :]
        except BlockingIOError:
            return data
        except OSError as error:
            raise self._gone from error

    async def send(self, data: Payload) -> None:
        """Send all the data.

        Raises:
            BrokenConnection: The peer accepts no more data.

        Cancellation: part of the data may have been sent.
        """
        rest = self.send_now((data,))
        while rest:
            rest = await self.send_on(rest)

    def end(self) -> None:
        """Close the sending direction; the receiving direction stays open."""
        with suppress(OSError):  # already closed
            self.sock.shutdown(socket.SHUT_WR)

    def abort(self) -> None:
        """Make the next close send a reset, which the peer cannot mistake for a regular end."""
        with suppress(OSError):
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
