"""What lies in the folders of snapshots beside their parts has a limit."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from preview.data import snapshot
from preview.data.snapshot import COPY, limit_copies


def make(root: Path, name: str, age_s: int, size: int = 400) -> Path:
    copy = root / name / COPY
    copy.mkdir(parents=True)
    (copy / "books.ibd").write_bytes(bytes(size))
    os.utime(copy, (1_000_000 - age_s, 1_000_000 - age_s))
    return copy


def test_the_oldest_copies_of_tables_make_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshot, "_MOST_COPIES_BYTES", 1000)
    oldest, older, newest = make(tmp_path, "c", 30), make(tmp_path, "a", 20), make(tmp_path, "b", 10)
    (older.parent / "mysql.sql").write_text("-- a dump")
    limit_copies(tmp_path, tmp_path / "b")
    assert (oldest.exists(), older.exists(), newest.exists()) == (False, True, True)
    assert (older.parent / "mysql.sql").exists()


def test_the_rest_of_a_removal_goes_and_what_is_kept_stays(tmp_path: Path) -> None:
    kept = make(tmp_path, "a", 10)
    rest = kept.with_name(f"{COPY}.removed")
    rest.mkdir()
    limit_copies(tmp_path, tmp_path / "a")
    assert (rest.exists(), kept.exists()) == (False, True)
