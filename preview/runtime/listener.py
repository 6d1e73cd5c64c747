"""The preview's listening socket, bound by the service itself: holding the socket is holding the port."""

from __future__ import annotations

import errno
import socket

from preview.errors import NoPortFree

__all__ = ["bind_in_range"]

# Connections that arrive before the app is ready wait here; the probe is one of them.
_BACKLOG = 512


def bind_in_range(host: str, port_min: int, port_max: int) -> socket.socket:
    """A socket that listens on the lowest free port of the range; the caller owns and closes it.

    Synchronous and quick (a bind is a microsecond), so that a launch decides without an await in between. The kernel
    is the only judge of what is free: two services with overlapping ranges cannot take the same port.

    Raises:
        NoPortFree: Each port of the range is taken.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for port in range(port_min, port_max + 1):
        listener = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        try:
            # A port whose last connections are in TIME_WAIT is free (socket(7)); a listening one stays taken.
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((host, port))
            listener.listen(_BACKLOG)
        except OSError as error:
            listener.close()
            if error.errno in (errno.EADDRINUSE, errno.EACCES):
                continue
            raise
        listener.setblocking(False)
        return listener
    raise NoPortFree(
        f"Each port from {port_min} to {port_max} is taken; stop a preview or widen PREVIEW_PORT_MIN/PREVIEW_PORT_MAX.",
        port_min=port_min,
        port_max=port_max,
    )
