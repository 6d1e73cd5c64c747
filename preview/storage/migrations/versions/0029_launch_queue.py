"""Store the options of launches in a cluster with their owners, and the launches of the last minute.

Revision: 0029, after 0028.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0029"
down_revision = "0028"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add columns to ``owners``, and a table; a service that is no node of a cluster leaves them empty."""
    op.add_column("owners", sa.Column("options", sa.Text))
    op.add_column("owners", sa.Column("wants", sa.Text))
    op.add_column("owners", sa.Column("has_run", sa.SmallInteger, nullable=False, server_default=sa.text("1")))
    op.create_table(
        "launch_times",
        sa.Column("user_id", sa.String(128), nullable=False),
        sa.Column("times", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("user_id", name=op.f("pk_launch_times")),
    )


def downgrade() -> None:
    """Drop them; stop all nodes first."""
    op.drop_table("launch_times")
    op.drop_column("owners", "has_run")
    op.drop_column("owners", "wants")
    op.drop_column("owners", "options")
