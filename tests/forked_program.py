"""Starts `preview` in tests without its imports, which take a core for one to two seconds each time.

A parent imports them once (``forked_parent.py``) and forks for each start. The process is the caller's child, with the
arguments, variables, folder, descriptors, umask and session of an ordinary start. Its command line in /proc and its
environment there are the parent's. A test that looks at these, or measures a start, has the mark ``plain_start``;
``PREVIEW_TEST_PLAIN_START=1`` has all tests begin so.
"""

from __future__ import annotations

import ctypes
import inspect
import itertools
import os
import pickle
import platform
import resource
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from forked_parent import MAX_BYTES, SYS_CLONE, Start

ORDINARY: Final = subprocess.Popen
CODES: Final = {"from preview.cli import main; main()"}
# A variable that a module reads while it is imported, or the interpreter at its start: its value must be the parent's.
_AT_IMPORT: Final = (
    "COVERAGE", "FORCE_COLOR", "LANG", "LC_", "LD_", "MALLOC_", "NO_COLOR", "PROMETHEUS", "PSUTIL", "PSYCOPG",
    "PYDANTIC", "PYTHON", "PY_COLORS", "TERMINAL_WIDTH", "TYPER", "TZ", "_TYPER", "prometheus",
)  # fmt: skip
_FIELDS: Final = tuple(inspect.signature(subprocess.Popen._execute_child).parameters)[1:]  # type: ignore[attr-defined]
# Of an ordinary start; another value means one that the parent does not know.
_USUAL: Final = {
    "preexec_fn": None, "close_fds": True, "pass_fds": (), "startupinfo": None, "creationflags": 0, "shell": False,
    "restore_signals": True, "gid": None, "gids": None, "uid": None, "umask": -1, "process_group": -1,
}  # fmt: skip
_LIMITS: Final = (resource.RLIMIT_NOFILE, resource.RLIMIT_NPROC, resource.RLIMIT_AS, resource.RLIMIT_FSIZE)


class Parent:
    """The parent of this process's programs; it begins with the first of them."""

    def __init__(self) -> None:
        self._environment = dict(os.environ)
        self._at_import = _read_at_import(self._environment)
        self._limits = _limits()
        self._lock = threading.Lock()
        self._owner = os.getpid()
        self._process: subprocess.Popen[bytes] | None = None
        self._connection: socket.socket | None = None

    def can(self, given: Mapping[str, Any]) -> bool:
        """Whether what it forks is as an ordinary start with these parameters of ``Popen``."""
        command, environment = given["args"], given["env"]
        if any(name.startswith("COVERAGE_PROCESS") for name in os.environ):
            # It counts what processes do that it has seen begin.
            return False
        return (
            isinstance(command, list)
            and len(command) > 2
            and all(isinstance(one, str) for one in command)
            and command[:2] == [sys.executable, "-c"]
            and command[2] in CODES
            and given["executable"] in (None, sys.executable)
            and all(given[name] == value for name, value in _USUAL.items() if name in given)
            and (given["cwd"] is None or Path(given["cwd"]).is_dir())
            and os.getpid() == self._owner
            and platform.machine() in SYS_CLONE
            and _read_at_import(os.environ if environment is None else environment) == self._at_import
            and _limits() == self._limits
        )

    def fork(self, start: Start, descriptors: list[int]) -> int:
        """Return the pid of the new process, a child of this one."""
        with self._lock:
            if self._connection is None:
                self._connection = self._begin()
            socket.send_fds(self._connection, [pickle.dumps(start)], descriptors)
            answer = self._connection.recv(MAX_BYTES)
        if not answer or int(answer) < 0:
            raise ChildProcessError("the parent of the tests' programs could not fork (PREVIEW_TEST_PLAIN_START=1)")
        return int(answer)

    def end(self) -> None:
        if self._connection is not None and self._process is not None:
            self._connection.close()
            self._process.wait(30)

    def _begin(self) -> socket.socket:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            program = Path(__file__).with_name("forked_parent.py")
            self._process = ORDINARY(
                [sys.executable, str(program), str(theirs.fileno())],
                env=self._environment,
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
            )
        return ours


def popen_of(parent: Parent) -> type[subprocess.Popen[Any]]:
    """Return ``Popen`` that has this parent fork where it can."""

    class Forking(subprocess.Popen):  # type: ignore[type-arg]
        def _execute_child(self, *values: Any) -> None:
            given = dict(zip(_FIELDS, values, strict=True))
            if not parent.can(given):
                super()._execute_child(*values)  # type: ignore[misc]
                return
            start = Start(
                code=given["args"][2],
                arguments=given["args"][3:],
                environment=_inherited() if given["env"] is None else _text(given["env"]),
                folder=os.fspath(given["cwd"] or Path.cwd()),
                umask=_umask(),
                in_own_session=given["start_new_session"],
            )
            pipes = [given[name] for name in ("p2cread", "c2pwrite", "errwrite")]
            self.pid = parent.fork(start, [number if pipe == -1 else pipe for number, pipe in enumerate(pipes)])
            self._child_created = True
            self._close_pipe_fds(*(given[name] for name in _FIELDS if name.startswith(("p2c", "c2p", "err"))))  # type: ignore[attr-defined]

    return Forking


@contextmanager
def forking_programs() -> Iterator[type[subprocess.Popen[Any]]]:
    """Yield ``Popen`` with a parent that ends with the context."""
    parent = Parent()
    try:
        yield popen_of(parent)
    finally:
        parent.end()


def _read_at_import(environment: Mapping[Any, Any]) -> dict[str, str]:
    return {name: value for name, value in _text(environment).items() if name.startswith(_AT_IMPORT)}


def _text(environment: Mapping[Any, Any]) -> dict[str, str]:
    return {os.fsdecode(name): os.fsdecode(value) for name, value in environment.items()}


def _inherited() -> dict[str, str]:
    """Return what a program inherits: the C library's variables, of which `readline` sets two that Python has not."""
    pairs = ctypes.POINTER(ctypes.c_char_p).in_dll(ctypes.CDLL(None), "environ")
    found: dict[str, str] = {}
    for number in itertools.count():
        pair = pairs[number]
        if pair is None:
            return found
        name, _, value = os.fsdecode(pair).partition("=")
        found[name] = value
    raise AssertionError("the C library's variables end")


def _limits() -> list[tuple[int, int]]:
    return [resource.getrlimit(one) for one in _LIMITS]


def _umask() -> int:
    # umask(2) alone would set it, for all threads.
    status = Path("/proc/self/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("Umask:")).split()[1], 8)
