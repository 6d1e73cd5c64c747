"""Name the data that a preview goes on with also while nodes of an earlier version save it.

Revision: 0033, after 0032.

An upgrade drains such nodes one after the other. They store a snapshot before each move, and know no
``owners.snapshot_id``.
"""

from __future__ import annotations

from alembic import op

revision = "0033"
down_revision = "0032"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Let PostgreSQL name their snapshots, and name those that they have stored since 0032. SQLite has no cluster."""
    if op.get_bind().dialect.name != "postgresql":
        return
    op.execute(
        """
        CREATE FUNCTION note_own_data() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            UPDATE owners SET snapshot_id = NEW.id
            WHERE generation_id = NEW.generation_id AND user_id = NEW.user_id AND state = 'running';
            RETURN NULL;
        END $$
        """
    )
    # A node that knows the column says so, and changes the row of its own preview alone.
    op.execute(
        """
        CREATE TRIGGER note_own_data AFTER INSERT ON data_snapshots FOR EACH ROW
        WHEN (NEW.kind IN ('manual', 'before_move') AND COALESCE(current_setting('preview.notes_data', true), '') = '')
        EXECUTE FUNCTION note_own_data()
        """
    )
    op.execute(
        """
        UPDATE owners SET snapshot_id = (
            SELECT one.id FROM data_snapshots AS one JOIN preview_instances AS record ON record.id = owners.preview_id
            WHERE one.generation_id = owners.generation_id AND one.user_id = owners.user_id
                AND one.kind IN ('manual', 'before_move') AND one.removed_at IS NULL
                AND one.created_at >= record.created_at
            ORDER BY one.created_at DESC LIMIT 1
        ) WHERE state <> 'over' AND snapshot_id IS NULL
        """
    )


def downgrade() -> None:
    """Drop the trigger."""
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP TRIGGER note_own_data ON data_snapshots")
        op.execute("DROP FUNCTION note_own_data()")
