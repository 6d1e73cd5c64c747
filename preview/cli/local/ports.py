"""Check for a free port, by binding it."""

from __future__ import annotations

import socket


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
