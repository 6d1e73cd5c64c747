"""Watches the service; when it was killed, gives up its node's lease: ``preview_crash.py PIDFD``.

The kernel kills the processes of previews with their service (PR_SET_PDEATHSIG, PID namespaces), and has sent these
signals when its pidfd becomes readable (``exit_notify`` in Linux' kernel/exit.c). So this program waits for that, then
for the last process with a marker of one of the node's previews, and then ends the lease in the database. It kills
nothing. If a process is left after a second, as a container or a helper at the level ``plain`` may be, the lease ends
by itself. A service that was stopped (SIGSTOP) has not ended.

Each line of the standard input is a JSON object that replaces the one before: what ``CrashWatch`` sends.

Runs on the service's interpreter. Until the service's end it imports the standard library alone, and needs 8 MB.
"""

from __future__ import annotations

import json
import os
import select
import signal
import sys
import time
from contextlib import suppress
from typing import Any

# A killed process is gone within some milliseconds; one that waits for the processor may take longer.
_SETTLE_S, _LOOK_S = 1.0, 0.01
_PIECE_BYTES = 65536
# Fields of /proc/PID/stat behind the name.
_STATE, _STARTED = 0, 19
# More than the kernel lets a program begin with; a process can say later that its environment is larger.
_MOST_ENVIRONMENT_BYTES = 8 << 20
# The least that libpq takes; of several servers, each gets it.
_CONNECT_S = 2


def main(arguments: list[str]) -> None:
    """Wait for the service's end, and give up its lease."""
    # A service manager that ends what is left of the service may not end this: it ends by itself, with the lease.
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    if (told := _watch(int(arguments[0]))) is None:
        return
    # By then the lease is over. The signal ends this, whatever it waits for: a process's memory, a silent network.
    signal.alarm(1 + int(told["within_s"]))
    if _has_settled(told):
        _give_up(told)


def _watch(service: int) -> dict[str, Any] | None:
    """Return the last line when the service, a pidfd, has ended; None without one."""
    ends, said = select.poll(), b""
    ends.register(service, select.POLLIN)
    ends.register(0, select.POLLIN)
    ready = [0]
    while service not in ready:
        ready = [one for one, _ in ends.poll()]
        if 0 in ready:
            piece = os.read(0, _PIECE_BYTES)
            # All that was written before its end is there.
            said = b"\n".join((said + piece).split(b"\n")[-2:])
            if piece:
                ready = []
            else:
                ends.unregister(0)
    line, newline, _ = said.partition(b"\n")
    return json.loads(line) if newline else None


def _has_settled(told: dict[str, Any]) -> bool:
    """Return whether no process of the node's previews is left, before the time is over."""
    folders = [one for one in told["folders"] if os.path.isdir(one)]  # noqa: PTH112
    names = {name.encode() for folder in folders for name in os.listdir(folder)}  # noqa: PTH208
    marker, service = (f"\0{told[name]}".encode() for name in ("marker", "service"))
    asked, until = (marker, names, service, told["since"]), time.monotonic() + _SETTLE_S
    while any(_may_be_left(pid, *asked) for pid in os.listdir("/proc") if pid.isdecimal()):  # noqa: PTH208
        if time.monotonic() > until:
            return False
        time.sleep(_LOOK_S)
    return True


def _may_be_left(pid: str, marker: bytes, names: set[bytes], service: bytes, since: int) -> bool:
    """Return whether a process is of one of these previews or of the service's templates, by its first environment."""
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:  # noqa: PTH123
            environment = b"\0%b\0" % file.read(_MOST_ENVIRONMENT_BYTES)
    except PermissionError:
        return _may_hide(pid, since)
    except OSError:
        return False
    preview = environment.partition(marker + b"=")[2].partition(b"\0")[0].partition(b"-")[0]
    return preview in names or service + b"\0" in environment


def _may_hide(pid: str, since: int) -> bool:
    """Return whether the process lives, began after the service, and has this one's user.

    From an ordinary user, a program can hide its environment, and one that has ended hides it.
    """
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:  # noqa: PTH123
            stat = file.read().rpartition(b")")[2].split()
        is_ours = os.stat(f"/proc/{pid}").st_uid == os.geteuid()  # noqa: PTH116
    except OSError:
        return False
    return is_ours and stat[_STATE] not in b"ZX" and int(stat[_STARTED]) >= since


def _give_up(told: dict[str, Any]) -> None:
    sys.path[:] = told["path"]
    import psycopg  # noqa: PLC0415  25 MB, which are needed now

    connect = {**told["connect"], "connect_timeout": _CONNECT_S, "autocommit": True}
    # Without the database the lease ends by itself.
    with suppress(psycopg.Error), psycopg.connect(**connect) as connection:
        for statement, values in told["statements"]:
            connection.execute(statement, values)


if __name__ == "__main__":
    main(sys.argv[1:])
