"""Which steps run at a launch and again at a reload: data that is kept is neither filled twice nor dropped."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from preview.detection import (
    BUILD,
    INIT,
    MAKE_MIGRATIONS,
    SEED,
    Origin,
    Server,
    ServiceKind,
    ServiceNeed,
    StartPlan,
    Step,
    Toolchain,
    Variable,
)
from preview.supervisor.launch.preparation import _is_due, _with_makers
from preview.supervisor.launch.shipped_data import find_shipped_database, has_commands_for_new_database

MAIN = Step("tables", ("preview-main", "app.py"), ".", "why", inputs="1")
MIGRATE = Step("migrations", ("python", "manage.py", "migrate"), ".", "why")
MADE = Step(MAKE_MIGRATIONS, ("python", "manage.py", "makemigrations", "blog"), ".", "why")
MAKE = Step(INIT, ("flask", "init-db"), ".", "why")
FILL = Step(SEED, ("python", "seed.py"), ".", "why")


def plan(*steps: Step, **variables: Variable) -> StartPlan:
    return StartPlan("flask", Toolchain.PYTHON, Server.WSGI, None, steps=steps, variables=variables)


@pytest.mark.parametrize(
    ("step", "before", "changed", "due"),
    [
        (FILL, [], ["seed.py"], True),
        (FILL, [FILL], ["seed.py", "app.py", "schema.sql"], False),
        (MAKE, [MAKE], ["schema.sql", "migrations/a.py"], False),
        (Step(SEED, ("python", "seed.py"), "api", "because"), [FILL], ["app.py"], False),
        (MAIN, [MAIN], ["app.py"], False),
        (MAIN, [MAIN], ["schema.sql"], True),
        (Step("tables", MAIN.argv, ".", "why", inputs="2"), [MAIN], ["app.py"], True),
        # Another sentence makes no other step.
        (Step("tables", MAIN.argv, ".", "another", inputs="1"), [MAIN], ["app.py"], False),
        (MADE, [MADE, MIGRATE], ["blog/models.py"], True),
        (MIGRATE, [MADE, MIGRATE], ["blog/models/post.py"], True),
        (MIGRATE, [MADE, MIGRATE], ["blog/views.py"], False),
        (MIGRATE, [MIGRATE], ["blog/models.py"], False),
        (MIGRATE, [MIGRATE], ["blog/migrations/0002_a.py"], True),
    ],
)
def test_a_step_is_due_again_only_if_it_changes_nothing_twice(
    step: Step, before: Sequence[Step], changed: Sequence[str], *, due: bool
) -> None:
    assert _is_due(step, tuple(before), changed) == due


def test_migrations_that_were_made_here_are_made_again_though_the_analysis_finds_them() -> None:
    assert _with_makers(plan(MIGRATE), plan(MADE, MIGRATE), ()).steps == (MADE, MIGRATE)
    assert _with_makers(plan(MADE, MIGRATE), plan(MADE, MIGRATE), ()).steps == (MADE, MIGRATE)
    assert _with_makers(plan(MIGRATE), plan(MIGRATE), ()).steps == (MIGRATE,)


def test_a_build_is_run_again_though_the_analysis_finds_its_output_if_a_file_below_its_folder_has_changed() -> None:
    built = Step(BUILD, ("npm", "run", "build"), "api", "why")
    assert _with_makers(plan(MIGRATE), plan(built, MIGRATE), ("api/src/main.ts",)).steps == (built, MIGRATE)
    assert _with_makers(plan(MIGRATE), plan(built, MIGRATE), ("apis/main.ts", "README.md")).steps == (MIGRATE,)
    whole = replace(built, directory=".")
    assert _with_makers(plan(), plan(whole), ("README.md",)).steps == (whole,)


def test_only_commands_for_a_new_database_of_the_project_ask_for_a_shipped_one() -> None:
    supplied = Variable("DATABASE_URL", "sqlite:///{database_path}", Origin.SUPPLIED)
    assert has_commands_for_new_database(plan(FILL))
    assert not has_commands_for_new_database(plan(MAIN, MIGRATE))
    assert not has_commands_for_new_database(plan(FILL, DATABASE_URL=supplied))
    server = ServiceNeed(ServiceKind.POSTGRESQL, "DATABASE_URL", "app.py:1")
    assert has_commands_for_new_database(replace(plan(FILL), services=(server,)))
    assert not has_commands_for_new_database(replace(plan(FILL), services=(replace(server, supplied=True),)))


@pytest.mark.parametrize(
    ("path", "content", "found"),
    [
        ("instance/app.db", "x", "instance/app.db"),
        ("db.sqlite3", "x", "db.sqlite3"),
        ("app.db", "", None),
        ("tests/app.db", "x", None),
        ("node_modules/a/a.db", "x", None),
        ("notes.txt", "x", None),
    ],
)
def test_a_database_with_content_is_found(tmp_path: Path, path: str, content: str, found: str | None) -> None:
    (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / path).write_text(content)
    assert find_shipped_database(tmp_path) == found


def test_a_link_is_no_database(tmp_path: Path) -> None:
    (tmp_path / "app.db").symlink_to("/etc/passwd")
    (tmp_path / "folder.db").mkdir()
    assert find_shipped_database(tmp_path) is None


def test_a_name_that_is_too_long_with_its_folder_is_no_database(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel takes paths of 4,095 bytes; a project may have longer ones."""
    monkeypatch.chdir(tmp_path)
    depth = (4_090 - len(str(tmp_path))) // 200
    for _ in range(depth):
        Path("d" * 199).mkdir()
        os.chdir("d" * 199)
    Path("n" * 250 + ".db").write_text("x")
    assert find_shipped_database(tmp_path) is None
