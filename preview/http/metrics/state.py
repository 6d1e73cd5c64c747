"""The service's state at the moment of a scrape: previews, queues, log lines, and the database."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from preview.auth import Audit
from preview.core.lifecycle import State
from preview.environments import How
from preview.http.metrics.cluster import ClusterState
from preview.http.metrics.families import add_histogram, counter, gauge
from preview.http.metrics.histogram import FAST_S, Histogram
from preview.http.metrics.metrics import Metrics
from preview.http.metrics.recent import SlowOperations
from preview.logs.shipping.shipper import Shipper
from preview.runtime.warm.runtime import WarmRuntime
from preview.service import Service
from preview.supervisor.preview.confinement import Limit

_LIMITS: tuple[Limit, ...] = ("memory", "cpu", "processes", "disk", "database", "output")
_HOWS: tuple[How, ...] = ("built", "cached", "reused")
_LIVE = (State.STARTING, State.RUNNING, State.STOPPING)


class ServiceState(Collector):
    """Reads the service's state when asked. Each value is at hand, so a scrape costs no query."""

    def __init__(self, service: Service, slow: SlowOperations) -> None:
        self.service = service
        self._slow = slow
        self._calls = {"read": Histogram(FAST_S), "write": Histogram(FAST_S)}
        service.database.answered = self._answered
        self._forks = Histogram(FAST_S)
        if isinstance(service.runtime, WarmRuntime):
            service.runtime.forked = self._forks.add

    def _answered(self, kind: str, seconds: float) -> None:
        self._calls[kind].add(seconds)
        self._slow.call(kind, seconds)

    def collect(self) -> Iterator[Metric]:
        """See ``Collector``."""
        yield from self._previews()
        yield from self._templates()
        yield from self._lines()
        yield from self._shipping()
        yield from self._database()

    def _previews(self) -> Iterator[Metric]:
        previews = self.service.previews
        live = previews.all_active.values()
        yield gauge("preview_previews", "Live previews.", len(live))
        states = Counter(one.record.state for one in live)
        family = GaugeMetricFamily("preview_previews_by_state", "Live previews by state.", labels=["state"])
        for state in _LIVE:
            family.add_metric([state], states[state])
        yield family
        yield gauge("preview_spare_slots", "Prepared starts that a launch can take over.", len(previews.slots))
        slots = CounterMetricFamily("preview_launch_slots", "Slots that launches got.", labels=["how"])
        for how, count in previews.slots.claimed.items():
            slots.add_metric([how], count)
        yield slots
        yield gauge("preview_starts_waiting", "Launches that wait for a processor.", previews.waiting_starts)
        reached = Counter(one.limit for preview in live if preview.confinement for one in preview.confinement.reached)
        limits = GaugeMetricFamily(
            "preview_limits_reached", "Live previews that have reached a limit.", labels=["limit"]
        )
        for limit in _LIMITS:
            limits.add_metric([limit], reached[limit])
        yield limits
        subscribers = sum(one.log.subscriber_count for one in live)
        yield gauge("preview_log_subscribers", "Readers of logs of live previews.", subscribers)

    def _templates(self) -> Iterator[Metric]:
        runtime = self.service.runtime
        facts = runtime.templates.facts() if isinstance(runtime, WarmRuntime) else []
        ready = [one for one in facts if one.is_ready]
        yield gauge("preview_templates_ready", "Templates that previews can be forked from.", len(ready))
        yield gauge(
            "preview_template_forks", "Processes that these templates have forked.", sum(one.forks for one in ready)
        )
        seconds = HistogramMetricFamily("preview_fork_seconds", "Duration of forks, confined.", labels=[])
        add_histogram(seconds, [], self._forks)
        yield seconds
        environments = CounterMetricFamily(
            "preview_environments", "Environments that were provided.", labels=["language", "how"]
        )
        for language, taken in self.service.shelf.taken.items():
            for how in _HOWS:
                environments.add_metric([language, how], taken[how])
        yield environments
        traffic = self.service.traffic_writer
        yield gauge("preview_request_queue_records", "Recorded requests waiting to be stored.", traffic.queued_records)
        yield gauge(
            "preview_request_queue_bytes", "Size of recorded requests waiting to be stored.", traffic.queued_bytes
        )

    def _lines(self) -> Iterator[Metric]:
        writer = self.service.log_writer
        yield counter("preview_log_lines_read", "Lines of all previews.", writer.offered_lines)
        yield counter("preview_log_lines_stored", "Lines that were stored.", writer.stored_lines)
        yield counter("preview_log_lines_lost", "Lines that could not be stored.", writer.lost_count)
        yield gauge("preview_log_queue_bytes", "Lines that wait to be stored.", writer.queued_bytes)
        yield gauge("preview_log_lag_seconds", "Age of the oldest line that waits to be stored.", writer.lag_s)

    def _shipping(self) -> Iterator[Metric]:
        shipper, archived = self.service.log_writer.shipper, self.service.log_store.archived
        lines, lost, size = (0, 0, 0) if shipper is None else _counts(shipper)
        yield counter("preview_log_lines_shipped", "Lines that another system received.", lines)
        yield counter("preview_log_lines_not_shipped", "Lines that another system did not receive.", lost)
        yield gauge("preview_log_shipping_queue_bytes", "Lines waiting for another system.", size)
        logs, lines, failures = (0, 0, 0) if archived is None else (archived.logs, archived.lines, archived.failures)
        yield counter("preview_archived_logs", "Logs that were archived.", logs)
        yield counter("preview_archived_log_lines", "Lines that were archived.", lines)
        yield counter("preview_archive_failures", "Rounds of archiving that failed.", failures)

    def _database(self) -> Iterator[Metric]:
        database = self.service.database
        seconds = HistogramMetricFamily(
            "preview_database_seconds", "Duration of database calls, with the wait for a connection.", labels=["kind"]
        )
        for kind, found in self._calls.items():
            add_histogram(seconds, [kind], found)
        yield seconds
        yield counter("preview_database_failures", "Database calls without a response.", database.failures)
        is_waiting = self.service.log_writer.outage is not None
        yield gauge("preview_database_outage", "1 while lines wait for the database.", is_waiting)


