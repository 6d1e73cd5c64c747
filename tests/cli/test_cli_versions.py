"""``preview versions`` and ``launches``, and a safe ``sync``, against a real service."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_service import Started, serving

from preview.cli.entry import run
from preview.cli.exits import ExitCode

START = '[start]\nframework = "flask"\nserver = "wsgi"\napp = "main:app"\n'


def backend(says: str) -> str:
    return f"""
def app(environ, start_response):
    print("hello from {says}", flush=True)
    start_response("200 OK", [("Content-Type", "application/json")])
    return [b'{{"says": "{says}"}}']
"""


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory, shared_cache: Path) -> dict[str, str]:
    root = tmp_path_factory.mktemp("service")
    return {"PREVIEW_DATA_DIR": str(root / "data"), "PREVIEW_CACHE_DIR": str(shared_cache)}


@pytest.fixture(scope="module")
def _service(folders: dict[str, str]) -> Iterator[Started]:
    with serving(folders) as started:
        yield started


@pytest.fixture
def project(tmp_path: Path, _service: Started, folders: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("PREVIEW_URL", "PREVIEW_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    for name, value in folders.items():
        monkeypatch.setenv(name, value)
    folder = tmp_path / "shop"
    folder.mkdir()
    (folder / "main.py").write_text(backend("one"))
    (folder / "preview.toml").write_text(START)
    for at in range(8):
        (folder / f"data{at}.txt").write_text("x\n")
    return folder


@pytest.fixture
def generation(project: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[str]:
    assert run(["push", str(project)]) == 0
    made = capsys.readouterr().out.strip()
    yield made
    run(["stop", made])


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def files(generation: str, capsys: pytest.CaptureFixture[str]) -> int:
    capsys.readouterr()
    assert run(["versions", generation, "--json"]) == 0
    count: int = json.loads(capsys.readouterr().out)["items"][0]["file_count"]
    return count


@pytest.mark.long
@pytest.mark.parametrize("is_empty", [True, False])
def test_a_wrong_folder_removes_nothing_unasked(
    generation: str, tmp_path: Path, is_empty: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong = tmp_path / "wrong"
    wrong.mkdir()
    if not is_empty:
        (wrong / "other.py").write_text("x\n")
    assert run(["sync", generation, str(wrong)]) != 0
    err = capsys.readouterr().err
    assert is_empty or "10 of 10 files are not in" in err
    assert files(generation, capsys) == 10
    assert run(["sync", generation, str(wrong), "--yes"]) == (0 if not is_empty else ExitCode.FAILED)
    assert files(generation, capsys) == (10 if is_empty else 1)


def test_sync_shows_what_it_removes_and_asks(
    generation: str, project: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (project / "data1.txt").unlink()
    (project / "main.py").write_text(backend("two"))
    assert run(["sync", generation, str(project), "--dry-run"]) == 0
    assert capsys.readouterr().out == "change  main.py\nremove  data1.txt\nWould sync: 1 changed, 1 removed\n"
    monkeypatch.setattr("sys.stdin", Terminal("n\n"))
    assert run(["sync", generation, str(project)]) == ExitCode.INTERRUPTED
    assert "remove  data1.txt" in capsys.readouterr().err
    assert files(generation, capsys) == 10
    monkeypatch.setattr("sys.stdin", Terminal("y\n"))
    assert run(["sync", generation, str(project)]) == 0
    assert f"Synced: 1 changed, 1 removed. Undo: preview versions restore {generation} 1" in capsys.readouterr().out


@pytest.mark.long
def test_versions_are_listed_compared_and_restored(
    generation: str, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (project / "main.py").write_text(backend("two"))
    assert run(["sync", generation, str(project)]) == 0
    capsys.readouterr()
    assert run(["versions", generation]) == 0
    assert "preview CLI" in capsys.readouterr().out
    assert run(["versions", "diff", generation, "2"]) == 0
    assert '+    print("hello from two", flush=True)' in capsys.readouterr().out
    assert run(["versions", "diff", generation, "1", "2", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["changed"] == 1
    assert run(["versions", "restore", generation, "1"]) == ExitCode.USAGE
    assert run(["versions", "restore", generation, "9", "--yes"]) == ExitCode.NOT_FOUND
    assert run(["versions", "restore", generation, "../1", "--yes"]) == ExitCode.USAGE
    capsys.readouterr()
    assert run(["versions", "restore", generation, "1", "--yes"]) == 0
    assert f"Restored: 1 changed. Undo: preview versions restore {generation} 2" in capsys.readouterr().out


@pytest.mark.long
def test_an_earlier_launch_and_the_version_before_a_reload_are_compared(
    generation: str, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["launch", generation, "--wait", "60"]) == 0
    assert run(["request", generation, "GET", "/"]) == 0
    assert run(["stop", generation]) == 0
    assert run(["launch", generation, "--wait", "60"]) == 0
    assert run(["request", generation, "GET", "/"]) == 0
    (project / "main.py").write_text(backend("two"))
    assert run(["sync", generation, str(project)]) == 0
    capsys.readouterr()
    assert run(["launches", generation, "--json"]) == 0
    later, earlier = json.loads(capsys.readouterr().out)["items"]
    assert (earlier["version"], later["version"]) == (1, 2)
    assert run(["launches", generation]) == 0
    assert earlier["preview_id"] in capsys.readouterr().out
    assert run(["launches", "steps", generation, earlier["preview_id"]]) == 0
    assert re.search(r"answers +done +\d", capsys.readouterr().out)
    assert run(["logs", generation, "--launch", earlier["preview_id"]]) == 0
    assert "hello from one" in capsys.readouterr().out
    assert run(["launches", "compare", generation, earlier["preview_id"], later["preview_id"]]) == 0
    assert "step process" in capsys.readouterr().out
    # The baseline is the version before the reload.
    assert run(["compare", f"{generation}@1", generation, "--json"]) in {0, ExitCode.FAILED}
    found = json.loads(capsys.readouterr().out)
    assert [one["path"] for item in found["items"] for one in item["differences"]] == ["$.says"]
    assert run(["compare", f"{generation}@1", f"{generation}@1", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["verdict"] == "same"
    assert run(["replay", f"{generation}@1", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["on"] == "trial"
    assert run(["compare", f"{generation}@9", generation]) == ExitCode.NOT_FOUND
