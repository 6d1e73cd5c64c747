"""Holds a template's world: ``preview_keeper.py LIFE_FD FILTER_FD USERS -- PROGRAM ARGUMENT…``.

The first process of the template's namespaces ends last, and everything in them with it. So it is not the template,
which may fail or be replaced while forks of it serve, but this program: it starts the template, takes in orphans, and
ends when the service closes the other end of LIFE_FD, or is gone.

FILTER_FD: where the template's filter of system calls is read from, under which packages' code runs.

USERS: ``-`` where the namespaces are made already; else how many user numbers from which one on the template may give
to its forks, ``FIRST:COUNT``. Then this program, which root has started with the right to change users and nothing
else, makes the namespaces, and inside of them is the first of these users.
"""

from __future__ import annotations

import os
import resource
import select
import signal
import sys

import preview_calls as calls  # type: ignore[import-not-found]

# linux/capability.h
_SETGID, _SETUID = 6, 7
# Forks inherit it, and have a lower one of their own; none of them counts as the template's user.
_MOST_PROCESSES = 4096
_MOST_DESCRIPTORS = 1 << 20


def main(arguments: list[str]) -> None:
    """Make the namespaces, start the template, and stay until the service releases it."""
    life, filter_fd, users, _, *program = arguments
    descriptor = int(life)
    if users != "-":
        first, _, count = users.partition(":")
        _make_namespaces(int(first), int(count))
    # An application is the second process of its namespace. The template is not of this one, so that packages that
    # remember their process by its number see that a fork is another.
    other = os.fork()
    if other == 0:
        os._exit(0)
    os.waitpid(other, 0)
    # Forks of the template are not waited for by it: they come here.
    started = os.fork()
    if started == 0:
        os.close(descriptor)
        with open(int(filter_fd), "rb") as file:  # noqa: PTH123
            _limit()
            calls.no_new_privileges()
            calls.filter_calls(file.read())
        os.execv(program[0], program)  # noqa: S606  the template, in its sandbox
    # Else its socket would stay open when the template ends, and nobody would know that it has.
    _close_all_but(descriptor)
    _stay(descriptor)


def _close_all_but(descriptor: int) -> None:
    os.closerange(3, descriptor)
    os.closerange(max(3, descriptor + 1), _MOST_DESCRIPTORS)


def _limit() -> None:
    """Limit the template without a control group, because of its packages."""
    for number, value in ((resource.RLIMIT_NPROC, _MOST_PROCESSES), (resource.RLIMIT_CORE, 0)):
        hard = resource.getrlimit(number)[1]
        limit = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(number, (limit, limit))


def _make_namespaces(first: int, count: int) -> None:
    host_pid = int(os.readlink("/proc/self"))  # noqa: PTH115  no pathlib in the keeper
    ready_read, ready_write = os.pipe()
    writer = os.fork()
    if writer == 0:
        # Still outside, with the right over users: who is inside may map no other than himself.
        os.close(ready_write)
        os.read(ready_read, 1)
        for name in ("uid_map", "gid_map"):
            with open(f"/proc/{host_pid}/{name}", "w", encoding="ascii") as file:  # noqa: PTH123
                file.write(f"0 {first} {count}")
        os._exit(0)
    calls.unshare(
        calls.CLONE_NEWUSER
        | calls.CLONE_NEWNS
        | calls.CLONE_NEWPID
        | calls.CLONE_NEWIPC
        | calls.CLONE_NEWUTS
        | calls.CLONE_NEWNET
    )
    os.write(ready_write, b".")
    if os.waitpid(writer, 0)[1] != 0:
        raise SystemExit("The template's users could not be mapped.")
    os.close(ready_read)
    os.close(ready_write)
    first_inside = os.fork()
    if first_inside != 0:
        # Outside of the namespaces: ends with what is inside.
        _close_all_but(0)
        os.waitpid(first_inside, 0)
        raise SystemExit(0)
    os.setgroups([])
    os.setresgid(0, 0, 0)
    os.setresuid(0, 0, 0)
    calls.set_dumpable()
    calls.mount("", "/", "", calls.MS_REC | calls.MS_PRIVATE)
    calls.mount("proc", "/proc", "proc", calls.MS_NOSUID | calls.MS_NODEV | calls.MS_NOEXEC)
    calls.set_host_name("preview")
    calls.drop_capabilities((_SETGID, _SETUID))


def _stay(descriptor: int) -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    os.set_blocking(descriptor, False)
    waiting = select.poll()
    waiting.register(descriptor, select.POLLIN | select.POLLHUP)
    while True:
        for _, event in waiting.poll():
            if event & (select.POLLHUP | select.POLLERR) or not os.read(descriptor, 16):
                os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1:])