def _counts(shipper: Shipper) -> tuple[int, int, int]:
    return shipper.shipped_lines, shipper.lost_lines, shipper.queued_bytes


@dataclass(frozen=True, slots=True)
class AuditState(Collector):
    """Entries of the audit trail that are not stored.

    Args:
        trail: The trail.
    """

    trail: Audit

    def collect(self) -> Iterator[Metric]:
        """See ``Collector``."""
        yield gauge("preview_audit_entries_waiting", "Audit entries waiting for the database.", self.trail.waiting)
        yield counter("preview_audit_entries_lost", "Audit entries that could not be kept.", self.trail.lost)


@dataclass(frozen=True, slots=True)
class Streams(Collector):
    """Open log streams.

    Args:
        total: Returns the number of open log streams.
        direct: Returns the number of those that write to their sockets directly.
    """

    total: Callable[[], int]
    direct: Callable[[], int]

    def collect(self) -> Iterator[Metric]:
        """See ``Collector``."""
        family = GaugeMetricFamily("preview_log_streams", "Open log streams.", labels=["path"])
        direct = self.direct()
        family.add_metric(["direct"], direct)
        family.add_metric(["ordinary"], self.total() - direct)
        yield family


def make_metrics(service: Service, trail: Audit, *others: Collector) -> Metrics:
    """Return the metrics of an app."""
    slow = SlowOperations()
    cluster = ClusterState(service.cluster)
    return Metrics(*others, ServiceState(service, slow), AuditState(trail), cluster, slow=slow, runs=(cluster.run,))
