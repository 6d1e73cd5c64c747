"""Removal of a generation."""

from __future__ import annotations

from sqlalchemy import Connection, delete, select

from preview.storage.previews import disown_previews
from preview.storage.tables import generations

_G = generations.c


def delete_generation(generation_id: str, connection: Connection) -> str | None:
    """Delete a generation with its files, in one transaction; return its owner, or None if there was none."""
    owner: str | None = connection.scalar(select(_G.user_id).where(_G.id == generation_id))
    gone = connection.execute(delete(generations).where(_G.id == generation_id)).rowcount
    if gone and owner is not None:
        disown_previews(connection, generation_id=generation_id, user_id=owner)
    return owner if gone else None
