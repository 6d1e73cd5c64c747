"""``preview sync`` and ``restart`` against a real service with real previews of the standard library alone."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_service import PROGRAM, Started, serving

from preview.cli.entry import run
from preview.cli.exits import ExitCode

START = '[start]\nframework = "flask"\nserver = "wsgi"\napp = "main:app"\n'


def backend(says: str) -> str:
    return f"""
def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [{says!r}.encode()]
"""


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory, shared_cache: Path) -> dict[str, str]:
    root = tmp_path_factory.mktemp("service")
    return {"PREVIEW_DATA_DIR": str(root / "data"), "PREVIEW_CACHE_DIR": str(shared_cache)}


@pytest.fixture(scope="module")
def _service(folders: dict[str, str]) -> Iterator[Started]:
    with serving(folders) as started:
        yield started


@pytest.fixture(autouse=True)
def _here(_service: Started, folders: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PREVIEW_URL", "PREVIEW_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    for name, value in folders.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "shop"
    folder.mkdir()
    (folder / "main.py").write_text(backend("one"))
    (folder / "preview.toml").write_text(START)
    (folder / "notes.txt").write_text("x\n")
    return folder


@pytest.fixture
def generation(project: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[str]:
    assert run(["push", str(project)]) == 0
    made = capsys.readouterr().out.strip()
    yield made
    run(["stop", made])
    capsys.readouterr()


@pytest.fixture
def running(generation: str, capsys: pytest.CaptureFixture[str]) -> str:
    assert run(["launch", generation, "--wait", "60"]) == 0
    capsys.readouterr()
    return generation


def said(generation: str, capsys: pytest.CaptureFixture[str]) -> str:
    capsys.readouterr()
    assert run(["request", generation, "GET", "/"]) == 0
    return capsys.readouterr().out.rstrip("\n")


def test_only_what_differs_is_sent(generation: str, project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["sync", generation, str(project)]) == 0
    assert capsys.readouterr().out == "nothing to send: the generation matches the folder\n"
    (project / "notes.txt").unlink()
    (project / "logo.png").write_bytes(b"\x89PNG\xff")
    assert run(["sync", generation, str(project), "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert (answer["changed"], answer["removed"]) == (["logo.png"], ["notes.txt"])
    assert answer["reload"]["status"] == "none"


@pytest.mark.long
def test_a_large_change_goes_as_an_archive(generation: str, project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (project / "notes.txt").unlink()
    (project / "large.bin").write_bytes(os.urandom(5 * 1024 * 1024))
    assert run(["sync", generation, str(project)]) == 0
    assert capsys.readouterr().out.startswith("changed large.bin, removed notes.txt: kept\nSynced: 1 changed")
    assert run(["sync", generation, str(project)]) == 0
    assert "nothing to send" in capsys.readouterr().out


@pytest.mark.long
def test_the_running_preview_is_reloaded(running: str, project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (project / "main.py").write_text(backend("two"))
    assert run(["sync", running, str(project)]) == 0
    assert capsys.readouterr().out.startswith("changed main.py: reloaded in ")
    assert said(running, capsys) == "two"


@pytest.mark.long
def test_a_change_that_does_not_start_fails_and_says_why(
    running: str, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (project / "main.py").write_text("import nothing_like_it\n")
    assert run(["sync", running, str(project)]) == ExitCode.FAILED
    shown = capsys.readouterr()
    assert shown.out.startswith("changed main.py: kept\nSynced: 1 changed. Undo: preview versions restore gen_")
    assert "nothing_like_it" in shown.err
    assert "the previous one keeps serving" in shown.err
    assert said(running, capsys) == "one"


@pytest.mark.long
def test_a_watched_folder_is_sent_as_it_is_saved_until_ctrl_c(
    running: str, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = [*PROGRAM, "sync", running, str(project), "--watch"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=dict(os.environ))
    try:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("nothing to send")
        (project / "main.py").write_text(backend("watched"))
        assert process.stdout.readline().startswith("changed main.py: reloaded in ")
        assert said(running, capsys) == "watched"
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0
    finally:
        process.kill()
        process.communicate()


def test_an_unknown_generation_is_not_found(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["sync", "gen_none", str(project)]) == ExitCode.NOT_FOUND
    assert "no generation 'gen_none'" in capsys.readouterr().err


def test_a_restart_keeps_a_running_preview_s_id(running: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["restart", running, "--json"]) == 0
    first = json.loads(capsys.readouterr().out)
    assert run(["restart", running, "--wait", "60"]) == 0
    assert capsys.readouterr().out.startswith(f"{first['id']} running at ")
    assert said(running, capsys) == "one"


def test_a_restart_launches_what_does_not_run(generation: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["restart", generation, "--wait", "60"]) == 0
    assert " running at " in capsys.readouterr().out
