"""Comparison of two versions: the same requests to both, on trials that begin with the same data.

1. The baseline answers all requests, twice. What differs is noise.
2. The candidate answers them once.
3. Each answer of the candidate is compared with those of the baseline.

If no request may change data, one trial of the baseline answers twice.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial

import trio

from preview.detection import Overrides
from preview.errors import EnvironmentFailed, InvalidGeneration, LaunchFailed, PreviewError, StartupTimeout
from preview.generations import Generation, GenerationSource
from preview.launch_settings import ACTIVE
from preview.replay.comparing import Answer, IgnoreRules, Judgement, Verdict, judge
from preview.replay.comparing.judge import worst
from preview.replay.sending.sequence import Send, Sent, SequenceOptions, Step, run_sequence
from preview.replay.trial import NOW, open_trial_data
from preview.service import Service
from preview.supervisor import FirstData, TrialRequest, User
from preview.traffic.measurements.endpoint_name import endpoint_name

# Failures of a version, and not of the service.
_OWN_FAILURES = (LaunchFailed, StartupTimeout, EnvironmentFailed, InvalidGeneration)


@dataclass(frozen=True, slots=True)
class Side:
    """A version to compare.

    Attributes:
        generation: Its files.
        overrides: Its start options and variables, over those of the project's settings; None: without any.
        preset: Preset of the project's settings; None: none; ``ACTIVE``: the active one.
        source: Provides the files of a version; None: the current files.
        snapshot: Data to begin with: see ``TrialOptions``. None for a candidate: the baseline's.
    """

    generation: Generation
    overrides: Overrides | None = None
    snapshot: str | None = None
    preset: str | None = ACTIVE
    source: GenerationSource | None = None


@dataclass(frozen=True, slots=True)
class Compared:
    """Result for one request.

    Attributes:
        step: The request.
        judgement: The verdict; None if it was not sent.
        skipped: Sentence about why it was not sent; None if it was.
        first: The baseline's first answer.
        second: Its second one.
        candidate: The candidate's.
    """

    step: Step
    judgement: Judgement | None
    skipped: str | None
    first: Answer | None
    second: Answer | None
    candidate: Answer | None


@dataclass(frozen=True, slots=True)
class CompareResult:
    """Result of a comparison.

    Attributes:
        verdict: The worst one.
        items: One for each request, in order.
        endpoints: The worst verdict of each endpoint, such as ``GET /books/{id}``.
        failure: Sentence about why the candidate does not start; None if it does.
        last_lines: Its last lines then.
    """

    verdict: Verdict
    items: Sequence[Compared]
    endpoints: Mapping[str, Verdict]
    failure: str | None = None
    last_lines: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class _Runs:
    """Answers of both versions. ``candidate`` is empty if it does not start."""

    first: Sequence[Sent]
    second: Sequence[Sent]
    candidate: Sequence[Sent]
    failure: PreviewError | None = None


@dataclass(frozen=True, slots=True)
class CompareOptions:
    """Options of a comparison.

    Attributes:
        given: See ``SequenceOptions``.
        rules: Paths that are not compared.
    """

    given: Mapping[str, str] = field(default_factory=dict)
    rules: IgnoreRules = field(default_factory=IgnoreRules)


async def compare(
    service: Service, user: User, sides: tuple[Side, Side], steps: Sequence[Step], send: Send, options: CompareOptions
) -> CompareResult:
    """Send requests to two versions and compare their answers.

    Args:
        service: The running service.
        user: The owner of both.
        sides: Baseline and candidate.
        steps: The requests.
        send: Sends a request to a preview.
        options: See there.

    Raises:
        LaunchFailed, StartupTimeout: The baseline does not start. If the candidate does not, that is the result.
        PreviewError: See ``open_trial``.

    The data of the running preview is copied once, so that a request to it changes no version's data.

    Cancellation: the trial is stopped.
    """
    sequence = SequenceOptions(service.settings.proxy_body_bytes, given=dict(options.given))
    runs = await _run(service, user, sides, steps, send, sequence)
    return await trio.to_thread.run_sync(partial(_result, steps, runs, options.rules))


async def _run(
    service: Service,
    user: User,
    sides: tuple[Side, Side],
    steps: Sequence[Step],
    send: Send,
    sequence: SequenceOptions,
) -> _Runs:
    baseline, candidate = sides
    second: list[Sent] = []
    async with _open_data(service, sides) as (data, data_of_candidate):
        of_baseline, of_candidate = _trial(user, baseline, data), _trial(user, candidate, data_of_candidate)
        open_one = service.previews.trials.open
        async with open_one(of_baseline) as trial:
            first = await run_sequence(trial, steps, send, sequence)
            if not any(step.changes for step in steps):
                second = await run_sequence(trial, steps, send, sequence)
        if not second:
            async with open_one(of_baseline) as trial:
                second = await run_sequence(trial, steps, send, sequence)
        try:
            async with open_one(of_candidate) as trial:
                return _Runs(first, second, await run_sequence(trial, steps, send, sequence))
        except _OWN_FAILURES as error:
            return _Runs(first, second, (), error)


def _trial(user: User, side: Side, data: FirstData | None) -> TrialRequest:
    return TrialRequest(user, side.generation, data, side.overrides, side.preset, source=side.source)


@asynccontextmanager
async def _open_data(
    service: Service, sides: tuple[Side, Side]
) -> AsyncIterator[tuple[FirstData | None, FirstData | None]]:
    """Yield the data of both, copied once: the baseline's, unless the candidate names other data."""
    baseline, candidate = sides
    async with AsyncExitStack() as held:
        data = await held.enter_async_context(open_trial_data(service, baseline.generation, baseline.snapshot))
        snapshot = baseline.snapshot or (None if data is None else NOW)
        same = (baseline.generation.id, snapshot) == (candidate.generation.id, candidate.snapshot)
        if same or candidate.snapshot is None:
            yield data, data
            return
        other = open_trial_data(service, candidate.generation, candidate.snapshot)
        yield data, await held.enter_async_context(other)


