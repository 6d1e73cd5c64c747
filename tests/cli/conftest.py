"""What tests of the command line have in common."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from preview.cli.entry import run


@pytest.fixture
def own_folders(tmp_path: Path, shared_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands work in folders of the test's own."""
    monkeypatch.setenv("PREVIEW_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("PREVIEW_CACHE_DIR", str(shared_cache))


@pytest.fixture
def saved(tmp_path: Path, sqlite_template: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A backup of a folder with one file of each kind; the settings then name an empty folder."""
    data = tmp_path / "data"
    for name in ("secret", "sealing-keys", "journal/00000000.lines", "audit/head", "snapshots/snap_1/files.tar"):
        (data / name).parent.mkdir(parents=True, exist_ok=True)
        (data / name).write_text(name)
    (data / "snapshots" / ".new-1").mkdir()
    (data / "previews").mkdir()
    shutil.copy(sqlite_template, data / "preview.db")
    monkeypatch.setenv("PREVIEW_DATA_DIR", str(data))
    assert run(["backup", str(tmp_path / "a.zip")]) == 0
    monkeypatch.setenv("PREVIEW_DATA_DIR", str(tmp_path / "empty"))
    return tmp_path / "a.zip"
