"""The first program of a sandbox: it starts commands, does operations on files, and joins connections to ports.

``python -I -S keeper.py FD``. FD is a packet socket of the service. Each packet is a JSON object with descriptors, all
of them pipes but for the first of ``run`` and ``file``, a file in memory with the task as JSON:

* ``{"do": "run"}``, task, stdout, stderr, status, orders: starts a command.
* ``{"do": "file"}``, task, stdout, source, status, orders: does an operation (see ``files``).
* ``{"do": "join", "port": N}``, from the service, to the service: connects to a port (see ``joining``).

A command's exit is written to ``status`` as two numbers: 0 and the exit code, or 1 and the signal. Through ``orders``
the service sends signal numbers, one byte each; when it closes the pipe, the command and its process group are killed.

It has no more rights than the sandbox's commands, which may disturb it: then the sandbox ends.
"""

from __future__ import annotations

import json
import os
import selectors
import signal
import socket
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import files  # type: ignore[import-not-found]
import joining  # type: ignore[import-not-found]

_PACKET_BYTES = 4096
_DESCRIPTORS = 5
# Whatever uses up the sandbox's memory is killed before this program.
_KILLED_FIRST = "500"


class Keeper:
    """Keeps the processes that it has started.

    Args:
        service: The packet socket.
    """

    def __init__(self, service: socket.socket) -> None:
        self._service = service
        self._selector = selectors.DefaultSelector()
        # By pid: the pipes for the status and for orders.
        self._tasks: dict[int, tuple[int, int]] = {}
        self._woken, waker = os.pipe()
        for one in (self._woken, waker):
            os.set_blocking(one, False)
        signal.set_wakeup_fd(waker, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        self._selector.register(service, selectors.EVENT_READ)
        self._selector.register(self._woken, selectors.EVENT_READ)

    def run(self) -> None:
        """Do what the service asks for, until it closes the socket."""
        while True:
            for key, _ in self._selector.select():
                if key.fileobj is self._service:
                    if not self._take():
                        return
                elif key.fd == self._woken:
                    with suppress(BlockingIOError):
                        os.read(self._woken, 4096)
                elif key.data in self._tasks:
                    self._obey(key.data, key.fd)
            self._reap()

    def _take(self) -> bool:
        packet, given, _, _ = socket.recv_fds(self._service, _PACKET_BYTES, _DESCRIPTORS, socket.MSG_CMSG_CLOEXEC)
        if not packet:
            return False
        asked = json.loads(packet)
        try:
            if asked["do"] == "join":
                self._fork(lambda: joining.join(asked["port"], *given), given)
                return True
            task, out, third, status, orders = given
            asked = json.loads(os.pread(task, os.fstat(task).st_size, 0))
            work: Callable[[], object] = lambda: _command(asked, out, third)  # noqa: E731
            if "argv" not in asked:
                work = lambda: files.answer(asked, out, third)  # noqa: E731
            pid = self._fork(work, (out, third))
            self._tasks[pid] = (os.dup(status), os.dup(orders))
            self._selector.register(self._tasks[pid][1], selectors.EVENT_READ, pid)
        except OSError:
            # No process is free: the closed pipes say that it did not start.
            pass
        finally:
            for one in given:
                os.close(one)
        return True

    def _fork(self, work: Callable[[], object], kept: tuple[int, ...] | list[int]) -> int:
        """Do work in a process of its own; return its pid."""
        if (pid := os.fork()) != 0:
            return pid
        try:
            os.setsid()
            signal.set_wakeup_fd(-1)
            for name in ("SIGCHLD", "SIGPIPE", "SIGINT"):
                signal.signal(signal.Signals[name], signal.SIG_DFL)
            with suppress(OSError), open("/proc/self/oom_score_adj", "w", encoding="ascii") as file:
                file.write(_KILLED_FIRST)
            for one in sorted({int(name) for name in os.listdir("/proc/self/fd")} - {0, 1, 2, *kept}):
                with suppress(OSError):
                    os.close(one)
            work()
        except BaseException as error:  # noqa: BLE001  this process must not go on as its parent
            with suppress(OSError):
                os.write(2, f"{error}\n".encode("utf-8", "replace"))
            os._exit(1)
        os._exit(0)

    def _obey(self, pid: int, orders: int) -> None:
        numbers = os.read(orders, 16)
        for number in numbers or b"\x09":
            with suppress(OSError):
                os.kill(pid, number)
            with suppress(OSError):
                os.killpg(pid, number)
        if not numbers:
            self._selector.unregister(orders)

    def _reap(self) -> None:
        while True:
            try:
                pid, code = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            status, orders = self._tasks.pop(pid, (-1, -1))
            if status < 0:
                continue
            with suppress(KeyError):
                self._selector.unregister(orders)
            os.close(orders)
            with suppress(OSError):
                code = os.waitstatus_to_exitcode(code)
                os.write(status, bytes((0, code) if code >= 0 else (1, -code)))
            os.close(status)


def _command(asked: dict[str, Any], out: int, err: int) -> None:
    """Become the command."""
    os.dup2(out, 1)
    os.dup2(err, 2)
    os.closerange(3, max(out, err) + 1)
    try:
        os.chdir(asked["cwd"])
    except OSError as error:
        os.write(2, f"{asked['cwd']}: {error.strerror}\n".encode("utf-8", "replace"))
        os._exit(1)
    try:
        os.execvpe(asked["argv"][0], asked["argv"], {**os.environ, **asked["env"]})  # noqa: S606
    except OSError as error:
        os.write(2, f"{asked['argv'][0]}: {error.strerror}\n".encode("utf-8", "replace"))
        os._exit(127 if isinstance(error, FileNotFoundError) else 126)


if __name__ == "__main__":
    # Packets of a service that sends many at once are read one after the other.
    Keeper(socket.socket(fileno=int(sys.argv[1]))).run()
