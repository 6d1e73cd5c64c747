"""``preview alerts``, against a real service with a real preview and a real receiver."""

from __future__ import annotations

import json
import os
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from cli_service import PROGRAM, serving

from preview.cli.entry import run
from preview.cli.exits import ExitCode

ECHO = """
import os
from http.server import BaseHTTPRequestHandler, HTTPServer
class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        # In one piece: a line in pieces may be shown before the rest of it comes.
        print(f"asked for {self.path}\\n", end="", flush=True)
        self.send_response(204)
        self.end_headers()
HTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
"""


class Receiver(BaseHTTPRequestHandler):
    received: list[tuple[str, Any]] = []  # noqa: RUF012  one for the module
    status = 204

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.received.append((self.headers.get("X-Preview-Signature", ""), body))
        self.send_response(self.status)
        self.end_headers()

    def log_message(self, *_arguments: object) -> None:
        pass


@pytest.fixture
def receiver() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), Receiver) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/hook"
        server.shutdown()
        thread.join()


@pytest.fixture
def generation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shared_cache: Path) -> Iterator[str]:
    folders = {
        "PREVIEW_DATA_DIR": str(tmp_path / "data"),
        "PREVIEW_CACHE_DIR": str(shared_cache),
        "PREVIEW_WEBHOOK_NETWORKS": "127.0.0.0/8",
    }
    project = tmp_path / "project"
    project.mkdir()
    (project / "main.py").write_text(ECHO)
    (project / "preview.toml").write_text('[start]\ncommand = "python main.py"\n')
    for name in ("PREVIEW_URL", "PREVIEW_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    for name, value in folders.items():
        monkeypatch.setenv(name, value)

    def tell(*arguments: str) -> str:
        done = subprocess.run([*PROGRAM, *arguments], check=True, capture_output=True, text=True, env=os.environ)
        return done.stdout.strip()

    with serving(folders):
        made = tell("push", str(project))
        tell("launch", made, "--wait", "60")
        yield made


@pytest.mark.long
def test_the_story_of_a_rule(
    generation: str, receiver: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def call(*arguments: str, code: int = ExitCode.OK) -> str:
        assert run(["alerts", *arguments]) == code, capsys.readouterr().err
        said = capsys.readouterr()
        return said.out + said.err

    (tmp_path / "secret").write_text("s3cret\n")
    webhook = ("--webhook", receiver, "--secret-file", str(tmp_path / "secret"), "--body", '{"text": "{summary}"}')
    made = call("add", "--filter", "/boom", "--generation", generation, *webhook)
    alert = made.split()[0]
    assert "fires when a line matches '/boom'" in made
    assert alert in call("ls")
    assert "delivered: status 204" in call("test", alert)
    [(signature, body)] = Receiver.received
    assert signature.startswith("v1=")
    assert body == {"text": "a test: a line matches '/boom'"}

    assert run(["request", generation, "GET", "/boom"]) == ExitCode.OK
    capsys.readouterr()
    while len(json.loads(call("firings", alert, "--json"))["items"]) < 2:
        pass  # each call takes some milliseconds
    fired = json.loads(call("firings", alert, "--json"))["items"][0]
    assert fired["line"] == "asked for /boom"
    assert "asked for /boom" in call("show", alert)
    assert "the rule would have fired 1 time" in call("try", generation, "--filter", "asked for /boom", "--count", "1")
    assert "the rule would have fired" in call("try", generation, "--filter", "nothing", "--absent", "1")

    call("pause", alert)
    assert json.loads(call("show", alert, "--json"))["state"] == "off"
    call("resume", alert)
    shown = json.loads(call("show", alert, "--json"))
    assert shown["state"] == "active"
    assert shown["webhook"]["has_secret"]
    assert "s3cret" not in json.dumps(shown)
    Receiver.status = 500
    assert "answered 500" in call("test", alert, code=ExitCode.FAILED)
    assert "is deleted" in call("rm", alert, "--yes")
    call("show", alert, code=ExitCode.NOT_FOUND)


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("--filter", "x", "--memory", "0.5"),
        ("--absent", "5"),
        ("--filter", "x", "--body", "{}"),
        ("--filter", "x", "--webhook", "https://a.example", "--body", "{"),
        ("--filter", "x", "--generation", "g", "--project", "p"),
        ("--filter", "x", "--webhook", "https://a.example", "--secret-file", "/nowhere"),
    ],
)
def test_mistakes_are_usage(arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["alerts", "add", *arguments]) == ExitCode.USAGE
    assert capsys.readouterr().err.startswith("preview: ")
