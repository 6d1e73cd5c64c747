"""First process of a template's namespaces: ``preview_keeper.py LIFE_FD FILTER_FD USERS -- PROGRAM ARGUMENT…``.

When the first process of a PID namespace ends, the kernel ends all others in it. The template may fail or be replaced
while its forks serve, so this program is the first process instead. It starts the template, adopts orphans, and ends
when the service closes the other end of LIFE_FD, or ends.

FILTER_FD: file with the template's system call filter, under which the packages' code runs.

USERS: ``-`` if the namespaces exist already. Otherwise ``FIRST:COUNT``, the user ids that the template may give to its
forks. Root has then started this program with the capabilities to change users and to mount. The program makes the
namespaces, and is the first of these users inside them.
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
# Forks inherit this limit, and set a lower one. No fork counts as the template's user.
_MOST_PROCESSES = 4096
_MOST_DESCRIPTORS = 1 << 20


def main(arguments: list[str]) -> None:
    """Make the namespaces, start the template, and stay until the service closes LIFE_FD."""
    life, filter_fd, users, _, *program = arguments
    descriptor = int(life)
    if users != "-":
        first, _, count = users.partition(":")
        _make_namespaces(int(first), int(count))
    # An application is always process 2 of its namespace. Process 2 is used up here, so that the template has another
    # pid, and packages that remember their pid notice the fork.
    other = os.fork()
    if other == 0:
        os._exit(0)
    os.waitpid(other, 0)
    # The template does not wait for its forks; they become children of this process.
    started = os.fork()
    if started == 0:
        os.close(descriptor)
        with open(int(filter_fd), "rb") as file:  # noqa: PTH123
            _limit()
            calls.no_new_privileges()
            calls.filter_calls(file.read())
        os.execv(program[0], program)  # noqa: S606  the template, in its sandbox
    # An open copy of the template's socket would hide the template's end from the service.
    _close_all_but(descriptor)
    _stay(descriptor)


def _close_all_but(descriptor: int) -> None:
    os.closerange(3, descriptor)
    os.closerange(max(3, descriptor + 1), _MOST_DESCRIPTORS)


def _limit() -> None:
    """Limit the template, which runs packages' code without a control group."""
    for number, value in ((resource.RLIMIT_NPROC, _MOST_PROCESSES), (resource.RLIMIT_CORE, 0)):
        hard = resource.getrlimit(number)[1]
        limit = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(number, (limit, limit))


def _make_namespaces(first: int, count: int) -> None:
    own_pid = int(os.readlink("/proc/self"))  # noqa: PTH115  no pathlib in the keeper
    ready_read, ready_write = os.pipe()
    writer = os.fork()
    if writer == 0:
        # Still outside, with the capability over users: a process inside may map only its own user.
        os.close(ready_write)
        os.read(ready_read, 1)
        for name in ("uid_map", "gid_map"):
            with open(f"/proc/{own_pid}/{name}", "w", encoding="ascii") as file:  # noqa: PTH123
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
        # Outside of the namespaces: end when the inner process ends.
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
