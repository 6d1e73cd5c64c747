"""The first record of a preview, and the hash of its token."""

from __future__ import annotations

from datetime import datetime, timedelta
from hashlib import sha256

from preview.core.ids import new_token
from preview.core.lifecycle import Health, State
from preview.settings import Settings, Tier
from preview.storage.tables import PreviewRecord
from preview.user import User


def hash_token(token: str) -> str:
    """Hash a preview token: SHA-256, hex. A token has 256 random bits, so it needs no salt or stretching."""
    return sha256(token.encode("utf-8", "surrogateescape")).hexdigest()


def new_record(
    settings: Settings,
    *,
    now: datetime,
    preview_id: str,
    user: User,
    tier: Tier,
    generation_id: str,
    project_id: str,
    port: int | None,
    runtime: str,
    revision: int | None = None,
) -> tuple[PreviewRecord, str]:
    """Return the record of a new preview, and its token in clear. A preview that waits for a node has no port yet.

    ``now`` decides when its life ends, on this node and on later ones.
    """
    token = new_token()
    expires_at = now + timedelta(seconds=min(settings.max_uptime_s, tier.max_life_s))
    record = PreviewRecord(
        id=preview_id,
        generation_id=generation_id,
        project_id=project_id,
        user_id=user.id,
        state=State.STARTING,
        health=Health.UNKNOWN,
        created_at=now,
        expires_at=expires_at,
        token_hash=hash_token(token),
        token_expires_at=min(expires_at, now + timedelta(seconds=settings.session_timeout_s)),
        log_level=settings.log_level,
        port=port,
        base_url=None if port is None else f"http://{settings.preview_public_host}:{port}",
        runtime=runtime,
        revision=revision,
    )
    return record, token
