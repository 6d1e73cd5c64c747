"""Store the audit as a chain of hashes, with the outcome, the way and the address of each entry.

Revision: 0021, after 0020.
"""

from __future__ import annotations

import hashlib
import json

import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None

_TEXTS = ("id", "user_id", "owner_id", "action", "subject", "preview_id", "detail", "outcome", "via", "address")
# Older entries have no more than this many rows; see ``MOST_ENTRIES`` of that time.
_MOST = 25_000


def upgrade() -> None:
    """Add the table with the entries of before, and drop the old table."""
    trail = op.create_table(
        "audit_trail",
        sa.Column("seq", sa.BigInteger, autoincrement=False, nullable=False),
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("user_id", sa.String(128), nullable=False),
        sa.Column("owner_id", sa.String(128), nullable=False),
        sa.Column("action", sa.String(64), nullable=False),
        sa.Column("subject", sa.String(128), nullable=False),
        sa.Column("preview_id", sa.String(64), nullable=False),
        sa.Column("detail", sa.Text, nullable=False),
        sa.Column("outcome", sa.String(16), nullable=False),
        sa.Column("via", sa.String(160), nullable=False),
        sa.Column("address", sa.String(64), nullable=False),
        sa.Column("hash", sa.String(64), nullable=False),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_audit_trail")),
    )
    op.create_index(op.f("ix_audit_trail_created_at"), "audit_trail", ["created_at"])
    op.create_index("ix_audit_trail_user_id_created_at", "audit_trail", ["user_id", "created_at"])
    op.create_index("ix_audit_trail_owner_id_created_at", "audit_trail", ["owner_id", "created_at"])
    op.create_index("uq_audit_trail_id", "audit_trail", ["id"], unique=True)
    connection = op.get_bind()
    entries = sa.table(
        "audit_entries", *(sa.column(name) for name in ("id", "created_at", "user_id", "action", "subject", "detail"))
    )
    old = connection.execute(entries.select().order_by(entries.c.created_at, entries.c.id).limit(_MOST)).all()
    before, found = "0" * 64, []
    for seq, row in enumerate(old, 1):
        values = {"seq": seq, "created_at": row.created_at, "id": row.id, "user_id": row.user_id}
        # The names of guests are no ids of users.
        values |= {"owner_id": "" if row.user_id.startswith("guest ") else row.user_id, "action": row.action}
        values |= {"subject": row.subject, "detail": row.detail}
        values |= {"preview_id": "", "outcome": "ok", "via": "", "address": ""}
        text = json.dumps([seq, row.created_at, *(values[name] for name in _TEXTS)], separators=(",", ":"))
        before = values["hash"] = hashlib.sha256(f"{before}\n{text}".encode()).hexdigest()
        found.append(values)
    if found:
        connection.execute(trail.insert(), found)
    op.drop_table("audit_entries")


def downgrade() -> None:
    """Restore the table of before, with the newest entries."""
    op.create_table(
        "audit_entries",
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("user_id", sa.String(128), nullable=False),
        sa.Column("action", sa.String(64), nullable=False),
        sa.Column("subject", sa.String(128), nullable=False),
        sa.Column("detail", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit_entries")),
    )
    op.create_index(op.f("ix_audit_entries_created_at"), "audit_entries", ["created_at"])
    op.create_index("ix_audit_entries_user_id_created_at", "audit_entries", ["user_id", "created_at"])
    op.execute(
        "INSERT INTO audit_entries (id, created_at, user_id, action, subject, detail) "
        "SELECT id, created_at, user_id, action, subject, detail FROM audit_trail "
        "ORDER BY seq DESC LIMIT 20000"
    )
    op.drop_table("audit_trail")
