"""Store which numbers the lines of a preview may have, so that its next node in a cluster starts after them.

Revision: 0030, after 0029.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0030"
down_revision = "0029"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the table."""
    op.create_table(
        "handed_lines",
        sa.Column("preview_id", sa.String(64), nullable=False),
        sa.Column("before_seq", sa.BigInteger, nullable=False),
        sa.ForeignKeyConstraint(
            ["preview_id"],
            ["preview_instances.id"],
            name=op.f("fk_handed_lines_preview_id_preview_instances"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("preview_id", name=op.f("pk_handed_lines")),
    )


def downgrade() -> None:
    """Drop the table; without it, an owner starts 1,000 numbers after the last stored line."""
    op.drop_table("handed_lines")
