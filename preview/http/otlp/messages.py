"""Messages of OTLP (protocol buffers) from launches, metrics and log lines.

Source: https://opentelemetry.io/docs/specs/otlp/. Imported only with the extra ``otel``.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import version
from itertools import pairwise
from typing import Any

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, InstrumentationScope, KeyValue
from opentelemetry.proto.metrics.v1 import metrics_pb2
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status
from prometheus_client import Metric

from preview.auth import AuditEntry
from preview.core.clock import now_ms
from preview.core.launch_steps import LaunchStep, StepState

_NS = 1_000_000
_SCOPE = InstrumentationScope(name="preview", version=version("preview"))
_CUMULATIVE = metrics_pb2.AGGREGATION_TEMPORALITY_CUMULATIVE
# OpenTelemetry's log data model: the least number of each range.
_SEVERITY = {"debug": 5, "info": 9, "warning": 13, "error": 17, "critical": 21}
_MOST_CHARACTERS = 1_000
_NO_FACTS = frozenset({"seq", "at_ms"})


def launch_trace(
    steps: Sequence[LaunchStep], *, name: str, facts: Mapping[str, str], start_ms: int, end_ms: int, error: str | None
) -> list[Span]:
    """Return the spans of a launch or a reload: one for the whole, and one for each step that has started.

    Args:
        steps: Its steps.
        name: ``launch`` or ``reload``.
        facts: Attributes of the whole.
        start_ms: Its start, in milliseconds since the epoch.
        end_ms: Its end.
        error: The code of its failure; None if it has not failed.
    """
    trace_id = secrets.token_bytes(16)
    root = _span(trace_id, b"", name, start_ms, end_ms, facts)
    if error is not None:
        root.status.CopyFrom(Status(code=Status.STATUS_CODE_ERROR, message=error))
    spans = [root]
    for step in steps:
        if step.started_at_ms is None:
            continue
        until = end_ms if step.elapsed_ms is None else step.started_at_ms + step.elapsed_ms
        attributes = {"preview.step.state": str(step.state), "preview.step.reused": str(step.reused).lower()}
        made = _span(trace_id, root.span_id, f"{name}: {step.name}", step.started_at_ms, until, attributes)
        if step.state is StepState.FAILED:
            made.status.CopyFrom(Status(code=Status.STATUS_CODE_ERROR))
        spans.append(made)
    return spans


def traces(spans: Iterable[Span]) -> bytes:
    """Return the request that exports spans."""
    made = ExportTraceServiceRequest()
    group = made.resource_spans.add(resource=_resource())
    group.scope_spans.add(scope=_SCOPE, spans=spans)
    return bytes(made.SerializeToString())


def logs(lines: Iterable[str]) -> bytes:
    """Return the request that exports lines of the service's log, which are JSON as ``RecentLog`` keeps them."""
    made = ExportLogsServiceRequest()
    records = made.resource_logs.add(resource=_resource()).scope_logs.add(scope=_SCOPE).log_records
    for line in lines:
        fields = _fields(line)
        level = str(fields.pop("level", "info"))
        record = records.add(
            observed_time_unix_nano=now_ms() * _NS,
            severity_text=level.upper(),
            severity_number=_SEVERITY.get(level, 9),
            body=AnyValue(string_value=_text(fields.pop("event", ""))),
        )
        fields.pop("timestamp", None)
        record.attributes.extend(_attributes(fields))
    return bytes(made.SerializeToString())


def audit_entries(entries: Iterable[AuditEntry]) -> bytes:
    """Return the request that exports entries of the audit trail, as log records of the scope ``preview.audit``."""
    made = ExportLogsServiceRequest()
    scope = InstrumentationScope(name="preview.audit", version=version("preview"))
    records = made.resource_logs.add(resource=_resource()).scope_logs.add(scope=scope).log_records
    for entry in entries:
        facts = {name: value for name, value in entry.as_dict().items() if name not in _NO_FACTS and value != ""}
        record = records.add(
            time_unix_nano=entry.at_ms * _NS,
            observed_time_unix_nano=now_ms() * _NS,
            severity_text=entry.outcome.upper(),
            severity_number=_SEVERITY["info" if entry.outcome == "ok" else "warning"],
            body=AnyValue(string_value=_text(entry.action)),
            attributes=_attributes({f"audit.{name}": value for name, value in facts.items()}),
        )
        record.attributes.add(key="audit.seq").value.int_value = entry.seq
    return bytes(made.SerializeToString())


