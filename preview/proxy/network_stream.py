"""One end of a relayed connection: a socket that is read and written without anything between it and the kernel."""

from __future__ import annotations

import socket
import struct
from collections.abc import Sequence
from contextlib import suppress

import trio

from preview.proxy.http1 import Payload

# What ``send`` can be expected to take at once; the kernel's limit of pieces is IOV_MAX (1024, sendmsg(2)).
_MAX_PIECES = 64
# Below it, putting pieces together costs less than telling the kernel of each.
_SMALL_BYTES = 8 * 1024
NOTHING = memoryview(b"")
# struct linger: on, 0 s (socket(7)).
_AT_ONCE = struct.pack("ii", 1, 0)


class BrokenConnection(Exception):
    """A connection has ended where it should not have, or cannot be written to."""


class ClientGone(BrokenConnection):
    """The client's."""


class UpstreamGone(BrokenConnection):
    """The preview's."""


class NetworkStream:
    """A connected, non-blocking socket. Its maker closes it.

    A read that finds nothing waits; one that finds something does not: a loop of reads yields in between (see
    ``SlowPath``). It is fit for one reader and one writer at a time.

    Attributes:
        sock: The socket.
        fd: Its descriptor.
        rest: Bytes that have come and are not used yet.

    Args:
        sock: The socket.
        gone: What is raised where it breaks.
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

        Cancellation: nothing is lost.
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
        """Receive like ``receive``, into a buffer; received bytes are taken without waiting.

        Raises:
            BrokenConnection: The connection was reset.

        Cancellation: nothing is lost.
        """
        while True:
            try:
                return self.sock.recv_into(buffer)
            except BlockingIOError:
                await trio.lowlevel.wait_readable(self.fd)
            except OSError as error:
                raise self._gone from error

    def send_now(self, pieces: Sequence[Payload]) -> memoryview:
        """Send what the kernel takes at once; answers with the rest, which nothing else holds.

        Raises:
            BrokenConnection: The peer takes nothing any more.
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
        """Wait until the kernel takes more, and send that; answers with the rest.

        Raises:
            BrokenConnection: The peer takes nothing any more.

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
        """Send all of it.

        Raises:
            BrokenConnection: The peer takes nothing any more.

        Cancellation: part of it may have been sent.
        """
        rest = self.send_now((data,))
        while rest:
            rest = await self.send_on(rest)

    def end(self) -> None:
        """Say that nothing more comes; the other direction stays open."""
        with suppress(OSError):  # it is closed already
            self.sock.shutdown(socket.SHUT_WR)

    def abort(self) -> None:
        """Make the closing to come a reset, which nobody takes for an end."""
        with suppress(OSError):
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
