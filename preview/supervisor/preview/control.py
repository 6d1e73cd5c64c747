"""The service's end of the control channel to a server process; and requests for launches and changes.

The process reports that it serves, is ordered to release the socket, and is asked for its routes. The application
controls the other end, so it is not trusted: only a few bytes are read, besides reports that the service has asked for,
and only four words have a meaning. If a channel is closed, silent or abused, only its own process loses the hand-over
and its routes.
"""

from __future__ import annotations

import socket
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import trio

from preview.core.clock import wait_any
from preview.data import Part, PreviewData
from preview.detection import Overrides
from preview.runtime.inbound import close_inbound, receive_now, seal
from preview.storage.tables import PreviewRecord
from preview.supervisor.preview import route_report
from preview.supervisor.preview.route_report import RouteReport
from preview.user import User

# ``ready``, ``closed`` and ``drained``, each with a line end, and a reserve.
_MOST_BYTES = 256
_CHUNK_BYTES = 65_536


class Control:
    """Control channel of one process. Made by ``open_control`` alone.

    Attributes:
        theirs: The process's end, to be inherited.
        ready: Set when the process has reported that it accepts on the listening socket.
        closed: Set when it has reported that it accepts no more.
        drained: Set when it has reported that all accepted requests are finished.
    """

    def __init__(self, ours: socket.socket, theirs: socket.socket) -> None:
        self._ours = ours
        self.theirs = theirs
        self.ready = trio.Event()
        self.closed = trio.Event()
        self.drained = trio.Event()
        self._over = trio.Event()
        # Bytes that the process may still send. Invariant: only a request for a report raises it.
        self._allowed = _MOST_BYTES
        self._asked = 0
        self._report: RouteReport | None = None

    def has_started(self) -> None:
        """Close the service's copy of the process's end, so that the end of the channel can be detected."""
        self.theirs.close()

    async def listen(self) -> None:
        """Read the process's reports until the channel ends. Cancellation: nothing changes."""
        try:
            await self._read()
        finally:
            self._over.set()

    async def _read(self) -> None:
        rest = b""
        while self._allowed > 0 and len(rest) <= route_report.MOST_LINE:
            await trio.lowlevel.wait_readable(self._ours)
            try:
                word = receive_now(self._ours, min(self._allowed, _CHUNK_BYTES))
            except BlockingIOError:
                continue
            except OSError:
                return
            if not word.data or word.had_descriptors:
                return
            self._allowed -= len(word.data)
            *lines, rest = (rest + word.data).split(b"\n")
            for line in lines:
                self._take(line)

    def _take(self, line: bytes) -> None:
        if line == b"ready":
            self.ready.set()
        elif line == b"closed":
            self.closed.set()
        elif line == b"drained":
            self.closed.set()
            self.drained.set()
        elif self._report is not None and len(line) <= route_report.MOST_LINE:
            self._report.take(line)

    async def ask_routes(self) -> bytes | None:
        """Return the process's report of its routes, untrusted; None if it gives none in time.

        Callers at the same time get the same report. Cancellation: nothing changes.
        """
        report = self._report
        if report is None or report.over.is_set():
            report = self._ask()
        if report is None:
            return None
        with trio.move_on_at(report.deadline):
            await wait_any(report.over, self._over)
        if not report.over.is_set():
            report.give_up()
        return report.text

    def _ask(self) -> RouteReport | None:
        # Only a process that has reported uses the channel; any other would not read the request.
        if not self.ready.is_set() or self._over.is_set() or self._asked >= route_report.MOST_REPORTS:
            return None
        self._asked += 1
        try:
            self._ours.send(b"routes %d\n" % self._asked)
        except OSError:
            return None
        self._allowed += route_report.MOST_BYTES
        self._report = RouteReport(self._asked)
        return self._report

    def ask_to_drain(self) -> bool:
        """Order the process to accept no more and to end after its last response; False if sending failed."""
        try:
            self._ours.send(b"drain\n")
        except OSError:
            return False
        return True


@contextmanager
def open_control() -> Iterator[Control]:
    """Open a channel for one future process.

    Raises:
        OSError: No file descriptor is free.
    """
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    with theirs:
        try:
            seal(ours)
            yield Control(ours, theirs)
        finally:
            close_inbound(ours)


@dataclass(frozen=True, slots=True)
class LaunchRequest:
    """A parsed launch request.

    Attributes:
        user: The caller, who must own the generation.
        generation_id: The generation to launch.
        project_id: If given, must be the generation's project.
        startup_timeout_s: Start-up timeout in seconds; None means the setting.
        overrides: Start options that take precedence over detection and the project's ``preview.toml``.
    """

    user: User
    generation_id: str
    project_id: str | None = None
    startup_timeout_s: float | None = None
    overrides: Overrides | None = None


@dataclass(frozen=True, slots=True)
class FirstData:
    """Data that a preview begins with.

    Attributes:
        folder: Folder of the parts. It stays until the preview runs.
        parts: The parts.
        source: Names the data, for the log.
    """

    folder: Path
    parts: tuple[Part, ...]
    source: str


@dataclass(frozen=True, slots=True)
class Launched:
    """Result of a launch.

    Attributes:
        record: The preview: ``starting``, or ``running`` after a restart in place.
        token: A preview token in clear; it is shown once and stored only as a hash.
    """

    record: PreviewRecord
    token: str


@dataclass(frozen=True, slots=True)
class FilesChange:
    """Changes to a running preview's files.

    Attributes:
        written: Content by relative path; paths are checked like a generation's (``preview.generations.PathCheck``).
        removed: Relative paths, checked likewise; missing files are ignored.
        revision: Version of the generation's files after the change; None if there are no versions.
    """

    written: Mapping[str, bytes] = field(default_factory=dict)
    removed: Sequence[str] = ()
    revision: int | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """All paths, written ones first."""
        return (*self.written, *(path for path in self.removed if path not in self.written))


@dataclass(frozen=True, slots=True)
class DataChange:
    """A replacement of a running preview's data. No process of the preview runs meanwhile.

    Attributes:
        what: For the log.
        apply: Replaces the data.
        undo: Brings back what was there before; called if ``apply`` has failed, or if the application does not start
            with the new data.
        steps: Steps of the plan that run afterwards: those of a first start, or those that bring a database up to date.
    """

    what: Literal["restore", "reset"]
    apply: Callable[[PreviewData], Awaitable[None]]
    undo: Callable[[PreviewData], Awaitable[None]]
    steps: Literal["all", "migrations", "none"]


@dataclass(frozen=True, slots=True)
class Reloaded:
    """Result of a reload: the new process serves.

    Attributes:
        record: The preview, ``running``.
        changed: Paths that were written.
        removed: Paths that were removed.
        elapsed_s: Seconds from the request until the new process served.
    """

    record: PreviewRecord
    changed: tuple[str, ...]
    removed: tuple[str, ...]
    elapsed_s: float
