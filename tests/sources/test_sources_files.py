"""What is read of a project, whatever names and links it holds."""

from __future__ import annotations

import os
import random
import time
from pathlib import Path

import pytest

from preview.endpoints import extract
from preview.sources import Sources
from preview.sources.javascript import JavaScriptTrees


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "outside.py").write_text("from fastapi import FastAPI\napp = FastAPI()\n")
    folder = tmp_path / "project"
    (folder / "pkg").mkdir(parents=True)
    (folder / "main.py").write_text("x = 1\n")
    return folder


@pytest.mark.parametrize("name", ["../outside.py", "pkg/../../outside.py", "/etc/hostname", "nothing.py", "a\0b"])
def test_a_name_that_is_no_file_of_the_project_is_not_read(project: Path, name: str) -> None:
    sources = Sources(project)
    assert sources.text(name) == b""
    assert sources.tree(name) is None
    assert sources.skipped[name] == "not a file of the project"


def test_a_link_to_a_file_outside_is_not_followed(project: Path) -> None:
    (project / "app.py").symlink_to(project.parent / "outside.py")
    assert Sources(project).text("app.py") == b""
    assert extract(project).endpoints == ()


def test_a_link_to_a_folder_outside_is_not_entered(project: Path) -> None:
    (project / "more").symlink_to(project.parent, target_is_directory=True)
    assert [name for name in Sources(project).all_names if name.startswith("more/")] == []


def test_a_pipe_is_not_waited_for(project: Path) -> None:
    os.mkfifo(project / "pipe.py")
    sources = Sources(project)
    assert sources.text("pipe.py") == b""
    assert "not a plain file" in sources.skipped["pipe.py"]


def test_folders_nested_without_end_are_left_out_and_named(project: Path) -> None:
    folder = os.open(project, os.O_RDONLY)
    for _ in range(200):
        os.mkdir("d", dir_fd=folder)
        inner = os.open("d", os.O_RDONLY, dir_fd=folder)
        os.close(folder)
        folder = inner
    os.close(folder)
    sources = Sources(project)
    assert sources.all_names == ["main.py"]
    assert "deeper than" in next(reason for name, reason in sources.skipped.items() if name.startswith("d/"))


@pytest.mark.timed
def test_a_script_of_random_bytes_is_given_up_soon(project: Path) -> None:
    (project / "index.js").write_bytes(random.Random(1).randbytes(400_000))
    sources = Sources(project)
    started = time.thread_time()
    assert JavaScriptTrees(sources).tree("index.js") is None
    assert time.thread_time() - started < 3
    assert "index.js" in sources.skipped


def test_what_is_forgotten_is_read_again(tmp_path: Path) -> None:
    (tmp_path / "main.py").write_text("one = 1\n")
    sources = Sources(tmp_path)
    before = sources.nodes("main.py")
    assert sources.nodes("main.py") is before
    sources.forget()
    (tmp_path / "main.py").write_text("one = 1\ntwo = 2\n")
    assert len(sources.nodes("main.py")) > len(before)
