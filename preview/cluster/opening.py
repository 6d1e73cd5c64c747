"""Opens this service's membership of a cluster."""

from __future__ import annotations

import os
import platform
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from importlib.metadata import version
from pathlib import Path

import trio

from preview.cluster.cluster import Cluster
from preview.cluster.crash import CrashWatch
from preview.cluster.node_queue import QueueLimits
from preview.cluster.nodes import NodeFacts, Nodes
from preview.settings import Settings
from preview.storage.database import Database, open_database


def node_name(settings: Settings) -> str | None:
    """Return this node's name; None if the service is no node of a cluster."""
    return (settings.node_name or socket.gethostname().lower()[:64]) if settings.cluster else None


def _facts_of(settings: Settings, isolation: str) -> NodeFacts:
    """Return what this node says of itself."""
    labels = dict(one.split("=", 1) for one in (settings.node_labels or "").split(",") if one)
    return NodeFacts(
        node_name(settings) or "",
        settings.node_address or "",
        version("preview"),
        settings.max_previews,
        labels,
        f"{platform.system()} {platform.release()}",
        len(os.sched_getaffinity(0)),
        isolation,
        settings.node_public_url or "",
    )


@asynccontextmanager
async def open_cluster(
    settings: Settings, database: Database, isolation: str, folders: Sequence[Path] = ()
) -> AsyncIterator[Cluster | None]:
    """Join the cluster, and leave it at the end; yield None if this service is no node.

    The node has connections of its own, so that a busy database pool does not cost it its lease.

    Args:
        settings: The service's settings.
        database: The service's database.
        isolation: Name of the isolation level.
        folders: Folders whose subfolders have the names of this node's previews.

    Raises:
        ConfigurationError: Another live node has this name.
        DatabaseUnavailable: The database did not respond.

    Cancellation: the node leaves.
    """
    if not settings.cluster:
        yield None
        return
    async with open_database(settings.resolved_database_url, settings.node_lease_s) as own:
        limits = QueueLimits(settings.queue_limit, settings.queue_wait_s, settings.launches_per_minute)
        cluster = Cluster(own, _facts_of(settings, isolation), settings.node_lease_s, limits, database)
        watch = CrashWatch(own.engine, Nodes(int(settings.node_lease_s * 1000)), folders, settings.node_lease_s)
        cluster.on_joined = watch.tell
        await cluster.join()
        database.fences = cluster
        async with trio.open_nursery() as nursery:
            nursery.start_soon(watch.run)
            await nursery.start(cluster.notices.run)
            await nursery.start(cluster.run)
            try:
                yield cluster
            finally:
                nursery.cancel_scope.cancel()
                with trio.move_on_after(settings.node_lease_s, shield=True):
                    await cluster.leave()
