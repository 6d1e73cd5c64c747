"""The rules of one live preview: events are queued as they happen, and one task evaluates them."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from time import thread_time
from typing import Final, NamedTuple, Protocol

import trio

from preview.alerts.budget import PAUSE_S, SHARE, Budget
from preview.alerts.evaluation import LINE_PREFIX, Evaluation, Fact
from preview.alerts.machine import CoolDown
from preview.alerts.requests import RequestReader
from preview.alerts.rule import Rule, fault_of
from preview.core.lifecycle import State
from preview.logs import Batch, End, Gap, Level, StatusChange
from preview.logs.model.encode import Received
from preview.supervisor import LivePreview
from preview.traffic import Draft

# Enough for the time in which the event loop is busy. Lines are shared with the preview's log, so they take no memory
# as long as that keeps them.
_MOST_QUEUED_BYTES: Final = 4 * 1024 * 1024
_MOST_QUEUED: Final = 2000
# Lines of one step: a rule needs some 0.1 ms for them.
_STEP_LINES: Final = 256
# Then other tasks get a turn.
_TURN_S: Final = 0.002
LINES_S: Final = 0.1
"""Seconds after a response in which its request's lines are awaited: a traceback is printed after the response."""
# Skipped lines are reported at most this often.
_REPORT_S: Final = 60.0


class _Seen(NamedTuple):
    """A request, and the number of the log's newest line when it ended."""

    number: int
    draft: Draft
    last_line: int


class _Held(NamedTuple):
    """A firing by a request, which waits for the request's lines."""

    due_at: float
    evaluation: Evaluation
    fact: Fact
    first_line: int


Queued = Batch | StatusChange | End | _Seen


class Owner(Protocol):
    """The engine, as a watch needs it."""

    async def rules_for(self, user_id: str) -> Sequence[Rule]:
        """Return the user's rules. Cancellation: nothing changes."""

    def cool_down(self, rule: Rule, generation_id: str) -> CoolDown:
        """Return the rule's cool-down for a generation."""

    def pause(self, user_id: str, rule_id: str) -> None:
        """Pause a rule in all previews."""

    def give_up(self, rule: Rule, fault: str) -> None:
        """Note that a rule's filter cannot be used any more, and why."""

    def fire(self, preview: LivePreview, rule: Rule, fact: Fact, suppressed: int) -> None:
        """Take a firing."""


