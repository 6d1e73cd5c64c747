"""Some of the twenty are really installed, started and used, each with database servers of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from preview.core.servers import find_mysql, find_postgresql, find_redis

ROOT = Path(__file__).parents[2]
# Of each kind of server and of both languages one; a long run has all (docs/databases.md).
NAMES = ("04", "11", "19", "20")
_LONGEST_S = 420


@pytest.mark.long
def test_some_of_them_work_wholly() -> None:
    run(*NAMES)


@pytest.mark.long
def test_all_twenty_work_wholly() -> None:
    assert "20 of 20 work" in run(longest_s=7200)


def run(*names: str, longest_s: float = _LONGEST_S) -> str:
    """Run the projects of these names, without names all; return what was printed."""
    programs = {"postgresql": find_postgresql(), "mariadb-server": find_mysql(), "redis-server": find_redis()}
    if missing := [name for name, program in programs.items() if program is None]:
        pytest.skip(f"{' and '.join(missing)} missing")
    if shutil.which("bwrap") is None:
        pytest.skip("no sandbox, as bubblewrap is missing")
    command = [sys.executable, "scripts/generated.py", *names, "--set", "databases", "--jobs", "2"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PREVIEW_")}
    done = subprocess.run(
        command,
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=longest_s,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout}{done.stderr}"
    return done.stdout
