"""Store alert rules and their firings.

Revision: 0011, after 0010.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the tables."""
    op.create_table(
        "alert_rules",
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("user_id", sa.String(128), nullable=False),
        sa.Column("generation_id", sa.String(128)),
        sa.Column("project_id", sa.String(128)),
        sa.Column("name", sa.String(256), nullable=False),
        sa.Column("condition", sa.Text, nullable=False),
        sa.Column("cooldown_s", sa.Float, nullable=False),
        sa.Column("enabled", sa.SmallInteger, nullable=False),
        sa.Column("webhook_url", sa.Text),
        sa.Column("webhook_secret", sa.Text),
        sa.Column("webhook_body", sa.Text),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("updated_at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_alert_rules")),
    )
    op.create_index(op.f("ix_alert_rules_user_id"), "alert_rules", ["user_id"])
    op.create_index(op.f("ix_alert_rules_generation_id"), "alert_rules", ["generation_id"])
    op.create_table(
        "alert_firings",
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("rule_id", sa.String(64), nullable=False),
        sa.Column("user_id", sa.String(128), nullable=False),
        sa.Column("generation_id", sa.String(128), nullable=False),
        sa.Column("project_id", sa.String(128), nullable=False),
        sa.Column("preview_id", sa.String(64), nullable=False),
        sa.Column("fired_at", sa.BigInteger, nullable=False),
        sa.Column("summary", sa.Text, nullable=False),
        sa.Column("matches", sa.BigInteger, nullable=False),
        sa.Column("line", sa.Text),
        sa.Column("first_line", sa.BigInteger),
        sa.Column("last_line", sa.BigInteger),
        sa.Column("request", sa.BigInteger),
        sa.Column("suppressed", sa.BigInteger, nullable=False),
        sa.Column("test", sa.SmallInteger, nullable=False),
        sa.Column("delivery", sa.String(16), nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("status", sa.Integer),
        sa.Column("problem", sa.Text),
        sa.Column("attempted_at", sa.BigInteger),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_alert_firings")),
        sa.ForeignKeyConstraint(
            ["rule_id"], ["alert_rules.id"], name=op.f("fk_alert_firings_rule_id_alert_rules"), ondelete="CASCADE"
        ),
    )
    op.create_index("ix_alert_firings_rule_id_fired_at", "alert_firings", ["rule_id", "fired_at"])
    op.create_index("ix_alert_firings_preview_id_fired_at", "alert_firings", ["preview_id", "fired_at"])


def downgrade() -> None:
    """Drop the tables."""
    op.drop_table("alert_firings")
    op.drop_table("alert_rules")
