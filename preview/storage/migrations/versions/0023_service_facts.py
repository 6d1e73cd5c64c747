"""Store facts about the service, such as the id that its archive is marked with.

Revision: 0023, after 0022.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the table."""
    op.create_table(
        "service_facts",
        sa.Column("name", sa.String(32), nullable=False),
        sa.Column("value", sa.String(256), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_service_facts")),
    )


def downgrade() -> None:
    """Drop the table."""
    op.drop_table("service_facts")
