"""Traces of a preview's requests; only contract ``v1`` has them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Self

from pydantic import Field

from preview.core.clock import from_ms
from preview.http.core.answers import Answer, Time
from preview.http.core.bodies import OneRequestQuery
from preview.tracing import Hint, Kind, PreviewTraces, Span, Trace

_Kind = Literal["request", "sql", "call", "cache", "other"]


class TracesQuery(OneRequestQuery):
    """A page of traces."""

    request_id: str | None = Field(default=None, max_length=64, description="Only the trace of this request.")
    contains: str | None = Field(
        default=None, max_length=200, description="Only traces whose first span's name contains this text."
    )
    min_ms: float | None = Field(default=None, ge=0, le=1e9, description="Only traces that took at least this long.")
    failed: bool = Field(default=False, description="Only traces with an error.")
    hinted: bool = Field(default=False, description="Only traces with a hint.")
    before: int | None = Field(default=None, ge=0, le=10**18, description="Only numbers below this one.")
    limit: int = Field(default=50, ge=1, le=200)


class HintShape(Answer):
    """A probable cause of a slow request."""

    kind: Literal["repeated_statement", "slow_statement", "repeated_call"]
    sentence: str = Field(description="The cause and a remedy.")
    statement: str = Field(description="The statement, with `?` in place of values; or the call.")
    count: int = Field(description="Number of spans that it is about.")
    duration_ms: float = Field(description="Their time together.")
    span_ids: list[str] = Field(description="The first 50 of them.")

    @classmethod
    def of(cls, hint: Hint) -> Self:
        """Return the hint."""
        return cls(
            kind=hint.kind.value,
            sentence=hint.sentence,
            statement=hint.statement,
            count=hint.count,
            duration_ms=_ms(hint.duration_us),
            span_ids=list(hint.span_ids),
        )


class SpanShape(Answer):
    """A piece of work. The application has reported it; nothing in it is verified."""

    span_id: str
    parent_id: str | None
    kind: _Kind
    name: str = Field(examples=["SELECT books"])
    offset_ms: float = Field(description="From the start of the trace to the start of this span.")
    duration_ms: float
    detail: str = Field(description="Statement without its parameters, or address; else empty.")
    status: int | None = Field(description="HTTP status.")
    error: str | None
    source: Literal["launcher", "otlp"] = Field(description="`otlp`: sent by the project's own OpenTelemetry.")

    @classmethod
    def of(cls, span: Span, start_us: int) -> Self:
        """Return the span of a trace that began at this time."""
        return cls(
            span_id=span.span_id,
            parent_id=span.parent_id or None,
            kind=span.kind.value,
            name=span.name,
            offset_ms=_ms(span.start_us - start_us),
            duration_ms=_ms(span.duration_us),
            detail=span.detail,
            status=span.status or None,
            error=span.error or None,
            source="otlp" if span.source == "otlp" else "launcher",
        )


class TraceItem(Answer):
    """A trace, without its spans."""

    trace_id: str
    number: int = Field(description="1, 2, 3, … in its preview, in the order of arrival.")
    name: str = Field(description="Name of its first span.", examples=["GET /books"])
    request_id: str | None = Field(description="`X-Request-Id` of its request; log lines and records have it too.")
    started_at: Time
    duration_ms: float
    status: int | None
    failed: bool
    span_count: int
    sql_count: int = Field(description="Number of SQL statements.")
    sql_ms: float = Field(description="Time of the statements together.")
    call_count: int = Field(description="Number of outgoing requests.")
    dropped: int = Field(description="Spans of this trace that were not kept.")
    hints: list[HintShape] = Field(description="Probable causes, the most costly one first.")

    @classmethod
    def of(cls, trace: Trace) -> Self:
        """Return the trace's summary."""
        root = trace.root
        statements = [span.duration_us for span in trace.spans if span.kind is Kind.SQL]
        return cls(
            trace_id=trace.trace_id,
            number=trace.number,
            name=root.name,
            request_id=trace.request_ids[0] if trace.request_ids else None,
            started_at=from_ms(trace.start_us // 1000),
            duration_ms=_ms(trace.duration_us),
            status=root.status or None,
            failed=trace.has_error,
            span_count=len(trace.spans),
            sql_count=len(statements),
            sql_ms=_ms(sum(statements)),
            call_count=sum(span.kind is Kind.CALL for span in trace.spans),
            dropped=trace.dropped,
            hints=[HintShape.of(hint) for hint in trace.hints],
        )


class TraceShape(TraceItem):
    """A trace with its spans."""

    preview_id: str
    spans: list[SpanShape] = Field(description="By their start.")

    @classmethod
    def of_preview(cls, trace: Trace, preview_id: str) -> Self:
        """Return the trace."""
        start_us = trace.start_us
        spans = sorted(trace.spans, key=lambda span: (span.start_us, -span.duration_us))
        return cls.taken_from(
            TraceItem.of(trace), preview_id=preview_id, spans=[SpanShape.of(span, start_us) for span in spans]
        )


class TraceList(Answer):
    """A page of traces, the newest first."""

    items: list[TraceItem]
    next: int | None = Field(description="Continue with `before` this number; null at the end.")
    preview_id: str
    tracing: bool = Field(description="The launch records spans: it has `trace` in its start options.")
    dropped: int = Field(description="Spans that were lost: too many came at once.")
    removed: int = Field(description="Spans of older traces that were removed because of the limits.")

    @classmethod
    def of(
        cls, items: Sequence[TraceItem], preview_id: str, traces: PreviewTraces | None, *, next_number: int | None
    ) -> Self:
        """Return the page; ``traces`` is None for a preview that was never traced."""
        return cls(
            items=list(items),
            next=next_number,
            preview_id=preview_id,
            tracing=traces is not None and traces.is_on,
            dropped=0 if traces is None else traces.dropped,
            removed=0 if traces is None else traces.removed,
        )


def _ms(microseconds: int) -> float:
    return round(microseconds / 1000, 3)
