"""Takes log records into a preview's log: at a limited rate, each as one line of a limited length."""

from __future__ import annotations

from collections.abc import Iterator
from time import monotonic
from typing import Final, Protocol

from preview.logs.model.events import Level
from preview.logs.model.reported import ReportedLine
from preview.tracing.otlp.pacing import Pacer
from preview.tracing.otlp.records import GivenRecord
from preview.tracing.preview_traces import PreviewTraces

MOST_RECORDS_PER_S: Final = 500
"""Records that one preview may send in a second; later ones of this second are dropped and counted."""

# Records of one batch of lines.
_AT_ONCE = 50
_NS_PER_MS = 1_000_000
# The year 2200.
_MOST_NS = 7_258_118_400 * 10**9


class ReportsTo(Protocol):
    """The log that the records become lines of."""

    def report(self, lines: list[ReportedLine]) -> None:
        """Publish lines."""

    def say(self, message: str, level: Level = Level.INFO) -> None:
        """Publish a line of the service itself."""


class RecordIntake:
    """Takes the log records of one preview.

    Args:
        log: The preview's log.
        traces: Tell which request a trace belongs to, and count the records.
    """

    def __init__(self, log: ReportsTo, traces: PreviewTraces) -> None:
        self._log = log
        self._traces = traces
        self._left = 0
        self._second_ends = 0.0

    async def take(self, records: Iterator[GivenRecord | None], pacer: Pacer) -> None:
        """Publish records; pauses often. What was read before an error is published.

        Raises:
            NotOtlp: Raised by the iterator.

        Cancellation: records that were read are published.
        """
        waiting: list[ReportedLine] = []

        def take(given: GivenRecord) -> None:
            self._add(given, waiting)
            if len(waiting) >= _AT_ONCE:
                self._publish(waiting)

        try:
            await pacer.take_each(records, take)
        finally:
            self._publish(waiting)

    def lose(self, count: int) -> None:
        """Count lost records. The log says so once."""
        if not self._traces.records.dropped:
            self._log.say(
                f"log records by OpenTelemetry were dropped: over {MOST_RECORDS_PER_S} a second, or not readable",
                Level.WARNING,
            )
        self._traces.records.lose(count)

    def _add(self, given: GivenRecord, waiting: list[ReportedLine]) -> None:
        now = monotonic()
        if now >= self._second_ends:
            self._second_ends, self._left = now + 1, MOST_RECORDS_PER_S
        self._left -= 1
        text = given.text if self._left >= 0 and self._traces.is_on else ""
        if not text or text.isspace():
            self.lose(1)
            return
        request_id = self._traces.request_of(given.trace_id)
        time_ns = given.time_ns or given.observed_ns
        time_ms = time_ns // _NS_PER_MS if 0 < time_ns <= _MOST_NS else 0
        waiting.append(ReportedLine(time_ms, given.level, text, request_id))

    def _publish(self, waiting: list[ReportedLine]) -> None:
        if waiting:
            self._traces.records.taken += len(waiting)
            self._log.report(list(waiting))
            waiting.clear()
