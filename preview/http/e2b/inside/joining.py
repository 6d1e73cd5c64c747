"""Joins two pipes of the service with a connection to a port of the sandbox, in a process of its own."""

from __future__ import annotations

import _thread
import os
import select
import signal
import socket

_PIECE_BYTES = 64 * 1024
_HOSTS = ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1"))
_PATIENCE_S = 5.0


def join(port: int, source: int, sink: int) -> None:
    """Connect, write one byte to ``sink`` (``+``, or ``-`` if nothing listens), and pass bytes on in both directions.

    It ends when the server closes the connection, or the service both pipes.
    """
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    stream = _connected(port)
    os.write(sink, b"-" if stream is None else b"+")
    if stream is None:
        return
    _thread.start_new_thread(_inwards, (source, stream, sink))
    while piece := stream.recv(_PIECE_BYTES):
        left = memoryview(piece)
        while left:
            left = left[os.write(sink, left) :]


def _connected(port: int) -> socket.socket | None:
    for family, host in _HOSTS:
        try:
            stream = socket.socket(family, socket.SOCK_STREAM)
            stream.settimeout(_PATIENCE_S)
            stream.connect((host, port))
        except OSError:
            continue
        stream.settimeout(None)
        stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return stream
    return None


def _inwards(source: int, stream: socket.socket, sink: int) -> None:
    try:
        while piece := os.read(source, _PIECE_BYTES):
            stream.sendall(piece)
        stream.shutdown(socket.SHUT_WR)
    except OSError:
        os._exit(1)
    # The kernel reports an error as soon as nobody can read from the pipe: a silent stream ends with its reader.
    reader = select.poll()
    reader.register(sink, 0)
    reader.poll()
    os._exit(0)