class PreviewWatch:
    """Evaluates the rules of one preview. A listener of its log.

    Args:
        preview: The preview.
        owner: Has the rules, and takes the firings.
        budget: The user's budget for all previews.
        memory_limit_bytes: Memory limit of the preview.
        usage_interval_s: Seconds between two measurements of its memory.

    Attributes:
        watchers: Number of readers of the log: none.
        done: Set after the preview's end, or when no rule applies.
    """

    watchers = 0

    def __init__(
        self,
        preview: LivePreview,
        owner: Owner,
        budget: Budget,
        *,
        memory_limit_bytes: int,
        usage_interval_s: float,
    ) -> None:
        self._preview = preview
        self._budget = budget
        self._owner = owner
        self._limit_bytes = memory_limit_bytes
        self._interval_s = usage_interval_s
        self._queue: deque[tuple[float, Queued]] = deque()
        self._queued_bytes = 0
        self._held: deque[_Held] = deque()
        self._skipped = 0
        self._reported_at = -math.inf
        self._wake = trio.Event()
        self._has_new_rules = True
        self._evaluations: dict[str, Evaluation] = {}
        self._requests = RequestReader(preview.id)
        self._has_request_rules = False
        # Rules that cost too much, and when they go on.
        self._paused: dict[str, float] = {}
        self._measure_at = math.inf
        self._turn_ends = 0.0
        self.done = trio.Event()

    # Inputs, which never wait

    def offer(self, event: Received) -> None:
        """Take an event of the log."""
        if isinstance(event, Batch):
            if self._queued_bytes > _MOST_QUEUED_BYTES or len(self._queue) > _MOST_QUEUED:
                self._skipped += len(event)
                return
            self._queued_bytes += event.size_bytes
            self._put(event)
        elif not isinstance(event, Gap):
            self._put(event)

    def offer_request(self, number: int, draft: Draft) -> None:
        """Take a request to the preview."""
        if not self._has_request_rules and not self._has_new_rules:
            return
        if len(self._queue) > _MOST_QUEUED:
            self._skipped += 1
            return
        self._put(_Seen(number, draft.bare(), self._preview.log.last_seq))

    def rules_changed(self) -> None:
        """Read the rules again."""
        self._has_new_rules = True
        self._wake.set()

    def _put(self, event: Queued) -> None:
        self._queue.append((trio.current_time(), event))
        self._wake.set()

    def attach(self) -> None:
        """Listen to the preview's log and requests: from now on nothing is missed."""
        self._preview.log.broadcast.add(self)
        self._preview.traffic.listeners.append(self.offer_request)

    def detach(self) -> None:
        """Stop listening. Does nothing the second time."""
        self._preview.log.broadcast.remove(self)
        if self.offer_request in self._preview.traffic.listeners:
            self._preview.traffic.listeners.remove(self.offer_request)

    # The task

    async def run(self) -> None:
        """Evaluate until the preview has ended, or no rule applies to it any more; ``attach`` was called.

        Raises:
            DatabaseUnavailable: The rules cannot be read now.

        Cancellation: nothing is kept.
        """
        try:
            while True:
                if self._has_new_rules:
                    await self._take_rules()
                    if not self._evaluations and not self._has_new_rules:
                        return
                ended = await self._work()
                self._look_at_time()
                if ended:
                    return
                await self._rest()
        finally:
            self.detach()
            self.done.set()

    async def _take_rules(self) -> None:
        """Read the rules; those that have not changed keep their state."""
        self._has_new_rules = False
        record, restarts = self._preview.record, self._preview.restarts
        rules = await self._owner.rules_for(record.user_id)
        now, before = trio.current_time(), self._evaluations
        self._evaluations = {}
        for rule in rules:
            if not rule.is_enabled or not rule.scope.includes(record.generation_id, record.project_id):
                continue
            known = before.get(rule.id)
            if known is not None and known.rule.condition == rule.condition:
                known.rule = rule
                self._evaluations[rule.id] = known
                continue
            fault = fault_of(rule.condition)
            if fault is not None:
                self._give_up(rule, fault)
                continue
            cool_down = self._owner.cool_down(rule, record.generation_id)
            crash = self._preview.crash
            crashes = 0 if crash is None else crash.count
            made = Evaluation(rule, cool_down, self._limit_bytes, restarts, crashes)
            made.resume(now, is_running=self._is_running)
            self._evaluations[rule.id] = made
        self._has_request_rules = any(one.looks_at_requests for one in self._evaluations.values())
        needs_memory = any(one.looks_at_memory for one in self._evaluations.values())
        self._measure_at = min(self._measure_at, now) if needs_memory else math.inf

    async def _rest(self) -> None:
        """Wait for an event, a deadline or the next measurement."""
        if not self._queue and not self._has_new_rules:
            self._wake = trio.Event()
            due_at = self._held[0].due_at if self._held else math.inf
            times = [due_at, self._measure_at, *self._paused.values(), *(one.due_at for one in self._active())]
            with trio.move_on_at(min(times)):
                await self._wake.wait()
        else:
            await trio.lowlevel.checkpoint()

    async def _work(self) -> bool:
        """Evaluate what is queued; return True after the preview's end. Other tasks get their turns."""
        self._turn_ends = thread_time() + _TURN_S
        while self._queue and not self._has_new_rules:
            at, event = self._queue.popleft()
            match event:
                case Batch():
                    self._queued_bytes -= event.size_bytes
                    await self._take_lines(event, at)
                case _Seen():
                    self._take_request(event, at)
                case StatusChange():
                    for one in self._evaluations.values():
                        self._fire(one, one.status(event, at))
                case End():
                    self._fire_held(math.inf)
                    for one in self._evaluations.values():
                        self._fire(one, one.end(event, at))
                    return True
            await self._yield()
        return False

    async def _take_lines(self, batch: Batch, at: float) -> None:
        for start in range(0, len(batch), _STEP_LINES):
            part = range(start, min(start + _STEP_LINES, len(batch)))
            for one in self._active():
                if not one.looks_at_lines:
                    continue
                started = thread_time()
                facts = one.lines(batch, part, at)
                self._spend(one, thread_time() - started)
                for fact in facts:
                    self._fire(one, fact)
                await self._yield()

    def _take_request(self, seen: _Seen, at: float) -> None:
        looking = [one for one in self._active() if one.looks_at_requests]
        if not looking:
            return
        started = thread_time()
        record = self._requests.read(*seen)
        # A hostile address makes reading the greatest cost.
        share = (thread_time() - started) / len(looking)
        for one in looking:
            started = thread_time()
            fact = one.request(record, at)
            self._spend(one, share + thread_time() - started)
            if fact is not None:
                self._held.append(_Held(trio.current_time() + LINES_S, one, fact, record.first_line))

    async def _yield(self) -> None:
        if thread_time() >= self._turn_ends:
            await trio.lowlevel.checkpoint()
            self._turn_ends = thread_time() + _TURN_S

    def _look_at_time(self) -> None:
        """Do what is due: silences, measurements, the end of pauses, the report of skipped lines."""
        now = trio.current_time()
        self._resume(now)
        self._fire_held(now)
        for one in self._active():
            self._fire(one, one.check(now))
        if now >= self._measure_at:
            self._measure_at = now + self._interval_s
            usage = self._preview.usage
            if usage is not None:
                for one in self._evaluations.values():
                    self._fire(one, one.memory(usage.memory_bytes, now))
        if self._skipped and now >= self._reported_at + _REPORT_S:
            self._report_skipped(now)

    def _report_skipped(self, now: float) -> None:
        """Say in the preview's log that rules did not see all of it."""
        self._say(f"alerts: {self._skipped} lines or requests came too fast and were not examined")
        self._skipped, self._reported_at = 0, now
        # One of them may have been what a rule waits for.
        for one in self._evaluations.values():
            one.pause()
            one.resume(now, is_running=self._is_running)

    # Cost

    def _active(self) -> list[Evaluation]:
        """Return the evaluations that are not paused for their cost."""
        return [one for one in self._evaluations.values() if one.rule.id not in self._paused]

    def _spend(self, one: Evaluation, seconds: float) -> None:
        now = trio.current_time()
        stopped = self._budget.spend(one.rule.id, seconds, now)
        if stopped is not None:
            self._owner.pause(self._preview.record.user_id, stopped)
        fault = one.fault
        if fault is not None and self._evaluations.pop(one.rule.id, None) is not None:
            self._give_up(one.rule, fault)

    def _give_up(self, rule: Rule, fault: str) -> None:
        """Say that a rule does not match any more; otherwise it would look as if nothing had happened."""
        self._owner.give_up(rule, fault)
        self._say(f'{LINE_PREFIX}{rule.title}" does not match any more: {fault}')

    def pause(self, rule: str, until: float) -> None:
        """Leave out a rule until a time, as it costs too much."""
        one = self._evaluations.get(rule)
        if one is None:
            return
        one.pause()
        self._paused[rule] = until
        self._wake.set()
        self._say(
            f'{LINE_PREFIX}{one.rule.title}" paused for {PAUSE_S:g} s: your rules use more than {SHARE:.0%} of a '
            "processor, and this rule uses the most. Write a cheaper filter, or apply it to fewer previews."
        )

    def _resume(self, now: float) -> None:
        for rule in [rule for rule, until in self._paused.items() if until <= now]:
            del self._paused[rule]
            if rule in self._evaluations:
                self._evaluations[rule].resume(now, is_running=self._is_running)

    # Outputs

    def _fire_held(self, now: float) -> None:
        while self._held and self._held[0].due_at <= now:
            _, one, fact, first = self._held.popleft()
            last = self._preview.log.last_seq
            self._fire(one, replace(fact, first_line=first, last_line=last) if last >= first else fact)

    def _fire(self, one: Evaluation, fact: Fact | None) -> None:
        if fact is None:
            return
        suppressed, one.cool_down.suppressed = one.cool_down.suppressed, 0
        said = f'{one.rule.name}" fired: {fact.summary}' if one.rule.name else f'{fact.summary}" fired'
        self._say(f"{LINE_PREFIX}{said}")
        self._owner.fire(self._preview, one.rule, fact, suppressed)

    def _say(self, sentence: str) -> None:
        self._preview.log.say(sentence, Level.WARNING)

    @property
    def _is_running(self) -> bool:
        return self._preview.record.state is State.RUNNING
