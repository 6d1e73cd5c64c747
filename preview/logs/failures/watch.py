"""Lines of one preview that may belong to failures: a cheap listener, and what it has taken, by request."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import trio

from preview.core.escapes import without_escapes
from preview.logs.failures.fingerprint import fingerprint_of
from preview.logs.failures.groups import FailureGroups
from preview.logs.failures.model import Failure, Language, Raised
from preview.logs.failures.own import Own
from preview.logs.failures.scan import Found
from preview.logs.model.batch import Batch
from preview.logs.model.encode import Received
from preview.logs.model.events import MARKS, End, Level, Source, StatusChange
from preview.logs.pipeline import PreviewLog

QUIET_S = 0.3
"""A traceback that is followed by no line for so long is complete."""

UNFINISHED_S = 3.0
"""The same for one whose error is still missing: on a busy machine, its program may be held up within it."""

MOST_LINES = 5_000
"""Most lines of one preview that wait to be searched; further ones are not searched, and counted."""

_MOST_BYTES = 8 * 1024 * 1024
# Batches without an error that follow one: the rest of a Node error is not marked.
_FOLLOWING = 1
# Lines before an error that may belong to it: Node shows the line of an uncaught error above it.
_CONTEXT = 16
# Lines that are sorted at once, in a millisecond.
_TURN_LINES = 250
# See ``preview.logs.failures.python``: lines of others that may stand in a traceback.
_FOREIGN = 5
_NOT_ERRORS = bytes(
    mark
    for mark, (level, source) in enumerate(MARKS)
    if level < Level.ERROR or source in (Source.SYSTEM, Source.SYSTEM_STARTUP, Source.REQUEST, Source.REPORTED)
)
# Most programs print the errors that they report, too: those of the output count.
_OWN_SOURCES = frozenset({Source.SYSTEM, Source.SYSTEM_STARTUP, Source.REPORTED})


class Watched(Protocol):
    """A live preview."""

    @property
    def id(self) -> str:
        """``preview_…``."""

    @property
    def log(self) -> PreviewLog:
        """Its log."""

    @property
    def directory(self) -> Path | None:
        """Folder of the project's files, while it exists."""


@dataclass(frozen=True, slots=True)
class Line:
    """A line to be searched."""

    seq: int
    timestamp_ms: int
    text: str
    reload: int
    is_startup: bool


@dataclass(slots=True)
class Stream:
    """Lines of one request, or of none, oldest first.

    Attributes:
        lines: The lines.
        last_at: When the newest one was taken, by trio's clock.
        is_new: True if there are lines that were not searched.
        is_unfinished: True if they end with a traceback without its error.
    """

    lines: list[Line] = field(default_factory=list)
    last_at: float = 0.0
    is_new: bool = True
    is_unfinished: bool = False

    @property
    def quiet_s(self) -> float:
        """Seconds without a line after which nothing more belongs to these."""
        return UNFINISHED_S if self.is_unfinished else QUIET_S

    def keep_after(self, found: list[Found], *, is_final: bool) -> list[Found]:
        """Drop the lines that were searched, except for those that may go on; return the complete failures."""
        count = len(self.lines)
        self.is_new = False
        if is_final:
            self.lines = []
            return [one for one in found if one.exceptions]
        last = found[-1] if found else None
        self.is_unfinished = False
        if last is not None and self._is_open(last):
            self.is_unfinished = not last.exceptions
            found, start = found[:-1], last.first
        else:
            start = max(count - _CONTEXT, last.end if last is not None else 0)
        self.lines = self.lines[start:]
        return [one for one in found if one.exceptions]

    def _is_open(self, last: Found) -> bool:
        after = self.lines[last.end :]
        if not last.exceptions and len(after) <= _FOREIGN:
            return True
        return not any(line.text.strip() for line in after)


