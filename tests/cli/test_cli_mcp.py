"""``preview mcp init``: files of other programs are changed with care; tokens stay private."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from preview.agents.configuration import CLIENTS, ConfigurationUnusable, read_token, with_entry
from preview.cli.entry import run


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    project = tmp_path / "project"
    project.mkdir()
    monkeypatch.chdir(project)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PREVIEW_DATA_DIR", str(tmp_path / "data"))
    for name in ("PREVIEW_URL", "PREVIEW_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


@pytest.mark.parametrize("text", ["// a comment\n{}", "[]", '{"mcpServers": 3}', "{", "[" * 100_000, "\x00"])
def test_what_is_no_plain_object_is_left_alone(own_home: Path, text: str) -> None:
    file = own_home / "project" / ".mcp.json"
    file.write_text(text)
    assert run(["mcp", "init", "claude", "--yes"]) == 1
    assert file.read_text() == text
    assert [one.name for one in file.parent.iterdir()] == [".mcp.json"]


@pytest.mark.parametrize("name", CLIENTS)
def test_each_client_gets_its_entry_and_nothing_else_changes(own_home: Path, name: str) -> None:
    client = CLIENTS[name]
    file = client.file(own_home / "project", own_home / "home")
    file.parent.mkdir(parents=True, exist_ok=True)
    before = json.dumps({"theme": "dark", client.key: {"other": {"command": "x"}}}, indent=1)
    file.write_text(before)
    file.chmod(0o640)
    assert run(["mcp", "init", name, "--yes"]) == 0
    found = json.loads(file.read_text())
    assert found["theme"] == "dark"
    assert found[client.key]["other"] == {"command": "x"}
    assert found[client.key]["preview"]["args"][0] == "mcp"
    assert stat.S_IMODE(file.stat().st_mode) == 0o640
    # Again: nothing to do, and the copy is still the first one.
    assert run(["mcp", "init", name, "--yes"]) == 0
    assert run(["mcp", "init", name, "--undo"]) == 0
    assert file.read_text() == before
    assert run(["mcp", "init", name, "--undo"]) == 1


def test_without_a_terminal_and_without_yes_nothing_is_written(
    own_home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["mcp", "init", "cursor"]) == 2
    assert "mcpServers" in capsys.readouterr().out
    file = own_home / "project" / ".cursor" / "mcp.json"
    assert not file.parent.exists()
    # A file that was not there before is not there after an undo.
    assert run(["mcp", "init", "cursor", "--yes"]) == 0
    assert run(["mcp", "init", "cursor", "--undo"]) == 0
    assert not file.exists()


def test_a_token_goes_into_a_private_file_only(own_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREVIEW_URL", "https://preview.example.com")
    monkeypatch.setenv("PREVIEW_TOKEN", "pvt_hidden")
    assert run(["mcp", "init", "claude", "--yes", "--ca", "ca.pem"]) == 0
    file = own_home / "project" / ".mcp.json"
    text = file.read_text()
    assert "pvt_hidden" not in text
    arguments = json.loads(text)["mcpServers"]["preview"]["args"]
    assert arguments[arguments.index("--ca") + 1] == str(own_home / "project" / "ca.pem")
    token_file = Path(arguments[arguments.index("--token-file") + 1])
    assert stat.S_IMODE(token_file.stat().st_mode) == 0o600
    assert read_token(token_file) == "pvt_hidden"
    token_file.chmod(0o644)
    with pytest.raises(ConfigurationUnusable, match="chmod 600"):
        read_token(token_file)
    assert run(["mcp", "--token-file", str(token_file)]) == 2


def test_a_link_stays_a_link(own_home: Path) -> None:
    real = own_home / "dotfiles.json"
    real.write_text("{}")
    link = own_home / "project" / ".mcp.json"
    link.symlink_to(real)
    assert run(["mcp", "init", "claude", "--yes"]) == 0
    assert link.is_symlink()
    assert "preview" in real.read_text()
    assert with_entry(link, CLIENTS["claude"], json.loads(real.read_text())["mcpServers"]["preview"]) is None


def test_the_whole_home_is_uploaded_only_if_it_is_named(own_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (own_home / "home").mkdir(exist_ok=True)
    monkeypatch.chdir(own_home / "home")
    assert run(["mcp"]) == 2
    monkeypatch.chdir("/")
    assert run(["mcp"]) == 2
    assert run(["mcp", "--root", str(own_home / "missing")]) == 2
