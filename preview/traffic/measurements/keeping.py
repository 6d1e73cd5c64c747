"""Keep the measurements of previews in the database: each minute, and at a preview's end.

A row is removed with its preview. It has 240 points and 200 endpoints at most.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Protocol

import structlog
import trio
from sqlalchemy import Connection, Text, bindparam, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.sql import Executable

from preview.errors import DatabaseUnavailable
from preview.settings import Settings
from preview.storage import Database
from preview.storage.database import Fences
from preview.storage.tables import preview_instances, preview_series
from preview.traffic.measurements.series import Durations, EndpointCounts, Point, PreviewSeries

log = structlog.get_logger(__name__)

_EVERY_S: Final = 60.0
_C = preview_series.c


class Measured(Protocol):
    """A live preview."""

    @property
    def id(self) -> str:
        """``preview_…``."""

    @property
    def series(self) -> PreviewSeries:
        """Its measurements."""

    @property
    def settings(self) -> Settings:
        """Settings with its limits."""


@dataclass(frozen=True, slots=True)
class KeptSeries:
    """Measurements of an ended preview, and the limits that applied.

    Attributes:
        series: The measurements.
        memory_limit_mb: Limit of memory in MiB.
        cpu_limit: Limit of processors.
    """

    series: PreviewSeries
    memory_limit_mb: int
    cpu_limit: float


class SeriesKeeper:
    """Stores the measurements of all live previews, and reads those of ended ones."""

    def __init__(self, database: Database) -> None:
        self._database = database
        # Bounded by the live previews. With the number of measurements that are stored.
        self._live: dict[str, tuple[Measured, int]] = {}

    def watch(self, preview: Measured) -> None:
        """Store a live preview's measurements from now on."""
        self._live[preview.id] = (preview, 0)

    async def end(self, preview: Measured) -> None:
        """Store the last measurements. Cancellation: those of the last minute may be missing."""
        await self._store(preview)
        self._live.pop(preview.id, None)

    async def load(self, preview_id: str) -> KeptSeries | None:
        """Return what is stored; None if nothing is.

        Raises:
            DatabaseUnavailable: The database did not respond.

        Cancellation: nothing changes.
        """
        text = await self._database.read(lambda connection: connection.scalar(_query(preview_id)))
        return None if text is None else decode(text)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Store changed series each minute, until cancelled. Cancellation: nothing else changes."""
        task_status.started()
        while True:
            await trio.sleep(_EVERY_S)
            for preview, count in list(self._live.values()):
                if preview.series.changes != count:
                    await self._store(preview)

    async def _store(self, preview: Measured) -> None:
        count, text = preview.series.changes, encode(preview)
        try:
            await self._database.write(partial(_write, self._database.fences, preview.id, text))
        except DatabaseUnavailable as error:
            log.warning("measurements not stored", preview_id=preview.id, why=error.message)
            return
        if preview.id in self._live:
            self._live[preview.id] = (preview, count)


def _query(preview_id: str) -> Any:
    return select(_C.data).where(_C.preview_id == preview_id)


def _store_statement(dialect: str) -> Executable:
    # A preview that failed early has no row, and a deleted one has none any more.
    row = select(preview_instances.c.id, bindparam("text", type_=Text)).where(preview_instances.c.id == bindparam("id"))
    values = (sqlite if dialect == "sqlite" else postgresql).insert(preview_series)
    values = values.from_select(["preview_id", "data"], row)
    # Those of a minute and those of the end may be stored at the same time.
    statement: Executable = values.on_conflict_do_update(
        index_elements=[_C.preview_id], set_={"data": bindparam("text")}
    )
    return statement


_STORE = {dialect: _store_statement(dialect) for dialect in ("sqlite", "postgresql")}


def _write(fences: Fences, preview_id: str, text: str, connection: Connection) -> None:
    if fences.refused(connection, (preview_id,)):
        return
    connection.execute(_STORE[connection.dialect.name], {"id": preview_id, "text": text})


def encode(preview: Measured) -> str:
    """Return the preview's measurements as JSON."""
    series, settings = preview.series, preview.settings
    points = [
        [at, one.requests, one.errors, one.memory_bytes, one.cpu_percent, *one.durations.packed()]
        for at, one in sorted(series.points.items())
    ]
    endpoints = [[name, one.errors, *one.durations.packed()] for name, one in series.endpoints.items()]
    stored = {"interval_s": series.interval_s, "points": points, "endpoints": endpoints}
    limits = {"memory_limit_mb": settings.memory_limit_mb, "cpu_limit": settings.cpu_limit}
    return json.dumps(stored | limits, separators=(",", ":"))


def decode(text: str) -> KeptSeries:
    """Return the measurements that ``encode`` has written."""
    stored: dict[str, Any] = json.loads(text)
    series = PreviewSeries(lambda: 0.0)
    series.interval_s = stored["interval_s"]
    for at, requests, errors, memory, cpu, *packed in stored["points"]:
        series.points[at] = Point(requests, errors, Durations.unpacked(*packed), memory, cpu)
    for name, errors, *packed in stored["endpoints"]:
        series.endpoints[name] = EndpointCounts(errors, Durations.unpacked(*packed))
    return KeptSeries(series, stored["memory_limit_mb"], stored["cpu_limit"])
