"""A rule on the past: what it would have done with the stored lines of a preview."""

from __future__ import annotations

import math
from dataclasses import dataclass
from time import thread_time
from typing import Final

import trio

from preview.alerts.conditions import Absent, Condition, Matches, Subject
from preview.alerts.evaluation import Evaluation, Fact
from preview.alerts.machine import CoolDown
from preview.alerts.rule import Rule, Scope
from preview.core.clock import utc_now
from preview.errors import InvalidRequest
from preview.logs import Batch, LogLine, LogStore

MOST_LINES: Final = 20_000
"""Lines that are looked at, the newest."""

MOST_FIRINGS: Final = 100
MOST_SAMPLES: Final = 20
_PAGE_LINES: Final = 1000
# Then other tasks get a turn.
_TURN_S: Final = 0.002
_LONGEST_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class PastFiring:
    """A firing that would have been.

    Attributes:
        at_ms: Milliseconds since the epoch.
        line: Number of the line that would have caused it; None for a silence.
    """

    at_ms: int
    summary: str
    line: int | None
    text: str | None


@dataclass(frozen=True, slots=True)
class Tried:
    """Result of a rule on the past.

    Attributes:
        examined: Number of lines.
        first_line: Number of the first one; 0 if there is none.
        last_line: Number of the last one.
        matched: Number of matching lines.
        samples: The last matching lines.
        firings: Firings that would have been, oldest first.
        is_cut: True if there are older lines, or more firings.
    """

    examined: int
    first_line: int
    last_line: int
    matched: int
    samples: list[LogLine]
    firings: list[PastFiring]
    is_cut: bool


async def try_on_lines(store: LogStore, preview_id: str, condition: Condition, cooldown_s: float) -> Tried:
    """Evaluate a rule on the newest stored lines of a preview. Bounded in lines and time.

    Args:
        store: Reads the lines.
        preview_id: The preview.
        condition: Checked by ``check_condition``.
        cooldown_s: The rule's cool-down.

    Raises:
        InvalidRequest: The condition does not look at lines.
        DatabaseUnavailable: The lines cannot be read.

    Cancellation: nothing changes.
    """
    if not isinstance(condition, Matches | Absent) or condition.on is not Subject.LINES:
        raise InvalidRequest("Only rules about log lines can be tried on past data; send a test firing instead.")
    now = utc_now()
    rule = Rule("", "", "", condition, Scope(), cooldown_s, True, None, now, now)
    past = _Past(Evaluation(rule, CoolDown(cooldown_s), 1))
    first, last = await store.bounds(preview_id)
    start = max(first, last - MOST_LINES + 1)
    turn_ends = thread_time() + _TURN_S
    after, ends_at = start - 1, trio.current_time() + _LONGEST_S
    while after < last and trio.current_time() < ends_at and len(past.firings) < MOST_FIRINGS:
        page = await store.read_page(preview_id, after=after, limit=_PAGE_LINES)
        if not page.batches:
            break
        for batch in page.batches:
            for position in range(len(batch)):
                past.take(batch, position)
                if thread_time() >= turn_ends:
                    await trio.lowlevel.checkpoint()
                    turn_ends = thread_time() + _TURN_S
        after = page.batches[-1].last_seq
    is_cut = start > first or after < last
    lines = (start, after) if past.examined else (0, 0)
    return Tried(past.examined, *lines, past.matched, past.samples, past.firings, is_cut)


class _Past:
    """Takes past lines with the times at which they were printed."""

    def __init__(self, evaluation: Evaluation) -> None:
        self._evaluation = evaluation
        self.examined = 0
        self.matched = 0
        self.samples: list[LogLine] = []
        self.firings: list[PastFiring] = []

    def take(self, batch: Batch, position: int) -> None:
        """Take the next line."""
        evaluation, at = self._evaluation, batch.timestamps[position] / 1000
        if not self.examined:
            evaluation.resume(at, is_running=True)
        self.examined += 1
        due_at = evaluation.due_at
        if due_at <= at and math.isfinite(due_at):
            self._note(evaluation.check(due_at), due_at)
        facts = evaluation.lines(batch, range(position, position + 1), at)
        if evaluation.seen > self.matched:
            self.matched = evaluation.seen
            self.samples = [*self.samples[1 - MOST_SAMPLES :], batch.line_at(position)]
        for fact in facts:
            self._note(fact, at)

    def _note(self, fact: Fact | None, at: float) -> None:
        if fact is not None and len(self.firings) < MOST_FIRINGS:
            self.firings.append(PastFiring(round(at * 1000), fact.summary, fact.last_line, fact.line))
