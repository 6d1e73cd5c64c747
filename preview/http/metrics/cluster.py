"""The cluster as this node sees it, read every few seconds, so that a scrape costs no query."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import structlog
import trio
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from preview.cluster import Cluster, Node
from preview.errors import PreviewError
from preview.http.metrics.families import counter, gauge

log = structlog.get_logger(__name__)

_EACH_S = 5.0
# A node that leaves in order says so in its row. The row of any other one stays for a day.
_LOST_S = 2 * 24 * 3600.0


class Overview(NamedTuple):
    """Nodes by state, and what the live ones run.

    Attributes:
        live: Nodes that take previews.
        draining: Nodes that move theirs.
        lost: Nodes whose lease is over without an ordered end.
        previews: Previews of all nodes with a lease.
        capacity: Previews that the live nodes may run.
        waiting: Launches in the queue.
    """

    live: int = 0
    draining: int = 0
    lost: int = 0
    previews: int = 0
    capacity: int = 0
    waiting: int = 0


def overview_of(nodes: Iterable[Node], waiting: int) -> Overview:
    """Count the nodes by state, and their previews."""
    found = list(nodes)
    leased = [one for one in found if one.is_live]
    live = [one for one in leased if not one.draining]
    return Overview(
        live=len(live),
        draining=len(leased) - len(live),
        lost=sum(not one.is_live and one.left_s > -_LOST_S for one in found),
        previews=sum(one.load for one in leased),
        capacity=sum(one.facts.capacity for one in live),
        waiting=waiting,
    )


class ClusterState(Collector):
    """Metrics of the nodes, the queue and this node's lease. A service that is no node has them too, with zeros.

    Args:
        cluster: The cluster of which this service is a node; None if it is none.

    Attributes:
        found: The cluster at the last look, while ``run`` runs.
    """

    def __init__(self, cluster: Cluster | None) -> None:
        self.found = Overview()
        self._cluster = cluster

    async def run(self) -> None:
        """Look at the cluster every few seconds until cancelled. Cancellation: the last look stands."""
        cluster = self._cluster
        while cluster is not None:
            try:
                self.found = overview_of(await cluster.nodes(), await cluster.queue.length())
            except PreviewError as error:
                log.info("cluster not looked at", reason=error.message)
            await trio.sleep(_EACH_S)

    def collect(self) -> Iterator[Metric]:
        """See ``Collector``."""
        cluster, found = self._cluster, self.found
        nodes = GaugeMetricFamily("preview_cluster_nodes", "Nodes of the cluster.", labels=["state"])
        for state, count in (("live", found.live), ("draining", found.draining), ("lost", found.lost)):
            nodes.add_metric([state], count)
        yield nodes
        yield gauge("preview_cluster_previews", "Previews of all nodes.", found.previews)
        yield gauge("preview_cluster_capacity", "Previews that the live nodes may run.", found.capacity)
        yield gauge("preview_cluster_queue_launches", "Launches that wait for a node.", found.waiting)
        left_s = 0.0 if cluster is None else max(0.0, cluster.lease.left_s)
        yield gauge("preview_cluster_lease_left_seconds", "Time until this node ends its previews.", left_s)
        lost = 0 if cluster is None else cluster.lease.losses
        yield counter("preview_cluster_leases_lost", "Leases that this node could not renew in time.", lost)
