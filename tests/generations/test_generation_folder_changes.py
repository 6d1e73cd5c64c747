from __future__ import annotations

import os
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from preview.errors import InvalidGeneration, TooLarge
from preview.generations import FolderChange, FolderChanges, GenerationLimits


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "app").mkdir()
    (tmp_path / "main.py").write_text("v = 1\n")
    (tmp_path / "app" / "models.py").write_text("x = 1\n")
    return tmp_path


def test_the_first_look_finds_all_files_and_the_next_one_none(folder: Path) -> None:
    changes = FolderChanges(folder)
    assert changes.look() == FolderChange({"app/models.py": b"x = 1\n", "main.py": b"v = 1\n"}, [])
    assert not changes.look()
    assert changes.hashes["main.py"] == sha256(b"v = 1\n").hexdigest()


def test_what_was_saved_added_renamed_and_removed_is_found(folder: Path) -> None:
    changes = FolderChanges(folder)
    changes.look()
    (folder / "main.py").write_text("v = 2\n")
    (folder / "new.py").write_text("")
    (folder / "app" / "models.py").rename(folder / "app" / "tables.py")
    found = changes.look()
    assert found.written == {"main.py": b"v = 2\n", "new.py": b"", "app/tables.py": b"x = 1\n"}
    assert found.removed == ["app/models.py"]


def test_a_file_that_was_touched_but_not_changed_is_not_found(folder: Path) -> None:
    changes = FolderChanges(folder)
    changes.look()
    (folder / "main.py").write_text("v = 1\n")
    os.utime(folder / "main.py", (1, 1))
    assert not changes.look()


def test_a_save_within_one_tick_of_the_clock_is_found(folder: Path) -> None:
    changes = FolderChanges(folder)
    for version in range(200):
        (folder / "main.py").write_text(f"v = {version % 10}\n")
        changes.look()
        (folder / "main.py").write_text("v = x\n")
        assert list(changes.look().written) == ["main.py"], version


def test_an_editor_s_own_files_and_caches_are_passed_over(folder: Path) -> None:
    changes = FolderChanges(folder)
    changes.look()
    names = (".main.py.swp", "main.py~", "#main.py#", "main.py___jb_tmp___", ".goutputstream-X1", "a.pyc", "a\\b.mount")
    for name in names:
        (folder / name).write_text("x")
    (folder / ".#main.py").symlink_to("me@here.123")
    for name in (".git", "node_modules", "__pycache__", ".venv"):
        (folder / name).mkdir()
        (folder / name / "x").write_text("x")
    assert not changes.look()
    assert changes.folders() == [folder, folder / "app"]


def test_a_virtual_environment_of_any_name_is_not_watched(folder: Path) -> None:
    (folder / "mine" / "lib" / "python3.12" / "site-packages").mkdir(parents=True)
    (folder / "mine" / "pyvenv.cfg").write_text("")
    assert FolderChanges(folder).folders() == [folder, folder / "app"]


def test_a_folder_that_cannot_be_taken_loses_no_change(folder: Path) -> None:
    changes = FolderChanges(folder, GenerationLimits(files=3, size_bytes=100))
    changes.look()
    (folder / "main.py").write_text("v = 2\n")
    (folder / "large").write_text("x" * 200)
    with pytest.raises(TooLarge):
        changes.look()
    (folder / "large").unlink()
    (folder / "out").symlink_to("/etc/hostname")
    with pytest.raises(InvalidGeneration, match="outside the folder"):
        changes.look()
    (folder / "out").unlink()
    assert changes.look() == FolderChange({"main.py": b"v = 2\n"}, [])


_FILES = st.dictionaries(st.sampled_from("abcd"), st.binary(max_size=1))


def _between(before: dict[str, bytes], after: dict[str, bytes]) -> FolderChange:
    written = {path: content for path, content in after.items() if before.get(path) != content}
    return FolderChange(written, [path for path in before if path not in after])


@given(_FILES, _FILES, _FILES)
def test_two_changes_as_one_lead_to_the_same_files(
    first: dict[str, bytes], second: dict[str, bytes], third: dict[str, bytes]
) -> None:
    both = _between(first, second).then(_between(second, third))
    made = {path: content for path, content in first.items() if path not in both.removed} | dict(both.written)
    assert made == third
    assert not set(both.written) & set(both.removed)
