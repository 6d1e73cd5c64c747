"""Add the time of a data snapshot's removal, which can be undone.

Revision: 0020, after 0019.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column."""
    op.add_column("data_snapshots", sa.Column("removed_at", sa.BigInteger))


def downgrade() -> None:
    """Delete removed snapshots' rows, which an older service would list, and remove the column."""
    op.execute("DELETE FROM data_snapshots WHERE removed_at IS NOT NULL")
    op.drop_column("data_snapshots", "removed_at")
