"""Check that the service may use its own tables, at the cost of two short statements."""

from __future__ import annotations

from sqlalchemy import Connection, bindparam, literal, select, text
from sqlalchemy.types import ARRAY, Text

from preview.errors import DatabaseUnavailable
from preview.storage.tables import metadata, preview_instances, preview_logs

# A row of each, where there is one; a table that cannot be read is an error.
_READ = [select(literal(1)).select_from(table).limit(1) for table in (preview_instances, preview_logs)]
# A list of privileges in one call asks for any of them (PostgreSQL, 9.27), so each is asked for. Statements that wait
# for a lock are none of these: the answer comes from the catalogue.
_WRITE = text(
    """
    SELECT current_setting('transaction_read_only') = 'on', (
        SELECT min(name) FROM unnest(:tables) AS name
        WHERE NOT (has_table_privilege(name, 'SELECT') AND has_table_privilege(name, 'INSERT')
            AND has_table_privilege(name, 'UPDATE') AND has_table_privilege(name, 'DELETE'))
    )
    """
).bindparams(bindparam("tables", sorted(metadata.tables), ARRAY(Text)))


def check_tables(connection: Connection) -> None:
    """Read our tables and, on PostgreSQL, ask for the right to write them.

    SQLite has no rights: there the log writer's state says whether writing works.

    Raises:
        DatabaseUnavailable: PostgreSQL would refuse a change.
    """
    for query in _READ:
        connection.execute(query).first()
    if connection.dialect.name != "postgresql":
        return
    is_read_only, refused = connection.execute(_WRITE).one()
    if is_read_only:
        raise DatabaseUnavailable(
            "The service's database takes no writes now; see whether its server is a standby.", reason="25006"
        )
    if refused is not None:
        raise DatabaseUnavailable(
            f"The service's database refuses access to the table {refused}; grant the service's role its rights again.",
            reason="42501",
        )
