"""The least that can be done for subscribers: bytes are made ready once, and given to each socket. No product.

``python _bare_sender.py PORT``: whoever connects and asks for anything gets an event stream, into which each line of
stdin goes. It tells what client, kernel and machine can take, so it does nothing else: no routes, no history, no
time limits, no bound for a slow reader.
"""

from __future__ import annotations

import os
import selectors
import socket
import sys

from _printer import document

__all__ = ["serve"]

_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
_READ = 64 * 1024


class Sender:
    """All subscribers, and what some have not yet taken."""

    def __init__(self, port: int) -> None:
        self.selector = selectors.DefaultSelector()
        self.listener = socket.create_server(("127.0.0.1", port), backlog=4096)
        self.listener.setblocking(False)
        self.waiting: dict[socket.socket, bytearray] = {}
        self.subscribers: list[socket.socket] = []
        self.rest = b""
        self.number = 0

    def serve(self) -> None:
        """Until stdin ends."""
        self.selector.register(self.listener, selectors.EVENT_READ, self.accept)
        self.selector.register(0, selectors.EVENT_READ, self.spread)
        os.set_blocking(0, False)
        while True:
            for key, mask in self.selector.select():
                if key.data in (self.accept, self.spread):
                    key.data()
                elif isinstance(key.fileobj, socket.socket):
                    self.greet(key.fileobj) if mask & selectors.EVENT_READ else self.flush(key.fileobj)

    def accept(self) -> None:
        subscriber, _ = self.listener.accept()
        subscriber.setblocking(False)
        subscriber.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.selector.register(subscriber, selectors.EVENT_READ)

    def greet(self, subscriber: socket.socket) -> None:
        """The request has come, or the peer is gone."""
        self.selector.unregister(subscriber)
        try:
            if subscriber.recv(_READ):
                subscriber.send(_HEAD)
                self.subscribers.append(subscriber)
        except OSError:
            subscriber.close()

    def spread(self) -> None:
        """What stdin has, as one chunk to all."""
        block = os.read(0, 16 * _READ)
        if not block:
            sys.exit()
        *lines, self.rest = (self.rest + block).split(b"\n")
        if not lines:
            return
        events = "".join(
            f"id: {self.number + at}\ndata: {document(line.decode())}\n\n" for at, line in enumerate(lines, 1)
        )
        self.number += len(lines)
        chunk = b"%x\r\n%b\r\n" % (len(events), events.encode())
        for subscriber in self.subscribers:
            if (rest := self.waiting.get(subscriber)) is not None:
                rest += chunk
                continue
            try:
                sent = subscriber.send(chunk)
            except BlockingIOError:
                sent = 0
            except OSError:
                continue
            if sent < len(chunk):
                self.waiting[subscriber] = bytearray(chunk[sent:])
                self.selector.register(subscriber, selectors.EVENT_WRITE)

    def flush(self, subscriber: socket.socket) -> None:
        rest = self.waiting[subscriber]
        try:
            del rest[: subscriber.send(rest)]
        except BlockingIOError:
            return
        except OSError:
            rest.clear()
        if not rest:
            del self.waiting[subscriber]
            self.selector.unregister(subscriber)


def serve(port: int) -> None:
    Sender(port).serve()


if __name__ == "__main__":
    serve(int(sys.argv[1]))
