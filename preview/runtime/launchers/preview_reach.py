"""Sockets that listen in a preview's own network, and whose connections the service serves.

Used by the bridge, before a program starts, and by forks of templates. Runs in the sandbox, under its limits: standard
library only.
"""

from __future__ import annotations

import socket

_BACKLOG = 128
LOOPBACK = ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1"))


def reach(descriptor: int, ports: list[int]) -> None:
    """Listen on the ports, send the sockets through the unix socket to the service, and close them here."""
    tried = [listen(family, host, port) for port in ports for family, host in LOOPBACK]
    listeners = [one for one in tried if one is not None]
    with socket.socket(fileno=descriptor) as out:
        socket.send_fds(out, [b"."], [one.fileno() for one in listeners])
    for one in listeners:
        one.close()


def listen(family: int, host: str, port: int) -> socket.socket | None:
    """Return a listening socket; None if the machine lacks the address family, or the port is taken."""
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # Accepted sockets inherit the option; the service's socket has it too (runtime/listener.py).
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        listener.bind((host, port))
        listener.listen(_BACKLOG)
    except OSError:
        listener.close()
        return None
    return listener
