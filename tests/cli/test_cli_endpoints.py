"""``preview endpoints``: routes read from source, for a person and for a program."""

from __future__ import annotations

import json
from pathlib import Path
from typing import NoReturn

import pytest

from preview.cli.entry import run
from preview.errors import LaunchFailed
from preview.settings import Settings
from preview.worker import ProjectReader

APP = '''from fastapi import FastAPI
from pydantic import BaseModel
app = FastAPI()
class Book(BaseModel):
    title: str
@app.get("/books/{book_id}", tags=["books"])
def read_book(book_id: int, full: bool = False) -> Book:
    """One book."""
@app.post("/books")
def add_book(book: Book): ...
'''


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "main.py").write_text(APP)
    return tmp_path


def test_it_lists_them_with_their_place(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["endpoints", str(project)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["METHOD", "PATH", "SUMMARY", "WHERE"]
    assert lines[1].split() == ["GET", "/books/{book_id}", "Read", "Book", "main.py:7"]


def test_as_json_it_is_for_programs(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["endpoints", str(project), "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert (shown["count"], shown["framework"], shown["app"], shown["complete"]) == (2, "fastapi", "main:app", True)
    read, add = shown["endpoints"]
    assert (read["method"], read["path"], read["tags"]) == ("GET", "/books/{book_id}", ["books"])
    assert (read["file"], read["line"], read["description"]) == ("main.py", 7, "One book.")
    assert read["source"] == "static"
    assert {"name": "full", "in": "query", "type": "boolean"} in read["parameters"]
    assert add["request_schema"] == {"title": "string"}


def test_a_file_that_cannot_be_read_is_named(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (project / "main.py").write_text(APP + "from broken import router\napp.include_router(router)\n")
    (project / "broken.py").write_text("def (\n")
    assert run(["endpoints", str(project)]) == 0
    assert "not read: broken.py: line 1" in capsys.readouterr().err


def test_no_endpoints_are_said_to_a_person(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["endpoints", str(tmp_path)]) == 0
    said = capsys.readouterr()
    assert (said.out, said.err.startswith("No endpoints found")) == ("", True)


def test_the_application_that_the_projects_file_names_is_listed(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (project / "other.py").write_text(
        'from fastapi import FastAPI\nsite = FastAPI()\n@site.get("/only")\ndef f(): ...\n'
    )
    (project / "preview.toml").write_text('[start]\napp = "other:site"\n')
    assert run(["endpoints", str(project), "--json"]) == 0
    assert [one["path"] for one in json.loads(capsys.readouterr().out)["endpoints"]] == ["/only"]


HIDDEN = """
import os
for name in os.environ.get("NAMES", "apples,pears").split(","):
    app.add_api_route(f"/{name[::-1]}/{{item_id}}", lambda item_id: item_id, methods=["DELETE"])
globals()["app"].add_api_route("/late", lambda: "")
"""


@pytest.fixture
def running_project(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shared_cache: Path) -> Path:
    """A project whose source does not show all its routes."""
    monkeypatch.setenv("PREVIEW_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("PREVIEW_CACHE_DIR", str(shared_cache))
    folder = tmp_path / "shop"
    folder.mkdir()
    (folder / "main.py").write_text(APP + HIDDEN)
    (folder / "requirements.txt").write_text("fastapi\n")
    return folder


def test_a_running_application_is_asked(running_project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["endpoints", str(running_project), "--app", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert {(one["method"], one["path"]) for one in shown["endpoints"]} == {
        ("GET", "/books/{book_id}"),
        ("POST", "/books"),
        ("DELETE", "/selppa/{item_id}"),
        ("DELETE", "/sraep/{item_id}"),
        ("GET", "/late"),
    }
    assert {one["source"] for one in shown["endpoints"]} == {"application"}
    read = next(one for one in shown["endpoints"] if one["path"] == "/books/{book_id}")
    assert (read["file"], read["line"], shown["complete"]) == ("main.py", 7, True)


def test_what_an_application_reports_is_read_by_workers(running_project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[ProjectReader | None] = []

    def open_reader(_: Settings, reader: ProjectReader | None) -> NoReturn:
        given.append(reader)
        raise LaunchFailed("enough")

    monkeypatch.setattr("preview.service._open_reader", open_reader)
    assert run(["endpoints", str(running_project), "--app"]) == 1
    assert given == [None]  # the service then opens workers


def test_an_application_that_does_not_start_says_why(running_project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (running_project / "main.py").write_text(APP + "raise ValueError('no luck')\n")
    assert run(["endpoints", str(running_project), "--app"]) == 1
    assert "no luck" in capsys.readouterr().err


def test_a_name_that_is_no_folder_is_one_of_the_service(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PREVIEW_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.delenv("PREVIEW_URL", raising=False)
    assert run(["endpoints", "gen_23456789abcdefgh", "--app"]) == 3
    assert run(["endpoints", "not an id", "--app"]) == 2
    assert capsys.readouterr().out == ""
