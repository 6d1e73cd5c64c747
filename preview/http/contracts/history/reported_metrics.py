"""Metrics that a preview's program reports by OpenTelemetry; only contract ``v1`` has them."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field

from preview.core.clock import from_ms
from preview.http.core.answers import Answer, Time
from preview.tracing import MetricSeries, PreviewTraces


class ReportedSeries(Answer):
    """The newest value of one series. The application has reported it; nothing in it is verified."""

    name: str = Field(examples=["http.server.request.duration"])
    unit: str = Field(examples=["s"])
    kind: Literal["gauge", "sum", "counter", "histogram", "summary"]
    temporality: Literal["cumulative", "delta"] | None = Field(
        description="`cumulative`: since the program's start; `delta`: since the value before."
    )
    attributes: dict[str, str] = Field(description="They tell the series of a metric apart.")
    value: float | None = Field(description="Of a gauge, sum or counter.")
    count: int | None = Field(description="Number of values of a histogram or summary.")
    sum: float | None
    min: float | None
    max: float | None
    updated_at: Time = Field(description="Time of its arrival.")

    @classmethod
    def of(cls, series: MetricSeries) -> Self:
        """Return the series."""
        return cls.model_validate(
            {
                "name": series.name,
                "unit": series.unit,
                "kind": series.kind,
                "temporality": series.temporality or None,
                "attributes": dict(series.attributes),
                "value": series.value,
                "count": series.count,
                "sum": series.total,
                "min": series.least,
                "max": series.most,
                "updated_at": from_ms(series.updated_ms),
            }
        )


class ReportedMetrics(Answer):
    """Metrics that the program of a preview reports, and the number of its log records."""

    items: list[ReportedSeries] = Field(description="By name; at most 200.")
    preview_id: str
    receiving: bool = Field(
        description="They are taken now: the preview lives, and its launch has `trace` in its start options."
    )
    dropped: int = Field(description="Points that were lost: too many, too fast, or without a usable number.")
    log_records: int = Field(description="Log records that became lines of the log, with the source `reported`.")
    log_records_dropped: int = Field(description="Log records that were lost: over 500 a second, or not readable.")

    @classmethod
    def of(cls, preview_id: str, traces: PreviewTraces | None, *, is_live: bool = True) -> Self:
        """Return them; ``traces`` is None for a preview that was never traced."""
        if traces is None:
            return cls(
                items=[], preview_id=preview_id, receiving=False, dropped=0, log_records=0, log_records_dropped=0
            )
        return cls(
            items=[ReportedSeries.of(one) for one in traces.metrics.all()],
            preview_id=preview_id,
            receiving=is_live and traces.is_on,
            dropped=traces.metrics.dropped,
            log_records=traces.records.taken,
            log_records_dropped=traces.records.dropped,
        )
