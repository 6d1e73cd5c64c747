"""Alembic's entry: runs migrations on the connection that ``preview.storage.migrate`` hands over.

That module owns the connection and its transaction, so nothing is committed here; and unlike Alembic's template this
leaves the process's logging alone.
"""

from __future__ import annotations

from alembic import context

from preview.storage.tables import metadata

connection = context.config.attributes["connection"]
context.configure(
    connection=connection,
    target_metadata=metadata,
    # SQLite knows few forms of ALTER TABLE: Alembic then rebuilds the table.
    render_as_batch=connection.dialect.name == "sqlite",
    # SQLite has transactional DDL as well; the driver's default only hides it.
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
