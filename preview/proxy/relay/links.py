"""One end of a relayed connection: a socket that is read and written without anything between it and the kernel."""

from __future__ import annotations

import socket
import struct
from collections.abc import Sequence
from contextlib import suppress
from typing import Generic, TypeVar

import trio

K = TypeVar("K")
V = TypeVar("V")


class Memo(Generic[K, V]):
    """Keeps so many values, and each for one or two ages behind its last use; then nothing of it is left here.

    Args:
        limit: The most that are kept.
    """

    __slots__ = ("_half", "_old", "_young")

    def __init__(self, limit: int) -> None:
        self._half = max(1, limit // 2)
        self._young: dict[K, V] = {}
        self._old: dict[K, V] = {}

    def __len__(self) -> int:
        """Return the number of entries."""
        return len(self._young) + len(self._old)

    def get(self, key: K) -> V | None:
        """Return the value; None if it no longer exists."""
        found = self._young.get(key)
        if found is None and self._old:
            found = self._old.pop(key, None)
            if found is not None:
                self.put(key, found)
        return found

    def put(self, key: K, value: V) -> None:
        """Keep it; where there are too many, those that were not used for the longest time go."""
        if len(self._young) >= self._half:
            self.age()
        self._young[key] = value

    def drop(self, key: K) -> None:
        """Forget it."""
        self._young.pop(key, None)
        self._old.pop(key, None)

    def age(self) -> None:
        """Start a new age: entries unused in the last one are dropped."""
        self._old, self._young = self._young, {}


Payload = bytes | bytearray | memoryview

# What ``send`` can be expected to take at once; the kernel's limit of pieces is IOV_MAX (1024, sendmsg(2)).
_MAX_PIECES = 64
# Below it, putting pieces together costs less than telling the kernel of each.
_SMALL_BYTES = 8 * 1024
_NOTHING = memoryview(b"")
# struct linger: on, 0 s (socket(7)).
_AT_ONCE = struct.pack("ii", 1, 0)


class BrokenLink(Exception):
    """A connection has ended where it should not have, or cannot be written to."""


class ClientGone(BrokenLink):
    """The client's."""


class UpstreamGone(BrokenLink):
    """The preview's."""


class Link:
    """A connected, non-blocking socket. Its maker closes it.

    A read that finds nothing waits; one that finds something does not: a loop of reads yields in between (see
    ``bodies``). It is fit for one reader and one writer at a time.

    Attributes:
        sock: The socket.
        fd: Its descriptor.
        rest: Bytes that have come and are not used yet.

    Args:
        sock: The socket.
        gone: What is raised where it breaks.
    """

    __slots__ = ("_gone", "fd", "rest", "sock")

    def __init__(self, sock: socket.socket, gone: type[BrokenLink]) -> None:
        self.sock = sock
        self.rest = b""
        self.fd = sock.fileno()
        self._gone = gone

    async def receive(self, size: int) -> bytes:
        """Wait for the next bytes; empty at the end of the stream.

        Raises:
            BrokenLink: The connection was reset.

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
            BrokenLink: The connection was reset.

        Cancellation: nothing is lost.
        """
        while True:
            try:
                return self.sock.recv_into(buffer)
            except BlockingIOError:
                await trio.lowlevel.wait_readable(self.fd)
            except OSError as error:
                raise self._gone from error

    async def receive_behind(self, buffer: memoryview, held: bytes) -> int:
        """Wait for more, and put it into a buffer that others use meanwhile, behind what is held.

        Returns:
            How many bytes of the buffer are good; as many as were held at the end of the stream.

        Raises:
            BrokenLink: The connection was reset.

        Cancellation: nothing is lost.
        """
        while True:
            await trio.lowlevel.wait_readable(self.fd)
            try:
                size = self.sock.recv_into(buffer[len(held) :] if held else buffer)
            except BlockingIOError:
                continue
            except OSError as error:
                raise self._gone from error
            buffer[: len(held)] = held
            return len(held) + size

    async def receive_some_into(self, buffer: memoryview) -> int:
        """Receive like ``receive_into``, but the stream must not end.

        Raises:
            BrokenLink: The connection was reset, or has ended.

        Cancellation: nothing is lost.
        """
        size = await self.receive_into(buffer)
        if not size:
            raise self._gone
        return size

    def send_now(self, pieces: Sequence[Payload]) -> memoryview:
        """Send what the kernel takes at once; answers with the rest, which nothing else holds.

        Raises:
            BrokenLink: The peer takes nothing any more.
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
            return _NOTHING
        return memoryview(b"".join(pieces))[sent:]

    async def send_on(self, data: memoryview) -> memoryview:
        """Wait until the kernel takes more, and send that; answers with the rest.

        Raises:
            BrokenLink: The peer takes nothing any more.

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
            BrokenLink: The peer takes nothing any more.

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
