"""``preview env``, against a real service with a real preview."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from cli_service import serving

from preview.cli.entry import run

SECRET = "sesame-open-0123456789"
ECHO = """
import json, os
from http.server import BaseHTTPRequestHandler, HTTPServer
class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        body = json.dumps({name: os.environ.get(name) for name in ("COLOR", "NEW_CHECKOUT")}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
os.environ["STRIPE_API_KEY"]
HTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
"""


@pytest.fixture
def generation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tell: Tell, shared_cache: Path) -> Iterator[str]:
    folders = {"PREVIEW_DATA_DIR": str(tmp_path / "data"), "PREVIEW_CACHE_DIR": str(shared_cache)}
    project = tmp_path / "project"
    project.mkdir()
    (project / "main.py").write_text(ECHO)
    (project / "preview.toml").write_text('[start]\ncommand = "python main.py"\n')
    for name in ("PREVIEW_URL", "PREVIEW_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    for name, value in folders.items():
        monkeypatch.setenv(name, value)
    with serving(folders):
        yield tell("push", str(project)).stdout.strip()


class Told(NamedTuple):
    stdout: str
    stderr: str


class Tell:
    """Calls commands in this process, which takes a hundredth of a new one's time."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self._monkeypatch = monkeypatch
        self._capsys = capsys

    def __call__(self, *arguments: str, given: str = "", code: int = 0) -> Told:
        self._monkeypatch.setattr("sys.stdin", io.StringIO(given))
        done = run(list(arguments))
        told = Told(*self._capsys.readouterr())
        assert done == code, told.stderr
        assert SECRET not in told.stdout + told.stderr
        return told


@pytest.fixture
def tell(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Tell:
    return Tell(monkeypatch, capsys)


@pytest.mark.long
def test_the_story_of_settings(generation: str, tmp_path: Path, tell: Tell) -> None:
    assert "No settings yet" in tell("env", "ls", generation).stderr
    assert "next launch" in tell("env", "set", generation, "COLOR=red", "NEW_CHECKOUT=off").stderr
    tell("env", "set", generation, "--secret", "API_KEY", given=SECRET + "\n")
    listed = tell("env", "ls", generation, "--detected").stdout
    assert [line.split() for line in listed.splitlines()[1:4]] == [
        ["API_KEY", "••••", "project"], ["COLOR", "red", "project"], ["NEW_CHECKOUT", "off", "project"]
    ]  # fmt: skip
    assert "STRIPE_API_KEY is not set; using a placeholder" in listed

    tell("launch", generation, "--wait", "60")
    assert "set them in the project's settings" in tell("logs", generation).stdout
    assert '"COLOR": "red"' in tell("request", generation, "GET", "/").stdout
    assert tell("env", "flag", generation, "NEW_CHECKOUT").stdout == "NEW_CHECKOUT=on\n"
    assert '"NEW_CHECKOUT": "on"' in tell("request", generation, "GET", "/").stdout

    tell("env", "presets", generation, "--add", "staging")
    tell("env", "set", generation, "--preset", "staging", "COLOR=blue")
    assert "restarted" in tell("env", "use", generation, "staging", "--restart").stderr
    assert '"COLOR": "blue"' in tell("request", generation, "GET", "/").stdout
    assert tell("env", "diff", generation, "-", "staging").stdout.split()[-4:] == ["COLOR", "differs", "red", "blue"]

    file = tmp_path / "more.env"
    file.write_text(f"COLOR=green\nA='1 2'\nOTHER_TOKEN={SECRET}\n")
    dry = tell("env", "import", generation, str(file), "--dry-run")
    assert dry.stdout.splitlines() == ["added    A", "added    OTHER_TOKEN (secret)", "changed  COLOR"]
    assert "A" not in tell("env", "export", generation).stdout.splitlines()
    tell("env", "import", generation, "-", given=file.read_text())
    assert tell("env", "export", generation).stdout.splitlines() == [
        "A='1 2'", "# API_KEY is a secret", "COLOR=green", "NEW_CHECKOUT=on", "# OTHER_TOKEN is a secret"
    ]  # fmt: skip

    assert "Remove 3 variables" in tell("env", "unset", generation, "A", "API_KEY", "COLOR", code=2).stderr
    tell("env", "unset", generation, "A", "API_KEY", "COLOR", "--yes")
    assert "no variable" in tell("env", "unset", generation, "A", code=1).stderr
    tell("env", "start", generation, "--command", "python main.py", "--memory", "256")
    assert tell("env", "start", generation).stdout.split() == ["command", "python", "main.py", "memory_mb", "256"]
    compared = tell("compare", generation, "--against", "staging", "--preset", "-")
    assert "GET /" in compared.stdout
    tell("env", "set", generation, "no-pair", code=2)
    tell("env", "set", generation, "API_KEY=••••", code=2)
