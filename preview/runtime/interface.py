"""One running process tree behind one interface; each runtime passes the same contract suite (``tests/runtime``)."""

from __future__ import annotations

import signal
import socket
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import trio

__all__ = ["FD_PLACEHOLDER", "Exit", "Limits", "ProcessIdentity", "ProcessSpec", "RunningProcess", "Runtime", "Usage"]

# Stands in a ``ProcessSpec``'s arguments and variables for the number that the listening socket has in the child.
FD_PLACEHOLDER = "@LISTENER_FD@"


@dataclass(frozen=True, slots=True)
class Exit:
    """How the process ended: exactly one of both is set.

    Attributes:
        code: Exit status, 0 to 255.
        signal: Number of the signal that ended it.
    """

    code: int | None = None
    signal: int | None = None

    def __str__(self) -> str:
        if self.signal is not None:
            try:
                return f"signal {signal.Signals(self.signal).name}"
            except ValueError:
                return f"signal {self.signal}"
        return f"exit code {self.code}"


@dataclass(frozen=True, slots=True)
class Limits:
    """What the process tree may use; a runtime says in its ``describe()`` which of these it can hold.

    Attributes:
        memory_bytes: Resident memory of the whole tree.
        open_files: Descriptors of each process (RLIMIT_NOFILE).
        processes: Processes and threads of the tree (RLIMIT_NPROC counts them by user, see the plain runtime).
        file_bytes: Size of one file (RLIMIT_FSIZE).
    """

    memory_bytes: int
    open_files: int
    processes: int
    file_bytes: int


@dataclass(frozen=True, slots=True)
class ProcessSpec:
    """What to run.

    Attributes:
        preview_id: Marks every process of the tree (environment variable ``PREVIEW_INSTANCE_ID``).
        argv: Program (absolute path) and arguments; ``FD_PLACEHOLDER`` in them becomes the listening socket's number.
        directory: Working folder, the project's own or one in it.
        environment: All variables the child sees, besides the marker; ``FD_PLACEHOLDER`` as in ``argv``.
        listener: Bound and listening; inherited by the child, and stays open here. None for what serves nothing.
        limits: See ``Limits``.
        readable: Folders outside ``directory`` that it needs (its Python environment).
    """

    preview_id: str
    argv: Sequence[str]
    directory: Path
    environment: Mapping[str, str]
    listener: socket.socket | None
    limits: Limits
    readable: Sequence[Path] = ()


@dataclass(frozen=True, slots=True)
class ProcessIdentity:
    """Names one process for ever: a pid alone is used again by the kernel.

    Attributes:
        pid: Process id.
        start_ticks: Field 22 of ``/proc/PID/stat``: clock ticks after boot (proc(5)).
        boot_id: ``/proc/sys/kernel/random/boot_id``.
    """

    pid: int
    start_ticks: int
    boot_id: str


@dataclass(frozen=True, slots=True)
class Usage:
    """What the whole tree uses now.

    Attributes:
        memory_bytes: Resident memory.
        cpu_percent: Of one core, since the reading before; 0.0 on the first.
        processes: How many processes.
    """

    memory_bytes: int
    cpu_percent: float
    processes: int


class RunningProcess(Protocol):
    """A started process tree; leaving the context that yielded it ends the tree."""

    @property
    def identity(self) -> ProcessIdentity:
        """The leader's identity, as the row keeps it for the next start of the service."""

    @property
    def output(self) -> trio.abc.ReceiveStream:
        """Stdout and stderr, one stream of bytes. Ends when every process of the tree has closed it."""

    async def wait(self) -> Exit:
        """Wait until the leader has ended. Any number of tasks may wait. Cancellation: nothing changes."""

    async def usage(self) -> Usage:
        """Measure the tree. Cancellation: nothing changes."""

    async def stop(self, grace_s: float) -> Exit:
        """Ask the app to end (SIGTERM), and after ``grace_s`` seconds kill what is left of the tree; then reap it.

        Cancellation: the rest of the tree is killed by the context's exit.
        """


class Runtime(Protocol):
    """Starts process trees in one manner (plain, sandboxed, warm, and so on)."""

    @property
    def name(self) -> str:
        """One word for logs and status."""

    def describe(self) -> Mapping[str, str]:
        """What it isolates and limits, for ``preview doctor`` and the status."""

    def open_process(self, spec: ProcessSpec) -> AbstractAsyncContextManager[RunningProcess]:
        """Start the tree; on leaving, however that happens, no process of it is left (bounded shield, SIGKILL).

        Raises:
            LaunchFailed: It could not be started; nothing is left.
        """
