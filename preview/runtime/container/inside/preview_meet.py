"""First process of a container of gVisor, which passes no descriptors: makes sockets, and runs the program on them.

Usage: ``preview_join.py SOCKET FOLDER``, which calls ``main``

This process binds two sockets in FOLDER, which the container shows writable: gVisor makes them sockets of the machine.
Then it connects to SOCKET, as in every container, and the service opens connections to the two. The first connection
brings the order, and takes the program's output. Further ones bring the content of files, or stand for the sockets that
other containers receive. A pair of connections is a check: its number, order and output; its number and result. The
other socket is the program's listening socket.

A word from the service, ``end``, is SIGTERM for the program's group: the engine takes a third of a second to signal.

Standard library only, and the oldest Python that a service runs on.
"""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import sys
import threading
from contextlib import suppress

import preview_join as join  # type: ignore[import-not-found]

TYPE_CHECKING = False  # typing takes longer to import
if TYPE_CHECKING:
    import ctypes
    from typing import Any

_BACKLOG = 512
_READ_BYTES = 64 * 1024
_OUTPUT, _LISTENER = 1, 64
# Time for the last output to reach the service, after all processes but this one have ended.
_LAST_OUTPUT_S = 20.0


def main(path: str, folder: str, libc: ctypes.CDLL) -> None:
    """Join, run the program, and end with its exit status."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    orders, serving = bind(f"{folder}/orders"), bind(f"{folder}/serving")
    own = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        own.connect(path)
    except OSError as error:
        sys.exit(f"gVisor reaches no socket of the machine ({error.strerror}): start runsc with --host-uds=all")
    own.send(b'{"joined":true}')
    outside = accept(orders, own)
    order = json.loads(read_to_end(outside))
    given = {number: content(accept(orders, own), kind) for number, kind in order["given"]}
    output, inside = os.pipe()
    program = os.fork()
    if program == 0:
        signal.set_wakeup_fd(-1)
        try:
            become(order, {_OUTPUT: inside, _LISTENER: serving.fileno(), **given}, libc)
        except BaseException as error:  # noqa: BLE001  whatever it is, it is said, and the process ends
            join.say(f"The program cannot be run: {getattr(error, 'strerror', None) or error}\n")
        os._exit(join.CANNOT_RUN)
    for one in (inside, *given.values()):
        os.close(one)
    serving.close()
    signal.signal(signal.SIGTERM, lambda *_: join.pass_on(program))
    copying = threading.Thread(target=copy, args=(output, outside), daemon=True)
    copying.start()
    sys.exit(attend(own, orders, reading, program, copying, libc))


def bind(path: str) -> socket.socket:
    """Return a listening socket at this path."""
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listening.bind(path)
    listening.listen(_BACKLOG)
    return listening


def accept(listening: socket.socket, own: socket.socket) -> socket.socket:
    """Return the next connection; end this process if the service has ended."""
    poll = select.poll()
    poll.register(own, select.POLLRDHUP)
    poll.register(listening, select.POLLIN)
    if own.fileno() in dict(poll.poll()):
        sys.exit(1)
    return listening.accept()[0]


def content(connection: socket.socket, kind: str) -> int:
    """Return the connection's own descriptor, or that of a file in memory with all that it brings."""
    if kind != "file":
        return connection.detach()
    descriptor = os.memfd_create("preview")
    while part := connection.recv(_READ_BYTES):
        os.write(descriptor, part)
    connection.close()
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor


def read_to_end(connection: socket.socket) -> bytes:
    """Return all that the service sends before it closes its half."""
    parts = []
    while part := connection.recv(_READ_BYTES):
        parts.append(part)
    return b"".join(parts)


def become(order: dict[str, Any], have: dict[int, int], libc: ctypes.CDLL) -> None:
    """Become the program of the order."""
    pipe = os.fstat(have[_OUTPUT])
    own_log = f"{pipe.st_dev}:{pipe.st_ino}"

    def filled(text: str) -> str:
        # The service cannot know the pipe, by which a program recognizes the log.
        return text.replace(order["log"], own_log)

    order["argv"] = [filled(one) for one in order["argv"]]
    order["environment"] = {name: filled(value) for name, value in order["environment"].items()}
    descriptors = [have[number] for number in order["numbers"]]
    for number, one in have.items():
        if number not in order["numbers"]:
            os.close(one)
    join.take_over(order, descriptors, libc)


def copy(output: int, outside: socket.socket) -> None:
    """Send the output to the service, until all processes have closed it."""
    with suppress(OSError):
        while part := os.read(output, _READ_BYTES):
            outside.sendall(part)
    # The service closes its end at once when the preview is over: then nothing more is read here, and writers fail.
    os.close(output)
    outside.close()


def attend(
    own: socket.socket,
    orders: socket.socket,
    reading: int,
    program: int,
    copying: threading.Thread,
    libc: ctypes.CDLL,
) -> int:
    """Reap children until the program has ended, or the service has closed the connection; return the exit status.

    ``reading``: a pipe that signals wake up.
    """
    poll, check = select.poll(), Check()
    poll.register(own, select.POLLRDHUP | select.POLLIN)
    poll.register(reading, select.POLLIN)
    poll.register(orders, select.POLLIN)
    while True:
        events = dict(poll.poll(check.milliseconds_left()))
        if events.get(own.fileno(), 0) & ~select.POLLIN or (own.fileno() in events and not own.recv(16)):
            # gVisor ends all others with this process.
            return 1
        if own.fileno() in events:
            join.pass_on(program)
        check.end_in_time()
        if events.get(orders.fileno(), 0) & select.POLLIN:
            check.take(orders, own, libc)
        if reading not in events:
            continue
        os.read(reading, _READ_BYTES)
        ended = join.reap()
        check.note(ended)
        if program in ended:
            return conclude(own, ended[program], copying)


def conclude(own: socket.socket, status: int, copying: threading.Thread) -> int:
    """End the rest, send the last output and then the program's status; return the exit status for a shell."""
    with suppress(OSError):
        os.kill(-1, signal.SIGKILL)
    copying.join(_LAST_OUTPUT_S)
    try:
        own.send(json.dumps({"status": status, "oom": False}).encode())
    except OSError:
        return 1
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


class Check(join.Check):  # type: ignore[misc]
    """See ``preview_join.Check``. Its order comes by two connections, which name one number.

    The service may give up between the two, so nothing waits for the second one.
    """

    def __init__(self) -> None:
        super().__init__()
        self.waiting: tuple[bytes, bytes, socket.socket] | None = None

    def take(self, orders: socket.socket, own: socket.socket, libc: ctypes.CDLL) -> None:
        """Receive one connection; with the second of two, start the command in place of one that still runs."""
        descriptors: list[int] = []
        try:
            connection = orders.accept()[0]
            number, _, order = read_to_end(connection).partition(b"\n")
            expected, before, said = self.waiting or (b"", b"", None)
            self.waiting = (number, order, connection) if order else None
            if order or said is None or number != expected:
                for left in (said, None if order else connection):
                    if left is not None:
                        left.close()
                return
            packed = os.memfd_create("preview")
            descriptors += [packed, connection.detach(), said.detach()]
            os.write(packed, before)
            self.end()
            self.fork(own, descriptors, libc)
        except (OSError, MemoryError, ValueError, KeyError, TypeError) as error:
            self.refuse(descriptors, error)
        finally:
            for one in descriptors:
                if one != self.result:
                    os.close(one)
