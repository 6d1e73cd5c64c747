"""The interface of all runtimes; each runtime passes the same contract suite (``tests/runtime``)."""

from __future__ import annotations

import signal
import socket
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol, Self

import trio

from preview.core.isolation import Network
from preview.runtime.run_image import RunImage

_MIB = 1024 * 1024

# Resources that a kernel can limit for all processes of a tree together.
Held = Literal["memory", "cpu", "processes"]

# Placeholder in a ``ProcessSpec``'s arguments and variables for the listening socket's descriptor number in the child.
FD_PLACEHOLDER = "@LISTENER_FD@"
# The same for the control channel's descriptor number.
CONTROL_PLACEHOLDER = "@CONTROL_FD@"
LOG_PLACEHOLDER = "@LOG_PIPE@"
"""Stands for ``DEVICE:INODE`` of the pipe of the output, by which programs know what goes to the log."""

# Serves one connection from inside a preview; the caller closes it.
Serve = Callable[[trio.SocketStream], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Exit:
    """Exit of a process: exactly one of the two attributes is set.

    Attributes:
        code: Exit status, 0 to 255.
        signal: Number of the signal that ended the process.
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
    """Limits of a process tree; a runtime's ``describe()`` lists which limits it enforces.

    Attributes:
        memory_bytes: Resident memory of the whole tree.
        open_files: Descriptors of each process (RLIMIT_NOFILE).
        processes: Processes and threads of the tree. RLIMIT_NPROC counts them by user, see the plain runtime.
        file_bytes: Size of one file (RLIMIT_FSIZE).
        cpu_cores: Processor seconds per second; 1.0 means one full core.
        temp_bytes: Size of each in-memory file system of the tree (``/tmp``, ``/dev/shm``).
    """

    memory_bytes: int
    open_files: int
    processes: int
    file_bytes: int
    cpu_cores: float = 1.0
    temp_bytes: int = 64 * _MIB


@dataclass(frozen=True, slots=True)
class WarmStart:
    """Everything needed to fork a process from a template that has imported the environment's packages.

    Attributes:
        key: Names the environment. Processes with the same key may share a template.
        launcher: The Python file in ``argv``. The fork calls its ``main(arguments)``. The template imports the modules
            in the launcher's folder first.
        modules: Modules that the projects import: ``sqlalchemy.orm``, or ``sqlalchemy:orm`` if ``orm`` is any name
            in ``sqlalchemy``, module or not.
        own: Top-level names of the project's own modules; the template must not have loaded any of them.
        anchors: Folders that contain the folders of all previews. A process's folders lie in one of the anchors.
        tell: Called with one sentence: the start was warm, or why it was not.
    """

    key: str
    launcher: Path
    modules: tuple[str, ...]
    own: frozenset[str]
    anchors: Sequence[Path]
    tell: Callable[[str], None]


@dataclass(frozen=True, slots=True)
class ProcessSpec:
    """The process to run.

    Attributes:
        preview_id: Id of the preview. The environment variable ``PREVIEW_INSTANCE_ID`` marks every process of the tree
            with ``instance``.
        argv: Program (absolute path) and arguments; ``FD_PLACEHOLDER`` in them becomes the listening socket's number.
        directory: Working folder: the project's folder or a subfolder.
        environment: All variables of the child, besides the marker; ``FD_PLACEHOLDER`` as in ``argv``.
        listener: Bound, listening socket. The child inherits it; it stays open here. None if nothing is served.
        limits: Limits of the tree.
        readable: Folders and files needed besides the system's programs (environment, interpreter). An isolating
            runtime shows only these and ``writable``, at the same paths.
        writable: Folders that only this preview uses. If the preview has its own user, that user owns them.
        around: Their parent folder, if an isolating runtime shows it writable, too, and in memory: for ``../logs``.
        shown_at: Folders of ``writable`` that an isolating runtime shows at another path instead, by that path.
        placed: Folders and files that an isolating runtime shows at another path, read-only, by that path.
        links: Links that an isolating runtime shows: absolute path to absolute target; where nothing else is.
        network: Network access to grant.
        loopback_ports: Ports reachable under ``Network.LOOPBACK_ONLY``.
        reaches: Ports of the program's own loopback, each with what serves them; not in the host's network.
        port: Port on which the program listens by itself; None if it takes ``listener`` instead.
        slot: The preview's port, unique among live previews of this machine. A preview's own user id derives from it.
        warm: How to start from a template; ignored by runtimes without templates.
        number: Number of the process within the preview, from 1. Two exist while one replaces the other.
        control: The child's end of the control channel, a connected socket. The child inherits it under the number
            that replaces ``CONTROL_PLACEHOLDER``; it stays open here. None means no control channel.
        image: Image that a container runtime runs it in; ``argv`` and ``directory`` are paths in it. None: its own.
    """

    preview_id: str
    argv: Sequence[str]
    directory: Path
    environment: Mapping[str, str]
    listener: socket.socket | None
    limits: Limits
    readable: Sequence[Path] = ()
    writable: Sequence[Path] = ()
    around: Path | None = None
    shown_at: Mapping[Path, Path] = field(default_factory=dict)
    placed: Mapping[Path, Path] = field(default_factory=dict)
    links: Mapping[Path, Path] = field(default_factory=dict)
    network: Network = Network.NONE
    loopback_ports: Sequence[int] = ()
    reaches: Mapping[int, Serve] = field(default_factory=dict)
    port: int | None = None
    slot: int = 0
    warm: WarmStart | None = None
    number: int = 1
    control: socket.socket | None = None
    image: RunImage | None = None

    @property
    def instance(self) -> str:
        """Name of this tree, unique within the preview: its marker and its control group's name."""
        return self.preview_id if self.number == 1 else f"{self.preview_id}-{self.number}"


@dataclass(frozen=True, slots=True)
class ProcessIdentity:
    """Permanent identity of one process: the kernel reuses a pid alone.

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
        cpu_percent: Percent of one core since the previous reading; 0.0 on the first.
    """

    memory_bytes: int
    cpu_percent: float
    processes: int


@dataclass(frozen=True, slots=True)
class Excess:
    """Counts of limit hits so far; all zero without control groups.

    Attributes:
        killed_for_memory: Processes killed because the tree's memory was used up.
        refused_processes: Number of refused forks and threads.
        throttled_s: Seconds of processor time that the tree was denied.
    """

    killed_for_memory: int = 0
    refused_processes: int = 0
    throttled_s: float = 0.0


class RunningProcess(Protocol):
    """A started process tree; leaving the context that yielded it ends the tree."""

    @property
    def identity(self) -> ProcessIdentity:
        """The leader's identity, as stored in the database for the next start of the service."""

    @property
    def output(self) -> trio.abc.ReceiveStream:
        """Stdout and stderr as one byte stream, which ends when every process of the tree has closed it."""

    async def wait(self) -> Exit:
        """Wait until the leader has ended; any number of tasks may wait. Cancellation: the process keeps running."""

    async def usage(self) -> Usage:
        """Measure the tree. Cancellation: the process is not affected."""

    def resident_bytes(self) -> int | None:
        """Add up the resident memory of the processes that are found at once; takes some 0.1 ms.

        None means that the kernel itself limits the tree's memory.

        Raises:
            OSError: No file descriptor is free.
        """

    def excess(self) -> Excess:
        """Count limit hits so far; works after the tree's end too, while its context is open."""

    def members(self) -> Sequence[int]:
        """Return known pids of the tree without a search: at least those found by the last ``usage()``."""

    async def stop(self, grace_s: float) -> Exit:
        """Send SIGTERM, kill the rest of the tree after ``grace_s`` seconds, and reap it.

        Cancellation: the context's exit kills the rest of the tree.
        """


class NoSnapshot(Exception):
    """No usable snapshot; the message gives the reason, in half a sentence."""


class Snapshot(Protocol):
    """An imported application in its preview's sandbox, ready to be forked; see ``Runtime.open_snapshot``."""

    @property
    def is_spent(self) -> bool:
        """True once no further process can be opened from it."""

    def open_process(self, spec: ProcessSpec) -> AbstractAsyncContextManager[RunningProcess]:
        """Open a process like ``Runtime.open_process``; code, variables and folders must be those of the snapshot.

        Raises:
            NoSnapshot: The process could not be forked from this snapshot; nothing is left.
        """


class SpeculativeProcess(Protocol):
    """A process started early for a launch that is expected but not yet decided; see ``Runtime.speculate``."""

    async def wait(self) -> bool:
        """Wait until it is known whether the process runs; return that. Cancellation: the process is not affected."""

    @property
    def has_run(self) -> bool:
        """True if any of the project's code may have run already."""

    def is_for(self, spec: ProcessSpec) -> bool:
        """Return whether ``spec`` describes the same start, so that ``open_process`` returns this process."""

    async def end(self) -> None:
        """End the process, unless a launch has taken it. Cancellation: the process still ends (bounded)."""


class InnerSocket(socket.socket):
    """A listening socket in a network of its own, which processes inherit in place of the host's; see ``Runtime``."""

    def carry(self, *, carries: bool = True) -> None:
        """Start to forward connections of the host's socket, which must listen already, or stop to."""
        raise NotImplementedError

    async def open_connection(self) -> socket.socket:
        """Return a new connection to this socket, which the caller closes; it waits if the queue is full.

        Raises:
            OSError: The socket does not listen, or the service can open no more sockets.

        Cancellation: no connection is left.
        """
        raise NotImplementedError


class Connects(Protocol):
    """Opens connections to a place that has no address in the service's own network."""

    async def open_connection(self) -> socket.socket:
        """Return a new connection, which the caller closes.

        Raises:
            OSError: Nothing accepts there, or the service can open no more sockets.

        Cancellation: no connection is left.
        """


class InnerAddress(tuple[str, int]):  # noqa: SLOT001  a tuple has room for no slots
    """Host and port of a preview whose processes inherit an inner socket: a connection to that saves a detour.

    Attributes:
        inner: The socket, or what else opens connections. The pair is the address of the host's socket, whose
            connections are forwarded to it, or else only a name.
    """

    inner: Connects

    def __new__(cls, host: str, port: int, inner: Connects) -> Self:
        """Make the pair."""
        made = super().__new__(cls, (host, port))
        made.inner = inner
        return made


class Runtime(Protocol):
    """Starts process trees at one isolation level (plain, sandboxed), cold or warm."""

    @property
    def name(self) -> str:
        """One word for logs and status."""

    def describe(self) -> Mapping[str, str]:
        """Describe isolation and limits, for ``preview doctor`` and the status."""

    def holds(self) -> frozenset[Held]:
        """Return the limits that the kernel enforces on a whole tree. If memory is absent, the service watches it."""

    def network(self, wanted: Network) -> Network:
        """Return the effective network for ``wanted``: more access, if the runtime cannot restrict it."""

    def shares_listener(self, network: Network) -> bool:
        """Return whether the tree accepts on the listening socket itself, so that two trees can share the socket."""

    def open_inner_listener(self, listener: socket.socket) -> AbstractAsyncContextManager[InnerSocket | None]:
        """Open the socket that a preview's processes inherit, unless their network is the host's.

        Yields:
            The socket; None if processes inherit ``listener`` itself.
        """

    def open_snapshot(self, spec: ProcessSpec) -> AbstractAsyncContextManager[Snapshot]:
        """Import an application, and keep the process to be forked for restarts of the same code.

        The context must stay open as long as any process that was forked from the snapshot.

        Args:
            spec: Specification that started the serving process.

        Raises:
            NoSnapshot: No snapshot is possible; the message gives the reason.
        """

    def reserve(self, spec: ProcessSpec, *, stays: bool = False) -> AbstractAsyncContextManager[trio.Event]:
        """Start a confined process in advance, while the rest of the launch is prepared; an unused process ends.

        An earlier reservation of the same preview is used if it matches; otherwise it ends.

        Args:
            spec: ``preview_id``, folders, limits, slot and ``warm`` must be those of the start. The program and its
                variables do not matter yet.
            stays: Whether the process waits as long as the context is open; otherwise it waits for some seconds.

        Yields:
            Event that is set once no process can be taken any more.
        """

    def speculate(self, spec: ProcessSpec) -> AbstractAsyncContextManager[SpeculativeProcess | None]:
        """Let the reserved process of this preview run before it is decided that the launch uses it.

        ``open_process`` of the same start takes the process over, and ends it. Before a different start the caller
        must end it. Output and control messages of the process wait until it is taken over.

        Args:
            spec: The complete specification. The folders contain the code.

        Yields:
            None if no reservation matches; then nothing runs.
        """

    async def wait_prepared(self, spec: ProcessSpec) -> bool:
        """Prepare like ``prepare``, and wait; return False if impossible. Cancellation: preparation continues."""

    def prepare(self, spec: ProcessSpec) -> None:
        """Start to prepare a template for such starts, and return at once; does nothing without templates."""

    def open_process(self, spec: ProcessSpec) -> AbstractAsyncContextManager[RunningProcess]:
        """Start the tree; leaving the context always ends every process of it (bounded shield, SIGKILL).

        Raises:
            LaunchFailed: The tree could not be started; nothing is left.
        """
