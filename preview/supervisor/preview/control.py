"""The service's end of the control channel to a server process; and requests for launches and changes.

The process reports that it serves, is ordered to release the socket, and is asked for its routes, and for requests at
the preview's own port. The application controls the other end, so it is not trusted: only a few bytes are read, besides
reports that the service has asked for, and only eight words have a meaning. Reports of requests, spans and profiles
are read slowly: a flood of them costs the process its own reports. If a channel is closed, silent or abused, only its
own process loses the hand-over and its reports.
"""

from __future__ import annotations

import socket
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import trio

from preview.core.ids import REQUEST_MARK
from preview.data import Part, PreviewData
from preview.detection import Overrides
from preview.runtime.inbound import close_inbound, receive_now, seal
from preview.runtime.waiting import wait_any
from preview.storage.tables import PreviewRecord
from preview.supervisor.preview import route_report
from preview.supervisor.preview.route_report import RouteReport
from preview.tracing import MOST_LINE as MOST_SPAN
from preview.tracing import PROFILE, PreviewTraces, Profile, Profiles
from preview.tracing import REPORT as SPAN
from preview.traffic import REPORT, DirectReports
from preview.user import User

# ``ready``, ``closed`` and ``drained``, each with a line end, and a reserve.
_MOST_BYTES = 256
_CHUNK_BYTES = 16_384
_TRACED_CHUNK_BYTES = 65_536
# After reports of requests, the next ones are collected this long: at most 320 KiB/s are read, and 1.3 MiB/s of spans.
_LINGER_S = 0.05
# Shorter ones than any launcher's are more in one read; they are collected longer, as each takes its time.
_USUAL_REPORTS = 400
# Reports of requests, spans and a profile that a process may still send when it drains; nothing is collected then.
_LAST_REPORTS_BYTES = 256 * 1024


