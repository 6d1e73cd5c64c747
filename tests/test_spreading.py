from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from preview.supervisor.launch.ext4_topdir import spread_below


def flags_of(folder: Path) -> str:
    lsattr = shutil.which("lsattr")
    if lsattr is None:
        pytest.skip("no lsattr here")
    listed = subprocess.run([lsattr, "-d", str(folder)], capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip(f"the file system has no flags: {listed.stderr.strip()}")
    return listed.stdout.split()[0]


def test_a_folder_is_the_top_of_a_hierarchy_and_keeps_its_other_flags(tmp_path: Path) -> None:
    before, other = set(flags_of(tmp_path)), tmp_path / "other"
    other.mkdir()
    if subprocess.run(["chattr", "+T", str(other)], capture_output=True, check=False).returncode:
        pytest.skip("the file system knows no such flag")
    spread_below(tmp_path)
    spread_below(tmp_path)
    assert set(flags_of(tmp_path)) == before | {"T"}


def test_where_the_file_system_knows_no_such_thing_nothing_happens() -> None:
    spread_below(Path("/proc/self"))


def test_a_folder_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file"):
        spread_below(tmp_path / "missing")
