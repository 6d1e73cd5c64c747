"""Store the steps of a preview's launch: what ran, what failed, and how long each step took.

Revision: 0006, after 0005. The column is null for previews that already exist.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column."""
    op.add_column("preview_instances", sa.Column("launch_steps", sa.Text))


def downgrade() -> None:
    """Drop the column."""
    op.drop_column("preview_instances", "launch_steps")
