"""Store the address of the repository that a generation was imported from; empty for none.

Revision: 0037, after 0036.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0037"
down_revision = "0036"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column."""
    op.add_column("generations", sa.Column("origin", sa.String(2048), nullable=False, server_default=sa.text("''")))


def downgrade() -> None:
    """Drop the column."""
    op.drop_column("generations", "origin")
