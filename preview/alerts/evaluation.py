"""Evaluation of one rule for one preview: lines, requests and events in, facts of firings out. It does no I/O."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from preview.alerts.conditions import Absent, ErrorRate, Happened, Matches, Memory, PreviewEvent, Subject
from preview.alerts.machine import CoolDown, Edge, Rate, Silence, Threshold
from preview.alerts.rule import MOST_LINE_CHARACTERS, Rule
from preview.core.escapes import without_escapes
from preview.core.lifecycle import Health, State
from preview.logs import Batch, End, Source, StatusChange
from preview.logs.filter import Filter, parse_filter
from preview.logs.model.events import MARKS
from preview.logs.model.filtering import Columns
from preview.traffic import RecordedRequest

LINE_PREFIX: Final = 'alert "'
"""Start of the lines with which the service reports firings; no rule looks at them."""

_FIRST_SERVER_ERROR: Final = 500
_OF_SERVICE: Final = frozenset(
    mark for mark, (_, source) in enumerate(MARKS) if source in (Source.SYSTEM, Source.SYSTEM_STARTUP)
)


@dataclass(frozen=True, slots=True)
class Fact:
    """Facts of one firing.

    Attributes:
        summary: One sentence.
        matches: Number of matches since the last firing.
        line: Text of the matching line, shortened.
        first_line: Number of the first matching line since the last firing.
        last_line: Number of the last one.
        request: Number of the recorded request.
        at: Time of the event.
    """

    summary: str
    at: float
    matches: int = 0
    line: str | None = None
    first_line: int | None = None
    last_line: int | None = None
    request: int | None = None


class Evaluation:
    """The state of one rule for one preview. Its inputs come in the order of their times.

    Args:
        rule: The rule; it applies to the preview.
        cool_down: The rule's cool-down for the preview's generation.
        memory_limit_bytes: The preview's memory limit.
        restarts: Number of times that a new process of the preview has taken over before.
        crashes: Number of crashes before after which the preview was started again.

    Attributes:
        seen: Number of matches so far.
    """

    def __init__(
        self, rule: Rule, cool_down: CoolDown, memory_limit_bytes: int, restarts: int = 0, crashes: int = 0
    ) -> None:
        self.rule = rule
        self.cool_down = cool_down
        self._limit_bytes = memory_limit_bytes
        self._filter: Filter | None = None
        self._threshold: Threshold | None = None
        self._silence: Silence | None = None
        self._edge: Edge | None = None
        self._rate: Rate | None = None
        self._restarts, self._crashes = restarts, crashes
        self.seen = 0
        self._matches = 0
        self._first_line: int | None = None
        match rule.condition:
            case Matches() as condition:
                self._filter = parse_filter(condition.filter)
                self._threshold = Threshold(condition.count, condition.within_s, cool_down)
            case Absent() as condition:
                self._filter = parse_filter(condition.filter)
                self._silence = Silence(condition.for_s, cool_down)
            case ErrorRate() as condition:
                self._rate = Rate(condition.share, condition.within_s, condition.at_least, cool_down)
            case Happened() | Memory():
                self._edge = Edge(cool_down)

    @property
    def fault(self) -> str | None:
        """One sentence if the filter was given up for the time it needs; then nothing matches. None otherwise."""
        return None if self._filter is None else self._filter.fault

    @property
    def looks_at_lines(self) -> bool:
        """True if lines matter."""
        condition = self.rule.condition
        return isinstance(condition, Matches | Absent) and condition.on is Subject.LINES

    @property
    def looks_at_requests(self) -> bool:
        """True if recorded requests matter."""
        condition = self.rule.condition
        return isinstance(condition, ErrorRate) or (
            isinstance(condition, Matches | Absent) and condition.on is Subject.REQUESTS
        )

    @property
    def looks_at_memory(self) -> bool:
        """True if the preview's memory matters."""
        return isinstance(self.rule.condition, Memory)

    @property
    def due_at(self) -> float:
        """Time of the next ``check``; infinite if there is none."""
        return math.inf if self._silence is None else self._silence.due_at

    def lines(self, batch: Batch, part: range, at: float) -> list[Fact]:
        """Take a part of a batch; return the firings.

        Args:
            batch: Lines.
            part: Positions in the batch.
            at: Time of the lines, in seconds of any clock.
        """
        if self._filter is None:
            return []
        columns = Columns(batch.first_seq, batch.timestamps, batch.marks, batch.messages, batch.requests)
        found = self._filter.narrow(columns, part)
        return [fact for one in _without_own(batch, found) if (fact := self._line(batch, one, at)) is not None]

    def _line(self, batch: Batch, position: int, at: float) -> Fact | None:
        self.seen += 1
        seq = batch.first_seq + position
        if self._silence is not None:
            self._silence.see(at)
            return None
        if self._first_line is None:
            self._first_line = seq
        self._matches += 1
        if self._threshold is None or not self._threshold.see(at):
            return None
        text = without_escapes(batch.messages[position][: 2 * MOST_LINE_CHARACTERS])[:MOST_LINE_CHARACTERS]
        fact = Fact(self.rule.summary, at, self._matches, text, self._first_line, seq)
        self._matches, self._first_line = 0, None
        return fact

    def request(self, record: RecordedRequest, at: float) -> Fact | None:
        """Take a recorded request; return the firing, if it is one."""
        if self._rate is not None:
            is_error = record.status >= _FIRST_SERVER_ERROR or record.status == 0
            self._matches += is_error
            return self._request_fact(record, at) if self._rate.see(at, is_error=is_error) else None
        if self._filter is None or not self._filter.matches_request(record):
            return None
        if self._silence is not None:
            self._silence.see(at)
            return None
        self._matches += 1
        return self._request_fact(record, at) if self._threshold is not None and self._threshold.see(at) else None

    def _request_fact(self, record: RecordedRequest, at: float) -> Fact:
        said = f"{record.method} {record.target} {record.status or record.error or 'no response'}"
        has_lines = record.last_line >= record.first_line
        fact = Fact(
            summary=f"{self.rule.summary} ({said[:MOST_LINE_CHARACTERS]})",
            at=at,
            matches=self._matches,
            first_line=record.first_line if has_lines else None,
            last_line=record.last_line if has_lines else None,
            request=record.number,
        )
        self._matches = 0
        return fact

    def status(self, change: StatusChange, at: float) -> Fact | None:
        """Take a change of the preview's state; return the firing, if it is one."""
        if self._silence is not None:
            if change.state == State.RUNNING:
                self._silence.start(at)
            elif change.state != State.STARTING:
                self._silence.stop()
        condition, edge = self.rule.condition, self._edge
        if not isinstance(condition, Happened) or edge is None:
            return None
        restarts, self._restarts = self._restarts, max(self._restarts, change.restarts)
        crashes, self._crashes = self._crashes, max(self._crashes, change.crashes)
        if condition.event is PreviewEvent.CRASHED and change.crashes > crashes:
            edge.see(at, is_true=False)
            return self._when(edge, at, is_true=True, more=f": {change.crash}; it is started again")
        if condition.event is PreviewEvent.UNHEALTHY:
            return self._when(edge, at, is_true=change.health == Health.UNHEALTHY)
        if condition.event is PreviewEvent.RESTARTED and change.restarts > restarts:
            edge.see(at, is_true=False)
            return self._when(edge, at, is_true=True)
        return None

    def end(self, end: End, at: float) -> Fact | None:
        """Take the preview's end; return the firing, if it is one."""
        if self._silence is not None:
            self._silence.stop()
        condition, edge = self.rule.condition, self._edge
        if not isinstance(condition, Happened) or edge is None:
            return None
        has_exited = end.exit_code is not None or end.exit_signal is not None
        if condition.event is PreviewEvent.CRASHED:
            edge.see(at, is_true=False)
        happened = {
            PreviewEvent.ENDED: True,
            PreviewEvent.CRASHED: has_exited and end.cause is None and end.exit_code != 0,
            PreviewEvent.FAILED: end.state == State.FAILED,
            # A process that the service stops exits too.
            PreviewEvent.EXITED: has_exited and end.cause is None and condition.exit_code in (None, end.exit_code),
        }.get(condition.event, False)
        said = f": {end.reason}" if end.reason else ""
        return self._when(edge, at, is_true=True, more=said[:MOST_LINE_CHARACTERS]) if happened else None

    def memory(self, used_bytes: int, at: float) -> Fact | None:
        """Take a measurement of the preview's memory; return the firing, if it is one."""
        condition, edge = self.rule.condition, self._edge
        if not isinstance(condition, Memory) or edge is None:
            return None
        share = used_bytes / self._limit_bytes
        return self._when(edge, at, is_true=share >= condition.share, more=f": {share:.0%} now")

    def check(self, at: float) -> Fact | None:
        """Return the firing of a silence that is due."""
        if self._silence is None or not self._silence.check(at):
            return None
        return Fact(self.rule.summary, at)

    def pause(self) -> None:
        """Expect nothing for now, as inputs are left out."""
        if self._silence is not None:
            self._silence.stop()

    def resume(self, at: float, *, is_running: bool) -> None:
        """Continue: a silence begins now, if the preview runs."""
        if self._silence is not None and is_running:
            self._silence.start(at)

    def _when(self, edge: Edge, at: float, *, is_true: bool, more: str = "") -> Fact | None:
        return Fact(f"{self.rule.summary}{more}", at) if edge.see(at, is_true=is_true) else None


def _without_own(batch: Batch, positions: Iterable[int]) -> Iterator[int]:
    """Leave out lines about firings: a rule that matched its own line would fire forever."""
    for one in positions:
        if batch.marks[one] not in _OF_SERVICE or not batch.messages[one].startswith(LINE_PREFIX):
            yield one
