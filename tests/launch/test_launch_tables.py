"""Generated backends whose tables nothing makes at import: really installed and started, and their routes answer."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path

import pytest
import trio
from launch_kit import ANN, Rig, ask, open_rig, says, story
from tables_projects import (
    ALEMBIC_BROKEN,
    DJANGO_USERS,
    EXPRESS_KNEX,
    EXPRESS_SQLITE,
    FASTAPI_SEED,
    FLASK_ALCHEMY,
    FLASK_CLICK,
    FLASK_MIGRATE_BROKEN,
    FLASK_SQLITE,
    TYPEORM_BROKEN,
)

from preview.core.lifecycle import State
from preview.detection import detect
from preview.settings import Settings
from preview.supervisor import FilesChange, LivePreview


@pytest.fixture
async def patient_rig(
    make_settings_in: Callable[..., Settings], launch_cache_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Rig]:
    """As ``rig``, with the minutes that a compiler takes for better-sqlite3 on a busy machine."""
    settings = make_settings_in(cache_dir=launch_cache_dir, stop_grace_s=2)
    with trio.fail_after(500):
        async with open_rig(settings, monkeypatch) as opened:
            yield opened


async def started(rig: Rig, folder: Path, files: Mapping[str, str]) -> LivePreview:
    """As it is found, without a word from outside."""
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return await rig.start(files, detect(folder))


@pytest.mark.parametrize(
    ("files", "path", "found", "steps"),
    [
        pytest.param(FLASK_SQLITE, "/notes", ["first"], ["tables"], id="flask-main"),
        pytest.param(FLASK_ALCHEMY, "/items", ["pen"], ["tables"], id="flask-runner"),
        pytest.param(FLASK_CLICK, "/posts", ["hello"], ["init", "seed"], id="flask-commands"),
        pytest.param(FASTAPI_SEED, "/tasks", ["write"], ["tables", "seed"], id="fastapi-main"),
        pytest.param(
            DJANGO_USERS,
            "/api/posts/",
            [{"id": 1, "title": "first", "author": None}],
            ["makemigrations", "migrations", "seed"],
            id="django-users",
        ),
        pytest.param(
            EXPRESS_KNEX,
            "/todos",
            [{"title": "write"}],
            ["migrations", "seed"],
            id="express-knex",
            marks=pytest.mark.skipif(
                os.environ.get("PREVIEW_TEST_COMPILING") != "1",
                reason="PREVIEW_TEST_COMPILING=1 runs it: its driver of SQLite is compiled for minutes",
            ),
        ),
        pytest.param(EXPRESS_SQLITE, "/books", [{"title": "Emma"}], ["seed"], id="express-seed"),
    ],
)
async def test_the_tables_are_there_and_a_route_reads_them(
    patient_rig: Rig, tmp_path: Path, files: Mapping[str, str], path: str, found: object, steps: list[str]
) -> None:
    preview = await started(patient_rig, tmp_path, files)
    said = story(preview)
    assert preview.record.state is State.RUNNING, said
    assert [one.name for one in preview.record.steps][2:-2] == steps, said
    answer = await ask(preview, path)
    assert (answer.status_code, answer.json()) == (200, found), story(preview)


SECOND_HEAD = {"migrations/versions/4_other.py": 'revision, down_revision = "4", "1"\n\n\ndef upgrade(): ...\n'}


@pytest.mark.parametrize(
    "files",
    [FLASK_MIGRATE_BROKEN, {**FLASK_MIGRATE_BROKEN, **SECOND_HEAD}, ALEMBIC_BROKEN],
    ids=["flask", "flask-heads", "alembic"],
)
async def test_models_make_the_tables_where_the_migrations_fail(
    rig: Rig, tmp_path: Path, files: Mapping[str, str]
) -> None:
    preview = await started(rig, tmp_path, files)
    assert preview.record.state is State.RUNNING, story(preview)
    assert (await ask(preview, "/items")).json() == [], story(preview)
    said = story(preview)
    assert any("failed with exit code 1; " in line and "duplicate column name: note" in line for line in said), said
    why = "the migrations fail on a new database, so its tables are made from the models"
    assert any(line.startswith("step migrations: running") and line.endswith(why) for line in said)
    assert "the application is started without the step migrations" not in said
    # The database has the newest revision now, so that the migrations that follow can run.
    change = FilesChange({"migrations/versions/3_next.py": _NEXT.encode()})
    await rig.service.previews.reload(ANN, "g1", change)
    assert "the third revision runs" in story(preview)


_NEXT = """
revision, down_revision = "3", "2"


