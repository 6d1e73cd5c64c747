"""Measurements of a preview; only contract ``v1`` has them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Self

from pydantic import Field

from preview.http.core.answers import Answer, Time
from preview.traffic import Durations, PreviewSeries

_MIB = 1024 * 1024


class MetricsPoint(Answer):
    """Measurements of one interval; null where nothing was measured."""

    offset_s: float = Field(description="Seconds from the launch to the interval's start.")
    requests: int
    errors: int = Field(description="Requests with a status from 500 on, or without a response.")
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None
    memory_mb: float | None = Field(description="Peak memory of the processes.")
    cpu_percent: float | None = Field(description="Highest use, in percent of one core.")


class EndpointMetrics(Answer):
    """Requests to one endpoint; `{id}` stands for an id in its path."""

    endpoint: str = Field(examples=["GET /books/{id}"])
    calls: int
    errors: int
    p50_ms: float | None
    p95_ms: float | None
    slowest_ms: float


class MetricsShape(Answer):
    """Measurements of a launch, live or ended, across reloads."""

    preview_id: str
    is_live: bool
    started_at: Time = Field(description="Start of the series.")
    interval_s: float = Field(description="Seconds that a point covers; they double when 240 points are used up.")
    memory_limit_mb: float
    cpu_limit_percent: float
    points: list[MetricsPoint]
    endpoints: list[EndpointMetrics] = Field(description="Most called first; paths after the first 200 are one entry.")
    findings: list[str] = Field(description="Bottlenecks, in sentences.")

    @classmethod
    def of(
        cls,
        series: PreviewSeries,
        *,
        preview_id: str,
        is_live: bool,
        started_at: datetime,
        memory_limit_mb: float,
        cpu_limit: float,
        findings: Sequence[str],
    ) -> Self:
        """Return the series with its limits."""
        by_calls = sorted(series.endpoints.items(), key=lambda one: -one[1].durations.count)
        return cls(
            preview_id=preview_id,
            is_live=is_live,
            started_at=started_at,
            interval_s=series.interval_s,
            memory_limit_mb=memory_limit_mb,
            cpu_limit_percent=100 * cpu_limit,
            points=[
                MetricsPoint(
                    offset_s=at * series.interval_s,
                    requests=point.requests,
                    errors=point.errors,
                    p50_ms=_ms(point.durations, 0.5),
                    p95_ms=_ms(point.durations, 0.95),
                    p99_ms=_ms(point.durations, 0.99),
                    memory_mb=None if point.memory_bytes is None else round(point.memory_bytes / _MIB, 1),
                    cpu_percent=None if point.cpu_percent is None else round(point.cpu_percent, 1),
                )
                for at, point in sorted(series.points.items())
            ],
            endpoints=[
                EndpointMetrics(
                    endpoint=name,
                    calls=counts.durations.count,
                    errors=counts.errors,
                    p50_ms=_ms(counts.durations, 0.5),
                    p95_ms=_ms(counts.durations, 0.95),
                    slowest_ms=round(1000 * counts.durations.slowest_s, 1),
                )
                for name, counts in by_calls
            ],
            findings=list(findings),
        )


def _ms(durations: Durations, share: float) -> float | None:
    seconds = durations.percentile_s(share)
    return None if seconds is None else round(1000 * seconds, 1)
