"""Run checks on the preview or on a trial."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Literal

import trio

from preview.core.clock import now_ms
from preview.errors import PreviewUnavailable
from preview.generations import Generation
from preview.replay.checks.expectations import Content
from preview.replay.checks.file import Check
from preview.replay.comparing.answer import Answer
from preview.replay.sending.sequence import Send, Sent, SequenceOptions, Step, run_sequence
from preview.replay.trial import TrialOptions, open_trial
from preview.service import Service
from preview.supervisor import LivePreview, User

# Comparing all answers of one run; the rest is skipped.
_COMPARING_S = 20.0

Where = Literal["auto", "preview", "trial"]


@dataclass(frozen=True, slots=True)
class CheckResult:
    """Result of one check.

    Attributes:
        name: Its name.
        problems: Sentences; empty if it is met or was not run.
        skipped: Sentence about why it was not run; None if it was.
        request: Method and target.
        status: Status of the answer; 0 without one.
        elapsed_ms: Time of the answer.
        lines: Log lines that were printed meanwhile, of a check that broke.
        request_id: Id that the preview received; empty if none was sent.
    """

    name: str
    problems: tuple[str, ...] = ()
    skipped: str | None = None
    request: str = ""
    status: int = 0
    elapsed_ms: float = 0.0
    lines: tuple[str, ...] = ()
    request_id: str = ""

    @property
    def is_ok(self) -> bool:
        """True if it was run and is met."""
        return self.skipped is None and not self.problems


@dataclass(frozen=True, slots=True)
class ChecksRun:
    """Result of one run.

    Attributes:
        on: Where the requests were sent.
        results: One for each check, in order.
        at_ms: Time of its end, in milliseconds since the epoch.
        reload: Number of reloads of the preview until then.
        broke_since: Number of the reload since which a check breaks, by the check's name.
    """

    on: Literal["preview", "trial"]
    results: Sequence[CheckResult]
    at_ms: int
    reload: int
    broke_since: dict[str, int] = field(default_factory=dict)

    @property
    def counts(self) -> tuple[int, int, int]:
        """Numbers of checks that are ok, broke and were skipped."""
        ok = sum(one.is_ok for one in self.results)
        broke = sum(bool(one.problems) for one in self.results)
        return ok, broke, len(self.results) - ok - broke

    def sentence(self) -> str:
        """Return ``12 ok, 1 broke since reload 7``."""
        ok, broke, skipped = self.counts
        said = f"{ok} ok"
        if broke:
            since = min(self.broke_since.values(), default=self.reload)
            said += f", {broke} broke since {f'reload {since}' if since else 'the launch'}"
        return f"{said}, {skipped} skipped" if skipped else said

    def after(self, earlier: ChecksRun | None) -> ChecksRun:
        """Return the run with the reloads since which its checks break, given the run before it."""
        known = {} if earlier is None or earlier.reload > self.reload else earlier.broke_since
        broke = {one.name: known.get(one.name, self.reload) for one in self.results if one.problems}
        return replace(self, broke_since=broke)


async def run_checks(
    service: Service,
    user: User,
    generation: Generation,
    checks: Sequence[Check],
    send: Send,
    *,
    on: Where = "auto",
    allow_changes: bool = False,
) -> ChecksRun:
    """Run checks in order.

    Args:
        service: The running service.
        user: The owner.
        generation: The generation.
        checks: The checks.
        send: Sends a request to a preview.
        on: ``preview``, ``trial``, or ``auto``: a trial if a check may change data, or if no preview runs.
        allow_changes: Also send requests that may change data to the preview; else they are skipped there.

    Raises:
        PreviewUnavailable: They are for the preview, and none runs.
        PreviewError: See ``open_trial``.

    Cancellation: the request under way is broken off; a trial is stopped.
    """
    steps = [Step(one.request) for one in checks]
    preview = service.previews.active(generation.id)
    runs = preview is not None and preview.address is not None
    may_change = any(step.changes for step in steps) and not allow_changes
    if on == "trial" or (on == "auto" and (may_change or not runs)):
        async with open_trial(service, user, generation, TrialOptions()) as trial:
            sent = await run_sequence(trial, steps, send, SequenceOptions(service.settings.proxy_body_bytes))
            return await _run("trial", checks, sent, trial)
    if preview is None or not runs:
        raise PreviewUnavailable("The preview is not running; launch it, or run the checks on a trial.")
    return await check_preview(preview, checks, send, service.settings.proxy_body_bytes, allow_changes=allow_changes)


async def check_preview(
    preview: LivePreview, checks: Sequence[Check], send: Send, body_limit_bytes: int, *, allow_changes: bool = False
) -> ChecksRun:
    """Run checks on a running preview. Cancellation: the request under way is broken off."""
    steps = [Step(one.request) for one in checks]
    sent = await run_sequence(preview, steps, send, SequenceOptions(body_limit_bytes, allow_changes))
    return await _run("preview", checks, sent, preview)


async def _run(
    on: Literal["preview", "trial"], checks: Sequence[Check], sent: Sequence[Sent], preview: LivePreview
) -> ChecksRun:
    results = await trio.to_thread.run_sync(partial(_results, checks, sent))
    return ChecksRun(on, results, now_ms(), preview.restarts if on == "preview" else 0)


def _results(checks: Sequence[Check], sent: Sequence[Sent]) -> list[CheckResult]:
    """Compare all answers. Runs in a thread, as contents are large; it cannot be cancelled, and has a deadline."""
    deadline = time.monotonic() + _COMPARING_S
    return [_result(check, one, deadline) for check, one in zip(checks, sent, strict=True)]


def _result(check: Check, sent: Sent, deadline: float) -> CheckResult:
    request = f"{check.request.method} {check.request.target}"
    if time.monotonic() > deadline:
        return CheckResult(
            check.name, skipped=f"The responses could not all be compared within {_COMPARING_S:g} s.", request=request
        )
    if sent.answer is None:
        return CheckResult(check.name, skipped=sent.skipped or "not sent", request=request)
    problems = problems_of(check, sent.answer)
    lines = sent.answer.lines if problems else ()
    answer = sent.answer
    return CheckResult(check.name, problems, None, request, answer.status, answer.elapsed_ms, lines, sent.request_id)


def problems_of(check: Check, answer: Answer) -> tuple[str, ...]:
    """Return sentences about how an answer misses a check; empty if it meets it."""
    if answer.error is not None:
        return (answer.error,)
    if answer.status != check.status:
        return (f"The status is {answer.status}, and {check.status} was expected.",)
    if not check.expectations:
        return ()
    content = Content.of(answer)
    found = (one.problem(content) for one in check.expectations)
    return tuple(problem for problem in found if problem is not None)
