"""Store with each line the id of the request that was handled when the line was printed.

Revision: 0004, after 0003. The id is null for lines that already exist.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column."""
    op.add_column("preview_logs", sa.Column("request_id", sa.String(64), nullable=True))


def downgrade() -> None:
    """Drop the column."""
    op.drop_column("preview_logs", "request_id")
