"""All metrics of one app."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Final

import trio
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Metric, ProcessCollector, generate_latest
from prometheus_client.registry import Collector

from preview.http.metrics.answers import Answers
from preview.http.metrics.exports import EXPORTED, LostExports
from preview.http.metrics.launches import Launches
from preview.http.metrics.loop_lag import LoopLag
from preview.http.metrics.recent import SlowOperations

METRICS_TYPE: Final = CONTENT_TYPE_LATEST


class Metrics:
    """The metrics of a running service. No label ever has a user's, project's or preview's name.

    Args:
        collectors: Provide metrics of the service's state.
        slow: Operations that took long.
        runs: What collectors do while the app runs.

    Attributes:
        answers: Counts responses.
        launches: Counts launches of the previews that it observes.
        lag: Measures the event loop's delay.
        slow: Operations that took long.
        lost_exports: What no collector of OTLP got since the start: ``spans``, ``log_lines``, ``audit_entries``.
    """

    def __init__(
        self,
        *collectors: Collector,
        slow: SlowOperations | None = None,
        runs: Sequence[Callable[[], Awaitable[None]]] = (),
    ) -> None:
        self.slow = slow or SlowOperations()
        self.answers, self.launches, self.lag = Answers(), Launches(), LoopLag()
        self._runs = (self.lag.run, *runs)
        self.lost_exports: Counter[str] = Counter(dict.fromkeys(EXPORTED, 0))
        self._registry = CollectorRegistry()
        for one in (self.answers, self.launches, self.lag, LostExports(self.lost_exports), *collectors):
            self._registry.register(one)
        # Memory, processor time and open files, from the kernel; named ``process_…`` as everywhere.
        ProcessCollector(registry=self._registry)

    async def run(self) -> None:
        """Measure until cancelled. Cancellation: values stay as they are."""
        async with trio.open_nursery() as nursery:
            for one in self._runs:
                nursery.start_soon(one)

    def add_answer(self, route: str, method: str, status: int, elapsed_s: float) -> None:
        """Count a response: see ``Answers.add``."""
        self.answers.add(route, method, status, elapsed_s)
        self.slow.request(route, method, status, elapsed_s)

    def collect(self) -> Iterable[Metric]:
        """Return all families."""
        return self._registry.collect()

    def render(self) -> bytes:
        """Return the text exposition."""
        return generate_latest(self._registry)
