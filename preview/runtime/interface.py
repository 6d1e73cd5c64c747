"""One running process tree behind one interface; each runtime passes the same contract suite (``tests/runtime``)."""

from __future__ import annotations

import signal
import socket
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

import trio

from preview.core.isolation import Network

_MIB = 1024 * 1024

# What a kernel can limit for all processes of a tree together.
Held = Literal["memory", "cpu", "processes"]

# Stands in a ``ProcessSpec``'s arguments and variables for the number that the listening socket has in the child.
FD_PLACEHOLDER = "@LISTENER_FD@"
# Likewise for the control channel's.
CONTROL_PLACEHOLDER = "@CONTROL_FD@"


@dataclass(frozen=True, slots=True)
class Exit:
    """Exit of the process: exactly one of both is set.

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
    """Limits of the process tree; ``describe()`` of a runtime says which it enforces.

    Attributes:
        memory_bytes: Resident memory of the whole tree.
        open_files: Descriptors of each process (RLIMIT_NOFILE).
        processes: Processes and threads of the tree (RLIMIT_NPROC counts them by user, see the plain runtime).
        file_bytes: Size of one file (RLIMIT_FSIZE).
        cpu_cores: Processor time per time, 1.0 for one core all the while.
        temp_bytes: What fits into each file system in memory that the tree is given (``/tmp``, ``/dev/shm``).
    """

    memory_bytes: int
    open_files: int
    processes: int
    file_bytes: int
    cpu_cores: float = 1.0
    temp_bytes: int = 64 * _MIB


@dataclass(frozen=True, slots=True)
class WarmStart:
    """Facts to fork the same process from a template, which has imported its packages.

    Attributes:
        key: Names the environment; processes of one key may come from one template.
        launcher: The Python file that the interpreter is given in ``argv``; its ``main(arguments)`` is called. What
            lies beside it is imported first.
        modules: What its projects import: ``sqlalchemy.orm``, or ``sqlalchemy:orm`` where the second is a name in the
            first, module or not.
        own: Names of the project's own modules at the top level: none of them may be loaded in the template.
        anchors: Folders that hold the folders of all previews: what a process is given lies in one of them.
        tell: Called with one sentence: that it was started so, or why not.
    """

    key: str
    launcher: Path
    modules: tuple[str, ...]
    own: frozenset[str]
    anchors: Sequence[Path]
    tell: Callable[[str], None]


@dataclass(frozen=True, slots=True)
class ProcessSpec:
    """Process to run.

    Attributes:
        preview_id: Whose it is. ``instance`` marks every process of the tree (environment variable
            ``PREVIEW_INSTANCE_ID``).
        argv: Program (absolute path) and arguments; ``FD_PLACEHOLDER`` in them becomes the listening socket's number.
        directory: Working folder, the project's own or one in it.
        environment: All variables the child sees, besides the marker; ``FD_PLACEHOLDER`` as in ``argv``.
        listener: Bound and listening; inherited by the child, and stays open here. None for what serves nothing.
        limits: See ``Limits``.
        readable: Folders and files it needs besides the system's own programs (its environment, its interpreter). A
            runtime that isolates shows these and those in ``writable``, at the same paths, and nothing else.
        writable: Folders that are its own alone; where a runtime gives it a user of its own, they become that user's.
        network: See ``Network``.
        loopback_ports: What ``Network.LOOPBACK_ONLY`` reaches.
        port: Where the program listens by itself, in place of taking ``listener``; None where it takes it.
        slot: A number that no other live preview of this machine has: its port. A user of its own is counted from it.
        warm: How it may be started faster; a runtime without templates does not look at it.
        number: Which process of the preview it is, from 1: while one takes over from another there are two.
        control: The child's end of the control channel, a connected socket; inherited by the child under the number
            that ``CONTROL_PLACEHOLDER`` becomes, and stays open here. None for what has none.
    """

    preview_id: str
    argv: Sequence[str]
    directory: Path
    environment: Mapping[str, str]
    listener: socket.socket | None
    limits: Limits
    readable: Sequence[Path] = ()
    writable: Sequence[Path] = ()
    network: Network = Network.NONE
    loopback_ports: Sequence[int] = ()
    port: int | None = None
    slot: int = 0
    warm: WarmStart | None = None
    number: int = 1
    control: socket.socket | None = None

    @property
    def instance(self) -> str:
        """Names this tree among those of the preview: its mark, and its control group's name."""
        return self.preview_id if self.number == 1 else f"{self.preview_id}-{self.number}"


@dataclass(frozen=True, slots=True)
class ProcessIdentity:
    """Names one process for ever: a pid alone is used again by the kernel.

    Attributes:
        start_ticks: Field 22 of ``/proc/PID/stat``: clock ticks after boot (proc(5)).
        boot_id: ``/proc/sys/kernel/random/boot_id``.
    """

    pid: int
    start_ticks: int
    boot_id: str


