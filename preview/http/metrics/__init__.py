"""Metrics for Prometheus, in a registry that belongs to this app; ``docs/metrics.md`` lists them all."""

from preview.http.metrics.answers import Answered
from preview.http.metrics.metrics import METRICS_TYPE, Metrics
from preview.http.metrics.state import AuditState, ServiceState, Streams

__all__ = ["METRICS_TYPE", "Answered", "AuditState", "Metrics", "ServiceState", "Streams"]
