"""First process of a container: fetches what the service hands over, runs the program, and ends with it.

Usage: ``preview_join.py SOCKET [FOLDER]``; for FOLDER see ``preview_meet.py``

The service listens on the unix socket SOCKET, which the container shows. This process connects and forks. Its child
receives the order, a JSON text in memory, with descriptors: the output, and the sockets of the preview. Then the child
becomes the program. This process stays as the first of the namespace: it adopts and reaps orphans, passes SIGTERM on,
and tells the service the program's exit status. It ends as soon as the service has ended or closed the connection,
and the kernel ends everything in the container with it.

A further order is a check: a command that runs beside the program, as it does, for a limited time. One runs at a time.
Its exit status goes to the service through a pipe that came with the order.

Standard library only, and the oldest Python that a service runs on.
"""

from __future__ import annotations

import base64
import ctypes
import json
import os
import resource
import select
import signal
import socket
import struct
import sys
import time
from contextlib import suppress

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))  # noqa: PTH100, PTH120  isolated mode leaves it out

TYPE_CHECKING = False  # typing takes longer to import
if TYPE_CHECKING:
    from typing import Any

# prctl(2), linux/prctl.h
_PR_SET_DUMPABLE, _PR_SET_SECCOMP, _PR_SET_NO_NEW_PRIVS = 4, 22, 38
_SECCOMP_MODE_FILTER = 2
_INSTRUCTION_BYTES = 8
_READ_BYTES = 64 * 1024
# The output and three sockets.
_MOST_DESCRIPTORS = 8
# The order, the pipe of the result, and the output.
_LEAST_OF_CHECK = 3
CANNOT_RUN = 127
# Version 2 of control groups, and version 1, where engines show them.
_MEMORY_EVENTS = ("/sys/fs/cgroup/memory.events", "/sys/fs/cgroup/memory/memory.oom_control")


def main(path: str, folder: str | None = None) -> None:
    """Join, run the program, and end with its exit status."""
    libc = ctypes.CDLL(None, use_errno=True)
    # The program has the same user: it must not trace this process, nor read its descriptors.
    libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
    if folder is not None:
        from preview_meet import main as meet  # type: ignore[import-not-found]  # noqa: PLC0415  in gVisor alone

        meet(path, folder, libc)
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    own = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    own.connect(path)
    taken, taking = os.pipe()
    program = os.fork()
    if program == 0:
        signal.set_wakeup_fd(-1)
        try:
            become(own, taking, libc)
        except BaseException as error:  # noqa: BLE001  whatever it is, it is said, and the process ends
            say(f"The program cannot be run: {getattr(error, 'strerror', None) or error}\n")
        os._exit(CANNOT_RUN)
    os.close(taking)
    signal.signal(signal.SIGTERM, lambda *_: pass_on(program))
    # Only now: the service looks for the child.
    own.send(b'{"joined":true}')
    sys.exit(attend(own, (reading, taken), program, libc))


def become(own: socket.socket, taking: int, libc: ctypes.CDLL) -> None:
    """Receive the order, close ``taking``, and become the program."""
    _, descriptors, _, _ = socket.recv_fds(own, 16, _MOST_DESCRIPTORS)
    if not descriptors:
        # The service has gone.
        os._exit(CANNOT_RUN)
    os.close(taking)
    own.close()
    take_over(json.loads(read_all(descriptors[0])), descriptors, libc)


def take_over(order: dict[str, Any], descriptors: list[int], libc: ctypes.CDLL) -> None:
    """Become the program of an order; its own descriptors are the last ones."""
    os.setsid()
    numbers = order["numbers"]
    null = os.open(os.devnull, os.O_RDWR)
    # Numbers of the program are far above those that were received.
    for number, received in [(0, null), *zip(numbers, descriptors[-len(numbers) :])]:  # noqa: B905  Python 3.9
        os.dup2(received, number)
        if number == 1:
            os.dup2(received, 2)
    for one in (null, *descriptors):
        if one > 2:
            os.close(one)
    if order["folder"]:
        from preview_unpack import unpack  # type: ignore[import-not-found]  # noqa: PLC0415  it takes time to import

        unpack(*order["folder"])
    os.chdir(order["directory"])
    for name, most in order["limits"].items():
        limit(getattr(resource, name), most)
    for number in (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGCHLD):
        # Python ignores the first two, and programs inherit that.
        signal.signal(number, signal.SIG_DFL)
    confine(libc, base64.b64decode(order["filter"]))
    os.execvpe(order["argv"][0], order["argv"], order["environment"])  # noqa: S606  the preview's own program


def limit(resource_number: int, most: int) -> None:
    """Set both limits; a lower hard limit of the engine stays."""
    hard = resource.getrlimit(resource_number)[1]
    if hard != resource.RLIM_INFINITY:
        most = min(most, hard)
    resource.setrlimit(resource_number, (most, most))


