"""Count the losses of a preview's nodes, and name the data that it goes on with.

Revision: 0032, after 0031.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0032"
down_revision = "0031"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add two columns to ``owners``. Until now each change of the owner counted as a loss."""
    op.add_column("owners", sa.Column("losses", sa.BigInteger, nullable=False, server_default=sa.text("0")))
    op.add_column("owners", sa.Column("snapshot_id", sa.String(64)))
    op.execute("UPDATE owners SET losses = fence - 1 WHERE fence > 1")
    op.execute(
        """
        UPDATE owners SET snapshot_id = (
            SELECT one.id FROM data_snapshots AS one JOIN preview_instances AS record ON record.id = owners.preview_id
            WHERE one.generation_id = owners.generation_id AND one.user_id = owners.user_id
                AND one.kind IN ('manual', 'before_move') AND one.removed_at IS NULL
                AND one.created_at >= record.created_at
            ORDER BY one.created_at DESC LIMIT 1
        ) WHERE state <> 'over'
        """
    )


def downgrade() -> None:
    """Drop them."""
    op.drop_column("owners", "snapshot_id")
    op.drop_column("owners", "losses")
