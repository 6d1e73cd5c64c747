"""Store requests to previews.

Revision: 0008, after 0007.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the tables."""
    op.create_table(
        "preview_requests",
        _preview("preview_requests"),
        sa.Column("number", sa.BigInteger, nullable=False, autoincrement=False),
        sa.Column("facts", sa.Text, nullable=False),
        sa.Column("content", sa.Text),
        sa.PrimaryKeyConstraint("preview_id", "number", name=op.f("pk_preview_requests")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "preview_traffic",
        _preview("preview_traffic"),
        sa.Column("capture", sa.String(8), nullable=False),
        sa.Column("last_number", sa.BigInteger, nullable=False),
        sa.Column("stored_bytes", sa.BigInteger, nullable=False),
        sa.Column("lost_records", sa.BigInteger, nullable=False),
        sa.Column("lost_bodies", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("preview_id", name=op.f("pk_preview_traffic")),
    )
    op.create_table(
        "pinned_requests",
        _preview("pinned_requests"),
        sa.Column("number", sa.BigInteger, nullable=False, autoincrement=False),
        sa.Column("pinned_at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("preview_id", "number", name=op.f("pk_pinned_requests")),
    )


def downgrade() -> None:
    """Drop the tables with all recorded requests."""
    for name in ("pinned_requests", "preview_traffic", "preview_requests"):
        op.drop_table(name)


def _preview(table: str) -> sa.Column[str]:
    key = sa.ForeignKey(
        "preview_instances.id", name=op.f(f"fk_{table}_preview_id_preview_instances"), ondelete="CASCADE"
    )
    return sa.Column("preview_id", sa.String(64), key, nullable=False)
