"""Replay, comparison and checks; only contract ``v1`` has them."""

from __future__ import annotations

import base64
import json
from typing import Literal, Self

from pydantic import Field

from preview.core.clock import from_ms
from preview.http.core.answers import Answer, Time
from preview.replay import compare as comparing
from preview.replay.checks import CheckFile, CheckResult, ChecksRun
from preview.replay.checks.file import table_of
from preview.replay.comparing import Judgement
from preview.replay.comparing.answer import Answer as PreviewAnswer
from preview.replay.comparing.differences import Difference
from preview.replay.replaying import Replay, Replayed
from preview.traffic.har import Imported
from preview.traffic.ready import ReadyRequest

# Excerpts: a result has the answers of many requests.
_MOST_BODY = 4000
_MOST_VALUE = 500

VerdictWord = Literal["same", "noisy", "changed", "broke"]


class DifferenceShape(Answer):
    """A value that differs."""

    path: str = Field(examples=["$.items[0].title", "header.location", "status"])
    kind: Literal["added", "removed", "changed"]
    before: str | None = Field(description="JSON text, cut at 500 characters; null if the value was added.")
    after: str | None = Field(description="JSON text, cut at 500 characters; null if the value was removed.")

    @classmethod
    def of(cls, one: Difference) -> Self:
        """Return a difference."""
        before = None if one.kind == "added" else _value(one.before)
        after = None if one.kind == "removed" else _value(one.after)
        return cls(path=one.path, kind=one.kind.value, before=before, after=after)


class PreviewAnswerShape(Answer):
    """An answer of a preview."""

    status: int = Field(description="0 if there was no response.")
    elapsed_ms: float
    error: str | None = Field(description="Why there was no response; null if there was one.")
    body: str = Field(description="The first 4,000 characters.")
    size_bytes: int
    lines: list[str] = Field(description="Log lines that were printed meanwhile.")

    @classmethod
    def of(cls, one: PreviewAnswer | None) -> Self | None:
        """Return an answer, or None."""
        if one is None:
            return None
        body = one.body[: 4 * _MOST_BODY].decode("utf-8", "replace")[:_MOST_BODY]
        return cls(
            status=one.status,
            elapsed_ms=round(one.elapsed_ms, 1),
            error=one.error,
            body=body,
            size_bytes=len(one.body),
            lines=list(one.lines),
        )


class ReplayedShape(Answer):
    """Result for one request."""

    number: int | None = Field(description="Number of its record; null if it was not recorded.")
    method: str
    path: str
    skipped: str | None = Field(description="Why it was not sent; null if it was.")
    lacks_secrets: bool = Field(description="Whether it was sent without a secret that was not recorded.")
    request_id: str | None = Field(description="Id that the preview received; its log lines have it.")
    recorded: PreviewAnswerShape | None
    answer: PreviewAnswerShape | None
    verdict: VerdictWord | None = Field(description="Comparison with the recorded response; null if there is none.")
    differences: list[DifferenceShape]
    noise: list[str] = Field(description="Paths that differ in ids, times and tokens only.")

    @classmethod
    def of(cls, one: Replayed) -> Self:
        """Return the result."""
        sent, found = one.sent, one.judgement
        return cls(
            number=sent.step.number,
            method=sent.step.request.method,
            path=sent.step.target,
            skipped=sent.skipped,
            lacks_secrets=sent.lacks_secrets,
            request_id=sent.request_id or None,
            recorded=PreviewAnswerShape.of(sent.step.recorded),
            answer=PreviewAnswerShape.of(sent.answer),
            verdict=None if found is None else found.verdict.value,
            differences=_differences(found),
            noise=[] if found is None else list(found.noise),
        )


class ReplayShape(Answer):
    """Result of a replay."""

    on: Literal["preview", "trial"]
    items: list[ReplayedShape]

    @classmethod
    def of(cls, found: Replay) -> Self:
        """Return the result."""
        return cls(on=found.on, items=[ReplayedShape.of(one) for one in found.items])


class EndpointVerdict(Answer):
    """The worst verdict of an endpoint."""

    endpoint: str = Field(examples=["GET /books/{id}"])
    verdict: VerdictWord


class ComparedShape(Answer):
    """Result for one request."""

    number: int | None
    method: str
    path: str
    endpoint: str
    skipped: str | None
    verdict: VerdictWord | None = Field(description="Null if it was not sent.")
    differences: list[DifferenceShape] = Field(description="Real differences, at most 50.")
    noise: list[str] = Field(description="Paths that differ between two runs of the baseline too.")
    ignored: list[str] = Field(description="Paths that a rule leaves out.")
    is_cut: bool
    first: PreviewAnswerShape | None = Field(description="The baseline's first response.")
    second: PreviewAnswerShape | None = Field(description="The baseline's second response.")
    candidate: PreviewAnswerShape | None

    @classmethod
    def of(cls, one: comparing.Compared) -> Self:
        """Return the result."""
        found = one.judgement
        return cls(
            number=one.step.number,
            method=one.step.request.method,
            path=one.step.target,
            endpoint=comparing.endpoint_of(one.step),
            skipped=one.skipped,
            verdict=None if found is None else found.verdict.value,
            differences=_differences(found),
            noise=[] if found is None else list(found.noise),
            ignored=[] if found is None else list(found.ignored),
            is_cut=found is not None and found.is_cut,
            first=PreviewAnswerShape.of(one.first),
            second=PreviewAnswerShape.of(one.second),
            candidate=PreviewAnswerShape.of(one.candidate),
        )


