"""A template: imports what an environment's projects use, and forks on request.

``preview_template.py CONTROL_FD ORDER_FD``. Talks to the service over a unix packet socket (SOCK_SEQPACKET):

* before each import it writes the module's name into the order's file, so that a crash can be explained;
* out, once: the result of ``preview_imports.import_all``, or ``{"unsafe": module, "why": sentence}``; then it ends;
* in, for each fork: one byte with descriptors: the order (JSON in a memory file), the fork's own socket, its output,
  and mounts of its folders.

A fork talks over its own socket. Its first process sends ``here`` after it has made its namespaces, and waits for
``in``, which means that it is in its control group. Then the application sends ``app``, before anything else. The
kernel names the sender of these messages to the service (SCM_CREDENTIALS, unix(7)); the service accepts no descriptors.
The application copies the pages that it will write to, until ``go`` brings the program and its descriptors. At the end
the fork sends ``{"status": N}``, with N from waitpid(2). On failure it sends ``{"error": sentence}``.

The template has one thread, always: in a fork of a process with threads, nobody releases the other threads' locks.
"""

from __future__ import annotations

import gc
import json
import os
import signal
import socket
import sys
from typing import Any

import preview_cage as cage  # type: ignore[import-not-found]
import preview_fresh  # type: ignore[import-not-found]
import preview_holes  # type: ignore[import-not-found]
import preview_immortal  # type: ignore[import-not-found]
import preview_imports  # type: ignore[import-not-found]
import preview_pages  # type: ignore[import-not-found]
import preview_snapshot  # type: ignore[import-not-found]
import preview_warmups  # type: ignore[import-not-found]

_MOST_DESCRIPTORS = 16
_PACKET_BYTES = 64


def main(control_fd: int, order_fd: int) -> int:
    """Import, then fork until the service disconnects; in a fork, return the application's exit code."""
    # For ``/proc`` alone: what reads all variables at its import would have one that the application has not.
    os.environ.pop("PREVIEW_SERVICE_PID", None)
    control = socket.socket(fileno=control_fd)
    order = _read_order(os.dup(order_fd))
    found = preview_imports.import_all(order["modules"], order["launchers"], order["warm_ups"], order_fd)
    os.close(order_fd)
    pages: list[tuple[int, int]] = []
    if "unsafe" not in found:
        # Objects that exist now are kept for ever. Forks must not scan them for garbage, count references to them, or
        # put new objects between them, because each of these copies pages.
        gc.collect()
        preview_immortal.count_no_more()
        gc.freeze()
        preview_holes.fill()
        found["rss"] = preview_imports.resident_bytes()
        if order["warm_ups"]:
            # Pages that forks of all projects write to, found by using the libraries once.
            pages = preview_pages.pages_of(preview_warmups.use_all)
    control.send(json.dumps(found).encode())
    if "unsafe" in found:
        return 1
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while True:
        packet, descriptors = _receive(control)
        if not packet:
            return 0
        if os.fork() == 0:
            return _in_fork(control, descriptors, pages)
        for one in descriptors:
            os.close(one)


def _receive(control: socket.socket) -> tuple[bytes, list[int]]:
    try:
        packet, descriptors, _, _ = socket.recv_fds(control, _PACKET_BYTES, _MOST_DESCRIPTORS)
    except OSError:
        return b"", []
    return packet, descriptors


def _read_order(descriptor: int) -> dict[str, Any]:
    with open(descriptor, "rb") as file:
        file.seek(0)
        order: dict[str, Any] = json.load(file)
    return order


def _in_fork(control: socket.socket, descriptors: list[int], pages: list[tuple[int, int]]) -> int:
    """Run a fork. All processes of the fork except the application exit inside this function."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    control.close()
    order_fd, own_fd, output, *folders = descriptors
    own = socket.socket(fileno=own_fd)
    try:
        program_fd, *sockets = _enter_alone(_read_order(order_fd), own, folders, pages)
        program = _read_order(program_fd)
        if program["reach"]:
            _reach(sockets.pop(), program["reach"])
    except Exception as error:  # noqa: BLE001  told to the service, which starts the program in another way
        _tell(own, {"error": f"{type(error).__name__}: {error}"})
        os._exit(1)
    if program["parks"]:
        parked: int = preview_snapshot.park(program, output, own)
        return parked
    own.close()
    # From here on this process is the application.
    code: int = preview_fresh.run(program, output, dict(zip(program["inherited"], sockets, strict=True)))
    return code


def _reach(way_out: int, ports: list[int]) -> None:
    """Hand out sockets that listen on these ports; see ``preview_reach``."""
    import preview_reach  # type: ignore[import-not-found]  # noqa: PLC0415  the template imports the launchers' folder later

    preview_reach.reach(way_out, ports)


def _enter_alone(
    order: dict[str, Any], own: socket.socket, folders: list[int], pages: list[tuple[int, int]]
) -> list[int]:
    """Enter the sandbox; return the remaining descriptors. Only the application's process returns."""
    cage.enter(order["user"])
    if os.fork() != 0:
        os._exit(0)
    os.setsid()
    own.send(b"here")
    cage.show_files(order["view"], folders)
    word, _ = _receive(own)
    if word != b"in":
        os._exit(1)
    cage.confine(order["limits"], bytes.fromhex(order["filter"]))
    application = os.fork()
    if application == 0:
        os.setsid()
        own.send(b"app")
        preview_pages.touch(pages, own.fileno())
        word, program = _receive(own)
        if word != b"go":
            os._exit(1)
        return program
    _wait_for(application, own)
    raise AssertionError("unreachable")


def _tell(own: socket.socket, said: dict[str, object]) -> None:
    try:
        own.send(json.dumps(said).encode())
    except OSError:
        # Nobody waits for the message any more.
        return


def _wait_for(application: int, own: socket.socket) -> None:
    """Run as the first process of the preview's namespace: adopt orphans, and end with the application."""
    preview_fresh.close_all_but(own.fileno())
    while True:
        pid, status = os.wait()
        if pid == application:
            _tell(own, {"status": status})
            os._exit(0)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), int(sys.argv[2])))
