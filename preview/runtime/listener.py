"""The preview's listening socket, bound by the service itself: holding the socket is holding the port."""

from __future__ import annotations

import errno
import socket
from collections.abc import Collection

from preview.errors import NoPortFree

# Connections that arrive before the app is ready wait here; the probe is one of them.
_BACKLOG = 512


def bind_in_range(
    host: str, port_min: int, port_max: int, *, held: Collection[int] = (), listens: bool = True
) -> socket.socket:
    """Return a socket that listens on the lowest free port of the range; the caller owns and closes it.

    Synchronous and quick (a bind is a microsecond), so that a launch decides without an await in between. The kernel
    is the only judge of what is free: two services with overlapping ranges cannot take the same port.

    Args:
        host: Address to bind.
        port_min: First port of the range.
        port_max: Last port of the range.
        held: Ports that are not to be tried: somebody holds them without listening.
        listens: Whether it listens already; else it is bound, as nobody else can be, until ``listen_at_last``.

    Raises:
        NoPortFree: Each port of the range is taken.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for port in range(port_min, port_max + 1):
        if port in held:
            continue
        listener = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        try:
            # A port whose last connections are in TIME_WAIT is free (socket(7)); a listening one stays taken, and so
            # does one that is bound without this.
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, int(listens))
            # Accepted connections inherit it (tcp(7)). Servers set it by themselves only where they know the protocol,
            # which a descriptor does not say: without it the end of each answer waits 40 ms for an acknowledgement.
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            listener.bind((host, port))
            if listens:
                listener.listen(_BACKLOG)
        except OSError as error:
            listener.close()
            if error.errno in (errno.EADDRINUSE, errno.EACCES):
                continue
            raise
        listener.setblocking(False)
        return listener
    raise NoPortFree(
        f"Ports {port_min} to {port_max} are all in use; stop a preview or widen PREVIEW_PORT_MIN/PREVIEW_PORT_MAX.",
        port_min=port_min,
        port_max=port_max,
    )


def listen_at_last(listener: socket.socket) -> None:
    """Let a socket listen that was bound without: from here on it is as if it had listened at once.

    Raises:
        OSError: The kernel refuses.
    """
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.listen(_BACKLOG)


def hold_without_listening(listener: socket.socket) -> None:
    """Let a child listen on the port itself, while it stays ours: bound, but not listening.

    Where both sides set SO_REUSEADDR, as servers do, a port can be bound twice as long as one of them listens
    (socket(7)); a bind without it is refused as before. ``shutdown`` of a listening socket ends the listening and keeps
    the address, so that the port is at no time anybody's. What connected meanwhile is reset. One that does not listen
    stays as it is.
    """
    if _listens(listener):
        listener.shutdown(socket.SHUT_RDWR)


def listen_again(listener: socket.socket) -> None:
    """Let a process that inherits the socket listen on it; a socket that listens already stays so."""
    if not _listens(listener):
        listener.listen(_BACKLOG)


def _listens(listener: socket.socket) -> bool:
    return bool(listener.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))
