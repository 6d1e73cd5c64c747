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
# libpq takes a second for two.
_LEAST_CONNECT_S = 2


def main(arguments: list[str]) -> None:
    """Wait for the service's end, and give up its lease."""
    # A service manager that ends what is left of the service may not end this: it ends by itself, within seconds.
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    if (told := _watch(int(arguments[0]))) is not None and _has_settled(told["folders"], told["marker"]):
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


def _has_settled(folders: list[str], marker: str) -> bool:
    """Return whether no process of the node's previews is left, before the time is over."""
    names = {name for folder in folders if os.path.isdir(folder) for name in os.listdir(folder)}  # noqa: PTH112, PTH208
    until = time.monotonic() + _SETTLE_S
    while any(_preview_of(pid, marker) in names for pid in os.listdir("/proc") if pid.isdecimal()):  # noqa: PTH208
        if time.monotonic() > until:
            return False
        time.sleep(_LOOK_S)
    return True


def _preview_of(pid: str, marker: str) -> str | None:
    """Return the preview whose marker a process has in its first environment."""
    with suppress(OSError), open(f"/proc/{pid}/environ", "rb") as file:  # noqa: PTH123
        for item in file.read().split(b"\0"):
            name, _, value = item.partition(b"=")
            if name == marker.encode():
                return value.decode("utf-8", "replace").partition("-")[0]
    return None


def _give_up(told: dict[str, Any]) -> None:
    sys.path[:] = told["path"]
    import psycopg  # noqa: PLC0415  25 MB, which are needed now

    within_s = told["within_s"]
    connect = {**told["connect"], "connect_timeout": max(_LEAST_CONNECT_S, int(within_s)), "autocommit": True}
    # Without the database the lease ends by itself.
    with suppress(psycopg.Error), psycopg.connect(**connect) as connection:
        connection.execute(f"SET statement_timeout = {int(1000 * within_s)}")
        for statement, values in told["statements"]:
            connection.execute(statement, values)


if __name__ == "__main__":
    main(sys.argv[1:])
