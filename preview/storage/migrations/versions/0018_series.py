"""Add tables for measurements of previews, and for versions that did not start.

Revision: 0018, after 0017.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the tables."""
    op.create_table(
        "preview_series",
        sa.Column(
            "preview_id", sa.String(64), sa.ForeignKey("preview_instances.id", ondelete="CASCADE"), primary_key=True
        ),
        sa.Column("data", sa.Text, nullable=False),
    )
    op.create_table(
        "failed_reloads",
        sa.Column("generation_id", sa.String(128), primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("preview_id", sa.String(64), nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.ForeignKeyConstraint(
            ["generation_id", "number"],
            ["generation_versions.generation_id", "generation_versions.number"],
            ondelete="CASCADE",
        ),
    )


def downgrade() -> None:
    """Remove the tables."""
    op.drop_table("failed_reloads")
    op.drop_table("preview_series")
