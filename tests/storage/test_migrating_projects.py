"""Project ids become ids of one user each (revision 0005), with what is kept already, and back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import Connection, text
from sqlalchemy.exc import IntegrityError

from preview.storage import migrate
from preview.storage.engine import make_engine

OWNERS = {"shop": "ann", "blog": "ben", "empty": "ann"}


@contextmanager
def connected(url: str) -> Iterator[Connection]:
    engine = make_engine(url)
    try:
        with engine.begin() as connection:
            yield connection
    finally:
        engine.dispose()


def insert(connection: Connection, table: str, **values: Any) -> None:
    names = ", ".join(values)
    given = ", ".join(f":{name}" for name in values)
    connection.execute(text(f"INSERT INTO {table} ({names}) VALUES ({given})"), values)


def keep(connection: Connection, generation: str, user: str, project: str) -> None:
    insert(
        connection, "generations", id=generation, project_id=project, user_id=user, file_count=1, size_bytes=1,
        created_at=1,
    )  # fmt: skip
    insert(connection, "generation_files", generation_id=generation, path="a.py", size_bytes=1, content=b"1")
    insert(
        connection, "preview_instances", id=f"preview_of_{generation}", generation_id=generation, project_id=project,
        user_id=user, status="stopped", health_status="unknown", created_at=1, expires_at=1, token_hash="",
        token_expires_at=1, log_level="ERROR",
    )  # fmt: skip


def fill(connection: Connection) -> None:
    for user in ("ann", "ben"):
        insert(connection, "users", id=user, created_at=1)
    for at, (project, user) in enumerate(OWNERS.items(), 1):
        insert(connection, "projects", id=project, user_id=user, name=f"the {project}", created_at=at)
    for generation, project in (("g1", "shop"), ("g2", "shop"), ("g3", "blog")):
        keep(connection, generation, OWNERS[project], project)


def rows(connection: Connection, query: str) -> list[tuple[Any, ...]]:
    return [tuple(row) for row in connection.execute(text(query))]


GENERATIONS = "SELECT id, user_id, project_id FROM generations ORDER BY id"
PREVIEWS = "SELECT id, user_id, project_id FROM preview_instances ORDER BY id"
PROJECTS = "SELECT id, user_id, name, created_at FROM projects ORDER BY created_at"
KEPT = [("g1", "ann", "shop"), ("g2", "ann", "shop"), ("g3", "ben", "blog")]
KEPT_PROJECTS = [("shop", "ann", "the shop", 1), ("blog", "ben", "the blog", 2), ("empty", "ann", "the empty", 3)]


@pytest.fixture
def before(empty_database_url: str) -> str:
    """A database as the version before has left it, with something in it."""
    migrate.upgrade(empty_database_url, "0004")
    with connected(empty_database_url) as connection:
        fill(connection)
    return empty_database_url


def test_what_is_kept_stays_its_owners(before: str) -> None:
    migrate.upgrade(before, "0005")
    with connected(before) as connection:
        assert rows(connection, GENERATIONS) == KEPT
        assert rows(connection, PROJECTS) == KEPT_PROJECTS
        assert rows(connection, "SELECT count(*) FROM generation_files") == [(3,)]
        insert(connection, "projects", id="shop", user_id="ben", created_at=4)
        keep(connection, "g4", "ben", "shop")
    with pytest.raises(IntegrityError), connected(before) as connection:
        keep(connection, "g5", "ben", "empty")
    with connected(before) as connection:
        connection.execute(text("DELETE FROM projects WHERE user_id = 'ann'"))
        assert rows(connection, GENERATIONS) == [("g3", "ben", "blog"), ("g4", "ben", "shop")]


def test_a_generation_in_a_project_of_another_user_gets_one_of_its_owner(before: str) -> None:
    """No version has made such rows; a person with the database at hand may have."""
    with connected(before) as connection:
        keep(connection, "g0", "ben", "shop")
    migrate.upgrade(before, "0005")
    with connected(before) as connection:
        assert rows(connection, GENERATIONS) == [("g0", "ben", "shop"), *KEPT]
        assert rows(connection, "SELECT user_id FROM projects WHERE id = 'shop' ORDER BY user_id") == [
            ("ann",),
            ("ben",),
        ]


def test_back_again_the_later_project_of_an_id_gets_another(before: str) -> None:
    migrate.upgrade(before, "0005")
    with connected(before) as connection:
        insert(connection, "projects", id="shop", user_id="ben", created_at=4)
        keep(connection, "g4", "ben", "shop")
    migrate.downgrade(before, "0004")
    with connected(before) as connection:
        *kept, (generation, owner, renamed) = rows(connection, GENERATIONS)
        assert (kept, generation, owner) == (KEPT, "g4", "ben")
        assert renamed.startswith("project_")
        assert rows(connection, PROJECTS) == [*KEPT_PROJECTS, (renamed, "ben", "", 4)]
        assert rows(connection, PREVIEWS)[-1] == ("preview_of_g4", "ben", renamed)
    migrate.upgrade(before, "0005")
    with connected(before) as connection:
        assert rows(connection, GENERATIONS) == [*KEPT, ("g4", "ben", renamed)]


def test_earlier_versions_read_lines_of_standard_error(empty_database_url: str) -> None:
    migrate.upgrade(empty_database_url)
    with connected(empty_database_url) as connection:
        fill(connection)
        for seq, source in enumerate(("child.preview", "stderr.request", "system.preview", "stderr.preview"), 1):
            insert(
                connection, "preview_logs", preview_id="preview_of_g1", seq=seq, timestamp=1, level=20, source=source,
                message="stderr.", request_id=None,
            )  # fmt: skip
    migrate.downgrade(empty_database_url, "0030")
    with connected(empty_database_url) as connection:
        assert rows(connection, "SELECT source, message FROM preview_logs ORDER BY seq") == [
            (source, "stderr.") for source in ("child.preview", "child.request", "system.preview", "child.preview")
        ]
