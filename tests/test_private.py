"""The folder that the service's own user alone may look into."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from preview.core.key_file import make_private_folder


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def test_a_new_folder_and_those_above_it_that_were_missing_are_private(tmp_path: Path) -> None:
    umask = os.umask(0)
    try:
        assert make_private_folder(tmp_path / "deep" / "data")
    finally:
        os.umask(umask)
    assert (mode(tmp_path / "deep"), mode(tmp_path / "deep" / "data")) == (0o700, 0o700)


def test_one_of_a_service_that_others_could_read_is_closed_to_them(tmp_path: Path) -> None:
    (tmp_path / "preview.db").touch()
    (tmp_path / "run").mkdir()
    tmp_path.chmod(0o755)
    assert make_private_folder(tmp_path)
    assert mode(tmp_path) == 0o700


def test_one_that_holds_other_things_is_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "somebody's").touch()
    tmp_path.chmod(0o755)
    assert not make_private_folder(tmp_path)
    assert mode(tmp_path) == 0o755


@pytest.mark.skipif(os.getuid() != 0, reason="needs root, to give a folder to another user")
def test_one_of_another_user_is_left_as_it_is(tmp_path: Path) -> None:
    folder = tmp_path / "others"
    folder.mkdir(mode=0o755)
    os.chown(folder, 12345, 12345)
    assert not make_private_folder(folder)
    assert mode(folder) == 0o755


def test_a_file_of_that_name_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "data").touch()
    with pytest.raises(OSError, match="exists"):
        make_private_folder(tmp_path / "data")
