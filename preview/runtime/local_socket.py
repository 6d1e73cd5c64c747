"""Local sockets by which programs in sandboxes without a network reach a server."""

from __future__ import annotations

import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import trio

from preview.runtime.interface import Serve
from preview.runtime.kernel.linux import beside
from preview.runtime.sandbox.port_forwarding import accept_all

# More connections than a client program opens.
_MOST_CONNECTIONS = 16
_FOLDER = os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


@asynccontextmanager
async def open_local_socket(path: Path, serve: Serve) -> AsyncIterator[None]:
    """Listen on a new local socket while the context is open.

    Args:
        path: Its path. The folder exists, and no other program has written to it yet.
        serve: Serves one connection, which is closed afterwards.

    Raises:
        OSError: It cannot be made.

    Cancellation: every connection is closed.
    """
    limiter = trio.CapacityLimiter(_MOST_CONNECTIONS)
    async with beside(partial(accept_all, listen_local(path), serve, limiter)):
        yield


def listen_local(path: Path) -> socket.socket:
    """Return a local socket that listens at a path whose folder exists; the caller closes it.

    Raises:
        OSError: It cannot be made.
    """
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        folder = os.open(path.parent, _FOLDER)
        try:
            # By descriptor: a path of a socket may have 107 bytes at most (unix(7)).
            listener.bind(f"/proc/self/fd/{folder}/{path.name}")
        finally:
            os.close(folder)
        listener.listen(_MOST_CONNECTIONS)
    except OSError:
        listener.close()
        raise
    return listener
