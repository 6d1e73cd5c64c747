"""The limits of a user, and how much of them is used."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

from sqlalchemy import Connection, func, select

from preview.auth.api_tokens import MOST_TOKENS
from preview.core.clock import now_ms
from preview.generations.removal import MOST_REMOVED, is_kept
from preview.http.backend import Backend
from preview.http.contracts.people.account import UsageItem
from preview.settings import Tier, variable_of
from preview.storage.people_tables import api_tokens, removed_generations
from preview.storage.tables import (
    alert_rules,
    data_snapshots,
    generations,
    preview_instances,
    preview_traffic,
)

_MIB = 1024 * 1024
_TIER_SETTINGS = {
    "free": "max_instances_per_user",
    "pro": "max_instances_pro",
    "enterprise": "max_instances_enterprise",
}


class _Stored(NamedTuple):
    generations: int
    generation_bytes: int
    removed: int
    removed_bytes: int
    snapshots: int
    snapshot_bytes: int
    request_bytes: int
    lines: int
    alerts: int
    tokens: int


async def usage_items(backend: Backend, user_id: str, tier: Tier) -> Sequence[UsageItem]:
    """Return the limits of a user. Cancellation: nothing changes."""
    settings = backend.settings
    live = [one for one in backend.previews.all_active.values() if one.record.user_id == user_id]
    stored = await backend.service.database.read(_count(user_id))
    shares = sum(len(backend.access.shares(one.id)) for one in live)
    tier_setting = _TIER_SETTINGS.get(tier.name, "max_instances_per_user")
    memory = sum(one.usage.memory_bytes for one in live if one.usage is not None)
    return [
        _item("previews", "Previews at a time", len(live), tier.max_previews, tier_setting),
        _item("memory", "Memory of your previews now", memory, None, None, "bytes"),
        _item(
            "memory_of_each",
            "Memory of each preview",
            None,
            settings.memory_limit_mb * _MIB,
            "memory_limit_mb",
            "bytes",
        ),
        _item("launches", "Launches per minute", None, settings.launches_per_minute, "launches_per_minute"),
        _item(
            "streams",
            "Open streams",
            backend.slots.open_of(user_id),
            settings.max_streams_per_user,
            "max_streams_per_user",
        ),
        _item(
            "shares",
            "Share links of live previews",
            shares,
            settings.shares_per_preview * max(1, len(live)),
            "shares_per_preview",
        ),
        _item(
            "generations", "Stored projects", stored.generations, settings.generations_per_user, "generations_per_user"
        ),
        _item("files", "Size of your projects' files", stored.generation_bytes, None, None, "bytes"),
        _item("removed", "Removed projects that can be restored", stored.removed, MOST_REMOVED, None),
        _item("removed_files", "Size of removed projects' files", stored.removed_bytes, None, None, "bytes"),
        _item("snapshots", "Data snapshots", stored.snapshots, settings.snapshots_per_user, "snapshots_per_user"),
        _item(
            "snapshot_bytes",
            "Size of data snapshots",
            stored.snapshot_bytes,
            settings.snapshots_mb * _MIB,
            "snapshots_mb",
            "bytes",
        ),
        _item("log_lines", "Log lines of ended previews", stored.lines, None, None),
        _item("requests", "Size of recorded requests", stored.request_bytes, None, None, "bytes"),
        _item("alerts", "Alert rules", stored.alerts, settings.alerts_per_user, "alerts_per_user"),
        _item("tokens", "API tokens", stored.tokens, MOST_TOKENS, None),
    ]


def _item(
    name: str,
    about: str,
    used: float | None,
    limit: float | None,
    setting: str | None,
    unit: Literal["", "bytes", "seconds"] = "",
) -> UsageItem:
    variable = None if setting is None else variable_of(setting)
    return UsageItem(name=name, about=about, unit=unit, used=used, limit=limit, setting=variable)


def _count(user_id: str) -> Callable[[Connection], _Stored]:
    def count(connection: Connection) -> _Stored:
        files = select(func.count(), func.coalesce(func.sum(generations.c.size_bytes), 0)).where(
            generations.c.user_id == user_id, is_kept()
        )
        removed = (
            select(func.count(), func.coalesce(func.sum(generations.c.size_bytes), 0))
            .select_from(generations)
            .join(removed_generations, removed_generations.c.generation_id == generations.c.id)
            .where(generations.c.user_id == user_id)
        )
        snapshots = select(func.count(), func.coalesce(func.sum(data_snapshots.c.size_bytes), 0)).where(
            data_snapshots.c.user_id == user_id, data_snapshots.c.removed_at.is_(None)
        )
        mine = preview_instances.c.user_id == user_id
        lines = select(func.coalesce(func.sum(preview_instances.c.last_seq), 0)).where(mine)
        traffic = (
            select(func.coalesce(func.sum(preview_traffic.c.stored_bytes), 0))
            .select_from(preview_traffic.join(preview_instances))
            .where(mine)
        )
        alerts = select(func.count()).select_from(alert_rules).where(alert_rules.c.user_id == user_id)
        tokens = select(func.count()).where(api_tokens.c.user_id == user_id, api_tokens.c.expires_at > now_ms())
        generation_row, snapshot_row = connection.execute(files).one(), connection.execute(snapshots).one()
        removed_row = connection.execute(removed).one()
        return _Stored(
            int(generation_row[0]),
            int(generation_row[1]),
            int(removed_row[0]),
            int(removed_row[1]),
            int(snapshot_row[0]),
            int(snapshot_row[1]),
            int(connection.scalar(traffic) or 0),
            int(connection.scalar(lines) or 0),
            int(connection.scalar(alerts) or 0),
            int(connection.scalar(tokens) or 0),
        )

    return count
