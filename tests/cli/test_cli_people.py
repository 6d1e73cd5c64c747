"""Share links with roles, comments, API tokens and usage on the command line, against a real service."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_service import PROGRAM, serving

from preview.cli.entry import run
from preview.cli.exits import ExitCode

QUIET = """
import os
from http.server import BaseHTTPRequestHandler, HTTPServer
print("ready", flush=True)
HTTPServer(("127.0.0.1", int(os.environ["PORT"])), BaseHTTPRequestHandler).serve_forever()
"""


@pytest.fixture
def generation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shared_cache: Path) -> Iterator[str]:
    folders = {"PREVIEW_DATA_DIR": str(tmp_path / "data"), "PREVIEW_CACHE_DIR": str(shared_cache)}
    project = tmp_path / "project"
    project.mkdir()
    (project / "main.py").write_text(QUIET)
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
def test_the_story_of_people(
    generation: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def call(*arguments: str, code: int = ExitCode.OK) -> str:
        assert run(list(arguments)) == code, capsys.readouterr().err
        said = capsys.readouterr()
        return said.out + said.err

    link = call("share", generation, "--role", "watch")
    assert f"/#/join/{generation}/share_" in link
    assert ", role watch, valid until" in link
    listed = call("share", generation, "--list")
    assert "  watch  until" in listed
    call("share", generation, "--role", "admin", code=ExitCode.USAGE)
    call("share", generation, "--revoke", link.split("\n")[1].split(",")[0])
    assert "share_" not in call("share", generation, "--list")

    made = call("comments", generation, "--add", "Look \x1b[31mhere", "--on", "line:1")
    comment = made.split()[0]
    assert "line 1  Owner" in made
    assert "\x1b" not in call("comments", generation)
    assert "(resolved)" in call("comments", generation, "--resolve", comment)
    call("comments", generation, "--add", "x", code=ExitCode.USAGE)
    call("comments", generation, "--add", "x", "--on", "page:1", code=ExitCode.USAGE)
    call("comments", generation, "--delete", comment)
    assert json.loads(call("comments", generation, "--json"))["items"] == []

    assert "not a node of a cluster" in call("nodes", "ls")
    assert len(json.loads(call("nodes", "ls", "--json"))["items"]) == 1
    assert "Add --yes to confirm" in call("nodes", "drain", "one", code=ExitCode.USAGE)
    for order in (("drain", "one", "--yes"), ("resume", "one")):
        assert "There is no such node" in call("nodes", *order, code=ExitCode.NOT_FOUND)

    call("templates", "ls")
    assert json.loads(call("templates", "ls", "--json"))["items"] == []
    assert "Add --yes to confirm" in call("templates", "drop", "c41b", code=ExitCode.USAGE)
    for change in ("drop", "rebuild"):
        assert "There is no template" in call("templates", change, "c41b", "--yes", code=ExitCode.NOT_FOUND)
    call("invite", "create", "--uses", "0", code=ExitCode.USAGE)
    assert "No invitations yet" in call("invite", "ls")
    invited = json.loads(call("invite", "create", "May workshop", "--uses", "2", "--role", "use", "--json"))
    assert "/#/invite/inv_" in call("invite", "create")
    assert "May workshop" in " ".join(call("invite", "ls").split())
    assert len(json.loads(call("invite", "ls", "--json"))["items"]) == 2
    assert "is revoked, and its people are removed" in call("invite", "revoke", invited["id"], "--people")
    assert "revoked" in call("invite", "ls")
    call("invite", "remove", "invited:nobody", code=ExitCode.NOT_FOUND)

    token = json.loads(call("tokens", "create", "build server", "--role", "read", "--json"))
    assert token["id"] in call("tokens", "ls")
    assert "Previews at a time" in call("usage")
    service = json.loads((Path(os.environ["PREVIEW_DATA_DIR"]) / "service.json").read_text())["url"]
    monkeypatch.setenv("PREVIEW_TOKEN", token["token"])
    assert generation in call("ls", "--url", service)
    assert "this needs a token with the role `launch`" in call(
        "stop", generation, "--url", service, code=ExitCode.NOT_ALLOWED
    )
    monkeypatch.delenv("PREVIEW_TOKEN")
    call("tokens", "revoke", token["id"])
    assert token["id"] not in call("tokens", "ls")


@pytest.mark.long
def test_events_are_followed_until_ctrl_c(generation: str) -> None:
    command = [*PROGRAM, "events", generation, "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ) as following:
        try:
            assert following.stdout is not None
            assert json.loads(following.stdout.readline())["event"] == "start"
            assert run(["rename", generation, "other"]) == ExitCode.OK
            told = json.loads(following.stdout.readline())
            assert (told["event"], told["data"]["name"]) == ("generation", "other")
            following.send_signal(signal.SIGINT)
            assert following.wait(20) == ExitCode.OK
        finally:
            following.kill()
