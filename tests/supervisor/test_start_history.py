"""What a start can be begun with before its files are read: what is known of the generation, or else of its user."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from preview.detection import Overrides
from preview.environments import Environment
from preview.settings import Settings
from preview.supervisor.launch import start_history as known_starts
from preview.supervisor.launch.project_analysis import ProjectAnalysis
from preview.supervisor.launch.start_history import StartHistory, StartRecord, early_spec
from preview.supervisor.launch.warming import Whose
from preview.supervisor.launch.workspace import Workspace
from preview.supervisor.preview.mends import Mends
from preview.worker import analyse

APP = "from fastapi import FastAPI\napp = FastAPI()\n"


@pytest.fixture
def study(tmp_path: Path) -> ProjectAnalysis:
    (tmp_path / "main.py").write_text(APP)
    found = analyse(tmp_path, None)
    return ProjectAnalysis(found.plan, found.own, found.imports, found.asked)


def key_of(
    history: StartHistory, tmp_path: Path, generation_id: str, user_id: str, project_id: str = "p"
) -> str | None:
    start = history.find(generation_id, Whose(user_id, project_id))
    if start is None:
        return None
    folders = Workspace(tmp_path, tmp_path / "project", tmp_path / "tmp", tmp_path / "database")
    listener: Any = SimpleNamespace(getsockname=lambda: ("127.0.0.1", 3001))
    settings = Settings(data_dir=tmp_path, warm_templates=1)
    spec = early_spec(settings, start, folders, preview_id="preview_a", listener=listener)
    assert spec is None or spec.writable == (folders.project, folders.temp, folders.database)
    return None if spec is None or spec.warm is None else spec.warm.key


def environment(folder: Path, name: str, *, is_own: bool = False) -> Environment:
    python = folder / name / "bin" / "python"
    return Environment(folder / name, python, python.parent, {}, 0.0, "cached", is_own=is_own)


async def test_a_generation_s_own_environment_counts_first_and_then_its_user_s_last_one(
    tmp_path: Path, study: ProjectAnalysis
) -> None:
    history = StartHistory()
    assert key_of(history, tmp_path, "g1", "ann") is None
    history.note(StartRecord("g1", "p", "ann", environment(tmp_path, "one"), study))
    history.note(StartRecord("g2", "p", "ann", environment(tmp_path, "two"), study))
    assert key_of(history, tmp_path, "g1", "ann") == "one"
    assert key_of(history, tmp_path, "never seen", "ann") == "two"
    assert key_of(history, tmp_path, "never seen", "bob") is None


async def test_a_project_s_last_environment_counts_before_the_last_one_of_its_user(
    tmp_path: Path, study: ProjectAnalysis
) -> None:
    history = StartHistory()
    history.note(StartRecord("g1", "shop", "ann", environment(tmp_path, "one"), study))
    history.note(StartRecord("g2", "blog", "ann", environment(tmp_path, "two"), study))
    assert key_of(history, tmp_path, "never seen", "ann", "shop") == "one"
    assert key_of(history, tmp_path, "never seen", "ann", "new") == "two"
    assert key_of(history, tmp_path, "never seen", "bob", "shop") is None


async def test_what_was_used_longest_ago_is_forgotten(
    tmp_path: Path, study: ProjectAnalysis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(known_starts, "_MOST_KNOWN", 2)
    history = StartHistory()
    for name in ("one", "two", "three"):
        history.note(StartRecord(f"of {name}", "p", f"user {name}", environment(tmp_path, name), study))
    assert key_of(history, tmp_path, "of one", "user one") is None
    assert key_of(history, tmp_path, "of two", "user two") == "two"
    assert key_of(history, tmp_path, "x", "user three") == "three"


async def test_nothing_is_known_of_another_user_s_start_by_the_same_ids(tmp_path: Path, study: ProjectAnalysis) -> None:
    history = StartHistory()
    history.note(StartRecord("g1", "shop", "ann", environment(tmp_path, "one"), study))
    assert history.find("g1", Whose("bob", "shop")) is None
    history.note(StartRecord("g1", "shop", "bob", environment(tmp_path, "two"), study))
    assert key_of(history, tmp_path, "g1", "ann") == "one"
    assert key_of(history, tmp_path, "g1", "bob") == "two"


async def test_what_has_imported_a_projects_own_packages_is_for_that_owners_project_alone(
    tmp_path: Path, study: ProjectAnalysis
) -> None:
    history = StartHistory()
    history.note(StartRecord("g1", "p", "ann", environment(tmp_path, "one", is_own=True), study))
    history.note(StartRecord("g2", "p", "bob", environment(tmp_path, "one", is_own=True), study))
    keys = [key_of(history, tmp_path, "g1", "ann"), key_of(history, tmp_path, "g2", "bob")]
    assert None not in keys
    assert len({*keys, "one"}) == 3
    # The same owner's next generation of the project has it, and of another project has not.
    assert key_of(history, tmp_path, "g3", "ann") == keys[0]
    assert key_of(history, tmp_path, "g3", "ann", "other") is None
    # Nor has another owner, who names the same generation, or the same project.
    assert key_of(history, tmp_path, "g1", "eve") is None
    assert key_of(history, tmp_path, "g1", "bob") == keys[1]


async def test_an_own_start_is_kept_for_the_same_files_alone() -> None:
    history, mends = StartHistory(), Mends()
    mends.add(1, Overrides(is_own_start=True), (), "own")
    for revision in (1, None):
        record: Any = SimpleNamespace(user_id="ann", generation_id="g1", revision=revision)
        history.note_mends(record, mends)
    kept = {
        revision: history.mends_of(cast("Any", SimpleNamespace(user_id="ann", generation_id="g1", revision=revision)))
        for revision in (1, 2, None)
    }
    assert [kept[one].overrides.is_own_start for one in (1, 2, None)] == [True, False, False]
