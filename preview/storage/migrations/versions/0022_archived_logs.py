"""Store which logs are in the archive.

Revision: 0022, after 0021.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the table."""
    op.create_table(
        "archived_logs",
        sa.Column("preview_id", sa.String(64), nullable=False),
        sa.Column("lines", sa.BigInteger, nullable=False),
        sa.Column("size_bytes", sa.BigInteger, nullable=False),
        sa.Column("archived_at", sa.BigInteger, nullable=False),
        sa.Column("is_cleared", sa.SmallInteger, nullable=False),
        sa.ForeignKeyConstraint(
            ["preview_id"],
            ["preview_instances.id"],
            name=op.f("fk_archived_logs_preview_id_preview_instances"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("preview_id", name=op.f("pk_archived_logs")),
    )
    op.create_index(op.f("ix_archived_logs_is_cleared"), "archived_logs", ["is_cleared"])


def downgrade() -> None:
    """Drop the table; files in the archive stay, and no log shows their lines any more."""
    op.drop_table("archived_logs")
