"""The program whose output the stream benchmarks watch: it prints numbered lines when it is asked to.

It listens at ``PORT`` and needs the standard library only, so that a copy of this file is a whole project.
``GET /print?first=0&lines=4000&rate=1000`` is answered at once; then the lines go to stdout, one write each, or to the
HTTP publisher that ``POST_TO`` (``PORT/PATH`` on loopback) names, one POST each on one connection. ``rate=0`` is as
fast as it can. Each line bears the moment of its printing (CLOCK_MONOTONIC, nanoseconds) and its number.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import threading
import time
from collections.abc import Callable
from urllib.parse import parse_qs, urlsplit

__all__ = ["MARK", "document", "line"]

# What subscribers look for: the moment (19 digits), the number (9), and a "~", which stands nowhere else.
MARK = rb"t(\d{19})n(\d{9})~"
# Lines of one write where they are printed as fast as possible: what a buffered stdout would make of them.
_BLOCK_LINES = 400
_NOWHERE = "2026-01-01T00:00:00.000Z"


def line(number: int) -> str:
    """A line of the usual length; no line end."""
    return (
        f'INFO:     t{time.monotonic_ns():019d}n{number:09d}~ 127.0.0.1:52340 - "GET /items/123?q=abc HTTP/1.1" 200 OK'
    )


def document(text: str) -> str:
    """What a server sends as an event's data: as many bytes, and the same fields, for each of them."""
    return json.dumps({"timestamp": _NOWHERE, "level": "INFO", "message": text, "source": "subprocess"})


def to_stdout(texts: list[str]) -> None:
    """Print lines in one write."""
    rest = memoryview(("\n".join(texts) + "\n").encode())
    while rest:
        rest = rest[os.write(1, rest) :]


def publisher(target: str) -> Callable[[list[str]], None]:
    """POST each line; answers are read and thrown away by a thread of their own."""
    port, _, path = target.partition("/")
    connection = socket.create_connection(("127.0.0.1", int(port)))
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def drain() -> None:
        while connection.recv(65536):
            pass

    threading.Thread(target=drain, daemon=True).start()

    def post(texts: list[str]) -> None:
        requests = []
        for text in texts:
            body = document(text)
            head = f"POST /{path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n"
            requests.append(head + body)
        connection.sendall("".join(requests).encode())

    return post


def print_lines(write: Callable[[list[str]], None], first: int, count: int, rate: float) -> None:
    """Write lines at ``rate`` per second, each when it is due."""
    if not rate:
        for start in range(first, first + count, _BLOCK_LINES):
            write([line(number) for number in range(start, min(start + _BLOCK_LINES, first + count))])
        return
    begun, done = time.monotonic(), 0
    while done < count:
        due = min(count, int((time.monotonic() - begun) * rate) + 1)
        for number in range(done, due):
            write([line(first + number)])
        done = due
        time.sleep(max(0.0, begun + done / rate - time.monotonic()))


def main() -> None:
    listener = socket.create_server(("127.0.0.1", int(os.environ["PORT"])))
    target = os.environ.get("POST_TO")
    write = publisher(target) if target else to_stdout
    print("ready", file=sys.stderr, flush=True)
    while True:
        connection, _ = listener.accept()
        with connection:
            request = connection.recv(65536).decode("latin-1")
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        if request.startswith("GET /print?"):
            asked = {name: values[0] for name, values in parse_qs(urlsplit(request.split()[1]).query).items()}
            job = (write, int(asked["first"]), int(asked["lines"]), float(asked["rate"]))
            threading.Thread(target=print_lines, args=job, daemon=True).start()


if __name__ == "__main__":
    main()
