"""Launches by result, the durations of their steps, and the ends of previews."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from preview.core.launch_steps import ANSWERS, ENVIRONMENT, FILES, PROCESS, LaunchStep, StepState
from preview.core.lifecycle import State
from preview.http.metrics.families import add_histogram, counter
from preview.http.metrics.histogram import LAUNCH_S, Histogram
from preview.logs.model.batch import Batch
from preview.logs.model.encode import Received
from preview.logs.model.events import End, StatusChange
from preview.supervisor.preview.live_preview import LivePreview

_FIXED = frozenset({FILES, ENVIRONMENT, PROCESS, ANSWERS})
# A project names the steps of its plan; they count together.
_PLANNED = "plan"


class Launches(Collector):
    """Counts launches as they happen. Trials, which replays and probes use, are not counted."""

    def __init__(self) -> None:
        self.results: Counter[str] = Counter()
        self.failures: Counter[str] = Counter()
        self.ends: Counter[str] = Counter()
        self.environments: Counter[str] = Counter()
        self.reloads = 0
        self.crashes = 0
        self.seconds = Histogram(LAUNCH_S)
        self._steps: dict[str, Histogram] = {}

    def observe(self, preview: LivePreview) -> None:
        """Count the launch and the end of a new preview: see ``SupervisorContext.observers``."""
        preview.log.broadcast.add(_Watch(self, preview))

    def add_steps(self, steps: tuple[LaunchStep, ...]) -> None:
        """Count the finished steps of a launch that is over."""
        for step in steps:
            if step.state is not StepState.DONE or step.elapsed_ms is None:
                continue
            name = step.name if step.name in _FIXED else _PLANNED
            if name not in self._steps:
                self._steps[name] = Histogram(LAUNCH_S)
            self._steps[name].add(step.elapsed_ms / 1000)
            if name == ENVIRONMENT:
                self.environments["reused" if step.reused else "built"] += 1

    def collect(self) -> Iterator[Metric]:
        """See ``Collector``."""
        yield _by_label("preview_launches", "Launches by result.", "result", self.results)
        yield _by_label("preview_launch_failures", "Failed launches by code.", "code", self.failures)
        yield _by_label("preview_launch_environments", "Environments of launches.", "how", self.environments)
        yield _by_label("preview_ends", "Ends of previews that ran, by cause.", "cause", self.ends)
        yield counter("preview_reloads", "New processes that took over in running previews.", self.reloads)
        yield counter("preview_crashes", "Crashes after which a process was started again.", self.crashes)
        seconds = HistogramMetricFamily("preview_launch_seconds", "Launch to first response.", labels=[])
        add_histogram(seconds, [], self.seconds)
        yield seconds
        steps = HistogramMetricFamily("preview_launch_step_seconds", "Duration of launch steps.", labels=["step"])
        for name, found in self._steps.items():
            add_histogram(steps, [name], found)
        yield steps


def _by_label(name: str, text: str, label: str, counts: Counter[str]) -> CounterMetricFamily:
    family = CounterMetricFamily(name, text, labels=[label])
    for value, count in counts.items():
        family.add_metric([value], count)
    return family


class _Watch:
    """Counts one preview. A listener of its log, for the preview's whole life."""

    watchers = 0

    def __init__(self, launches: Launches, preview: LivePreview) -> None:
        self._launches = launches
        self._preview = preview
        self._ran = False
        self._restarts = self._crashes = 0

    def offer(self, event: Received) -> None:
        """Take an event of the log. Lines come most often, and are passed over."""
        if isinstance(event, Batch):
            return
        if isinstance(event, StatusChange):
            self._take_status(event)
        elif isinstance(event, End):
            self._take_end(event)

    def _take_status(self, change: StatusChange) -> None:
        if not self._ran and change.state == State.RUNNING:
            self._ran = True
            self._launches.results["running"] += 1
            self._launches.seconds.add(self._preview.uptime_s)
            self._launches.add_steps(change.steps)
        if change.restarts > self._restarts:
            self._launches.reloads += change.restarts - self._restarts
            self._restarts = change.restarts
        self._launches.crashes += change.crashes - self._crashes
        self._crashes = change.crashes

    def _take_end(self, end: End) -> None:
        failed = end.state == State.FAILED
        if self._ran:
            self._launches.ends["failed" if failed else end.cause or "unknown"] += 1
            return
        self._launches.results["failed" if failed else "stopped"] += 1
        self._launches.add_steps(end.steps)
        if failed:
            self._launches.failures[self._preview.cause.code] += 1