@dataclass(frozen=True, slots=True)
class Usage:
    """Current usage of the whole tree.

    Attributes:
        memory_bytes: Resident memory.
        cpu_percent: Of one core, since the reading before; 0.0 on the first.
    """

    memory_bytes: int
    cpu_percent: float
    processes: int


@dataclass(frozen=True, slots=True)
class Excess:
    """Counts of enforced limits so far; all zero without control groups.

    Attributes:
        killed_for_memory: Processes killed because the tree's memory was used up.
        refused_processes: Forks and threads refused.
        throttled_s: Seconds of processor time it wanted and did not get.
    """

    killed_for_memory: int = 0
    refused_processes: int = 0
    throttled_s: float = 0.0


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

    def excess(self) -> Excess:
        """Count enforced limits so far; also after the tree's end, while its context is open."""

    def members(self) -> Sequence[int]:
        """Pids of the tree, as far as they are known without a search: those of the last ``usage()`` at least."""

    async def stop(self, grace_s: float) -> Exit:
        """Ask the app to end (SIGTERM), and after ``grace_s`` seconds kill what is left of the tree; then reap it.

        Cancellation: the rest of the tree is killed by the context's exit.
        """


class NoSnapshot(Exception):
    """No usable snapshot; says why, in half a sentence."""


class Snapshot(Protocol):
    """An application that is imported already, in its preview's sandbox; see ``Runtime.open_snapshot``."""

    def open_process(self, spec: ProcessSpec) -> AbstractAsyncContextManager[RunningProcess]:
        """Open a process like ``Runtime.open_process``, for the very same code, variables and folders.

        Raises:
            NoSnapshot: It could not be started from this one; nothing is left.
        """


class SpeculativeProcess(Protocol):
    """A process that runs already, as what its start is likely to be; see ``Runtime.begin``."""

    async def wait(self) -> bool:
        """Wait until it is known whether it runs; return that. Cancellation: nothing changes."""

    @property
    def has_run(self) -> bool:
        """True if any of its code may have run already."""

    def is_for(self, spec: ProcessSpec) -> bool:
        """Return whether this start is the same one, so that ``open_process`` returns the started process."""


class Runtime(Protocol):
    """Starts process trees in one manner (plain, sandboxed, warm, and so on)."""

    @property
    def name(self) -> str:
        """One word for logs and status."""

    def describe(self) -> Mapping[str, str]:
        """Describe isolation and limits, for ``preview doctor`` and the status."""

    def holds(self) -> frozenset[Held]:
        """Return limits that the kernel enforces on a whole tree; memory is watched if absent."""

    def network(self, wanted: Network) -> Network:
        """Return the effective network for ``wanted``: more, if the runtime cannot restrict it."""

    def shares_listener(self, network: Network) -> bool:
        """Return whether a tree of this network accepts on the listening socket itself, so that two can share it."""

    def open_snapshot(self, spec: ProcessSpec) -> AbstractAsyncContextManager[Snapshot]:
        """Import an application, and keep it to be forked for restarts of the same code.

        It has to stay open for as long as anything that was started from it.

        Args:
            spec: What started the process that serves.

        Raises:
            NoSnapshot: It cannot be had, for the reason given.
        """

    def reserve(self, spec: ProcessSpec, *, stays: bool = False) -> AbstractAsyncContextManager[trio.Event]:
        """Begin what can be started of a start while the rest is made ready; ends unused where it does not come to it.

        What was reserved before for the same preview counts where it is the same, and else ends.

        Args:
            spec: ``preview_id``, folders, limits, slot and ``warm`` are those of the start; what it runs, and in which
                environment, does not count yet.
            stays: Whether it waits for as long as this is open; else for some seconds.

        Yields:
            Set once there is nothing to be taken, or not any more.
        """

    def begin(self, spec: ProcessSpec) -> AbstractAsyncContextManager[SpeculativeProcess | None]:
        """Let what was reserved for this preview run already: it was not decided yet that this is its start.

        ``open_process`` of the same start goes on with it, and ends it; who asks for another one is to leave this
        first. What it prints, and says over its control channel, waits until then.

        Args:
            spec: The whole of a start. Its folders hold the code.

        Yields:
            None where nothing was reserved that it could be; then nothing of it runs.
        """

    async def wait_prepared(self, spec: ProcessSpec) -> bool:
        """Prepare like ``prepare`` and wait; False if impossible. Cancellation: preparation continues."""

    def prepare(self, spec: ProcessSpec) -> None:
        """Have ready what makes a start like this one fast; nothing, where there is no such thing. Returns at once."""

    def open_process(self, spec: ProcessSpec) -> AbstractAsyncContextManager[RunningProcess]:
        """Start the tree; on leaving, however that happens, no process of it is left (bounded shield, SIGKILL).

        Raises:
            LaunchFailed: It could not be started; nothing is left.
        """
