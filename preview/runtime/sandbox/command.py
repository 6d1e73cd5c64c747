"""The command line that starts a process in its sandbox.

Bubblewrap makes new namespaces, in which the caller has another user id. A service that runs as root needs two steps.
The first step has root's privileges, and sets up the files, which may lie in folders that only root can open. Then the
process becomes an unprivileged user, and the second step makes the namespaces. So a preview is not root outside either:
if a namespace failed, file permissions would still protect other files. Any other user does both in one step.

Between the steps, root mounts a ``/proc`` of the first step's process namespace: in it, the second bubblewrap looks its
child up by number. The outer ``/proc`` may name another process by this number, or none, and containers hide parts.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from preview.core.isolation import Network
from preview.runtime.kernel.linux import memory_file
from preview.runtime.process.spawning import tool
from preview.runtime.sandbox.view import View, view_arguments

_INSIDE_UID = "1000"
_NAMESPACES = ("user", "pid", "ipc", "uts")


@dataclass(frozen=True, slots=True)
class Sandbox:
    """The sandbox of one process.

    Attributes:
        uid: User outside of the sandbox, if the service can choose one; None means the service's own user.
        filter: The compiled system call filter.
        own_session: Whether the process gets a new session. Otherwise its first process stays in the caller's process
            group, which then shows when it has ended.
        writes_proc: Whether files in ``/proc`` are writable. If root inside is also root outside, many of them are
            kernel settings that root can change without a capability.
    """

    view: View
    uid: int | None
    directory: Path
    environment: Mapping[str, str]
    filter: bytes
    own_session: bool = True
    writes_proc: bool = True


@contextmanager
def sandbox_command(sandbox: Sandbox, argv: Sequence[str]) -> Iterator[tuple[list[str], tuple[int, ...]]]:
    """Yield the command line, and the descriptors to inherit, which are open until the context ends.

    Environment variables are passed through a descriptor. On a command line all users could read them. In the
    environment of bubblewrap and setpriv, which run as the service's user, a ``LD_PRELOAD`` would take effect.

    Raises:
        LaunchFailed: bubblewrap, unshare or setpriv is missing.
        OSError: No file descriptor is free.
    """
    opened: list[int] = []
    with ExitStack() as files:

        def hand_over(data: bytes) -> str:
            opened.append(files.enter_context(memory_file(data)))
            return str(opened[-1])

        cage = [*_cage(sandbox), "--seccomp", hand_over(sandbox.filter)]
        if sandbox.uid is None:
            inside = ["--args", hand_over(joined([*view_arguments(sandbox.view), *cage])), "--"]
            command = [tool("bwrap", "bubblewrap"), *inside, *argv]
        else:
            command = [
                *(tool("bwrap", "bubblewrap"), "--args", hand_over(joined(stage_arguments(sandbox.view))), "--"),
                *with_own_proc(),
                *(tool("setpriv"), f"--reuid={sandbox.uid}", f"--regid={sandbox.uid}", "--clear-groups"),
                *("--no-new-privs", "--"),
                *(tool("bwrap", "bubblewrap"), "--args", hand_over(joined(["--dev-bind", "/", "/", *cage])), "--"),
                *argv,
            ]
        yield command, tuple(opened)


def stage_arguments(view: View) -> list[str]:
    """Return the first of two steps: root sets up the files, and keeps the capabilities for what follows.

    When this step ends, the kernel ends its PID namespace without a permission check. The second step's parent-death
    signal would be refused, because it comes from root without capabilities to another user's process (kill(2)).
    """
    kept = [part for name in ("SYS_ADMIN", "SETUID", "SETGID") for part in ("--cap-add", f"CAP_{name}")]
    # A complete /proc must be visible to mount another (proc(5)).
    outer_proc = ["--bind", "/proc", "/proc"]
    return ["--unshare-pid", "--die-with-parent", "--cap-drop", "ALL", *kept, *view_arguments(view), *outer_proc]


def with_own_proc() -> list[str]:
    """Return the command prefix that mounts the process namespace's own ``/proc``; see ``stage_arguments``.

    Raises:
        LaunchFailed: unshare is missing.
    """
    return [tool("unshare"), "--mount", "--mount-proc", "--"]


def _cage(sandbox: Sandbox) -> list[str]:
    arguments = [f"--unshare-{one}" for one in _NAMESPACES]
    arguments += ["--unshare-cgroup-try", "--die-with-parent", "--cap-drop", "ALL"]
    arguments += ["--new-session"] if sandbox.own_session else []
    arguments += ["--uid", _INSIDE_UID, "--gid", _INSIDE_UID, "--hostname", "preview"]
    if sandbox.view.network is not Network.HOST:
        arguments.append("--unshare-net")
    # The root is a file system in memory without a size limit, so it must be read-only.
    arguments += ["--proc", "/proc", *([] if sandbox.writes_proc else ["--remount-ro", "/proc"])]
    arguments += ["--remount-ro", "/", "--chdir", str(sandbox.directory), "--clearenv"]
    for name, value in sandbox.environment.items():
        arguments += ["--setenv", name, value]
    return arguments


def joined(arguments: Sequence[str]) -> bytes:
    """Join arguments for ``--args``: each ends with a NUL, which an argument cannot contain."""
    return b"".join(os.fsencode(one.replace("\0", "")) + b"\0" for one in arguments)
