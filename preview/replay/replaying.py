"""Replay of recorded requests on the preview or on a trial, with what differs from the recorded answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Literal

import trio

from preview.errors import PreviewUnavailable, RecordIncomplete
from preview.generations import Generation, GenerationSource
from preview.replay.comparing import Answer, IgnoreRules, Judgement, judge
from preview.replay.sending.sequence import Send, Sent, SequenceOptions, Step, run_sequence
from preview.replay.trial import TrialOptions, open_trial
from preview.service import Service
from preview.supervisor import User
from preview.traffic import Message, RecordedRequest
from preview.traffic.ready import ReadyRequest, ready_request

Where = Literal["auto", "preview", "trial"]


@dataclass(frozen=True, slots=True)
class ReplayOptions:
    """Options of a replay.

    Attributes:
        on: ``preview``, ``trial``, or ``auto``: a trial if a request may change data and that is not allowed.
        allow_changes: Send requests that may change data to the preview itself.
        given: See ``SequenceOptions``.
        rules: Paths that are not compared.
        source: Provides the files of a version, which a trial runs; None: the current files.
    """

    on: Where = "auto"
    allow_changes: bool = False
    given: Mapping[str, str] = field(default_factory=dict)
    rules: IgnoreRules = field(default_factory=IgnoreRules)
    source: GenerationSource | None = None


@dataclass(frozen=True, slots=True)
class Replayed:
    """Result for one request.

    Attributes:
        sent: The request and its answer.
        judgement: Comparison with the recorded answer; None if there is none, or it was not sent.
    """

    sent: Sent
    judgement: Judgement | None


@dataclass(frozen=True, slots=True)
class Replay:
    """Result of a replay.

    Attributes:
        on: Where the requests were sent.
        items: One for each request, in order.
    """

    on: Literal["preview", "trial"]
    items: Sequence[Replayed]


def step_of(record: RecordedRequest, original: ReadyRequest | None = None) -> Step:
    """Return a record as a step; ``original`` is the request with its secrets, if it is still known."""
    recorded = _recorded_answer(record)
    try:
        request = original or ready_request(record)
    except RecordIncomplete as error:
        return Step(ReadyRequest(record.method, record.target), record.number, recorded, error.message)
    return Step(request, record.number, recorded, shown=record.target)


def _recorded_answer(record: RecordedRequest) -> Answer | None:
    message: Message | None = record.response
    ended_s = (record.started_ms + record.timing.ended) / 1000
    if record.error is not None:
        return Answer(record.status, at_s=ended_s, elapsed_ms=record.timing.ended, error=record.error)
    if message is None:
        return Answer(record.status, at_s=ended_s, elapsed_ms=record.timing.ended, is_cut=True)
    return Answer(record.status, message.headers, message.body, record.timing.ended, ended_s, is_cut=message.is_cut)


async def replay(
    service: Service, user: User, generation: Generation, steps: Sequence[Step], send: Send, options: ReplayOptions
) -> Replay:
    """Send recorded requests again, in order.

    Args:
        service: The running service.
        user: The owner.
        generation: The generation.
        steps: The requests.
        send: Sends a request to a preview.
        options: See there.

    Raises:
        PreviewUnavailable: They are for the preview, and none runs.
        PreviewError: See ``open_trial``.

    Cancellation: the request under way is broken off; a trial is stopped.
    """
    may_change = any(step.changes for step in steps)
    has_version = options.source is not None
    on_trial = (
        has_version or options.on == "trial" or (options.on == "auto" and may_change and not options.allow_changes)
    )
    sequence = SequenceOptions(
        service.settings.proxy_body_bytes, on_trial or options.allow_changes, dict(options.given)
    )
    if on_trial:
        async with open_trial(service, user, generation, TrialOptions(source=options.source)) as trial:
            sent = await run_sequence(trial, steps, send, sequence)
    else:
        preview = service.previews.active(generation.id)
        if preview is None or preview.address is None:
            raise PreviewUnavailable("The preview is not running; launch it, or replay on a trial.")
        sent = await run_sequence(preview, steps, send, sequence)
    items = await trio.to_thread.run_sync(partial(_judged, sent, options.rules))
    return Replay("trial" if on_trial else "preview", items)


def _judged(sent: Sequence[Sent], rules: IgnoreRules) -> list[Replayed]:
    """Compare each answer with the recorded one. Runs in a thread: contents are large."""
    return [Replayed(one, _judgement(one, rules)) for one in sent]


def _judgement(sent: Sent, rules: IgnoreRules) -> Judgement | None:
    recorded, request = sent.step.recorded, sent.step.request
    if recorded is None or sent.answer is None:
        return None
    endpoint = request.target.partition("?")[0]
    return judge(recorded, None, sent.answer, lambda path: rules.covers(request.method, endpoint, path))
