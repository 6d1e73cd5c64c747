"""Metrics for Prometheus, in a registry that belongs to this app; ``docs/metrics.md`` lists them all."""

from preview.http.metrics.answers import Answered
from preview.http.metrics.carried import Carried
from preview.http.metrics.metrics import METRICS_TYPE, Metrics
from preview.http.metrics.recent import RECENT_LOG
from preview.http.metrics.state import Streams, make_metrics

__all__ = ["METRICS_TYPE", "RECENT_LOG", "Answered", "Carried", "Metrics", "Streams", "make_metrics"]
