"""add tags

Revision ID: 8a42e0c5f6b1
Revises: 3f1c9a7b2d10
Create Date: 2025-02-03 16:40:02.551207

"""
import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "8a42e0c5f6b1"
down_revision = "3f1c9a7b2d10"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "products",
        sa.Column("tags", postgresql.ARRAY(sa.String()), nullable=False, server_default="{}"),
    )


def downgrade() -> None:
    op.drop_column("products", "tags")