def _result(steps: Sequence[Step], runs: _Runs, rules: IgnoreRules) -> CompareResult:
    """Judge all answers. Runs in a thread: contents are large."""
    failure = runs.failure
    no_start = Sent(steps[0], Answer(0, error=f"It does not start: {failure.message}")) if failure else None
    items = []
    for at, step in enumerate(steps):
        candidate = no_start or runs.candidate[at]
        items.append(_compared(step, runs.first[at], runs.second[at], candidate, rules))
    endpoints: dict[str, list[Verdict]] = {}
    for one in items:
        if one.judgement is not None:
            endpoints.setdefault(endpoint_of(one.step), []).append(one.judgement.verdict)
    by_endpoint = {name: worst(verdicts) for name, verdicts in endpoints.items()}
    total = Verdict.BROKE if failure is not None else worst(by_endpoint)
    lines = () if failure is None else failure.details.get("last_lines", ())
    return CompareResult(
        total, items, by_endpoint, failure.message if failure else None, lines if isinstance(lines, list) else ()
    )


def _compared(step: Step, first: Sent, second: Sent, candidate: Sent, rules: IgnoreRules) -> Compared:
    skipped = first.skipped or second.skipped or candidate.skipped
    if first.answer is None or second.answer is None or candidate.answer is None:
        return Compared(step, None, skipped, first.answer, second.answer, candidate.answer)
    method, path = step.request.method, step.request.target.partition("?")[0]
    names = {path, endpoint_of(step).partition(" ")[2]}
    found = judge(
        first.answer,
        second.answer,
        candidate.answer,
        lambda where: any(rules.covers(method, name, where) for name in names),
    )
    return Compared(step, found, None, first.answer, second.answer, candidate.answer)


def endpoint_of(step: Step) -> str:
    """Return method and path of a request, with ``{id}`` for each segment that is an id."""
    return endpoint_name(step.request.method, step.request.target)
