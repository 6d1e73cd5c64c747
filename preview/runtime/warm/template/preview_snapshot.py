"""A preview's own template: imports the application, and forks it for each restart, inside the preview's sandbox.

It sends ``{"parked": true}`` over its own socket after the import, or ``{"refused": sentence}``. Then ``go``, with
descriptors as below, makes it become the application itself, once. Without control groups nothing else would tell two
applications of one namespace apart. Otherwise it forks for each one-byte packet that brings a fork's socket. The fork
sends ``app`` over that socket, and waits for an order:

* ``in``: the fork is in its control group, and no launch needs it yet; it copies the pages that it will write to.
* ``go``, with descriptors (the order, the output, the named sockets): the fork becomes the application.

After the fork's end the snapshot sends ``{"status": N}`` over the fork's socket.
"""

from __future__ import annotations

import gc
import json
import os
import select
import signal
import socket
import sys
from typing import Any

import preview_fresh  # type: ignore[import-not-found]
import preview_imports  # type: ignore[import-not-found]
import preview_pages  # type: ignore[import-not-found]

_MOST_DESCRIPTORS = 16
_PACKET_BYTES = 64
# Order to fork in advance of a restart; any other byte forks for a restart that waits.
_AHEAD = b"a"
# Order to become the application.
_GO = b"go"
_OWN = "@OWN_FD@"


def park(order: dict[str, Any], output: int, own: socket.socket) -> int:
    """Import the application, then fork until the service disconnects; return the exit code, in forks too."""
    order["descriptors"] = {_OWN: order["own_number"]}
    launcher, arguments = preview_fresh.become(order, output, {_OWN: own.detach()})
    own = socket.socket(fileno=order["own_number"])
    held = preview_imports.descriptors()
    code = preview_fresh.call(launcher.load, arguments)
    why = f"its import ends with exit code {code}" if code else preview_imports.unsafe(held)
    if why is not None:
        own.send(json.dumps({"refused": why}).encode())
        return 1
    gc.collect()
    gc.freeze()
    own.send(b'{"parked": true}')
    return _serve(own, launcher, order["environment"])


def _serve(own: socket.socket, launcher: Any, environment: dict[str, str]) -> int:
    # By pidfd: the fork's pid, and the socket for its exit status.
    forks: dict[int, tuple[int, socket.socket]] = {}
    pages: list[tuple[int, int]] = []
    waiting = select.poll()
    waiting.register(own, select.POLLIN)
    while True:
        for descriptor, _ in waiting.poll():
            if descriptor in forks:
                waiting.unregister(descriptor)
                _tell_end(descriptor, *forks.pop(descriptor))
                continue
            packet, descriptors, _, _ = socket.recv_fds(own, _PACKET_BYTES, _MOST_DESCRIPTORS)
            if not packet:
                return 0
            if packet == _GO:
                own.close()
                return _go(launcher, descriptors, environment)
            told = socket.socket(fileno=descriptors[0])
            if packet == _AHEAD and forks:
                # The newest fork has served for a while, so its own pages show which pages forks write to.
                pages = preview_pages.own_pages(next(reversed(forks.values()))[0]) or pages
            pid = os.fork()
            if pid == 0:
                own.close()
                return _be_application(launcher, told, environment, pages)
            pidfd = os.pidfd_open(pid)
            forks[pidfd] = (pid, told)
            waiting.register(pidfd, select.POLLIN)


def _tell_end(descriptor: int, pid: int, told: socket.socket) -> None:
    status = os.waitpid(pid, 0)[1]
    os.close(descriptor)
    with told:
        try:
            told.send(json.dumps({"status": status}).encode())
        except OSError:
            # Nobody waits for the status any more.
            return


def _be_application(
    launcher: Any, told: socket.socket, environment: dict[str, str], pages: list[tuple[int, int]]
) -> int:
    os.setsid()
    told.send(b"app")
    word, descriptors, _, _ = socket.recv_fds(told, _PACKET_BYTES, _MOST_DESCRIPTORS)
    if word == b"in":
        preview_pages.touch(pages)
        word, descriptors, _, _ = socket.recv_fds(told, _PACKET_BYTES, _MOST_DESCRIPTORS)
    if word != _GO:
        os._exit(1)
    told.close()
    return _go(launcher, descriptors, environment)


def _go(launcher: Any, descriptors: list[int], environment: dict[str, str]) -> int:
    """Become the application; return its exit code."""
    order_fd, output, *further = descriptors
    with open(order_fd, "rb") as file:  # noqa: PTH123
        file.seek(0)
        order = json.load(file)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    sockets = dict(zip(order["inherited"], further, strict=True))
    arguments = preview_fresh.inherit(order, output, sockets, environment)
    preview_fresh.forget()
    sys.stdout.flush()
    code: int = preview_fresh.call(launcher.main, arguments)
    return code
