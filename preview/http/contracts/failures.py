"""Failures of previews, and the diagnosis; only contract ``v1`` has them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from preview.core.clock import rfc3339_ms
from preview.core.launch_steps import step_fields
from preview.http.contracts import shared
from preview.http.core.answers import Answer
from preview.logs import LogLine
from preview.logs.failures.model import FailureRecord, Occurrence, Raised
from preview.storage.tables import PreviewRecord
from preview.supervisor import Confinement, Report
from preview.traffic.record import RecordedRequest

LanguageWord = Literal["python", "node", "process"]


def _whole(value: object) -> object:
    """Accept a whole number that is written as ``100.0``, as JSON Schema does."""
    return value.removesuffix(".0") if isinstance(value, str) else value


class FailuresQuery(BaseModel):
    """Selection of failures."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    preview_id: str | None = Field(default=None, max_length=200, description="An earlier preview; else the newest.")
    filter: str = Field(
        default="", max_length=1000, description="Terms of the filter language, about type, message, place and time."
    )
    limit: Annotated[int, BeforeValidator(_whole)] = Field(
        default=100, ge=1, le=1000, description="Maximum number of failures."
    )


class FailureQuery(BaseModel):
    """Form of a failure."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    preview_id: str | None = Field(default=None, max_length=200, description="An earlier preview; else the newest.")
    format: Literal["json", "text"] = Field(
        default="json", description="`text`: a bounded text for an agent or a bug report."
    )


class DiagnosisQuery(BaseModel):
    """Selection of a preview."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    preview_id: str | None = Field(default=None, max_length=200, description="An earlier preview; else the newest.")


class FrameShape(Answer):
    """A place in a stack."""

    path: str = Field(description="Relative to the project for its own code.", examples=["app/main.py"])
    line: int = Field(description="0 if unknown.")
    function: str = Field(description="Empty outside of functions.")
    code: str = Field(description="The line's text as the program printed it; empty if it did not.")
    is_own: bool = Field(description="Whether it is the project's own code.")


class RaisedShape(Answer):
    """An exception of a failure."""

    type: str
    message: str
    relation: Literal["raised", "cause", "context", "member", "group"] = Field(
        description="`raised`: the one that reached the server. `cause`: another one was raised from it."
    )
    frames: list[FrameShape] = Field(description="Innermost first.")

    @classmethod
    def of(cls, raised: Raised) -> Self:
        """Return the exception."""
        frames = [FrameShape.model_validate(one) for one in raised.frames]
        return cls(type=raised.type, message=raised.message, relation=raised.relation.value, frames=frames)


class OccurrenceShape(Answer):
    """One time at which a failure occurred."""

    at: str = Field(description="RFC 3339.")
    first_line: int = Field(description="Number of its first line in the log.")
    last_line: int
    request_id: str | None = Field(description="Its request, if known; log lines carry the same id.")
    reload: int = Field(description="Processes that had taken over before: 0 is the launch.")
    is_startup: bool = Field(description="Whether it was before the preview was ready.")
    message: str = Field(description="Start of its message.")

    @classmethod
    def of(cls, one: Occurrence) -> Self:
        """Return the occurrence."""
        return cls(
            at=rfc3339_ms(one.timestamp_ms), first_line=one.first_seq, last_line=one.last_seq,
            request_id=one.request_id, reload=one.reload, is_startup=one.is_startup, message=one.message,
        )  # fmt: skip


class SourceShape(Answer):
    """Source around the place, as it was then."""

    path: str
    line: int
    first_line: int = Field(description="Number of the first of `lines`.")
    lines: list[str]


class FailureShape(Answer):
    """All failures of one cause."""

    id: str = Field(description="The same in each preview of the project.", examples=["3f2b8c1d9e0a"])
    fingerprint: str
    language: LanguageWord = Field(description="`process`: the process crashed and was started again.")
    type: str = Field(examples=["KeyError"])
    message: str
    frame: FrameShape | None = Field(description="The place to look at: the deepest line of own code.")
    count: int
    first: OccurrenceShape = Field(description="`first.reload`: the reload in which it appeared.")
    last: OccurrenceShape

    @classmethod
    def of(cls, record: FailureRecord) -> Self:
        """Return the record."""
        return cls(**_fields(record))


