"""A sequence of requests, sent one after the other to one preview."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace

import trio

from preview.core.clock import now_ms
from preview.errors import PreviewError
from preview.proxy import ProxyRequest, ProxyResponse, make_request
from preview.replay.comparing.answer import Answer
from preview.replay.sending.credentials import Credentials
from preview.supervisor import LivePreview
from preview.traffic.ready import ReadyRequest

MOST_REQUESTS = 200
"""Most requests of one sequence."""
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
"""Methods that change nothing (RFC 9110 section 9.2.1)."""
# Requests of one sequence together; the rest is not sent.
_SEQUENCE_S = 120.0
_REQUEST_S = 20.0
# Content of all answers of one sequence, of each at most the part that is compared; after that, the rest is not sent.
_SEQUENCE_BYTES = 32 * 1024 * 1024
_MOST_LINES = 30
_MOST_LINE = 500

Send = Callable[[LivePreview, ProxyRequest], Awaitable[ProxyResponse]]
"""Sends a request to a preview. Raises ``PreviewError`` if there is no complete answer."""


@dataclass(frozen=True, slots=True)
class Step:
    """A request of a sequence.

    Attributes:
        request: The request.
        number: Number of its record; None if it is not recorded.
        recorded: The recorded answer; None if its content was not recorded.
        problem: Sentence about why it cannot be sent; None if it can.
        shown: Target to show, without secrets; None: that of the request.
    """

    request: ReadyRequest
    number: int | None = None
    recorded: Answer | None = None
    problem: str | None = None
    shown: str | None = None

    @property
    def target(self) -> str:
        """Target to show."""
        return self.request.target if self.shown is None else self.shown

    @property
    def changes(self) -> bool:
        """True if its method may change something."""
        return self.request.method not in SAFE_METHODS


@dataclass(frozen=True, slots=True)
class Sent:
    """A step that was sent, or was not.

    Attributes:
        step: The step.
        answer: The answer; its ``error`` says why there is none. None if it was not sent.
        skipped: Sentence about why it was not sent; None if it was.
        lacks_secrets: It was sent without a secret that was not recorded.
        request_id: Id that the preview received.
    """

    step: Step
    answer: Answer | None = None
    skipped: str | None = None
    lacks_secrets: bool = False
    request_id: str = ""


@dataclass(slots=True)
class SequenceOptions:
    """Options of a sequence.

    Attributes:
        body_limit_bytes: Most bytes of one body.
        allow_changes: Send methods that may change something.
        given: Values for secrets, by the name of their field, header or cookie.
    """

    body_limit_bytes: int
    allow_changes: bool = True
    given: dict[str, str] = field(default_factory=dict)


async def run_sequence(preview: LivePreview, steps: Sequence[Step], send: Send, options: SequenceOptions) -> list[Sent]:
    """Send the steps in order; return one result for each.

    Cancellation: the request that is under way is broken off.
    """
    credentials = Credentials(options.given)
    results: list[Sent] = []
    deadline, kept_bytes = trio.current_time() + _SEQUENCE_S, 0
    for step in steps:
        skipped = step.problem or _reason_to_skip(step, options, deadline, kept_bytes)
        if skipped is not None:
            results.append(Sent(step, skipped=skipped))
            continue
        sent = await _send_one(preview, step, send, options, credentials)
        if sent.answer is not None:
            kept_bytes += len(sent.answer.body)
            credentials.learn(step.request, step.recorded, sent.answer)
        results.append(sent)
    return results


def _reason_to_skip(step: Step, options: SequenceOptions, deadline: float, kept_bytes: int) -> str | None:
    if step.changes and not options.allow_changes:
        return f"{step.request.method} may change data; send it to a trial, or allow changes."
    if trio.current_time() > deadline:
        return f"The time limit of one sequence ({_SEQUENCE_S:g} s) was reached."
    if kept_bytes >= _SEQUENCE_BYTES:
        return (
            f"The earlier responses exceed {_SEQUENCE_BYTES // 1024**2} MiB, the limit of one sequence; send fewer "
            "requests."
        )
    return None


async def _send_one(
    preview: LivePreview, step: Step, send: Send, options: SequenceOptions, credentials: Credentials
) -> Sent:
    filled = credentials.fill(step.request)
    before, began = preview.log.last_seq, trio.current_time()
    asked: ProxyRequest | None = None
    try:
        asked = make_request(
            filled.method, filled.target, headers=filled.headers, body_limit_bytes=options.body_limit_bytes
        )
        asked = replace(asked, body=filled.body)
        with trio.move_on_after(_REQUEST_S) as scope:
            response = await send(preview, asked)
        if scope.cancelled_caught:
            answer = _no_answer(f"There was no complete response within {_REQUEST_S:g} s.", began)
        else:
            answer = Answer(
                response.status, tuple(response.headers), response.body, response.elapsed_ms, now_ms() / 1000
            )
            if answer.is_large:
                answer = await trio.to_thread.run_sync(answer.shortened)
    except PreviewError as error:
        answer = _no_answer(error.message, began)
    # By now the pipe contains everything that was printed before the answer.
    await preview.log.read_on()
    answer = replace(answer, lines=_lines_since(preview, before))
    return Sent(step, answer, lacks_secrets=filled.has_secrets, request_id="" if asked is None else asked.request_id)


def _no_answer(why: str, began: float) -> Answer:
    return Answer(0, elapsed_ms=round((trio.current_time() - began) * 1000, 1), at_s=now_ms() / 1000, error=why)


def _lines_since(preview: LivePreview, seq: int) -> tuple[str, ...]:
    lines = [line.message[:_MOST_LINE] for line in preview.log.last_lines(_MOST_LINES) if line.seq > seq]
    return tuple(lines)
