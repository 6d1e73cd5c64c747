"""``preview pull`` against a real service."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_service import Started, serving

from preview.cli.entry import run
from preview.cli.exits import ExitCode


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory, shared_cache: Path) -> dict[str, str]:
    root = tmp_path_factory.mktemp("service")
    return {"PREVIEW_DATA_DIR": str(root / "data"), "PREVIEW_CACHE_DIR": str(shared_cache)}


@pytest.fixture(scope="module")
def _service(folders: dict[str, str]) -> Iterator[Started]:
    with serving(folders) as started:
        yield started


@pytest.fixture
def generation(
    tmp_path: Path,
    _service: Started,
    folders: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> str:
    for name in ("PREVIEW_URL", "PREVIEW_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    for name, value in folders.items():
        monkeypatch.setenv(name, value)
    project = tmp_path / "project"
    (project / "app").mkdir(parents=True)
    (project / "main.py").write_text("x = 1\n")
    (project / "app" / "data.bin").write_bytes(b"\0\1")
    assert run(["push", str(project)]) == 0
    return capsys.readouterr().out.strip()


@pytest.mark.long
def test_files_that_differ_are_not_overwritten_unasked(
    generation: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "main.py").write_text("my work\n")
    (folder / "own.txt").write_text("mine\n")
    assert run(["pull", generation, str(folder)]) == ExitCode.FAILED
    assert "main.py" in capsys.readouterr().err
    assert (folder / "main.py").read_text() == "my work\n"
    assert not (folder / "app").exists()
    assert run(["pull", generation, str(folder), "--yes"]) == 0
    assert (folder / "main.py").read_text() == "x = 1\n"
    assert (folder / "own.txt").read_text() == "mine\n"
    capsys.readouterr()
    assert run(["pull", generation, str(folder), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"directory": str(folder), "written": [], "unchanged": 2}


@pytest.mark.parametrize("link", ["app", "main.py"])
def test_a_link_in_the_folder_is_not_followed(
    generation: str, tmp_path: Path, link: str, capsys: pytest.CaptureFixture[str]
) -> None:
    outside, folder = tmp_path / "outside", tmp_path / "mine"
    outside.mkdir()
    folder.mkdir()
    (outside / "data.bin").write_text("keep me")
    (folder / link).symlink_to(outside if link == "app" else outside / "data.bin")
    assert run(["pull", generation, str(folder), "--yes"]) == ExitCode.FAILED
    assert "link" in capsys.readouterr().err
    assert (outside / "data.bin").read_text() == "keep me"


def test_the_folder_is_made_and_named_like_the_generation(
    generation: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(["pull", generation]) == 0
    assert (tmp_path / generation / "app" / "data.bin").read_bytes() == b"\0\1"
    assert capsys.readouterr().out == f"2 files written to {generation}\n"
    assert run(["pull", "gen_none", str(tmp_path / "x")]) == ExitCode.NOT_FOUND
    assert not (tmp_path / "x").exists()
