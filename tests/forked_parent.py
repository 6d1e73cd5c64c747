"""The parent of `preview` in tests: it has imported the service once, and forks for each start (``forked_program.py``).

It has no threads. What it forks is a child of the tests' process, which can wait for it as for any other.
"""

from __future__ import annotations

import ctypes
import gc
import importlib
import os
import pickle
import pkgutil
import platform
import signal
import socket
import sys
from dataclasses import dataclass
from typing import Final

MAX_BYTES: Final = 1_000_000
_MODULES: Final = ("preview.cli.entry", "preview.cli.local.serving", "preview.http", "preview.service")
_CLONE_PARENT, _CLONE_CHILD_CLEARTID, _CLONE_CHILD_SETTID = 0x8000, 0x200000, 0x1000000
_PR_GET_TID_ADDRESS: Final = 40
SYS_CLONE: Final = {"x86_64": 56, "aarch64": 220}


@dataclass(frozen=True, slots=True)
class Start:
    """What a process begins with, besides its standard descriptors."""

    code: str
    arguments: list[str]
    environment: dict[str, str]
    folder: str
    umask: int
    in_own_session: bool


def serve(connection: socket.socket) -> Start | None:
    """Fork for each message; return in the child with its start, in the parent with None after the last message."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _import_all()
    fork = _Fork()
    while True:
        message, descriptors, _, _ = socket.recv_fds(connection, MAX_BYTES, 3)
        if not message:
            return None
        pid = fork.run()
        if pid == 0:
            connection.close()
            start: Start = pickle.loads(message)
            _become(start, descriptors)
            return start
        for descriptor in descriptors:
            os.close(descriptor)
        connection.send(str(pid).encode())


def _import_all() -> None:
    gc.disable()
    for name in _MODULES:
        importlib.import_module(name)
    commands = importlib.import_module("preview.cli.commands")
    for found in pkgutil.walk_packages(commands.__path__, f"{commands.__name__}."):
        importlib.import_module(found.name)
    gc.collect()
    # The children share what none of them writes to.
    gc.freeze()
    gc.enable()


class _Fork:
    """fork(2) whose child has this process's parent: the tests wait for it themselves.

    The C library's own fork has no such flag. What it adds is done here, or concerns threads.
    """

    def __init__(self) -> None:
        self._call = ctypes.PyDLL(None, use_errno=True).syscall
        self._call.restype = ctypes.c_long
        self._number = SYS_CLONE[platform.machine()]
        address = ctypes.c_ulong()
        if ctypes.CDLL(None).prctl(_PR_GET_TID_ADDRESS, ctypes.byref(address), 0, 0, 0) != 0:
            raise OSError("this kernel does not say where the C library keeps a thread's number")
        # The C library's number of its thread must be the child's.
        self._number_at = address

    def run(self) -> int:
        flags = _CLONE_PARENT | _CLONE_CHILD_CLEARTID | _CLONE_CHILD_SETTID | signal.SIGCHLD
        nothing = ctypes.c_ulong(0)
        ctypes.pythonapi.PyOS_BeforeFork()
        # Architectures differ in which of the last two it is; the other one is not read.
        pid: int = self._call(
            ctypes.c_long(self._number), ctypes.c_ulong(flags), nothing, nothing, self._number_at, self._number_at
        )
        if pid == 0:
            ctypes.pythonapi.PyOS_AfterFork_Child()
        else:
            ctypes.pythonapi.PyOS_AfterFork_Parent()
        return pid


def _become(start: Start, descriptors: list[int]) -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number, descriptor in enumerate(descriptors):
        os.dup2(descriptor, number)
        os.close(descriptor)
    if start.in_own_session:
        os.setsid()
    os.umask(start.umask)
    os.environ.clear()
    os.environ.update(start.environment)
    os.chdir(start.folder)
    sys.argv = ["-c", *start.arguments]
    sys.orig_argv = [sys.executable, "-c", start.code, *start.arguments]
    sys.path[0] = ""
    sys.stdout.reconfigure(line_buffering=os.isatty(1))  # type: ignore[union-attr]


if __name__ == "__main__":
    started = serve(socket.socket(fileno=int(sys.argv[1])))
    if started is not None:
        exec(compile(started.code, "<string>", "exec"), {"__name__": "__main__"})
