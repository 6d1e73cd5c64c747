"""Requests on kept connections, as ``round_trips.py`` asks them: HTTP/1.1, WebSocket frames, events."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

__all__ = ["CASES", "Ask", "Connection", "Way"]

_PATIENCE_S = 30.0
_CONTENT = b"x" * 1024
_UPGRADE = (
    "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
)
# A client's frame of text with a mask of zeros, and what comes back (RFC 6455 section 5.2).
_FRAME, _ECHOED = b"\x81\x85\0\0\0\0hello", b"\x81\x05hello"


@dataclass(frozen=True)
class Way:
    """How to reach the application: a port, what stands ahead of a path, and further fields of each request."""

    port: int
    host: str = "localhost"
    prefix: str = ""
    fields: Mapping[str, str] = field(default_factory=dict)
    # Where it is asked by an envelope: the route.
    call: str = ""

    def request(self, method: str, path: str, body: bytes = b"", more: str = "") -> bytes:
        target = self.prefix + path
        fields = dict(self.fields)
        if self.call:
            envelope = {"method": method, "path": path, "body": body.decode() or None}
            method, target, body = "POST", self.call, json.dumps(envelope).encode()
            fields["Content-Type"] = "application/json"
        if body:
            fields["Content-Length"] = str(len(body))
        lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        return f"{method} {target} HTTP/1.1\r\nHost: {self.host}\r\n{lines}{more}\r\n".encode() + body


class Connection:
    """A client's kept connection: HTTP/1.1 as these servers write it, and no more."""

    def __init__(self, way: Way) -> None:
        self._port = way.port
        self._open()

    def _open(self) -> None:
        self._socket = socket.create_connection(("127.0.0.1", self._port), timeout=_PATIENCE_S)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._rest = b""

    def close(self) -> None:
        self._socket.close()

    def send(self, data: bytes) -> None:
        self._socket.sendall(data)

    def until(self, end: bytes) -> bytes:
        while end not in self._rest:
            self._more()
        got, _, self._rest = self._rest.partition(end)
        return got

    def exactly(self, size: int) -> bytes:
        pieces, length = [self._rest], len(self._rest)
        while length < size:
            piece = self._receive()
            pieces.append(piece)
            length += len(piece)
        whole = b"".join(pieces)
        self._rest = whole[size:]
        return whole[:size]

    def head(self, status: bytes = b"200") -> bytes:
        head = self.until(b"\r\n\r\n").lower() + b"\r\n"
        if head.split(b" ", 2)[1][:3] != status:
            raise SystemExit(f"answered with {head!r} {self._rest[:500]!r}")
        return head

    def answer(self) -> None:
        head = self.head()
        if b"\r\ntransfer-encoding: chunked" in head:
            while size := int(self.until(b"\r\n"), 16):
                self.exactly(size + 2)
            self.exactly(2)
        else:
            self.exactly(int(head.partition(b"\r\ncontent-length:")[2].partition(b"\r\n")[0]))
        if b"\r\nconnection: close" in head:
            # waitress, behind an answer whose length it does not know; the next request pays for the new connection.
            self.close()
            self._open()

    def _more(self) -> None:
        self._rest += self._receive()

    def _receive(self) -> bytes:
        piece = self._socket.recv(262_144)
        if not piece:
            raise SystemExit("a connection has ended that was to be kept")
        return piece


# Ask once; milliseconds.
Ask = Callable[[Connection], float]


def plain(way: Way, method: str, path: str, body: bytes = b"") -> Ask:
    request = way.request(method, path, body)

    def ask(connection: Connection) -> float:
        began = time.perf_counter()
        connection.send(request)
        connection.answer()
        return (time.perf_counter() - began) * 1000

    return ask


def echoed(way: Way) -> Ask:
    opened: set[Connection] = set()

    def ask(connection: Connection) -> float:
        if connection not in opened:
            connection.send(way.request("GET", "/ws", more=_UPGRADE))
            connection.head(b"101")
            opened.add(connection)
        began = time.perf_counter()
        connection.send(_FRAME)
        if connection.exactly(len(_ECHOED)) != _ECHOED:
            raise SystemExit("a WebSocket says something else")
        return (time.perf_counter() - began) * 1000

    return ask


def ticked(way: Way) -> Ask:
    opened: set[Connection] = set()

    def ask(connection: Connection) -> float:
        if connection not in opened:
            connection.send(way.request("GET", "/ticks"))
            connection.head()
            opened.add(connection)
        connection.until(b"data: ")
        written_ns = int(connection.until(b"\n"))
        return (time.monotonic_ns() - written_ns) / 1_000_000

    return ask


CASES: Mapping[str, Callable[[Way], Ask]] = {
    "small": lambda way: plain(way, "GET", "/"),
    "large": lambda way: plain(way, "GET", "/large"),
    "streamed": lambda way: plain(way, "GET", "/streamed"),
    "post": lambda way: plain(way, "POST", "/echo", _CONTENT),
    "websocket": echoed,
    "ticks": ticked,
}
