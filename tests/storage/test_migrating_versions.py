"""Present files become versions (revision 0013), with their hashes, and go back to what they were."""

from __future__ import annotations

from hashlib import sha256

from sqlalchemy import text
from test_migrating_projects import connected, insert, rows

from preview.storage import migrate

CONTENTS = {"main.py": b"v = 1\n", "empty": b"", "data.bin": bytes(range(256)) * 1000}


def test_present_files_become_the_newest_version(empty_database_url: str) -> None:
    migrate.upgrade(empty_database_url, "0012")
    with connected(empty_database_url) as connection:
        insert(connection, "users", id="ann", created_at=1)
        insert(connection, "projects", id="p", user_id="ann", created_at=1)
        for generation, revision in (("g1", 1), ("g2", 7)):
            insert(
                connection, "generations", id=generation, project_id="p", user_id="ann", file_count=3,
                size_bytes=256_006, created_at=5, revision=revision,
            )  # fmt: skip
            for path, content in CONTENTS.items():
                insert(
                    connection, "generation_files", generation_id=generation, path=path, size_bytes=len(content),
                    content=content,
                )  # fmt: skip
    migrate.upgrade(empty_database_url)
    with connected(empty_database_url) as connection:
        assert rows(connection, "SELECT generation_id, number, author, source FROM generation_versions ORDER BY 1") == [
            ("g1", 1, "ann", "push"), ("g2", 7, "ann", "push"),
        ]  # fmt: skip
        query = text("SELECT path, since, until, sha256 FROM version_files WHERE generation_id = 'g2'")
        found = {row.path: (row.since, row.until, row.sha256) for row in connection.execute(query)}
        assert found == {path: (7, None, sha256(content).hexdigest()) for path, content in CONTENTS.items()}
    migrate.downgrade(empty_database_url, "0012")
    with connected(empty_database_url) as connection:
        assert len(rows(connection, "SELECT path FROM generation_files")) == 6