class FailedRequest(Answer):
    """The recorded request of a failure."""

    number: int = Field(description="Number of the record: `GET …/preview/requests/{number}`.")
    method: str
    target: str = Field(description="Path and query; secrets in the query are replaced.")
    status: int = Field(description="0 without a response.")


class FailureDetail(FailureShape):
    """A failure with its stack and source."""

    preview_id: str
    exceptions: list[RaisedShape] = Field(description="The one that reached the server first, then its causes.")
    source: SourceShape | None
    occurrences: list[OccurrenceShape] = Field(description="The first one and the newest ones.")
    is_probe: bool = Field(description="Whether the last probe found it, and the preview itself did not have it.")
    request: FailedRequest | None = Field(description="Request of the newest occurrence; null if it has no record.")

    @classmethod
    def of(cls, record: FailureRecord, request: RecordedRequest | None = None, *, is_probe: bool = False) -> Self:
        """Return the record."""
        source = record.source
        return cls(
            **_fields(record),
            preview_id=record.preview_id,
            is_probe=is_probe,
            exceptions=[RaisedShape.of(one) for one in record.exceptions],
            source=None if source is None else SourceShape(
                path=source.path, line=source.line, first_line=source.first_line, lines=list(source.lines)
            ),
            occurrences=[OccurrenceShape.of(one) for one in record.occurrences],
            request=None if request is None else FailedRequest.model_validate(request),
        )  # fmt: skip


class FailureList(Answer):
    """Failures of a preview, the newest first."""

    items: list[FailureShape]
    next: str | None = Field(description="Always null: all failures of a preview fit in one response.")
    preview_id: str
    further: int = Field(description="Failures without a record, because there are too many different ones.")
    unread_lines: int = Field(description="Lines that were not searched, because too many came at once.")

    @classmethod
    def of(cls, preview_id: str, records: Sequence[FailureRecord], further: int, unread_lines: int) -> Self:
        """Return the list."""
        items = [FailureShape.of(one) for one in records]
        return cls(items=items, next=None, preview_id=preview_id, further=further, unread_lines=unread_lines)


class EndShape(Answer):
    """The end of a preview's process."""

    code: int | None
    signal: int | None
    words: str = Field(examples=["It was killed (SIGKILL), by the system or by the service."])


class DiagnosisShape(Answer):
    """Cause of a failed preview, and what to do."""

    preview_id: str
    generation_id: str
    status: Literal["starting", "running", "stopping", "stopped", "failed"]
    summary: str = Field(description="One sentence.")
    reason: str | None = Field(
        description="One word: `missing_module`, `limit`, `exception`, `exit`, …; null if nothing failed."
    )
    advice: list[str] = Field(description="What to do, the most useful first.")
    exit: EndShape | None = Field(description="Null if the process did not end, or never ran.")
    phases: list[shared.LaunchStepShape] = Field(description="Steps of the launch.")
    reached: list[shared.ReachedLimit] = Field(description="Limits that it has reached.")
    last_lines: list[shared.Line] = Field(description="Last lines of its log, oldest first.")
    failures: list[FailureShape] = Field(description="Its newest failures, the newest first.")

    @classmethod
    def of(
        cls,
        record: PreviewRecord,
        confinement: Confinement | None,
        report: Report,
        lines: Sequence[LogLine],
        failures: Sequence[FailureRecord],
    ) -> Self:
        """Return the diagnosis."""
        words = report.exit_words
        reached = [] if confinement is None else confinement.reached
        return cls(
            preview_id=record.id,
            generation_id=record.generation_id,
            status=record.state.value,
            summary=report.summary,
            reason=report.reason,
            advice=list(report.advice),
            exit=None if words is None else EndShape(code=record.exit_code, signal=record.exit_signal, words=words),
            phases=[shared.LaunchStepShape.model_validate(step_fields(one, camel=False)) for one in record.steps],
            reached=[shared.ReachedLimit.model_validate(one) for one in reached],
            last_lines=[shared.Line.of(one, colours=False) for one in lines],
            failures=[FailureShape.of(one) for one in failures],
        )


def _fields(record: FailureRecord) -> dict[str, object]:
    return {
        "id": record.id,
        "fingerprint": record.fingerprint,
        "language": record.language.value,
        "type": record.type,
        "message": record.message,
        "frame": None if record.frame is None else FrameShape.model_validate(record.frame),
        "count": record.count,
        "first": OccurrenceShape.of(record.first),
        "last": OccurrenceShape.of(record.last),
    }
