"""The story of a bug at the command line, against a real service with real previews."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from cli_service import PROGRAM, serving

MAIN = """
import json, os, uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
PAGES = {"1": 240, "2": 0}
class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        number = self.path.rpartition("/")[2]
        try:
            status, found = 200, {"id": str(uuid.uuid4()), "minutes": 12000 // PAGES[number] if number else 0}
        except ZeroDivisionError:
            status, found = 500, {"error": "internal"}
        body = json.dumps(found).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_):
        pass
ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
"""
FIXED = MAIN.replace("12000 // PAGES[number] if number else 0", "12000 // PAGES[number] if PAGES.get(number) else 0")
CHECKS = """
[[check]]
name = "a book"
request = "GET /books/1"
expect = ["$.minutes == 50", "$.id is id"]

[[check]]
name = "a book without pages"
request = "GET /books/2"
expect = ["$.minutes == 0"]
"""

Tell = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def tell(tmp_path: Path, shared_cache: Path) -> Tell:
    environment = {name: value for name, value in os.environ.items() if name not in ("PREVIEW_URL", "PREVIEW_TOKEN")}
    environment |= {"PREVIEW_DATA_DIR": str(tmp_path / "data"), "PREVIEW_CACHE_DIR": str(shared_cache)}

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [*PROGRAM, *arguments]
        return subprocess.run(command, capture_output=True, text=True, env=environment, check=False, timeout=90)

    return run


@pytest.mark.long
def test_the_story_of_a_bug(tmp_path: Path, tell: Tell, shared_cache: Path) -> None:
    """A request fails; after the fix, its replay shows what has changed; a comparison and a check guard it."""
    project = tmp_path / "project"
    project.mkdir()
    (project / "main.py").write_text(MAIN)
    (project / "preview.toml").write_text('[start]\ncommand = "python main.py"\n')
    folders = {"PREVIEW_DATA_DIR": str(tmp_path / "data"), "PREVIEW_CACHE_DIR": str(shared_cache)}
    report = tmp_path / "report.xml"
    with serving(folders):
        made = tell("push", str(project)).stdout.strip()
        tell("launch", made, "--wait", "60")
        assert tell("request", made, "GET", "/books/1").returncode == 0
        assert '"error"' in tell("request", made, "GET", "/books/2").stdout
        (project / "main.py").write_text(FIXED)
        assert tell("sync", made, str(project)).returncode == 0
        replayed = tell("replay", made, "1", "2")
        assert replayed.returncode == 0, replayed.stderr
        assert "500 → 200" in replayed.stdout
        assert '$.error: removed, "internal"' in replayed.stderr
        saved = tell("check", made, "--save", "3", "--name", "a book")
        assert saved.returncode == 0, saved.stderr
        assert 'request = "GET /books/1"' in saved.stdout
        assert tell("check", made, "--list").stdout == saved.stdout
        checked = tell("check", made, "--json")
        assert json.loads(checked.stdout)["summary"] == "1 ok", checked.stderr
        # The version before the fix breaks what the fixed one answers.
        (project / "main.py").write_text(MAIN)
        before = tell("push", str(project)).stdout.strip()
        compared = tell("compare", made, before, "--junit", str(report))
        assert compared.returncode == 1, compared.stderr
        assert "broke" in compared.stdout
        suite = ET.parse(report).getroot()[0]
        # Replays are not replayed again: two requests were made by hand.
        assert (suite.get("tests"), suite.get("failures")) == ("2", "1")
        kept = tell("compare", made, made, "--number", "3", "--ignore", "$.minutes", "--save", "--json")
        assert json.loads(kept.stdout)["verdict"] == "noisy", kept.stderr
        assert tell("check", made, "--list").stdout.startswith('ignore = [\n  "$.minutes",\n]')


@pytest.mark.long
def test_a_folder_is_checked_without_a_service(tmp_path: Path, tell: Tell) -> None:
    project = tmp_path / "project"
    project.mkdir()
    (project / "main.py").write_text(MAIN)
    (project / "preview.toml").write_text('[start]\ncommand = "python main.py"\n')
    missing = tell("check", str(project))
    assert (missing.returncode, "has no preview.checks.toml" in missing.stderr) == (1, True)
    (project / "preview.checks.toml").write_text(CHECKS)
    report = tmp_path / "report.xml"
    found = tell("check", str(project), "--junit", str(report))
    assert found.returncode == 1, found.stderr
    assert "1 ok, 1 broke" in found.stderr
    [suite] = ET.parse(report).getroot()
    assert [case.get("name") for case in suite if len(case)] == ["a book without pages"]
    (project / "main.py").write_text(FIXED)
    assert tell("check", str(project)).returncode == 0
    (project / "preview.checks.toml").write_text("[[check]]\nname = 1\n")
    wrong = tell("check", str(project))
    assert (wrong.returncode, "wrong value" in wrong.stderr) == (1, True)
