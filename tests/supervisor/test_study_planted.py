"""A project is read while it runs: what its program plants holds up nobody."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import trio

from preview.supervisor.launch.project_analysis import AnalysisCache, ProjectAnalysis
from preview.worker import InProcess

APP = "from fastapi import FastAPI\napp = FastAPI()\n"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "main.py").write_text(APP)
    return folder


async def study(project: Path) -> ProjectAnalysis:
    with trio.fail_after(60):
        return await AnalysisCache(InProcess()).analyse(project, None, is_still=False)


@pytest.mark.parametrize("name", ["pipe", "pipe.py"])
async def test_a_pipe_that_nobody_writes_to_is_not_waited_for(project: Path, name: str) -> None:
    os.mkfifo(project / name)
    found = await study(project)
    assert found.plan.target is not None
    assert "fastapi" in found.imports


async def test_a_link_to_a_pipe_is_not_followed(project: Path, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "outside")
    (project / "link.py").symlink_to(tmp_path / "outside")
    assert "fastapi" in (await study(project)).imports


async def test_a_project_of_very_many_files_is_not_remembered(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("preview.supervisor.launch.project_analysis._MOST_BYTES", 8 * 1024)
    for number in range(10):
        (project / f"empty{number}").touch()
    analyses = AnalysisCache(InProcess())
    first = await analyses.analyse(project, None)
    assert await analyses.analyse(project, None) is not first
