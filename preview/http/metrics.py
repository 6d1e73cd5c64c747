"""Counters for Prometheus, in a registry of this app's own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram, generate_latest

__all__ = ["METRICS_TYPE", "Metrics"]

METRICS_TYPE: Final = CONTENT_TYPE_LATEST

# The promise is 200 ms for our own answers; a stop may take seconds, a launch with ``Prefer: wait`` longer.
_BUCKETS_S = (0.005, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2.5, 5, 10, 30)


class Metrics:
    """What is counted.

    Args:
        streams: How many log streams are open now.
        previews: How many previews are live now.
    """

    def __init__(self, *, streams: Callable[[], float], previews: Callable[[], float]) -> None:
        self.registry = CollectorRegistry()
        self._requests = Counter(
            "preview_http_requests_total", "Answered requests.", ["route", "method", "status"], registry=self.registry
        )
        self._seconds = Histogram(
            "preview_http_request_seconds",
            "Time to the head of the answer.",
            ["route"],
            buckets=_BUCKETS_S,
            registry=self.registry,
        )
        Gauge("preview_log_streams", "Open log streams.", registry=self.registry).set_function(streams)
        Gauge("preview_previews", "Live previews.", registry=self.registry).set_function(previews)

    def answered(self, route: str, method: str, status: int, elapsed_s: float) -> None:
        """Count an answer.

        Args:
            route: Name of the route, never the path: its variety is bounded.
            method: HTTP method; anything unknown counts as ``OTHER``.
            status: HTTP status.
            elapsed_s: Seconds to the head of the answer.
        """
        known = method if method in {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"} else "OTHER"
        self._requests.labels(route, known, str(status)).inc()
        self._seconds.labels(route).observe(elapsed_s)

    def render(self) -> bytes:
        """The text exposition."""
        return generate_latest(self.registry)
