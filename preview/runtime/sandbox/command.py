"""The command line that puts a process into its sandbox.

Bubblewrap makes new namespaces in which the caller is another user. A service that runs as root goes in two steps: the
first, with root's rights, shows the files, which may lie where no other user may look; then the process becomes an
unprivileged user; the second, without any right, makes the namespaces. So a preview is never root outside either: what
it does not own there it cannot reach, should a namespace fail. Any other user does both in one step.
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
    """One process's sandbox.

    Attributes:
        uid: The user it is outside, where the service may choose; None: the service's own.
        filter: The filter of system calls, compiled.
        own_session: Whether it leaves the session that it is started in; else its first process stays in the starter's
            process group, which then tells when it has ended.
        writes_proc: Whether files in ``/proc`` can be written. Where root is root outside too, many are the kernel's
            own settings, and root needs no capability to change them.
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
    """Provide the command line, and the descriptors to inherit, open until the context is left.

    Variables go in through a descriptor: on a command line everybody could read them, and in the environment of the
    programs that run outside, as the service's own user, a ``LD_PRELOAD`` would be theirs to obey.

    Raises:
        LaunchFailed: bubblewrap or setpriv is missing.
        OSError: No descriptor is left.
    """
    opened: list[int] = []
    with ExitStack() as files:

        def hand_over(data: bytes) -> str:
            opened.append(files.enter_context(memory_file(data)))
            return str(opened[-1])

        cage = [*_cage(sandbox), "--seccomp", hand_over(sandbox.filter)]
        if sandbox.uid is None:
            inside = ["--args", hand_over(_joined([*view_arguments(sandbox.view), *cage])), "--"]
            command = [tool("bwrap", "bubblewrap"), *inside, *argv]
        else:
            command = [
                *(tool("bwrap", "bubblewrap"), "--args", hand_over(_joined(_stage(sandbox.view))), "--"),
                *(tool("setpriv"), f"--reuid={sandbox.uid}", f"--regid={sandbox.uid}", "--clear-groups"),
                *("--no-new-privs", "--"),
                *(tool("bwrap", "bubblewrap"), "--args", hand_over(_joined(["--dev-bind", "/", "/", *cage])), "--"),
                *argv,
            ]
        yield command, tuple(opened)


def _stage(view: View) -> list[str]:
    """Return the first of two steps: root shows the files, and keeps the right to change the user.

    Its own process namespace ends with it, and the kernel asks nobody when it ends all in there. The second step's
    parent-death signal would come from root without rights, and be refused: it runs as another user (kill(2)).
    """
    # /proc is the machine's own until the second step covers it by one of its own (proc(5) allows that only where a
    # whole one is in sight).
    kept = ["--cap-drop", "ALL", "--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID"]
    return ["--unshare-pid", "--die-with-parent", *kept, *view_arguments(view), "--bind", "/proc", "/proc"]


def _cage(sandbox: Sandbox) -> list[str]:
    arguments = [f"--unshare-{one}" for one in _NAMESPACES]
    arguments += ["--unshare-cgroup-try", "--die-with-parent", "--cap-drop", "ALL"]
    arguments += ["--new-session"] if sandbox.own_session else []
    arguments += ["--uid", _INSIDE_UID, "--gid", _INSIDE_UID, "--hostname", "preview"]
    if sandbox.view.network is not Network.HOST:
        arguments.append("--unshare-net")
    # The root of what was put together is a file system in memory: it would take files without any bound.
    arguments += ["--proc", "/proc", *([] if sandbox.writes_proc else ["--remount-ro", "/proc"])]
    arguments += ["--remount-ro", "/", "--chdir", str(sandbox.directory), "--clearenv"]
    for name, value in sandbox.environment.items():
        arguments += ["--setenv", name, value]
    return arguments


def _joined(arguments: Sequence[str]) -> bytes:
    """Join arguments for ``--args``: each ends with a NUL, which no argument can hold."""
    return b"".join(os.fsencode(one.replace("\0", "")) + b"\0" for one in arguments)
