"""Store the failures of previews.

Revision: 0009, after 0008. Earlier previews have none.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the tables."""
    op.create_table(
        "preview_failures",
        sa.Column("preview_id", sa.String(64), nullable=False),
        sa.Column("id", sa.String(16), nullable=False),
        sa.Column("last_at", sa.BigInteger, nullable=False),
        sa.Column("data", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("preview_id", "id", name=op.f("pk_preview_failures")),
        sa.ForeignKeyConstraint(
            ["preview_id"],
            ["preview_instances.id"],
            name=op.f("fk_preview_failures_preview_id_preview_instances"),
            ondelete="CASCADE",
        ),
    )
    op.create_table(
        "preview_failure_totals",
        sa.Column("preview_id", sa.String(64), nullable=False),
        sa.Column("further", sa.BigInteger, nullable=False),
        sa.Column("unread_lines", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("preview_id", name=op.f("pk_preview_failure_totals")),
        sa.ForeignKeyConstraint(
            ["preview_id"],
            ["preview_instances.id"],
            name=op.f("fk_preview_failure_totals_preview_id_preview_instances"),
            ondelete="CASCADE",
        ),
    )


def downgrade() -> None:
    """Drop the tables."""
    op.drop_table("preview_failure_totals")
    op.drop_table("preview_failures")
