"""A cluster's upgrade from revision 0033: nodes of before work on, and a way back leaves their rows as they were."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection
from test_migrating_projects import connected, fill, insert, rows

from preview.storage import migrate

BEFORE = "0033"
OWNERS = "SELECT preview_id, state, node, fence, losses FROM owners ORDER BY preview_id"
GENERATIONS = "SELECT id, user_id, project_id, created_at FROM generations ORDER BY id"
KEPT = [("preview_of_g1", "running", "one", 3, 0), ("preview_of_g2", "queued", None, 1, 0)]
VARIABLES = "SELECT generation_id, name, value FROM request_variables"


def own(connection: Connection, generation: str, **values: Any) -> None:
    """As a node of before writes it: it knows no invitations."""
    insert(
        connection, "owners", preview_id=f"preview_of_{generation}", generation_id=generation, user_id="ann",
        first_seq=1, queued_at=0, **values,
    )  # fmt: skip


def test_rows_of_a_cluster_survive_the_upgrade_the_way_back_and_another_upgrade(empty_database_url: str) -> None:
    url = empty_database_url
    migrate.upgrade(url, BEFORE)
    with connected(url) as connection:
        fill(connection)
        own(connection, "g1", state="running", node="one", fence=3)
        own(connection, "g2", state="queued", fence=1)
        generations = rows(connection, GENERATIONS)
    for _ in range(2):
        migrate.upgrade(url)
        with connected(url) as connection:
            assert rows(connection, OWNERS) == KEPT
            assert rows(connection, GENERATIONS) == generations
            assert {row[0] for row in rows(connection, "SELECT group_name FROM generations")} == {""}
            assert rows(connection, VARIABLES) == []
            # What the new nodes write.
            rows(connection, "UPDATE owners SET invited = '[\"two\"]' WHERE state = 'queued' RETURNING 1")
            rows(connection, "UPDATE generations SET group_name = 'shops' WHERE id = 'g1' RETURNING 1")
            insert(
                connection, "request_variables", generation_id="g1", name="base", value="x", is_secret=0, updated_at=1
            )
        migrate.downgrade(url, BEFORE)
        with connected(url) as connection:
            assert rows(connection, OWNERS) == KEPT
            assert rows(connection, GENERATIONS) == generations


def test_a_node_of_before_writes_to_the_new_tables(empty_database_url: str) -> None:
    migrate.upgrade(empty_database_url)
    with connected(empty_database_url) as connection:
        fill(connection)
        own(connection, "g1", state="queued", fence=1)
        rows(connection, "UPDATE owners SET state = 'running', node = 'one', fence = fence + 1 RETURNING 1")
        assert rows(connection, "SELECT node, fence, invited FROM owners") == [("one", 2, None)]
        assert rows(connection, "SELECT group_name FROM generations WHERE id = 'g1'") == [("",)]
        # Its deletion of a project takes along what it does not know of.
        insert(connection, "request_variables", generation_id="g3", name="base", value="x", is_secret=0, updated_at=1)
        rows(connection, "DELETE FROM generations WHERE id = 'g3' RETURNING 1")
        assert rows(connection, VARIABLES) == []
