"""Tables of archived logs, and of facts about the service that the database belongs to."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, ForeignKey, Index, SmallInteger, String, Table

from preview.storage.tables import metadata

# Logs in the archive, and no longer in ``preview_logs``; see ``preview.logs.storage.archiving``.
archived_logs = Table(
    "archived_logs",
    metadata,
    Column("preview_id", String(64), ForeignKey("preview_instances.id", ondelete="CASCADE"), primary_key=True),
    Column("lines", BigInteger, nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("archived_at", BigInteger, nullable=False),
    # 1 once the lines are deleted from ``preview_logs``.
    Column("is_cleared", SmallInteger, nullable=False),
)
Index("ix_archived_logs_is_cleared", archived_logs.c.is_cleared)

# One row for each fact; services on one database share them.
service_facts = Table(
    "service_facts",
    metadata,
    Column("name", String(32), primary_key=True),
    Column("value", String(256), nullable=False),
)