def confine(libc: ctypes.CDLL, program: bytes) -> None:
    """Install the system call filter, a program of the kernel's classic BPF, besides that of the engine."""
    if not program:
        return
    memory = ctypes.create_string_buffer(program)
    header = struct.pack("@HP", len(program) // _INSTRUCTION_BYTES, ctypes.addressof(memory))
    if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 or libc.prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, header):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def attend(own: socket.socket, pipes: tuple[int, int], program: int, libc: ctypes.CDLL) -> int:
    """Reap children until the program has ended, or the connection is closed; return the exit status for a shell.

    ``pipes``: one that signals wake up; one that the child closes when it has its order.
    """
    poll, check = select.poll(), Check()
    reading, taken = pipes
    poll.register(own, select.POLLRDHUP)
    poll.register(reading, select.POLLIN)
    poll.register(taken, 0)
    while True:
        events = dict(poll.poll(check.milliseconds_left()))
        if events.get(own.fileno(), 0) & ~select.POLLIN:
            # The kernel ends all others with this process.
            return 1
        check.end_in_time()
        if taken in events:
            # The first order is the child's; further ones are checks.
            poll.unregister(taken)
            poll.register(own, select.POLLRDHUP | select.POLLIN)
        if events.get(own.fileno(), 0) & select.POLLIN:
            check.start(own, libc)
        if reading not in events:
            continue
        os.read(reading, _READ_BYTES)
        ended = reap()
        check.note(ended)
        if program in ended:
            status = ended[program]
            try:
                own.send(json.dumps({"status": status, "oom": was_killed_for_memory()}).encode())
            except OSError:
                return 1
            code = os.waitstatus_to_exitcode(status)
            return code if code >= 0 else 128 - code


class Check:
    """The check that runs, if any: its process, when it is killed, and where its exit status goes."""

    def __init__(self) -> None:
        self.pid = 0
        self.result = -1
        self.until = 0.0

    def milliseconds_left(self) -> int | None:
        """Return the time until the check is killed; None if none runs."""
        return None if not self.pid else max(0, int((self.until - time.monotonic()) * 1000) + 1)

    def start(self, own: socket.socket, libc: ctypes.CDLL) -> None:
        """Receive an order, and start its command in place of one that still runs.

        The program may use all memory and processes. Nothing that fails here may end the container.
        """
        descriptors: list[int] = []
        try:
            _, descriptors, _, _ = socket.recv_fds(own, 16, _MOST_DESCRIPTORS)
            if len(descriptors) >= _LEAST_OF_CHECK:
                self.end()
                self.fork(own, descriptors, libc)
        except (OSError, MemoryError, ValueError, KeyError, TypeError) as error:
            self.refuse(descriptors, error)
        finally:
            for one in descriptors:
                if one != self.result:
                    os.close(one)

    def fork(self, own: socket.socket, descriptors: list[int], libc: ctypes.CDLL) -> None:
        """Start the command of an order, in a process that never returns from here."""
        order = json.loads(read_all(descriptors[0]))
        until = time.monotonic() + order["within_s"]
        pid = os.fork()
        if pid:
            self.pid, self.result, self.until = pid, descriptors[1], until
            return
        try:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            own.close()
            take_over({**order, "folder": None}, descriptors, libc)
        except BaseException as error:  # noqa: BLE001  whatever it is, it is said, and the process ends
            say(f"cannot be run: {getattr(error, 'strerror', None) or error}\n")
        finally:
            os._exit(CANNOT_RUN)

    def refuse(self, descriptors: list[int], error: Exception) -> None:
        """Send the result of a command that cannot be started."""
        if len(descriptors) < _LEAST_OF_CHECK:
            return
        with suppress(OSError, MemoryError):
            # The pipes are new and empty, so nothing waits.
            os.write(descriptors[-1], f"cannot be run: {getattr(error, 'strerror', None) or error}\n".encode())
            os.write(descriptors[1], str(CANNOT_RUN).encode())

    def end_in_time(self) -> None:
        """Kill a check whose time is over."""
        if self.pid and time.monotonic() >= self.until:
            self.end()

    def end(self) -> None:
        """Kill the check, with its group; without a result."""
        if not self.pid:
            return
        with suppress(OSError):
            os.kill(self.pid, signal.SIGKILL)
        with suppress(OSError):
            os.killpg(self.pid, signal.SIGKILL)
        self.close()

    def note(self, ended: dict[int, int]) -> None:
        """Send the result if the check is among the ended processes; what it has started in its group ends too."""
        if not self.pid or self.pid not in ended:
            return
        with suppress(OSError):
            os.write(self.result, str(os.waitstatus_to_exitcode(ended[self.pid])).encode())
        with suppress(OSError):
            os.killpg(self.pid, signal.SIGKILL)
        self.close()

    def close(self) -> None:
        """Forget the check."""
        os.close(self.result)
        self.pid, self.result = 0, -1


def was_killed_for_memory() -> bool:
    """Return whether the kernel has killed a process of the container's control group because memory ran out.

    The engine may remove the group before anybody else has looked.
    """
    for path in _MEMORY_EVENTS:
        with suppress(OSError, ValueError), open(path, encoding="ascii") as file:  # noqa: PTH123  a start is short
            counts = dict(line.split() for line in file)
            return int(counts.get("oom_kill", "0")) > 0
    return False


def reap() -> dict[int, int]:
    """Reap all ended children; return the status of each."""
    found: dict[int, int] = {}
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return found
        if pid == 0:
            return found
        found[pid] = status


def pass_on(program: int) -> None:
    """Send SIGTERM to the program's group: the engine can signal the first process only."""
    with suppress(OSError):
        os.killpg(program, signal.SIGTERM)


def read_all(descriptor: int) -> bytes:
    """Return the content of a file in memory."""
    os.lseek(descriptor, 0, os.SEEK_SET)
    parts = []
    while part := os.read(descriptor, _READ_BYTES):
        parts.append(part)
    return b"".join(parts)


def say(text: str) -> None:
    """Write to the preview's output, if it is there already."""
    with suppress(OSError):
        os.write(2, text.encode("utf-8", "replace"))


if __name__ == "__main__":
    main(*sys.argv[1:])
