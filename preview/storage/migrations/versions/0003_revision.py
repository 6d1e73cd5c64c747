"""Count the changes of a generation's files, so that clients can name the revision they have seen.

Revision: 0003, after 0002. Generations that already exist get revision 1.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column."""
    op.add_column("generations", sa.Column("revision", sa.Integer, nullable=False, server_default=sa.text("1")))


def downgrade() -> None:
    """Drop the column."""
    op.drop_column("generations", "revision")
