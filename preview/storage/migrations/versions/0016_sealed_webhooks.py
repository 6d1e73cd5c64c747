"""Store the keys of webhook signatures encrypted.

Revision: 0016, after 0015. The service's start encrypts the existing ones: only it has the keys.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column."""
    op.add_column("alert_rules", sa.Column("webhook_sealed", sa.Text))


def downgrade() -> None:
    """Remove the column; webhooks with an encrypted key become unsigned."""
    op.drop_column("alert_rules", "webhook_sealed")
