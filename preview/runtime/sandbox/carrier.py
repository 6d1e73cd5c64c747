"""Serves a preview's port from outside of its sandbox, where the socket itself may not go in.

A TCP socket of the machine's network is given to a sandbox only behind a fence (see ``fence``), which newer kernels let
none put up but whoever administers the network. Elsewhere the service accepts by itself, and carries each connection
through a local socket, which leads nowhere else, to a bridge in the sandbox.
"""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import trio

from preview.runtime.kernel.beside import beside
from preview.runtime.sandbox.relay import carry_all

_BACKLOG = 512
# Of one preview.
_MOST_CONNECTIONS = 256


@asynccontextmanager
async def open_carrier(listener: socket.socket) -> AsyncIterator[socket.socket]:
    """The local socket that stands in for the listening one in the sandbox; connections are carried meanwhile.

    The caller passes it to the child; it is closed here. The listener stays open.

    Raises:
        OSError: No descriptor is left.

    Cancellation: every connection is closed.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as local, listener.dup() as accepting:
        # The kernel gives it a name that nobody has, and that needs no file (unix(7), autobind).
        local.bind("")
        local.listen(_BACKLOG)
        connect = partial(_connect, local.getsockname())
        async with beside(partial(carry_all, accepting, connect, trio.CapacityLimiter(_MOST_CONNECTIONS))):
            yield local


async def _connect(name: bytes) -> trio.SocketStream:
    inside = trio.socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        await inside.connect(name)
    except BaseException:
        inside.close()
        raise
    return trio.SocketStream(inside)
