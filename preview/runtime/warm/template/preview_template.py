"""A template: has imported what an environment's projects use, and forks on request.

``preview_template.py CONTROL_FD ORDER_FD``. Speaks over a unix socket of packets (SOCK_SEQPACKET) with the service:

* into the file that its own order came in, before each import: the module's name, for who asks what it ended in;
* out, once: what ``preview_imports.import_all`` has found,
  or ``{"unsafe": module, "why": sentence}``; then it ends;
* in, for each fork: one byte, with descriptors: the order (JSON in a memory file), the fork's own socket, where it
  prints, and mounts of its folders.

A fork speaks over its own socket: ``here``, said by its first process once its namespaces are made; it waits for
``in``: it is in its control group; then ``app``, said by the application, so that whatever else it says comes after it.
Who says these words the kernel tells the service (SCM_CREDENTIALS, unix(7)), which takes no descriptor from here. The
application makes pages its own that it will write to, until ``go``, which brings what to run and what that inherits; at
the end ``{"status": N}`` as waitpid(2) has it. Where it cannot be made: ``{"error": sentence}``.

One thread, always: a fork of a process with threads is one with locks that nobody releases.
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
    """Import, then fork until the service releases it; in a fork: the application's exit code."""
    control = socket.socket(fileno=control_fd)
    order = _read_order(os.dup(order_fd))
    found = preview_imports.import_all(order["modules"], order["launchers"], order["warm_ups"], order_fd)
    os.close(order_fd)
    pages: list[tuple[int, int]] = []
    if "unsafe" not in found:
        # The objects that exist by now stay: no fork looks through them for garbage, counts references to them, or
        # puts its own between them, all of which would copy them.
        gc.collect()
        preview_immortal.count_no_more()
        gc.freeze()
        preview_holes.fill()
        found["rss"] = preview_imports.resident_bytes()
        if order["warm_ups"]:
            # Where libraries are used alike, and nothing of any project's.
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
    """Run a fork. All its processes except the application exit inside this function."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    control.close()
    order_fd, own_fd, output, *folders = descriptors
    own = socket.socket(fileno=own_fd)
    try:
        program_fd, *sockets = _enter_alone(_read_order(order_fd), own, folders, pages)
        program = _read_order(program_fd)
    except Exception as error:  # noqa: BLE001  told to the service, which starts the program in another way
        _tell(own, {"error": f"{type(error).__name__}: {error}"})
        os._exit(1)
    if program["parks"]:
        parked: int = preview_snapshot.park(program, output, own)
        return parked
    own.close()
    # From here on it is the application.
    code: int = preview_fresh.run(program, output, dict(zip(program["inherited"], sockets, strict=True)))
    return code


def _enter_alone(
    order: dict[str, Any], own: socket.socket, folders: list[int], pages: list[tuple[int, int]]
) -> list[int]:
    """Enter alone; return the remaining descriptors, in the application's process only."""
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
        # Nobody waits for it any more.
        return


def _wait_for(application: int, own: socket.socket) -> None:
    """Run the first process of the preview's namespace: it adopts orphans and ends with the application."""
    preview_fresh.close_all_but(own.fileno())
    while True:
        pid, status = os.wait()
        if pid == application:
            _tell(own, {"status": status})
            os._exit(0)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), int(sys.argv[2])))
