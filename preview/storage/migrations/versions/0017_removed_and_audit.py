"""Store removed generations for a while, and the audit.

Revision: 0017, after 0016.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the tables."""
    op.create_table(
        "removed_generations",
        sa.Column("generation_id", sa.String(128), nullable=False),
        sa.Column("removed_at", sa.BigInteger, nullable=False),
        sa.ForeignKeyConstraint(
            ["generation_id"],
            ["generations.id"],
            name=op.f("fk_removed_generations_generation_id_generations"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("generation_id", name=op.f("pk_removed_generations")),
    )
    op.create_index(op.f("ix_removed_generations_removed_at"), "removed_generations", ["removed_at"])
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


def downgrade() -> None:
    """Drop the tables; removed generations are deleted, so that they do not come back."""
    op.execute("DELETE FROM generations WHERE id IN (SELECT generation_id FROM removed_generations)")
    op.drop_table("audit_entries")
    op.drop_table("removed_generations")
