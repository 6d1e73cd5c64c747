"""Backends with seeded bugs, really launched and probed: the bugs are found, and the data stays as it was."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from probes_kit import PROJECTS, seeded

ROOT = Path(__file__).parents[2]
# It has a document and SQLite.
QUICK = "02"


def test_each_backend_has_seeded_bugs() -> None:
    assert sorted(folder.name for folder in PROJECTS.iterdir()) == sorted(seeded())
    assert all(seeded().values())


@pytest.mark.long
def test_the_bugs_of_one_are_found() -> None:
    found(QUICK, longest_s=240)


@pytest.mark.long
def test_the_bugs_of_all_are_found() -> None:
    found(longest_s=900)


def found(*names: str, longest_s: float) -> None:
    if shutil.which("bwrap") is None:
        pytest.skip("no sandbox, as bubblewrap is missing")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PREVIEW_")}
    command = [sys.executable, "scripts/probes.py", *names]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=longest_s)
    assert done.returncode == 0, f"{done.stdout}{done.stderr}"
