"""Store API tokens and comments.

Revision: 0015, after 0014.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the tables."""
    op.create_table(
        "api_tokens",
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("user_id", sa.String(128), nullable=False),
        sa.Column("name", sa.String(256), nullable=False),
        sa.Column("hash", sa.String(64), nullable=False),
        sa.Column("role", sa.String(8), nullable=False),
        sa.Column("tier", sa.String(32)),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("expires_at", sa.BigInteger, nullable=False),
        sa.Column("last_used_at", sa.BigInteger),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_api_tokens")),
    )
    op.create_index(op.f("ix_api_tokens_user_id"), "api_tokens", ["user_id"])
    op.create_index("uq_api_tokens_hash", "api_tokens", ["hash"], unique=True)
    op.create_table(
        "preview_comments",
        sa.Column("preview_id", sa.String(64), nullable=False),
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("kind", sa.String(8), nullable=False),
        sa.Column("target", sa.String(20), nullable=False),
        sa.Column("author_id", sa.String(128), nullable=False),
        sa.Column("author", sa.String(256), nullable=False),
        sa.Column("role", sa.String(8), nullable=False),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("resolved", sa.SmallInteger, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.ForeignKeyConstraint(
            ["preview_id"],
            ["preview_instances.id"],
            name=op.f("fk_preview_comments_preview_id_preview_instances"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("preview_id", "id", name=op.f("pk_preview_comments")),
    )
    op.create_index("ix_preview_comments_preview_id_created_at", "preview_comments", ["preview_id", "created_at"])


def downgrade() -> None:
    """Drop the tables."""
    op.drop_table("preview_comments")
    op.drop_table("api_tokens")
