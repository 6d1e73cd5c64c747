"""The preview's listening socket: the service binds it, and so reserves the port."""

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

    Synchronous and quick (a bind takes a microsecond), so a launch decides without an await in between. Only the
    kernel decides which port is free: two services with overlapping ranges cannot take the same port.

    Args:
        host: Address to bind.
        port_min: First port of the range.
        port_max: Last port of the range.
        held: Ports to skip, because they are reserved without a listening socket.
        listens: Whether to listen at once. If False, the port is bound exclusively until ``listen_at_last``.

    Raises:
        NoPortFree: Every port of the range is taken.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for port in range(port_min, port_max + 1):
        if port in held:
            continue
        listener = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        try:
            # SO_REUSEADDR allows a port whose last connections are in TIME_WAIT (socket(7)). A listening port stays
            # taken, and so does a port that is bound without the option.
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, int(listens))
            # Accepted connections inherit TCP_NODELAY (tcp(7)). Servers set it only if they know the protocol, which an
            # inherited descriptor does not tell. Without it the end of each response waits 40 ms for an ACK.
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
    """Make a socket listen that ``bind_in_range`` bound with ``listens=False``.

    Raises:
        OSError: The kernel refuses to listen.
    """
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.listen(_BACKLOG)


def hold_without_listening(listener: socket.socket) -> None:
    """Stop listening but keep the port bound, so that a child can listen on the port itself.

    If both sockets set SO_REUSEADDR, as servers do, a port can be bound twice as long as at most one of them listens
    (socket(7)). A bind without SO_REUSEADDR is still refused. ``shutdown`` of a listening socket ends the listening and
    keeps the address, so no other process can take the port. The kernel resets connections that are not yet accepted. A
    socket that does not listen is not changed.
    """
    if _listens(listener):
        listener.shutdown(socket.SHUT_RDWR)


def listen_again(listener: socket.socket) -> None:
    """Let a process that inherits the socket listen on it; a listening socket is not changed."""
    if not _listens(listener):
        listener.listen(_BACKLOG)


def _listens(listener: socket.socket) -> bool:
    return bool(listener.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))


def can_bind(host: str, port: int) -> bool:
    """Return true if a listener could bind the port now. A port with connections only in TIME_WAIT counts as free."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as candidate:
        candidate.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            candidate.bind((host, port))
        except OSError:
            return False
    return True
