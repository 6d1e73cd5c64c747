"""Facts of launches that are read from their records: requests by endpoint, and what differs between two launches."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import trio

from preview.core.clock import to_ms, utc_now
from preview.core.launch_steps import LaunchStep
from preview.logs.failures.model import FailureRecord
from preview.rollout import stored_arms
from preview.storage.launches import Launch
from preview.storage.tables import PreviewRecord
from preview.traffic import RecordedRequest, TrafficStore
from preview.traffic.measurements.endpoint_name import endpoint_name

# The newest requests of a launch that are read for its endpoints, in two pages.
MOST_REQUESTS = 2000
_PAGE = 1000
MOST_ENDPOINTS = 100


@dataclass(frozen=True, slots=True)
class EndpointTimes:
    """Requests to one endpoint.

    Attributes:
        endpoint: Method and path, with ``{id}`` for ids.
        errors: Number with a status of 500 or more, or without a response.
        p50_ms: Median duration; half of the requests were faster.
        p95_ms: 95 of 100 requests were faster.
    """

    endpoint: str
    requests: int
    errors: int
    p50_ms: float
    p95_ms: float


@dataclass(frozen=True, slots=True)
class LaunchFacts:
    """One launch with all that a comparison needs."""

    launch: Launch
    endpoints: Mapping[str, EndpointTimes]
    failures: Sequence[FailureRecord]


async def endpoint_times(store: TrafficStore, preview_id: str) -> dict[str, EndpointTimes]:
    """Return the endpoints of a launch with the most requests. Cancellation: nothing changes."""
    found: list[RecordedRequest] = []
    before: int | None = None
    while len(found) < MOST_REQUESTS:
        page = await store.list(preview_id, before=before, limit=_PAGE)
        found += page.items
        before = page.next
        if before is None:
            break
    return await trio.to_thread.run_sync(partial(_grouped, found))


def _grouped(records: Sequence[RecordedRequest]) -> dict[str, EndpointTimes]:
    groups: dict[str, list[RecordedRequest]] = {}
    for one in records:
        groups.setdefault(endpoint_name(one.method, one.target), []).append(one)
    chosen = sorted(groups.items(), key=lambda item: (-len(item[1]), item[0]))[:MOST_ENDPOINTS]
    return {name: _times(name, some) for name, some in chosen}


def _times(name: str, records: Sequence[RecordedRequest]) -> EndpointTimes:
    durations = sorted(one.timing.ended for one in records)
    errors = sum(one.status >= 500 or one.error is not None for one in records)
    return EndpointTimes(name, len(records), errors, _percentile(durations, 50), _percentile(durations, 95))


def _percentile(ordered: Sequence[float], percent: int) -> float:
    return round(ordered[min(len(ordered) - 1, len(ordered) * percent // 100)], 1)


def settings_of(record: PreviewRecord) -> dict[str, str]:
    """Return the settings of a launch by name: start options as JSON, and each variable without its value."""
    if record.launch_settings is None:
        return {}
    stored: dict[str, Any] = json.loads(record.launch_settings)
    options = {f"start.{name}": json.dumps(value, ensure_ascii=False) for name, value in stored["start"].items()}
    flags = {f"flag.{name}": value for name, value in stored_arms(record.launch_settings).items()}
    return options | {f"env.{name}": "set" for name in stored["variables"]} | flags


def launch_ms(record: PreviewRecord) -> int | None:
    """Return the milliseconds from the launch to the first response; None if it never came."""
    return None if record.started_at is None else to_ms(record.started_at) - to_ms(record.created_at)


def life_ms(record: PreviewRecord) -> int:
    """Return the milliseconds from the launch to the end, or until now."""
    return max(0, to_ms(record.stopped_at or utc_now()) - to_ms(record.created_at))


def steps_by_name(record: PreviewRecord) -> dict[str, LaunchStep]:
    """Return the steps of a launch by name, in order."""
    return {one.name: one for one in record.steps}
