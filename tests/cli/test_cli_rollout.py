"""Flags on the command line, against a real service: mistakes first, then the kill switch and a canary."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from cli_service import PROGRAM, serving

from preview.cli.doctor.flags import flag_checks
from preview.cli.doctor.result import Result
from preview.cli.entry import run
from preview.cli.exits import ExitCode
from preview.settings import load_settings

_QUIET = """
import os
from http.server import BaseHTTPRequestHandler, HTTPServer
HTTPServer(("127.0.0.1", int(os.environ["PORT"])), BaseHTTPRequestHandler).serve_forever()
"""


@pytest.mark.long
def test_the_story_of_a_rollout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], shared_cache: Path
) -> None:
    folders = {"PREVIEW_DATA_DIR": str(tmp_path / "data"), "PREVIEW_CACHE_DIR": str(shared_cache)}
    for name in ("PREVIEW_URL", "PREVIEW_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    for name, value in folders.items():
        monkeypatch.setenv(name, value)
    project = tmp_path / "project"
    project.mkdir()
    (project / "main.py").write_text(_QUIET)
    (project / "preview.toml").write_text('[start]\ncommand = "python main.py"\n')

    def call(*arguments: str, code: int = ExitCode.OK) -> str:
        assert run(list(arguments)) == code, capsys.readouterr().err
        said = capsys.readouterr()
        return " ".join((said.out + said.err).split())

    def rollout(*arguments: str, code: int = ExitCode.OK) -> str:
        return call("rollout", *arguments, code=code)

    with serving(folders):
        pushed = subprocess.run([*PROGRAM, "push", str(project)], check=True, capture_output=True, text=True)
        generation = pushed.stdout.strip()
        assert "the flags are launches, isolation" in rollout("set", "\x1b[31m", "x", code=ExitCode.USAGE)
        rollout("set", "capture", "most", code=ExitCode.USAGE)
        rollout("set", "capture", "default", "--user", "ann", code=ExitCode.USAGE)
        rollout("canary", "launches=off", code=ExitCode.USAGE)
        rollout("canary", "capture=off", "--steps", "50,25", code=ExitCode.USAGE)
        assert "capture meta (default) - - -" in rollout("status")

        assert "capture=off: 1 of 1 users" in rollout("set", "capture", "off", "--tier", "free", "--dry-run")
        assert "stopped" in rollout("stop", "We change a disk.")
        assert "We change a disk." in call("launch", generation, code=ExitCode.FAILED)
        (told,) = flag_checks(load_settings())
        assert (told.result, told.found) == (Result.WARN, "stopped by an operator for all users: We change a disk.")
        assert 'users see "We change a disk."' in rollout("status")
        rollout("resume")

        steps = ("canary", "capture=off", "--steps", "5,100")
        assert "0 % -> 5 % of users" in rollout(*steps)
        assert "no launch has used off yet" in rollout(*steps, code=ExitCode.FAILED)
        assert "5 % -> 100 %" in rollout(*steps, "--force")
        assert "the last step is reached" in rollout(*steps)
        call("launch", generation, "--wait", "60")
        (capture,) = json.loads(rollout("status", "capture", "--json"))["items"]
        (told,) = flag_checks(load_settings())
        assert told.found == "set by operators: capture"
        assert [(one["value"], one["launches"]) for one in capture["arms"]["items"]] == [("off", 1)]
        assert "CAPTURE LAUNCHES FAILED RATE MEDIAN P95 off 1 0 0.0 %" in rollout("status", "capture")
        assert "capture: meta; rules: -" in rollout("set", "capture", "default")
