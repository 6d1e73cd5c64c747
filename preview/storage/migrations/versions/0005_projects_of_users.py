"""Make project ids unique per user: two users may give their projects the same id.

Revision: 0005, after 0004.

Up: a project's key is its user and its id. Projects keep their owners.
Down: of projects with the same id, the oldest keeps the id. The others get new ids, in all rows that refer to them.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from preview.core.ids import new_project_id

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_projects = sa.table("projects", sa.column("id"), sa.column("user_id"), sa.column("created_at"))
_generations = sa.table("generations", sa.column("id"), sa.column("project_id"), sa.column("user_id"))
_previews = sa.table("preview_instances", sa.column("project_id"), sa.column("user_id"))
_REFERENCE = "fk_generations_project_id_projects"
_KEY = "pk_projects"


def upgrade() -> None:
    """Widen the key and the foreign key that refers to it."""
    with op.batch_alter_table("generations") as table:
        table.drop_constraint(_REFERENCE, type_="foreignkey")
    with op.batch_alter_table("projects") as table:
        table.drop_constraint(_KEY, type_="primary")
        table.create_primary_key(_KEY, ["id", "user_id"])
    _add_missing_projects()
    with op.batch_alter_table("generations") as table:
        table.create_foreign_key(
            _REFERENCE, "projects", ["project_id", "user_id"], ["id", "user_id"], ondelete="CASCADE"
        )


def downgrade() -> None:
    """Give each project a unique id, and narrow the key."""
    with op.batch_alter_table("generations") as table:
        table.drop_constraint(_REFERENCE, type_="foreignkey")
    _rename_projects_of_the_same_id()
    with op.batch_alter_table("projects") as table:
        table.drop_constraint(_KEY, type_="primary")
        table.create_primary_key(_KEY, ["id"])
    with op.batch_alter_table("generations") as table:
        table.create_foreign_key(_REFERENCE, "projects", ["project_id"], ["id"], ondelete="CASCADE")


def _add_missing_projects() -> None:
    """Add the missing projects of generations that refer to another user's project; no version wrote such rows."""
    of_generation = (_projects.c.id == _generations.c.project_id) & (_projects.c.user_id == _generations.c.user_id)
    missing = (
        sa.select(_generations.c.project_id, _generations.c.user_id, sa.literal(0))
        .where(~sa.exists().where(of_generation))
        .distinct()
    )
    op.execute(sa.insert(_projects).from_select(["id", "user_id", "created_at"], missing))


def _rename_projects_of_the_same_id() -> None:
    connection = op.get_bind()
    taken: set[str] = set()
    rows = connection.execute(
        sa.select(_projects.c.id, _projects.c.user_id).order_by(_projects.c.created_at, _projects.c.user_id)
    )
    for project_id, user_id in rows.all():
        if project_id not in taken:
            taken.add(project_id)
            continue
        renamed = new_project_id()
        for table, column in (
            (_projects, _projects.c.id),
            (_generations, _generations.c.project_id),
            (_previews, _previews.c.project_id),
        ):
            theirs = (column == project_id) & (table.c.user_id == user_id)
            connection.execute(sa.update(table).where(theirs).values({column: renamed}))
