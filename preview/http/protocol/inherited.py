"""Listening sockets that a service manager has opened before this process (sd_listen_fds(3))."""

from __future__ import annotations

import os
import socket
from collections.abc import MutableMapping

from preview.errors import ConfigurationError

_FIRST = 3
_MOST = 100
_VARIABLES = ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES")


def take_inherited_sockets(environment: MutableMapping[str, str]) -> list[int]:
    """Return the descriptors of the sockets that were passed to this process; empty if none were.

    The variables are removed, and children inherit none of the sockets.

    Args:
        environment: The process's variables.

    Raises:
        ConfigurationError: They name something that is no listening stream socket.
    """
    pid, count = environment.get("LISTEN_PID", ""), environment.get("LISTEN_FDS", "")
    for name in _VARIABLES:
        environment.pop(name, None)
    # Variables for another process, such as the parent, mean nothing here.
    if pid != str(os.getpid()):
        return []
    if not (count.isascii() and count.isdigit() and 0 < int(count) <= _MOST):
        raise ConfigurationError("LISTEN_FDS is no number of sockets; it is set by systemd, not by hand.")
    found = list(range(_FIRST, _FIRST + int(count)))
    for descriptor in found:
        if not _is_listening(descriptor):
            raise ConfigurationError(
                f"Descriptor {descriptor} of LISTEN_FDS is no listening stream socket; "
                "write ListenStream= and Accept=no in the socket unit."
            )
        os.set_inheritable(descriptor, False)
    return found


def _is_listening(descriptor: int) -> bool:
    try:
        # A copy, because closing the object closes its descriptor.
        with socket.socket(fileno=os.dup(descriptor)) as sock:
            return sock.type == socket.SOCK_STREAM and sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN) == 1
    except OSError:
        return False
