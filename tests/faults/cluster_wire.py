"""Many connections in one thread, cheaply: epoll(7), calls at their times, and heads and bodies of HTTP/1.1."""

from __future__ import annotations

import errno
import heapq
import itertools
import os
import select
import socket
import time
from collections.abc import Callable

__all__ = ["Chunks", "Link", "Loop", "Message"]

_READ_BYTES = 65536
# Calls are late by so much at most while connections are quiet.
_TICK_S = 0.002
_LOOK_EACH_S = 0.25


class Link:
    """One connection. Subclasses say what happens on it.

    Invariant: links are made in calls of ``Loop.after`` only. One made while events are served could have the number
    of a closed one, and take its events.

    Attributes:
        deadline: It is closed then; a time of ``time.monotonic``.
        is_open: It is connected.
    """

    __slots__ = ("deadline", "is_open", "sock")

    def __init__(self, loop: Loop, address: tuple[str, int], deadline: float) -> None:
        self.deadline, self.is_open = deadline, False
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        loop.add(self, self.sock.connect_ex(address))

    def opened(self) -> None:
        """It is connected."""

    def received(self, data: bytes) -> bool:
        """Take what came; return whether the connection goes on."""
        raise NotImplementedError

    def closed(self) -> None:
        """It is gone: by us, by the other side, or at its deadline."""


class Loop:
    """Owns all links."""

    def __init__(self) -> None:
        self.now = time.monotonic()
        self._poll = select.epoll()
        self._links: dict[int, Link] = {}
        self._calls: list[tuple[float, int, Callable[[], object]]] = []
        self._numbers = itertools.count()

    def add(self, link: Link, error: int) -> None:
        """Take a link that connects; ``error`` is the answer of ``connect_ex``."""
        self._links[link.sock.fileno()] = link
        if error not in {0, errno.EINPROGRESS}:
            self.after(0, lambda: self.close(link))
            return
        self._poll.register(link.sock.fileno(), select.EPOLLOUT)

    def after(self, seconds: float, call: Callable[[], object]) -> None:
        heapq.heappush(self._calls, (self.now + seconds, next(self._numbers), call))

    def close(self, link: Link) -> None:
        """Close a link once; a second time nothing happens."""
        number = link.sock.fileno()
        if number >= 0 and self._links.pop(number, None) is not None:
            link.sock.close()
            link.closed()

    def run(self, until_end_of: int) -> None:
        """Go on until this descriptor's end is read."""
        self._poll.register(until_end_of, select.EPOLLIN)
        looked_at = self.now
        while True:
            for number, _ in self._poll.poll(_TICK_S):
                if number == until_end_of:
                    if not os.read(number, _READ_BYTES):
                        return
                elif (link := self._links.get(number)) is not None:
                    self._serve(number, link)
            self.now = time.monotonic()
            due = list[Callable[[], object]]()
            while self._calls and self._calls[0][0] <= self.now:
                due.append(heapq.heappop(self._calls)[2])
            for call in due:
                call()
            if self.now >= looked_at + _LOOK_EACH_S:
                looked_at = self.now
                for link in [one for one in self._links.values() if one.deadline <= looked_at]:
                    self.close(link)

    def _serve(self, number: int, link: Link) -> None:
        if not link.is_open:
            if link.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
                self.close(link)
                return
            link.is_open = True
            self._poll.modify(number, select.EPOLLIN)
            link.opened()
            return
        try:
            data = link.sock.recv(_READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data or not link.received(data):
            self.close(link)

    def send(self, link: Link, data: bytes) -> None:
        """Send something short. What does not fit into the socket's buffer at once closes the link."""
        try:
            if link.sock.send(data) == len(data):
                return
        except OSError:
            pass
        self.close(link)


class Message:
    """One response with a length, or in chunks, in pieces as they come."""

    __slots__ = ("_data", "body", "keeps", "status")

    def __init__(self) -> None:
        self._data = b""
        self.status, self.body, self.keeps = 0, b"", True

    def take(self, data: bytes) -> bool:
        """Add a piece; return whether the response is complete. Raises: ValueError."""
        self._data = data = self._data + data
        head, found, body = data.partition(b"\r\n\r\n")
        if not found:
            return False
        lower = head.lower()
        at = lower.find(b"\r\ncontent-length:")
        if at >= 0:
            end = lower.find(b"\r\n", at + 2)
            if len(body) < int(lower[at + 17 : end if end >= 0 else None]):
                return False
        elif b"\r\ntransfer-encoding:" in lower:
            chunks = Chunks()
            body = b"".join(chunks.take(body))
            if not chunks.is_over:
                return False
        elif lower[9:12] not in {b"204", b"304"}:
            raise ValueError(head)
        self.status, self.body, self.keeps = int(lower[9:12]), body, b"\r\nconnection: close" not in lower
        return True


class Chunks:
    """A body in chunks (RFC 9112, 7.1), in pieces as they come."""

    __slots__ = ("_rest", "is_over")

    def __init__(self) -> None:
        self._rest, self.is_over = b"", False

    def take(self, data: bytes) -> list[bytes]:
        """Add a piece; return the chunks that are complete. Raises: ValueError."""
        data = self._rest + data if self._rest else data
        at, found = 0, list[bytes]()
        while (end := data.find(b"\r\n", at)) >= 0:
            size = int(data[at:end], 16)
            after = end + 2 + size
            if len(data) < after + 2:
                break
            at = after + 2
            if size == 0:
                self.is_over = True
                break
            found.append(data[end + 2 : after])
        self._rest = data[at:]
        return found
