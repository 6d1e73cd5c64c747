"""Run the program ``preview`` as another system would: ``python other_system.py darwin|win32 ARGUMENTS…``.

With ``--each`` for the arguments it runs many, one after another: further variables and the arguments of each come as a
line of JSON, and code, output and errors go out as a line of JSON. Each has a process of its own, which begins where
all modules are loaded.

A stand-in: no other system can be had in the tests. The project's modules, and only they, get standard modules without
the names that the other system lacks, and its ``sys.platform``. Packages of others see Linux, as each has releases for
those systems. What the other kernel does differently is not shown.
"""

from __future__ import annotations

import builtins
import fcntl
import importlib
import json
import os
import sys
import tempfile
import types
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

# What Linux alone has.
LINUX = {
    "os": {
        *("O_PATH", "O_TMPFILE", "memfd_create", "pidfd_open", "pipe2", "eventfd", "setns", "unshare", "splice"),
        *("sched_setaffinity", "sched_getaffinity", "P_PIDFD", "getxattr", "listxattr", "setresuid", "posix_fadvise"),
    },
    "socket": {"SO_PEERCRED", "AF_NETLINK", "SCM_CREDENTIALS", "SOCK_CLOEXEC", "SO_MARK", "SO_BINDTODEVICE"},
    "signal": {"pidfd_send_signal", "sigtimedwait", "sigwaitinfo", "SIGRTMIN"},
    "select": {"epoll"},
    "resource": {"prlimit"},
}
# What Linux and macOS have, and Windows lacks.
POSIX = {
    "os": {
        *("O_CLOEXEC", "O_NOFOLLOW", "O_DIRECTORY", "O_NONBLOCK", "fork", "geteuid", "getuid", "getgid", "getegid"),
        *("getsid", "setsid", "killpg", "chown", "lchown", "fchown", "fchmod", "mkfifo", "statvfs", "getpgid", "nice"),
        *("setpriority", "chroot", "waitid", "WNOHANG", "uname", "sysconf", "getgroups", "setuid", "getloadavg"),
    },
    "socket": {"AF_UNIX", "SCM_RIGHTS", "sendmsg", "recv_fds", "send_fds", "fromfd"},
    "signal": {"SIGHUP", "SIGKILL", "SIGSTOP", "SIGUSR1", "SIGCHLD", "SIGQUIT", "pthread_sigmask", "sigwait"},
    "select": {"poll"},
}
LACKS: dict[str, list[dict[str, set[str]]]] = {"darwin": [LINUX], "win32": [LINUX, POSIX]}
NO_MODULES = {"darwin": {"pyseccomp"}, "win32": {"pyseccomp", "fcntl", "resource", "pwd", "grp", "termios", "pty"}}


def windows_lock() -> types.ModuleType:
    """A stand-in for ``msvcrt``, with the calls that the project makes."""
    module: Any = types.ModuleType("msvcrt")
    module.LK_LOCK, module.LK_NBLCK = 1, 2

    def locking(descriptor: int, mode: int, count: int) -> None:
        assert count == 1
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | (fcntl.LOCK_NB if mode == module.LK_NBLCK else 0))
        except BlockingIOError as error:
            raise PermissionError(error.errno, error.strerror) from error

    module.locking = locking
    return module  # type: ignore[no-any-return]


class Poorer(types.ModuleType):
    """A standard module without some names, and with others in place of its own."""

    def __init__(self, real: types.ModuleType, lacks: set[str], has: dict[str, object]) -> None:
        super().__init__(real.__name__)
        self._real, self._lacks = real, lacks
        self.__dict__.update(has)

    def __getattr__(self, name: str) -> object:
        if name in self._lacks:
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        return getattr(self._real, name)

    def __setattr__(self, name: str, value: object) -> None:
        if name in {"_real", "_lacks"}:
            super().__setattr__(name, value)
        else:
            setattr(self._real, name, value)


def become(platform: str) -> None:
    """Give the project's modules the standard library of another system."""
    modules: dict[str, types.ModuleType] = {"sys": Poorer(sys, set(), {"platform": platform})}
    for name in ("os", "socket", "signal", "select", "resource"):
        lacks = set().union(*(one.get(name, set()) for one in LACKS[platform]))
        modules[name] = Poorer(importlib.import_module(name), lacks, {"name": "nt"} if platform == "win32" else {})
    if platform == "win32":
        modules["msvcrt"] = windows_lock()
    real = builtins.__import__

    def import_for(
        name: str, importer: Any = None, local: Any = None, fromlist: Any = (), level: int = 0
    ) -> types.ModuleType:
        if level == 0 and str((importer or {}).get("__name__", "")).partition(".")[0] == "preview":
            if name in NO_MODULES[platform]:
                raise ModuleNotFoundError(f"No module named {name!r}", name=name)
            if name in modules:
                return modules[name]
        return real(name, importer, local, fromlist, level)

    builtins.__import__ = import_for  # type: ignore[assignment]  # its parameters' names differ


def run_one(main: Callable[[], None], variables: dict[str, str], words: list[str]) -> dict[str, object]:
    """Run the program with these variables and arguments, in a process of its own."""
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        child = os.fork()
        if child == 0:
            # The next lines of arguments are not its input.
            sys.stdin = Path(os.devnull).open()  # noqa: SIM115  as long as the process
            os.dup2(sys.stdin.fileno(), 0)
            os.dup2(out.fileno(), 1)
            os.dup2(err.fileno(), 2)
            os.environ.update(variables)
            sys.argv = ["preview", *words]
            code = 0
            try:
                main()
            except SystemExit as exit_:
                code = exit_.code if isinstance(exit_.code, int) else 1
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
        _, status = os.waitpid(child, 0)
        out.seek(0)
        err.seek(0)
        return {"code": os.waitstatus_to_exitcode(status), "out": out.read(), "err": err.read()}


if __name__ == "__main__":
    become(sys.argv[1])
    rest = sys.argv[2:]
    sys.argv = ["preview", *rest]
    from preview.cli import main

    if rest == ["--each"]:
        from preview.cli.entry import COMMANDS

        for entry in COMMANDS.values():
            # Those that need Linux cannot be loaded.
            with suppress(Exception):
                importlib.import_module(f"preview.cli.commands.{entry.module}")
        for line in sys.stdin:
            done = json.dumps(run_one(main, *json.loads(line)))
            print(done, flush=True)
    else:
        main()
