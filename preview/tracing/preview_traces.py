"""The traces of one preview, in memory: the newest ones, within limits of their number and size."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from time import monotonic
from typing import Final

from preview.core.ids import REQUEST_MARK
from preview.tracing.hints import Hint, hints_of
from preview.tracing.preview_metrics import MetricPoint, PreviewMetrics
from preview.tracing.report import read_report
from preview.tracing.span import Kind, Span

MOST_PER_S: Final = 2000
"""Spans that one preview may report in a second; later ones of this second are dropped and counted."""
MOST_IN_TRACE: Final = 1000
"""Spans of one trace; later ones are dropped and counted."""

_MOST_DROPPED = 10**12
_TRACE_BYTES = 1000
_MOST_REQUESTS = 20
_OWN_TRACE = re.compile(f"00000000({REQUEST_MARK}[0-9a-f]{{16}})")


@dataclass(slots=True)
class Trace:
    """The spans of one request.

    Attributes:
        trace_id: Its id.
        number: 1, 2, 3, … in its preview, in the order of their first span's arrival.
        spans: Its spans, in the order of their arrival.
        dropped: Number of its spans that were not kept.
        size_bytes: Memory of its spans, roughly.
        request_ids: ``X-Request-Id`` of its requests.
    """

    trace_id: str
    number: int
    spans: list[Span] = field(default_factory=list)
    dropped: int = 0
    size_bytes: int = _TRACE_BYTES
    request_ids: list[str] = field(default_factory=list)
    _hints: tuple[int, list[Hint]] | None = None

    @property
    def root(self) -> Span:
        """The span that all others happened in: a request without a parent here, else the one that began first."""
        known = {span.span_id for span in self.spans}
        firsts = [span for span in self.spans if span.parent_id not in known] or self.spans
        return min(firsts, key=lambda span: (span.kind is not Kind.REQUEST, span.start_us))

    @property
    def start_us(self) -> int:
        """Start of its first span."""
        return min(span.start_us for span in self.spans)

    @property
    def duration_us(self) -> int:
        """From the start of its first span to the end of its last one."""
        return max(span.end_us for span in self.spans) - self.start_us

    @property
    def has_error(self) -> bool:
        """True if a span has failed, or a request was answered with a status of 500 or more."""
        return any(span.error or (span.kind is Kind.REQUEST and span.status >= 500) for span in self.spans)

    @property
    def hints(self) -> list[Hint]:
        """Its hints."""
        if self._hints is None or self._hints[0] != len(self.spans):
            self._hints = (len(self.spans), hints_of(self.spans))
        return self._hints[1]


@dataclass(slots=True)
class RecordCounts:
    """Numbers of a preview's log records by OpenTelemetry.

    Attributes:
        taken: Records that became lines of its log.
        dropped: Records that were lost: they came too fast, had no text, or were in a wrong body (counted as one).
    """

    taken: int = 0
    dropped: int = 0

    def lose(self, count: int) -> None:
        """Count lost records."""
        self.dropped = min(self.dropped + count, _MOST_DROPPED)


class PreviewTraces:
    """The traces of one preview. Made by ``TraceKeeper.open``.

    Args:
        preview_id: The preview.
        most_spans: Limit of its spans. The oldest traces are removed first.
        most_bytes: Limit of their memory, roughly.
        changed: Called with the change of its memory in bytes, so that the keeper can limit all previews together.
        turned_on: Called when spans are taken from now on.

    Attributes:
        is_on: Spans are taken. ``turn`` changes it.
        dropped: Spans that were lost: too many came at once, or they were no spans.
        removed: Spans of older traces that were removed because of the limits.
        spans: Number of the spans that are kept.
        size_bytes: Their memory, roughly.
        metrics: Series that the program reports.
        records: Number of its log records.
    """

    def __init__(
        self,
        preview_id: str,
        *,
        most_spans: int,
        most_bytes: int,
        changed: Callable[[int], None] | None = None,
        turned_on: Callable[[], None] | None = None,
    ) -> None:
        self.preview_id = preview_id
        self.is_on = False
        self.dropped = 0
        self.removed = 0
        self.spans = 0
        self.size_bytes = 0
        self.metrics = PreviewMetrics()
        self.records = RecordCounts()
        self._most_spans = most_spans
        self._most_bytes = most_bytes
        self._changed = changed
        self._turned_on = turned_on
        # In the order of their numbers.
        self._traces: dict[str, Trace] = {}
        self._numbers = 0
        self._left = 0
        self._second_ends = 0.0

    def turn(self, *, on: bool) -> None:
        """Take spans from now on, or no more. Earlier ones stay."""
        if on and not self.is_on and self._turned_on is not None:
            self._turned_on()
        self.is_on = on

    def take_report(self, line: bytes) -> None:
        """Take a span that a process reports. Never waits; anything else than a span is counted.

        Args:
            line: The report, without its end. Untrusted.
        """
        if not self.may_take():
            self.lose(1)
            return
        dropped, span = read_report(line)
        self.lose(dropped + (span is None))
        if span is not None:
            self._keep(span)

    def may_take(self) -> bool:
        """Return whether one more span may be read in this second."""
        now = monotonic()
        if now >= self._second_ends:
            self._second_ends, self._left = now + 1, MOST_PER_S
        self._left -= 1
        return self.is_on and self._left >= 0

    def take(self, span: Span) -> None:
        """Keep a span, if the rate allows it."""
        if self.may_take():
            self._keep(span)
        else:
            self.lose(1)

    def lose(self, count: int) -> None:
        """Count lost spans."""
        self.dropped = min(self.dropped + count, _MOST_DROPPED)

    def _keep(self, span: Span) -> None:
        trace, size = self._traces.get(span.trace_id), span.size_bytes
        if trace is None:
            self._numbers += 1
            trace = self._traces[span.trace_id] = Trace(span.trace_id, self._numbers)
            size += _TRACE_BYTES
        if len(trace.spans) >= MOST_IN_TRACE:
            trace.dropped += 1
            self.lose(1)
            return
        trace.spans.append(span)
        request_id = span.request_id or _request_of(span.trace_id)
        if request_id and request_id not in trace.request_ids and len(trace.request_ids) < _MOST_REQUESTS:
            trace.request_ids.append(request_id)
        trace.size_bytes += span.size_bytes
        self.spans += 1
        # Last, because the keeper may remove any trace now, even this one.
        self._resize(size)
        while self.spans > self._most_spans or self.size_bytes > self._most_bytes:
            self.remove_oldest()

    def remove_oldest(self) -> bool:
        """Remove the oldest trace; return False if there is none."""
        oldest = next(iter(self._traces), None)
        if oldest is None:
            return False
        trace = self._traces.pop(oldest)
        self.spans -= len(trace.spans)
        self.removed += len(trace.spans)
        self._resize(-trace.size_bytes)
        return True

    def take_point(self, point: MetricPoint) -> None:
        """Keep a point of a metric, if spans are taken too."""
        if self.is_on:
            self.metrics.take(point)
        else:
            self.metrics.lose(1)

    def request_of(self, trace_id: str) -> str | None:
        """Return the id of the request that a trace belongs to; None if it is not known."""
        trace = self._traces.get(trace_id)
        found = trace.request_ids[0] if trace is not None and trace.request_ids else _request_of(trace_id)
        return found or None

    def clear(self) -> None:
        """Remove all traces and series."""
        while self.remove_oldest():
            pass
        self.metrics.clear()

    def _resize(self, change: int) -> None:
        self.size_bytes += change
        if self._changed is not None:
            self._changed(change)

    def get(self, trace_id: str) -> Trace | None:
        """Return a trace; None if there is none with this id."""
        return self._traces.get(trace_id)

    def newest(self) -> list[Trace]:
        """Return all traces, the newest first."""
        return list(reversed(self._traces.values()))


def _request_of(trace_id: str) -> str:
    """Return the id of the service's request that a trace belongs to; see ``parent_field``."""
    found = _OWN_TRACE.fullmatch(trace_id)
    return found[1] if found else ""


def untraced(preview_id: str) -> PreviewTraces:
    """Return the traces of a preview that has none."""
    return PreviewTraces(preview_id, most_spans=0, most_bytes=0)