class Control:
    """Control channel of one process. Made by ``open_control`` alone.

    Attributes:
        theirs: The process's end, to be inherited.
        ready: Set when the process has reported that it accepts on the listening socket.
        closed: Set when it has reported that it accepts no more.
        drained: Set when it has reported that all accepted requests are finished.
        profiles: Measurements of its functions.
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
        self._direct: DirectReports | None = None
        # Reports of requests were asked for once; from then on they are not counted as abuse, until the drain.
        self._takes_requests = False
        # The process reports requests, but does not take part in a hand-over: a cluster's primary, an own command.
        self._only_reports = False
        # A cluster's primary: its workers can list their routes.
        self._lists_routes = False
        self._drains = trio.Event()
        self._traces: PreviewTraces | None = None
        self.profiles = Profiles()

    def report_to(self, direct: DirectReports) -> None:
        """Ask the process, once it serves, to report requests, while they are recorded.

        Args:
            direct: Receives the reports.
        """
        self._direct = direct
        direct.ask = self._ask_requests
        self._ask_requests()

    def trace_to(self, traces: PreviewTraces) -> None:
        """Take the spans that the process reports, which was started to do so.

        Args:
            traces: Receives the reports.
        """
        self._traces = traces

    def has_started(self) -> None:
        """Close the service's copy of the process's end, so that the end of the channel can be detected."""
        self.theirs.close()

    async def listen(self) -> None:
        """Read the process's reports until the channel ends. Cancellation: nothing changes."""
        try:
            await self._read()
        finally:
            self._over.set()
            self.profiles.end()

    async def _read(self) -> None:
        rest = b""
        while self._allowed > 0 and len(rest) <= self._most_line:
            await trio.lowlevel.wait_readable(self._ours)
            try:
                word = receive_now(self._ours, self._most_at_once)
            except BlockingIOError:
                continue
            except OSError:
                return
            if not word.data or word.had_descriptors:
                return
            *lines, rest = (rest + word.data).split(b"\n")
            reports = 0
            for line in lines:
                is_report = self._is_request(line) or self._is_span(line) or self._is_profile(line)
                reports += is_report
                if not is_report or self._drains.is_set():
                    self._allowed -= len(line) + 1
                self._take(line)
            if reports:
                with trio.move_on_after(_LINGER_S * max(1, reports / _USUAL_REPORTS)):
                    await self._drains.wait()

    @property
    def _most_line(self) -> int:
        return route_report.MOST_LINE if self._traces is None else MOST_SPAN

    @property
    def _most_at_once(self) -> int:
        if self._traces is not None:
            return _TRACED_CHUNK_BYTES
        reports = self._takes_requests or self.profiles.last is not None
        return _CHUNK_BYTES if reports else min(self._allowed, _CHUNK_BYTES)

    def _is_request(self, line: bytes) -> bool:
        return self._takes_requests and line.startswith(REPORT) and len(line) <= route_report.MOST_LINE

    def _is_span(self, line: bytes) -> bool:
        return self._traces is not None and line.startswith(SPAN) and len(line) <= MOST_SPAN

    def _is_profile(self, line: bytes) -> bool:
        # A profile limits its own lines. One that has failed must not end the channel.
        return self.profiles.last is not None and line.startswith(PROFILE) and len(line) <= route_report.MOST_LINE

    def _take(self, line: bytes) -> None:
        if line == b"ready":
            self.ready.set()
            self._ask_requests()
        elif line == b"reports":
            # Repeated words would each cost an answer.
            if not self._only_reports:
                self._only_reports = True
                self._ask_requests()
        elif line == b"workers":
            self._lists_routes = True
        elif line == b"closed":
            self.closed.set()
        elif line == b"drained":
            self.closed.set()
            self.drained.set()
        elif self._is_span(line):
            if self._traces is not None:
                self._traces.take_report(line)
        elif self._is_request(line):
            if self._direct is not None:
                self._direct.take(line)
        elif self.profiles.take(line):
            return
        elif self._report is not None and len(line) <= route_report.MOST_LINE:
            self._report.take(line)

    def _ask_requests(self) -> None:
        """Tell the process whether to report requests."""
        is_there = self.ready.is_set() or self._only_reports
        if self._direct is None or not is_there or self._over.is_set() or self._drains.is_set():
            return
        if self._direct.is_wanted:
            self._takes_requests = True
            order = b"requests on %b\n" % REQUEST_MARK.encode()
        elif self._takes_requests:
            order = b"requests off\n"
        else:
            return
        with suppress(OSError):
            self._ours.send(order)

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
        is_there = self.ready.is_set() or self._lists_routes
        if not is_there or self._over.is_set() or self._asked >= route_report.MOST_REPORTS:
            return None
        self._asked += 1
        try:
            self._ours.send(b"routes %d\n" % self._asked)
        except OSError:
            return None
        self._allowed += route_report.MOST_BYTES
        self._report = RouteReport(self._asked)
        return self._report

    def profile(self, seconds: int) -> Profile | None:
        """Order the process to measure its functions, and return the profile; None if it takes no such order.

        A profile that runs already is returned instead.

        Args:
            seconds: Time to measure, from 1 to ``LONGEST_S``.
        """
        if self.profiles.is_running:
            return self.profiles.last
        is_there = self.ready.is_set() and not (self._over.is_set() or self._drains.is_set())
        started = self.profiles.begin(seconds) if is_there else None
        if started is None:
            return None
        profile, order = started
        try:
            self._ours.send(order)
        except OSError:
            profile.fail()
            return None
        return profile

    def ask_to_drain(self) -> bool:
        """Order the process to accept no more and to end after its last response; False if sending failed."""
        if not self._drains.is_set():
            self._drains.set()
            reports = self._takes_requests or self._traces is not None or self.profiles.last is not None
            self._allowed += _LAST_REPORTS_BYTES if reports else 0
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
        labels: The node must have these labels; only in a cluster.
    """

    user: User
    generation_id: str
    project_id: str | None = None
    startup_timeout_s: float | None = None
    overrides: Overrides | None = None
    labels: Mapping[str, str] = field(default_factory=dict)


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
