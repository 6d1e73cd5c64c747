"""Store the group that a user has put a generation in; empty for none.

Revision: 0036, after 0035.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0036"
down_revision = "0035"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column."""
    op.add_column("generations", sa.Column("group_name", sa.String(80), nullable=False, server_default=sa.text("''")))


def downgrade() -> None:
    """Drop the column."""
    op.drop_column("generations", "group_name")
