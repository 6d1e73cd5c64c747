"""The database commands, on a real file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from preview.cli.data_folder import hold_data_folder
from preview.cli.entry import run
from preview.storage import migrate


@pytest.fixture(autouse=True)
def _data_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREVIEW_DATA_DIR", str(tmp_path))


def test_up_and_down_and_up_again(capsys: pytest.CaptureFixture[str]) -> None:
    said = []
    for arguments in (["upgrade"], ["downgrade", "base"], ["upgrade"], ["downgrade", "-1"], ["current"]):
        assert run(["db", *arguments]) == 0
        said.append(capsys.readouterr().out.strip())
    newest = migrate.head()
    assert said[:3] == [f"{newest} (newest)", f"empty (newest: {newest})", f"{newest} (newest)"]
    assert said[3] == said[4]


def test_the_revision_for_programs(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["db", "current", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"revision": None, "newest": migrate.head()}


def test_an_unknown_revision_is_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["db", "upgrade", "nowhere"]) == 2
    assert "nowhere" in capsys.readouterr().err


def test_a_database_in_use_by_a_service_is_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with hold_data_folder(tmp_path):
        assert run(["db", "downgrade", "base"]) == 1
    assert "is in use" in capsys.readouterr().err
