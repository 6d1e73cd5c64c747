"""Add the table of saved requests.

Revision: 0019, after 0018.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the table."""
    op.create_table(
        "saved_requests",
        sa.Column(
            "generation_id", sa.String(128), sa.ForeignKey("generations.id", ondelete="CASCADE"), primary_key=True
        ),
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("name", sa.String(256), nullable=False),
        sa.Column("request", sa.Text, nullable=False),
        sa.Column("updated_at", sa.BigInteger, nullable=False),
    )
    op.create_index("uq_saved_requests_generation_id_name", "saved_requests", ["generation_id", "name"], unique=True)


def downgrade() -> None:
    """Remove the table."""
    op.drop_table("saved_requests")
