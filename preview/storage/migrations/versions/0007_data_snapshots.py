"""Store which data snapshots exist.

Revision: 0007, after 0006. Their content is in the data folder.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the table."""
    op.create_table(
        "data_snapshots",
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("generation_id", sa.String(128), nullable=False),
        sa.Column("user_id", sa.String(128), nullable=False),
        sa.Column("name", sa.String(256), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("size_bytes", sa.BigInteger, nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("revision", sa.Integer, nullable=False),
        sa.Column("parts", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_data_snapshots")),
    )
    op.create_index(op.f("ix_data_snapshots_generation_id"), "data_snapshots", ["generation_id"])
    op.create_index(op.f("ix_data_snapshots_user_id"), "data_snapshots", ["user_id"])


def downgrade() -> None:
    """Drop the table. The content of the snapshots stays in the data folder until the service removes it."""
    op.drop_table("data_snapshots")
