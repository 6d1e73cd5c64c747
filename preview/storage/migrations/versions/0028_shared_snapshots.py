"""Store copies of data snapshots for the other nodes of a cluster.

Revision: 0028, after 0027.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0028"
down_revision = "0027"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the table."""
    op.create_table(
        "snapshot_contents",
        sa.Column("snapshot_id", sa.String(64), nullable=False),
        sa.Column("file", sa.String(64), nullable=False),
        sa.Column("number", sa.BigInteger, autoincrement=False, nullable=False),
        sa.Column("content", sa.LargeBinary, nullable=False),
        sa.ForeignKeyConstraint(
            ["snapshot_id"],
            ["data_snapshots.id"],
            name=op.f("fk_snapshot_contents_snapshot_id_data_snapshots"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("snapshot_id", "file", "number", name=op.f("pk_snapshot_contents")),
    )


def downgrade() -> None:
    """Drop the table; snapshots are on the nodes that have taken them. Earlier code does not know those of moves."""
    op.execute("DELETE FROM data_snapshots WHERE kind = 'before_move'")
    op.drop_table("snapshot_contents")