class CompareShape(Answer):
    """Result of a comparison."""

    verdict: VerdictWord = Field(description="The worst one.")
    endpoints: list[EndpointVerdict]
    items: list[ComparedShape]
    failure: str | None = Field(description="Why the candidate does not start; null if it does.")
    last_lines: list[str] = Field(description="Its last lines then.")

    @classmethod
    def of(cls, found: comparing.CompareResult) -> Self:
        """Return the result."""
        return cls(
            verdict=found.verdict.value,
            endpoints=[EndpointVerdict(endpoint=name, verdict=one.value) for name, one in found.endpoints.items()],
            items=[ComparedShape.of(one) for one in found.items],
            failure=found.failure,
            last_lines=[str(line) for line in found.last_lines],
        )


class ReadyShape(Answer):
    """A request that is ready to be sent."""

    method: str
    path: str
    headers: dict[str, str]
    body: str | None
    body_base64: str | None = Field(description="In place of `body`, if it is not text.")

    @classmethod
    def of(cls, one: ReadyRequest) -> Self:
        """Return a request."""
        text, encoded = None, None
        if one.body is not None:
            try:
                text = one.body.decode()
            except UnicodeDecodeError:
                encoded = base64.b64encode(one.body).decode()
        return cls(method=one.method, path=one.target, headers=dict(one.headers), body=text, body_base64=encoded)


class ImportedShape(Answer):
    """Imported requests."""

    host: str | None = Field(description="Host of the requests; null for a pasted command.")
    numbers: list[int] = Field(description="Numbers of the records that were made of them.")
    skipped: int = Field(description="Number of requests to other hosts, or with too large bodies.")
    requests: list[ReadyShape]

    @classmethod
    def of(cls, found: Imported, numbers: list[int]) -> Self:
        """Return the requests of a file."""
        requests = [ReadyShape.of(one.request) for one in found.requests]
        return cls(host=found.host, numbers=numbers, skipped=found.skipped, requests=requests)

    @classmethod
    def of_command(cls, request: ReadyRequest) -> Self:
        """Return the request of a pasted command."""
        return cls(host=None, numbers=[], skipped=0, requests=[ReadyShape.of(request)])


class CheckShape(Answer):
    """A check."""

    name: str
    request: str = Field(examples=["GET /books?limit=1"])
    headers: dict[str, str]
    body: str | None
    body_base64: str | None
    status: int
    expect: list[str] = Field(examples=[["$.items[*].id is number"]])


class CheckResultShape(Answer):
    """Result of one check."""

    name: str
    request: str
    is_ok: bool
    problems: list[str]
    skipped: str | None
    status: int
    elapsed_ms: float
    lines: list[str]

    @classmethod
    def of(cls, one: CheckResult) -> Self:
        """Return the result."""
        return cls(
            name=one.name,
            request=one.request,
            is_ok=one.is_ok,
            problems=list(one.problems),
            skipped=one.skipped,
            status=one.status,
            elapsed_ms=one.elapsed_ms,
            lines=list(one.lines),
        )


class ChecksRunShape(Answer):
    """Result of a run of all checks."""

    summary: str = Field(examples=["12 ok, 1 broke since reload 7"])
    ok: int
    broke: int
    skipped: int
    on: Literal["preview", "trial"]
    at: Time
    reload: int = Field(description="Number of reloads of the preview until then.")
    results: list[CheckResultShape]

    @classmethod
    def of(cls, run: ChecksRun) -> Self:
        """Return the result."""
        ok, broke, skipped = run.counts
        return cls(
            summary=run.sentence(),
            ok=ok,
            broke=broke,
            skipped=skipped,
            on=run.on,
            at=from_ms(run.at_ms),
            reload=run.reload,
            results=[CheckResultShape.of(one) for one in run.results],
        )


class ChecksShape(Answer):
    """The checks of a generation, and their last run."""

    checks: list[CheckShape]
    ignore: list[str] = Field(description="Paths that comparisons leave out.")
    text: str = Field(description="The file `preview.checks.toml`; empty if there is none.")
    last_run: ChecksRunShape | None

    @classmethod
    def of(cls, file: CheckFile, text: str, run: ChecksRun | None) -> Self:
        """Return the checks."""
        checks = [CheckShape.model_validate(table_of(one).model_dump()) for one in file.checks]
        last_run = None if run is None else ChecksRunShape.of(run)
        return cls(checks=checks, ignore=list(file.ignore), text=text, last_run=last_run)


def _differences(found: Judgement | None) -> list[DifferenceShape]:
    return [] if found is None else [DifferenceShape.of(one) for one in found.differences]


def _value(value: object) -> str:
    try:
        text = json.dumps(value, ensure_ascii=False)
    except RecursionError:
        text = "…"
    return text if len(text) <= _MOST_VALUE else f"{text[:_MOST_VALUE]}…"
