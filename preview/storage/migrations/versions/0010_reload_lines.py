"""Store the line numbers at which new processes of a preview took over.

Revision: 0010, after 0009. The column is null for previews without reloads.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column."""
    op.add_column("preview_instances", sa.Column("reload_lines", sa.Text))


def downgrade() -> None:
    """Drop the column."""
    op.drop_column("preview_instances", "reload_lines")
