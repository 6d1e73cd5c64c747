"""Points of metrics as a project's OpenTelemetry sends them, in both forms. Nothing in them is verified.

Source: opentelemetry-proto, metrics/v1/metrics.proto.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Final

from preview.tracing.otlp.given import NotOtlp
from preview.tracing.otlp.values import json_integer, json_list, json_text, read_body, wire_text
from preview.tracing.otlp.wire import Budget, double_of, fields, messages, signed_of, text_of
from preview.tracing.preview_metrics import MOST_ATTRIBUTES, MOST_VALUE, MetricPoint

# The kinds of data by their numbers and names, and the names of their points.
_KINDS: Final = {5: "gauge", 7: "sum", 9: "histogram", 10: "histogram", 11: "summary"}
_NAMES: Final = {
    "gauge": "gauge",
    "sum": "sum",
    "histogram": "histogram",
    "exponentialHistogram": "histogram",
    "summary": "summary",
}
_COUNTED: Final = frozenset({"histogram", "summary"})
_TEMPORALITIES: Final = {1: "delta", 2: "cumulative"}
_TEMPORALITY_NAMES: Final = {"AGGREGATION_TEMPORALITY_DELTA": 1, "AGGREGATION_TEMPORALITY_CUMULATIVE": 2}


@dataclass(slots=True)
class _Metric:
    """A metric without its points."""

    name: str = ""
    unit: str = ""
    kind: str = ""
    temporality: int = 0
    is_monotonic: bool = False

    def point(self) -> MetricPoint:
        """Return a point without values."""
        return MetricPoint(
            name=self.name,
            unit=self.unit,
            kind="counter" if self.kind == "sum" and self.is_monotonic else self.kind,
            temporality=_TEMPORALITIES.get(self.temporality, ""),
            # Absent if it is 0.
            count=0 if self.kind in _COUNTED else None,
        )


@dataclass(slots=True)
class _Numbers:
    """The fields of a point of one kind."""

    attributes: int
    doubles: dict[int, str] = field(default_factory=dict)
    integers: dict[int, str] = field(default_factory=dict)


_NUMBER_FIELDS: Final = _Numbers(7, {4: "value"}, {6: "value"})
_FIELDS: Final = {
    5: _NUMBER_FIELDS,
    7: _NUMBER_FIELDS,
    9: _Numbers(9, {5: "total", 11: "least", 12: "most"}, {4: "count"}),
    10: _Numbers(1, {5: "total", 12: "least", 13: "most"}, {4: "count"}),
    11: _Numbers(7, {5: "total"}, {4: "count"}),
}


def read_protobuf_points(body: bytes) -> Iterator[MetricPoint | None]:
    """Yield the points of an ``ExportMetricsServiceRequest``; None where the caller may pause.

    Raises:
        NotOtlp: The message is wrong. Earlier points have been yielded.
    """
    budget = Budget()
    for resource in messages(memoryview(body), 1, budget):
        for scope in messages(resource, 2, budget) if resource is not None else ():
            for metric in messages(scope, 2, budget) if scope is not None else ():
                if metric is not None:
                    yield from _metric_from_wire(metric, budget)
                yield None
            yield None
        yield None


def _metric_from_wire(text: memoryview, budget: Budget) -> Iterator[MetricPoint | None]:
    metric, data, kind = _Metric(), memoryview(b""), 0
    with budget.part():
        for number, value in fields(text, budget):
            if isinstance(value, int):
                continue
            if number == 1:
                metric.name = text_of(value)
            elif number == 3:
                metric.unit = text_of(value)
            elif number in _KINDS:
                metric.kind, data, kind = _KINDS[number], value, number
    # The facts of all points may follow them; so the points are read in a second run.
    for at, (number, said) in enumerate(fields(data, budget)):
        if isinstance(said, int) and number == 2:
            metric.temporality = said
        elif isinstance(said, int) and number == 3:
            metric.is_monotonic = said != 0
        if at % 500 == 499:
            yield None
    for one in messages(data, 1, budget):
        if one is None:
            yield None
            continue
        with budget.part():
            found = _point_from_wire(one, metric, _FIELDS[kind], budget)
        yield found


def _point_from_wire(text: memoryview, metric: _Metric, known: _Numbers, budget: Budget) -> MetricPoint:
    point = metric.point()
    for number, value in fields(text, budget):
        if number == known.attributes and isinstance(value, memoryview):
            if len(point.attributes) < MOST_ATTRIBUTES:
                point.attributes.append(_attribute(value, budget))
        elif isinstance(value, int) and number in known.doubles:
            setattr(point, known.doubles[number], double_of(value))
        elif isinstance(value, int) and number in known.integers:
            name = known.integers[number]
            # Counts are unsigned.
            setattr(point, name, value if name == "count" else signed_of(value))
    return point


def _attribute(text: memoryview, budget: Budget) -> tuple[str, str]:
    key, shown = "", ""
    for number, value in fields(text, budget):
        if number == 1 and isinstance(value, memoryview):
            key = text_of(value)
        elif number == 2 and isinstance(value, memoryview):
            shown = wire_text(value, budget, MOST_VALUE)
    return key, shown


def read_json_points(body: bytes) -> Iterator[MetricPoint | None]:
    """Yield the points of a body in JSON: see ``read_protobuf_points``."""
    for resource in json_list(read_body(body), "resourceMetrics"):
        for scope in json_list(resource, "scopeMetrics"):
            for metric in json_list(scope, "metrics"):
                yield from _metric_from_json(metric)
                yield None
            yield None
        yield None


def _metric_from_json(given: Any) -> Iterator[MetricPoint]:
    if not isinstance(given, dict):
        raise NotOtlp("a metric is not an object")
    kind = next((name for name in _NAMES if name in given), None)
    if kind is None:
        return
    data = given[kind]
    points = json_list(data, "dataPoints")
    temporality = data.get("aggregationTemporality")
    metric = _Metric(
        _text(given.get("name")),
        _text(given.get("unit")),
        _NAMES[kind],
        _TEMPORALITY_NAMES.get(temporality, 0) if isinstance(temporality, str) else json_integer(temporality) or 0,
        data.get("isMonotonic") is True,
    )
    for one in points:
        if not isinstance(one, dict):
            raise NotOtlp("a point is not an object")
        yield _point_from_json(one, metric)


def _point_from_json(given: dict[str, Any], metric: _Metric) -> MetricPoint:
    point = metric.point()
    attributes = given.get("attributes")
    for one in attributes[:MOST_ATTRIBUTES] if isinstance(attributes, list) else ():
        if isinstance(one, dict):
            point.attributes.append((_text(one.get("key")), json_text(one.get("value"), MOST_VALUE)))
    value = json_integer(given["asInt"]) if "asInt" in given else _double(given.get("asDouble"))
    return replace(
        point,
        value=value,
        count=json_integer(given["count"]) if "count" in given else point.count,
        total=_double(given.get("sum")),
        least=_double(given.get("min")),
        most=_double(given.get("max")),
    )


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _double(value: Any) -> float | None:
    """Return a number; texts stand for numbers that JSON does not have, which are not kept."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None if value is None else float("nan")
    try:
        return float(value)
    except OverflowError:
        return float("inf")