def metrics(families: Iterable[Metric], start_ms: int) -> bytes:
    """Return the request that exports metrics, as ``GET /metrics`` shows them, with the same names.

    Args:
        families: From the registry.
        start_ms: Start of the counters.
    """
    made = ExportMetricsServiceRequest()
    found = made.resource_metrics.add(resource=_resource()).scope_metrics.add(scope=_SCOPE).metrics
    at = {"start_time_unix_nano": start_ms * _NS, "time_unix_nano": now_ms() * _NS}
    for family in families:
        if family.type == "histogram":
            _add_histogram(found.add(name=family.name, description=family.documentation, unit="s"), family, at)
            continue
        ending = "_total" if family.type == "counter" else ""
        metric = found.add(name=f"{family.name}{ending}", description=family.documentation)
        if family.type == "counter":
            metric.sum.is_monotonic, metric.sum.aggregation_temporality = True, _CUMULATIVE
        points = metric.sum.data_points if family.type == "counter" else metric.gauge.data_points
        for sample in family.samples:
            if sample.name == f"{family.name}{ending}":
                points.add(as_double=float(sample.value), attributes=_attributes(sample.labels), **at)
    return bytes(made.SerializeToString())


def _fields(line: str) -> dict[str, Any]:
    """Return the fields of a line; the whole line is its event if it was cut."""
    try:
        found = json.loads(line)
    except ValueError:
        found = None
    return found if isinstance(found, dict) else {"event": line}


def _add_histogram(metric: Any, family: Metric, at: Mapping[str, int]) -> None:
    metric.histogram.aggregation_temporality = _CUMULATIVE
    groups: dict[tuple[tuple[str, str], ...], dict[str, Any]] = {}
    for sample in family.samples:
        labels = tuple(sorted((name, value) for name, value in sample.labels.items() if name != "le"))
        group = groups.setdefault(labels, {"within": [], "sum": 0.0})
        if sample.name.endswith("_bucket"):
            group["within"].append((float(sample.labels["le"]), int(sample.value)))
        elif sample.name.endswith("_sum"):
            group["sum"] = float(sample.value)
    for labels, group in groups.items():
        within = sorted(group["within"])
        metric.histogram.data_points.add(
            attributes=_attributes(dict(labels)),
            count=within[-1][1] if within else 0,
            sum=group["sum"],
            explicit_bounds=[bound for bound, _ in within[:-1]],
            # Prometheus counts all below a bound, OTLP those between two.
            bucket_counts=[after - before for (_, before), (_, after) in pairwise([(0.0, 0), *within])],
            **at,
        )


def _span(trace_id: bytes, parent: bytes, name: str, start_ms: int, end_ms: int, attributes: Mapping[str, str]) -> Span:
    return Span(
        trace_id=trace_id,
        span_id=secrets.token_bytes(8),
        parent_span_id=parent,
        name=_text(name),
        kind=Span.SPAN_KIND_INTERNAL,
        start_time_unix_nano=start_ms * _NS,
        end_time_unix_nano=max(start_ms, end_ms) * _NS,
        attributes=_attributes(attributes),
    )


def _resource() -> Resource:
    return Resource(attributes=_attributes({"service.name": "preview", "service.version": version("preview")}))


def _attributes(given: Mapping[str, Any]) -> list[KeyValue]:
    return [KeyValue(key=_text(name), value=AnyValue(string_value=_text(value))) for name, value in given.items()]


def _text(value: object) -> str:
    """Return text that protocol buffers take: no lone surrogates, and bounded."""
    return str(value).encode("utf-8", "replace").decode()[:_MOST_CHARACTERS]
