"""Find the previews of a node by an index, and note which nodes are invited to a queued launch.

Revision: 0034, after 0033.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0034"
down_revision = "0033"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add a column and an index to ``owners``."""
    op.add_column("owners", sa.Column("invited", sa.Text))
    op.create_index("ix_owners_node_state", "owners", ["node", "state"])


def downgrade() -> None:
    """Drop them."""
    op.drop_index("ix_owners_node_state", "owners")
    op.drop_column("owners", "invited")
