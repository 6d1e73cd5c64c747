"""Requests of the campaign's tasks, over kept connections: a client for each request costs more than its answer."""

from __future__ import annotations

import json
import socket
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import trio
from cluster_wire import Message

__all__ = ["Asker", "Reply"]

_BROKEN = (OSError, trio.BrokenResourceError, trio.ClosedResourceError, ValueError)
_PORTION_BYTES = 65536


@dataclass(frozen=True)
class Reply:
    """A response; status 0 without one."""

    status: int
    content: bytes = b""

    @property
    def text(self) -> str:
        return self.content.decode(errors="replace")

    def json(self) -> Any:
        return json.loads(self.content)


class Asker:
    """Sends requests to nodes."""

    def __init__(self) -> None:
        self._kept: dict[str, list[trio.SocketStream]] = {}

    async def ask(self, url: str, method: str, path: str, within_s: float, body: object = None, **fields: str) -> Reply:
        """Send one request; status 0 if there is no answer in time. Cancellation: its connection is closed.

        Args:
            url: Address of the node.
            method: Of the request.
            path: Its target.
            within_s: Seconds until it is given up.
            body: Sent as JSON.
            fields: The head's fields.
        """
        content = b"" if body is None else json.dumps(body).encode()
        fields = {"Host": urlsplit(url).netloc, **fields}
        if body is not None:
            fields |= {"Content-Type": "application/json", "Content-Length": str(len(content))}
        head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        with trio.move_on_after(within_s), suppress(*_BROKEN):
            stream = self._take_kept(url) or await _connect(url)
            message, is_whole = Message(), False
            try:
                await stream.send_all(f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode() + content)
                while not is_whole:
                    data = await stream.receive_some(_PORTION_BYTES)
                    if not data:
                        raise trio.BrokenResourceError
                    is_whole = message.take(bytes(data))
            finally:
                if not is_whole or not message.keeps:
                    stream.socket.close()
            if message.keeps:
                self._kept.setdefault(url, []).append(stream)
            return Reply(message.status, message.body)
        return Reply(0)

    def close(self) -> None:
        """Close the kept connections."""
        for kept in self._kept.values():
            for stream in kept:
                stream.socket.close()
        self._kept.clear()

    def _take_kept(self, url: str) -> trio.SocketStream | None:
        kept = self._kept.get(url, [])
        while kept:
            stream = kept.pop()
            if not _is_over(stream):
                return stream
            stream.socket.close()
        return None


def _is_over(stream: trio.SocketStream) -> bool:
    """Return whether the other side has closed a quiet connection."""
    with socket.socket(fileno=socket.dup(stream.socket.fileno())) as same:
        try:
            same.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except BlockingIOError:
            return False
        except OSError:
            return True
    # Its end, or bytes that nobody has asked for.
    return True


async def _connect(url: str) -> trio.SocketStream:
    parts = urlsplit(url)
    return await trio.open_tcp_stream(parts.hostname or "", parts.port or 80)
