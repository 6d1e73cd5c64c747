"""Store the number of a preview's last line, so that lines lost at the end can be reported.

Revision: 0002, after 0001. The number is null for previews that already exist.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column."""
    op.add_column("preview_instances", sa.Column("last_seq", sa.BigInteger, nullable=True))


def downgrade() -> None:
    """Drop the column."""
    op.drop_column("preview_instances", "last_seq")
