"""The real service under a strict umask: its previews answer, whichever users they have."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest
from cli_service import PROGRAM, serving, write_project


def client(*arguments: str) -> str:
    done = subprocess.run([*PROGRAM, *arguments], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.long
def test_a_preview_of_a_service_with_a_strict_umask_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its environment is built under this umask too; the second start is forked from a template."""
    monkeypatch.setenv("PREVIEW_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("PREVIEW_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("PREVIEW_MAX_INSTANCES_PER_USER", "2")
    write_project(tmp_path / "project")
    before = os.umask(0o077)
    try:
        with serving({}):
            for _ in range(2):
                generation = json.loads(client("push", str(tmp_path / "project"), "--json"))["id"]
                client("launch", generation, "--wait", "90")
    finally:
        os.umask(before)
