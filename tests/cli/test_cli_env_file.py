"""A ``.env`` in the working folder, as the real program meets it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path

import pytest
from cli_service import PROGRAM


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "service"
    made.mkdir()
    return made


def environment(tmp_path: Path, **more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PREVIEW_")}
    return kept | {"PREVIEW_CACHE_DIR": str(tmp_path / "cache")} | more


def started(folder: Path, tmp_path: Path, *options: str) -> str:
    """What ``preview serve`` in this folder says up to where it can be stopped."""
    command = [*PROGRAM, "serve", *options]
    with subprocess.Popen(command, cwd=folder, env=environment(tmp_path), stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        lines = []
        for line in process.stdout:
            lines.append(line)
            if line.startswith("{") or (line == "\n" and len(lines) > 1):
                break
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=60) == 0
    return "".join(lines)


def test_the_service_reads_it_and_says_so(folder: Path, tmp_path: Path) -> None:
    (folder / ".env").write_text(
        "PREVIEW_BIND=127.0.0.1:0\nPREVIEW_DATA_DIR=./kept\nPREVIEW_JWT_SECRET=sesame-sesame-sesame-sesame-sesame\n"
    )
    said = started(folder, tmp_path)
    assert (folder / "kept" / "preview.db").exists()
    assert f"from {folder}/.env (PREVIEW_DATA_DIR, PREVIEW_BIND, PREVIEW_JWT_SECRET)" in said
    assert "sesame" not in said
    shown = json.loads(started(folder, tmp_path, "--json"))
    assert shown["settings"].startswith(f"{folder}/.env (")


@pytest.mark.parametrize("command", [["serve"], ["db", "current"], ["token", "ann"]])
def test_a_broken_one_is_one_sentence(folder: Path, tmp_path: Path, command: list[str]) -> None:
    (folder / ".env").write_text("what is this\n")
    more = {"PREVIEW_DATA_DIR": str(tmp_path / "data")}
    done = subprocess.run(
        [*PROGRAM, *command], cwd=folder, env=environment(tmp_path, **more), capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert f"{folder}/.env cannot be read (line 1 is not NAME=VALUE)" in done.stderr


def test_database_and_token_are_those_of_the_service_in_this_folder(folder: Path, tmp_path: Path) -> None:
    (folder / ".env").write_text("PREVIEW_DATA_DIR=./kept\n")
    for command in (["db", "upgrade"], ["token", "ann"]):
        subprocess.run([*PROGRAM, *command], cwd=folder, env=environment(tmp_path), check=True, timeout=60)
    assert {"preview.db", "secret"} <= {path.name for path in (folder / "kept").iterdir()}


@pytest.mark.parametrize("project", [".", pytest.param("backend", marks=pytest.mark.long)])
def test_a_downloaded_project_does_not_choose_its_own_isolation(folder: Path, tmp_path: Path, project: str) -> None:
    """Were the value read, it would end the command as a wrong setting, with exit code 2."""
    (folder / "backend").mkdir()
    (folder / "backend" / "README.md").write_text("nothing to run")
    (folder / ".env").write_text("PREVIEW_ISOLATION=off\n")
    more = {"PREVIEW_DATA_DIR": str(tmp_path / "data")}
    done = subprocess.run(
        [*PROGRAM, "run", project], cwd=folder, env=environment(tmp_path, **more), capture_output=True, text=True,
        timeout=60,
    )  # fmt: skip
    assert done.returncode == 1, done.stderr
    assert "Cannot launch" in done.stderr
    assert f"{folder}/.env is not read: it may be part of the project" in done.stderr


def test_a_project_elsewhere_is_run_with_the_working_folder_s_file(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "project").mkdir()
    (folder / ".env").write_text("PREVIEW_ISOLATION=off\n")
    more = {"PREVIEW_DATA_DIR": str(tmp_path / "data")}
    command = [*PROGRAM, "run", str(tmp_path / "project")]
    done = subprocess.run(
        command, cwd=folder, env=environment(tmp_path, **more), capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, "PREVIEW_ISOLATION" in done.stderr) == (2, True)
    (folder / ".env").write_text("PREVIEW_ISOLATION=auto\n")
    done = subprocess.run(
        command, cwd=folder, env=environment(tmp_path, **more), capture_output=True, text=True, timeout=60
    )
    assert f"settings from {folder}/.env (PREVIEW_ISOLATION)" in done.stderr


@pytest.mark.parametrize("command", [["ls"], ["doctor"], ["detect", "."]])
def test_commands_for_projects_read_none(folder: Path, tmp_path: Path, command: list[str]) -> None:
    """They are called in projects' folders: a token would go where a stranger's file says."""
    (folder / ".env").write_text("PREVIEW_PORT_MIN=none\nPREVIEW_URL=http://127.0.0.1:9\n")
    more = {"PREVIEW_DATA_DIR": str(tmp_path / "data"), "PREVIEW_TOKEN": "sesame"}
    done = subprocess.run(
        [*PROGRAM, *command], cwd=folder, env=environment(tmp_path, **more), capture_output=True, text=True, timeout=60
    )
    assert "PORT_MIN" not in done.stdout + done.stderr
    assert "127.0.0.1:9" not in done.stdout + done.stderr
