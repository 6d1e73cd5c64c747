"""The commands for the data of a preview, against a real service with a real preview."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from cli_service import PROGRAM, serving

from preview.cli.commands.data import snapshot
from preview.cli.commands.data.showing import size
from preview.cli.entry import run
from preview.cli.exits import ExitCode

SHOP = """
import os, sqlite3
from http.server import BaseHTTPRequestHandler, HTTPServer
def run(query):
    with sqlite3.connect("shop.db") as base:
        base.execute("create table if not exists books (id integer primary key, title text)")
        return base.execute(query).fetchall()
run("select 1")
class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path != "/":
            run(f"insert into books (title) values ('{self.path[1:]}')")
        body = repr(run("select title from books")).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
HTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
"""


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory, shared_cache: Path) -> dict[str, str]:
    root = tmp_path_factory.mktemp("shop")
    return {"PREVIEW_DATA_DIR": str(root / "data"), "PREVIEW_CACHE_DIR": str(shared_cache)}


@pytest.fixture(scope="module")
def launched(folders: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    project = tmp_path_factory.mktemp("project")
    (project / "main.py").write_text(SHOP)
    (project / "preview.toml").write_text('[start]\ncommand = "python main.py"\n')
    environment = {name: value for name, value in os.environ.items() if name not in ("PREVIEW_URL", "PREVIEW_TOKEN")}

    def tell(*arguments: str) -> str:
        command = [*PROGRAM, *arguments]
        done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment | folders)
        return done.stdout.strip()

    with serving(folders):
        made = tell("push", str(project))
        tell("launch", made, "--wait", "60")
        yield made


@pytest.fixture
def generation(launched: str, folders: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> str:
    """The client commands as a person beside the service calls them."""
    for name in ("PREVIEW_URL", "PREVIEW_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    for name, value in folders.items():
        monkeypatch.setenv(name, value)
    return launched


def call(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[str, str]:
    assert run(arguments) == ExitCode.OK, capsys.readouterr().err
    said = capsys.readouterr()
    return said.out, said.err


def titles(capsys: pytest.CaptureFixture[str], generation: str) -> list[str]:
    out, _ = call(capsys, "sql", generation, "select title from books order by id", "--json")
    answer: dict[str, Any] = json.loads(out)
    return [row[0] for row in answer["rows"]]


def test_data_is_looked_at(generation: str, capsys: pytest.CaptureFixture[str]) -> None:
    call(capsys, "request", generation, "GET", "/Emma")
    out, _ = call(capsys, "data", generation)
    assert "sqlite:shop.db" in out
    assert "books" in out
    out, _ = call(capsys, "data", generation, "books")
    assert "title" in out
    assert "Emma" in out
    out, err = call(capsys, "sql", generation, "select title, null as gone from books")
    assert "NULL" in out
    assert "1 row in" in err
    assert run(["sql", generation, "delete from books"]) == ExitCode.FAILED
    assert run(["sql", generation, "select 1", "--database", "mysql"]) == ExitCode.CONFLICT
    assert "sqlite:shop.db" in capsys.readouterr().err


@pytest.mark.long
def test_data_is_saved_compared_and_brought_back(generation: str, capsys: pytest.CaptureFixture[str]) -> None:
    call(capsys, "reset", generation, "--yes")
    call(capsys, "request", generation, "GET", "/Emma")
    out, err = call(capsys, "snapshot", "save", generation, "--name", "one book")
    kept = out.strip()
    assert "1 changed file" in err
    call(capsys, "request", generation, "GET", "/Persuasion")
    out, _ = call(capsys, "snapshot", "diff", generation, kept)
    assert "SQLite shop.db  books: 1 added" in out
    assert "+ id=2, title=Persuasion" in out
    out, err = call(capsys, "snapshot", "restore", generation, kept, "--yes")
    assert out.startswith("restored in ")
    assert titles(capsys, generation) == ["Emma"]
    out, _ = call(capsys, *err.removeprefix("to undo it: preview ").split(), "--yes")
    assert titles(capsys, generation) == ["Emma", "Persuasion"]
    out, _ = call(capsys, "snapshot", "ls", generation)
    assert "one book" in out
    assert "before the restore of “one book”" in out
    out, err = call(capsys, "fork", generation, "--snapshot", kept)
    assert f"preview launch {out.strip()}" in err
    call(capsys, "snapshot", "rm", generation, kept, "--yes")
    assert run(["snapshot", "rm", generation, kept, "--yes"]) == ExitCode.NOT_FOUND
    out, _ = call(capsys, "snapshot", "undelete", generation, "--json")
    assert [one["snapshot"]["id"] for one in json.loads(out)["items"]] == [kept]
    call(capsys, "snapshot", "undelete", generation, kept)
    out, _ = call(capsys, "snapshot", "ls", generation)
    assert "one book" in out
    _, err = call(capsys, "snapshot", "undelete", generation)
    assert "No deleted snapshots." in err
    assert run(["snapshot", "undelete", generation, kept]) == ExitCode.NOT_FOUND


def test_who_is_not_at_a_terminal_must_agree_ahead(generation: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["reset", generation]) == ExitCode.USAGE
    assert "--yes" in capsys.readouterr().err


def test_who_says_no_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def confirm(question: str, **_: object) -> bool:
        asked.append(question)
        return False

    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    monkeypatch.setattr(typer, "confirm", confirm)
    assert run(["snapshot", "rm", "gen_x", "snapshot_x"]) == ExitCode.INTERRUPTED
    assert asked == ["Delete snapshot_x?"]


@pytest.mark.parametrize(
    ("number", "shown"), [(None, ""), (0, "0 B"), (1023, "1023 B"), (1024, "1.0 KB"), (5 * 1024**4, "5120.0 GB")]
)
def test_sizes_are_for_people(number: int | None, shown: str) -> None:
    assert size(number) == shown


@pytest.mark.parametrize("is_kept", [True, False])
def test_a_deletion_offers_to_undo_it_only_where_the_service_keeps_what_is_deleted(
    is_kept: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Answers:
        def call(self, *_: object) -> None:
            """Delete."""

        def get_json(self, _path: str) -> dict[str, Any]:
            return {"items": [{"snapshot": {"id": "snapshot_x"}}] if is_kept else []}

    monkeypatch.setattr(snapshot, "open_api", lambda *_: contextlib.nullcontext(Answers()))
    assert run(["snapshot", "rm", "gen_x", "snapshot_x", "--yes"]) == 0
    said = capsys.readouterr()
    assert said.out == "snapshot_x is deleted\n"
    assert ("to undo it: preview snapshot undelete gen_x snapshot_x" in said.err) is is_kept
    assert ("This cannot be undone" in said.err) is not is_kept
