"""An upgrade of a cluster keeps the data of previews: nodes of the version before save it while they are drained."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection
from test_migrating_projects import connected, fill, insert, rows

from preview.storage import migrate

NAMED = "SELECT preview_id, losses, snapshot_id FROM owners ORDER BY preview_id"


def own(connection: Connection, generation: str, **values: Any) -> None:
    insert(
        connection, "owners", preview_id=f"preview_of_{generation}", generation_id=generation, user_id="ann",
        state="running", node="one", first_seq=1, queued_at=0, **values,
    )  # fmt: skip


def save(connection: Connection, name: str, generation: str, kind: str, at: int = 5) -> None:
    """As the version before: it does not know that the owner's row names the snapshot."""
    insert(
        connection, "data_snapshots", id=name, generation_id=generation, user_id="ann", name="", kind=kind,
        created_at=at, size_bytes=1, sha256="", revision=1, parts="[]",
    )  # fmt: skip


def test_what_nodes_of_the_version_before_save_is_named(empty_postgres_url: str) -> None:
    migrate.upgrade(empty_postgres_url, "0031")
    with connected(empty_postgres_url) as connection:
        fill(connection)
        own(connection, "g1", fence=3)
        own(connection, "g2", fence=1)
        # Of an earlier preview of the generation, by hand, and before a restore.
        save(connection, "earlier", "g1", "manual", 0)
        save(connection, "first", "g1", "manual", 4)
        save(connection, "restore", "g1", "before_restore", 9)
    migrate.upgrade(empty_postgres_url, "0032")
    with connected(empty_postgres_url) as connection:
        assert rows(connection, NAMED) == [("preview_of_g1", 2, "first"), ("preview_of_g2", 0, None)]
        save(connection, "between", "g2", "before_move")
    migrate.upgrade(empty_postgres_url)
    with connected(empty_postgres_url) as connection:
        assert rows(connection, NAMED) == [("preview_of_g1", 2, "first"), ("preview_of_g2", 0, "between")]
        save(connection, "moved", "g1", "before_move")
        save(connection, "another", "g2", "before_restore")
        assert rows(connection, NAMED) == [("preview_of_g1", 2, "moved"), ("preview_of_g2", 0, "between")]
    migrate.downgrade(empty_postgres_url, "0031")
    migrate.upgrade(empty_postgres_url)