def upgrade():
    print("the third revision runs")
"""


async def test_the_tables_are_made_although_the_environment_of_the_migrations_fails(rig: Rig, tmp_path: Path) -> None:
    preview = await started(rig, tmp_path, {**FLASK_MIGRATE_BROKEN, "migrations/env.py": "raise KeyError('url')\n"})
    assert (await ask(preview, "/items")).json() == [], story(preview)
    assert "not marked with the newest migration: KeyError('url')" in story(preview)


async def test_entities_make_the_tables_where_the_migrations_of_typeorm_fail(rig: Rig, tmp_path: Path) -> None:
    preview = await started(rig, tmp_path, TYPEORM_BROKEN)
    assert preview.record.state is State.RUNNING, story(preview)
    assert (await ask(preview, "/items")).json() == [], story(preview)
    steps = [line for line in story(preview) if line.startswith("step migrations: ")]
    why = "the migrations fail on a new database, so its tables are made from the models"
    assert "failed with exit code 1" in steps[1], steps
    assert "schema:sync" in steps[2], steps
    assert steps[2].endswith(why), steps


async def test_models_make_no_tables_in_a_database_that_the_project_brings(rig: Rig, tmp_path: Path) -> None:
    preview = await started(rig, tmp_path, {**FLASK_MIGRATE_BROKEN, "other.db": "content"})
    assert "the application is started without the step migrations" in story(preview)
    assert (await ask(preview, "/items")).status_code == 500


async def test_models_make_no_tables_where_migrations_fail_at_a_reload(rig: Rig, tmp_path: Path) -> None:
    files = {name: text for name, text in ALEMBIC_BROKEN.items() if not name.endswith("2_note.py")}
    preview = await started(rig, tmp_path, files)
    assert preview.record.state is State.RUNNING, story(preview)
    change = FilesChange({"migrations/versions/2_note.py": ALEMBIC_BROKEN["migrations/versions/2_note.py"].encode()})
    await rig.service.previews.reload(ANN, "g1", change)
    said = story(preview)
    assert "the application is started without the step migrations" in said, said
    assert not any("made from the models" in line for line in said)


async def test_a_missing_table_at_a_request_is_explained_once(rig: Rig, tmp_path: Path) -> None:
    text = FLASK_SQLITE["app.py"].partition("if __name__")[0]
    preview = await started(rig, tmp_path, {**FLASK_SQLITE, "app.py": text})
    assert preview.record.state is State.RUNNING, story(preview)
    sentence = (
        "The database has no table 'notes', and no command that makes the tables was found. Name it in preview.toml: "
        '[start] steps = ["python init_db.py"].'
    )
    for _ in range(3):
        assert (await ask(preview, "/notes")).status_code == 500
        await says(preview, sentence)
    assert story(preview).count(sentence) == 1


async def test_a_reload_neither_fills_nor_drops_what_is_there(rig: Rig, tmp_path: Path) -> None:
    preview = await started(rig, tmp_path, FLASK_CLICK)
    assert (await ask(preview, "/posts")).json() == ["hello"], story(preview)
    change = FilesChange({"app.py": FLASK_CLICK["app.py"].replace("/posts", "/all").encode(), "schema.sql": b""})
    await rig.service.previews.reload(ANN, "g1", change)
    assert (await ask(preview, "/all")).json() == ["hello"]
    assert len([line for line in story(preview) if line.startswith("step seed: running")]) == 1


async def test_a_database_that_the_project_brings_is_not_filled(rig: Rig, tmp_path: Path) -> None:
    preview = await started(rig, tmp_path, {**FLASK_CLICK, "other.db": "content"})
    assert "not run: `flask init-db`, `flask seed`; the project comes with its own database, 'other.db'" in story(
        preview
    )
    assert (await ask(preview, "/posts")).status_code == 500
