"""``preview run --watch``: saving a file reloads."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Timer
from typing import Any
from urllib.request import urlopen

import pytest
from cli_service import PROGRAM

# A run that waits for a save, or for nothing, would keep its test for ever.
LIMIT_S = 120
START = '[start]\nframework = "flask"\nserver = "wsgi"\napp = "main:app"\n'


def backend(says: str) -> str:
    return f"""
def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [{says!r}.encode()]
"""


pytestmark = pytest.mark.usefixtures("own_folders")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "shop"
    folder.mkdir()
    (folder / "main.py").write_text(backend("one"))
    (folder / "preview.toml").write_text(START)
    return folder


class Watched:
    """A run that is told as JSON lines."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.seen: list[dict[str, Any]] = []

    def until(self, kind: str) -> dict[str, Any]:
        """The next event of this kind."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            event: dict[str, Any] = json.loads(line)
            self.seen.append(event)
            if event["event"] == kind:
                return event
            # Launched in vain: it waits for the next save, and says nothing until then.
            if event["event"] == "waiting":
                break
        raise AssertionError(self.seen)

    @property
    def messages(self) -> list[str]:
        """The lines of the log so far."""
        return [event["message"] for event in self.seen if event["event"] == "log"]

    def end(self) -> int:
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(30)


@contextmanager
def watching(project: Path, *options: str) -> Iterator[Watched]:
    command = [*PROGRAM, "run", str(project), "--watch", *(options or ("--json",))]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=dict(os.environ))
    limit = Timer(LIMIT_S, process.kill)
    limit.start()
    try:
        yield Watched(process)
    finally:
        limit.cancel()
        if process.poll() is None:
            process.terminate()
        process.communicate(timeout=60)


def said(base_url: str) -> str:
    with urlopen(base_url) as answer:
        text: str = answer.read().decode()
        return text


def test_a_saved_file_is_reloaded_on_the_same_address(project: Path) -> None:
    with watching(project) as run:
        base_url = run.until("ready")["base_url"]
        assert said(base_url) == "one"
        (project / "main.py").write_text(backend("two"))
        told = run.until("reload")
        assert (told["status"], told["changed"], told["removed"]) == ("reloaded", ["main.py"], [])
        assert said(base_url) == "two"
        # Said at the same moment: whichever comes first.
        while not any(message.startswith("reloaded in ") for message in run.messages):
            run.until("log")
        assert "reload: changed main.py" in run.messages
        assert run.end() == 0


@pytest.mark.long
def test_a_change_that_does_not_start_is_told_and_mended_by_the_next_save(project: Path) -> None:
    with watching(project) as run:
        base_url = run.until("ready")["base_url"]
        (project / "main.py").write_text("import nothing_like_it\n")
        told = run.until("reload")
        assert (told["status"], told["error"]["code"]) == ("failed", "launch_failed")
        assert "nothing_like_it" in told["error"]["detail"]
        assert said(base_url) == "one"
        (project / "main.py").write_text(backend("mended"))
        assert run.until("reload")["status"] == "reloaded"
        assert said(base_url) == "mended"
        assert run.end() == 0


@pytest.mark.long
def test_what_fails_at_its_launch_is_launched_again_when_it_is_saved(project: Path) -> None:
    (project / "main.py").write_text("raise SystemExit(3)\n")
    with watching(project) as run:
        run.until("waiting")
        (project / "main.py").write_text(backend("mended"))
        assert said(run.until("ready")["base_url"]) == "mended"
        assert run.end() == 0


def test_ctrl_c_while_it_waits_ends_in_order(project: Path) -> None:
    (project / "main.py").write_text("raise SystemExit(3)\n")
    with watching(project) as run:
        run.until("waiting")
        assert run.end() == 0


def test_a_person_reads_the_reload_among_the_lines(project: Path) -> None:
    with watching(project, "--env", "A=1") as run:
        assert run.process.stdout is not None
        lines = iter(run.process.stdout)
        assert any("Ctrl-C" in line for line in lines)
        (project / "main.py").write_text(backend("two"))
        shown = []
        for line in lines:
            shown.append(line)
            if "reloaded in" in line:
                break
        assert any("reload: changed main.py" in line for line in shown)
        assert run.end() == 0