class FailureWatch:
    """Listener of one preview's log.

    ``offer`` looks at the marks only: a preview that prints no errors costs nothing.

    Args:
        preview: The preview.
        most_groups: Maximum number of its records.
        wake: Called when there is something to do.

    Attributes:
        watchers: It serves no reader.
        groups: The preview's records.
        streams: Lines to be searched, by request id.
        is_over: True after the preview's end.
        is_hurried: True while the lines are searched at once, as the preview's folder is about to be removed.
        told: Bounds that were reported in the preview's log.
    """

    watchers = 0

    def __init__(self, preview: Watched, most_groups: int, wake: Callable[[], None]) -> None:
        self.preview = preview
        self.groups = FailureGroups(preview.id, most_groups)
        self.streams: dict[str | None, Stream] = {}
        self.is_over = False
        self.is_hurried = False
        self.told: set[str] = set()
        self.changed = trio.Event()
        self._wake = wake
        self._queue: deque[tuple[Batch, int]] = deque()
        self._queued_bytes = 0
        # Place in the first batch of the queue.
        self._position = 0
        # Lines in the queue and in the streams.
        self._waiting = 0
        self._before: Batch | None = None
        self._following = 0
        self._reload = self._crashes = 0
        self._own: Own | None = None

    @property
    def own(self) -> Own:
        """Decides which code is the project's."""
        if self._own is None:
            self._own = Own(self.preview.directory)
        return self._own

    @property
    def is_busy(self) -> bool:
        """True if there are lines that are not searched, or may belong to lines that follow."""
        return bool(self._queue or self.streams)

    @property
    def is_pending(self) -> bool:
        """True if there are lines to search, or a failure that may not be complete."""
        return bool(self._queue) or any(stream.is_new or _may_go_on(stream) for stream in self.streams.values())

    def offer(self, event: Received) -> None:
        """Take a batch with errors, and the lines around it."""
        if isinstance(event, Batch):
            self._offer(event)
        elif isinstance(event, StatusChange):
            if event.crashes > self._crashes and event.crash is not None:
                self._take_crash(event.crash, event.timestamp_ms)
            self._reload, self._crashes = event.restarts, event.crashes
        elif isinstance(event, End):
            self.is_over = True
            self._wake()

    def _take_crash(self, ended: str, at_ms: int) -> None:
        """Add a crash of the process: programs that are killed, or exit on purpose, print no traceback."""
        raised = (Raised("Crash", f"the process ended: {ended}"),)
        seq = self.preview.log.last_seq
        fingerprint = fingerprint_of(Language.PROCESS, raised, ended)
        self.groups.add(Failure(Language.PROCESS, raised, seq, seq, at_ms), fingerprint, self._reload, None)
        self._wake()

    def _offer(self, batch: Batch) -> None:
        is_error = bool(batch.marks.translate(None, _NOT_ERRORS))
        if not is_error and not self._following:
            self._before = batch
            return
        before, self._before = self._before, None
        if before is not None and before.last_seq + 1 == batch.first_seq:
            self._take(before.after(before.last_seq - _CONTEXT))
        self._take(batch.bare())
        self._following = _FOLLOWING if is_error else self._following - 1
        self._wake()

    def _take(self, batch: Batch) -> None:
        if self._waiting + len(batch) > MOST_LINES or self._queued_bytes + batch.size_bytes > _MOST_BYTES:
            self.groups.unread_lines += len(batch)
            return
        self._waiting += len(batch)
        self._queue.append((batch, self._reload))
        self._queued_bytes += batch.size_bytes

    def sort(self) -> bool:
        """Move some of the lines that were taken to their streams; returns True if there are more."""
        now, left = trio.current_time(), _TURN_LINES
        while self._queue and left:
            batch, reload = self._queue[0]
            stop = min(len(batch), self._position + left)
            for at in range(self._position, stop):
                source = MARKS[batch.marks[at]][1]
                if source not in _OWN_SOURCES:
                    request = None if batch.requests is None else batch.requests.get(at)
                    stream = self.streams.setdefault(request, Stream())
                    text, is_startup = without_escapes(batch.messages[at]), source is Source.STARTUP
                    stream.lines.append(Line(batch.first_seq + at, batch.timestamps[at], text, reload, is_startup))
                    stream.last_at, stream.is_new = now, True
            left -= stop - self._position
            self._position = stop
            if stop == len(batch):
                self._queue.popleft()
                self._queued_bytes -= batch.size_bytes
                self._position = 0
        return bool(self._queue)

    def end_searched(self) -> None:
        """Forget streams without lines, and report a change."""
        self.streams = {request: one for request, one in self.streams.items() if one.lines}
        queued = sum(len(one) for one, _ in self._queue)
        self._waiting = queued + sum(len(one.lines) for one in self.streams.values())
        self.changed.set()
        self.changed = trio.Event()

    async def wait_searched(self) -> None:
        """Wait until all failures in the lines so far have records. Cancellation: nothing changes."""
        while self.is_pending:
            await self.changed.wait()


def _may_go_on(stream: Stream) -> bool:
    """Return True if a failure may be unfinished: more lines are kept than a context needs."""
    return any("Traceback" in one.text or one.text.lstrip().startswith("at ") for one in stream.lines)


def failure_of(found: Found, lines: list[Line], request_id: str | None) -> tuple[Failure, int]:
    """Return the failure that was found in the lines, and its reload."""
    first = lines[found.first]
    last = lines[found.end - 1]
    return (
        Failure(
            found.language, found.exceptions, first.seq, last.seq, first.timestamp_ms, request_id, first.is_startup
        ),
        first.reload,
    )  # fmt: skip
