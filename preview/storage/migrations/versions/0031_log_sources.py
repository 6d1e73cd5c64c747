"""Stored lines of standard error: earlier versions do not know their sources.

Revision: 0031, after 0030.
"""

from __future__ import annotations

from alembic import op

revision = "0031"
down_revision = "0030"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Change nothing: new lines have the new sources."""


def downgrade() -> None:
    """Make lines of standard error lines of programs again; which they were is lost."""
    op.execute("UPDATE preview_logs SET source = replace(source, 'stderr.', 'child.') WHERE source LIKE 'stderr.%'")
