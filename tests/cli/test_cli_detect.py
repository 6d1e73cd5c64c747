"""``preview detect``: the plan for a person and for a program."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from preview.cli.entry import run

APP = """import os
from fastapi import FastAPI
from sqlalchemy import create_engine
engine = create_engine(os.environ["DATABASE_URL"])
key = os.environ["SECRET_KEY"]
app = FastAPI()
@app.get("/health")
def health(): ...
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "main.py").write_text(APP)
    return tmp_path


def test_it_shows_the_plan_and_why(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["detect", str(project)]) == 0
    text = capsys.readouterr().out
    assert "main:app (fastapi, served by uvicorn)" in text
    assert "/health answers" in text
    assert "SECRET_KEY    (not shown)  (made up, main.py:5)" in text
    assert '- FastAPI app "app" found in main.py' in text


def test_as_json_it_is_for_programs(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["detect", str(project), "--json"]) == 0
    plan = json.loads(capsys.readouterr().out)
    assert (plan["framework"], plan["app"], plan["server"]) == ("fastapi", "main:app", "asgi")
    assert {one["name"]: one["value"] for one in plan["variables"]} == {
        "DATABASE_URL": "sqlite:///{database_path}",
        "SECRET_KEY": None,
    }


def test_options_decide_as_in_a_run(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["detect", str(project), "--command", "python main.py", "--env", "SECRET_KEY=x"]) == 0
    text = capsys.readouterr().out
    assert "python main.py (fastapi, run as a command, which listens on PORT)" in text
    assert "given in the launch request: SECRET_KEY" in text


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--env", "A"], "'A' is not a variable; write it as --env NAME=VALUE."),
        (["--env", "A-B=1"], "--env \"A-B\": 'A-B' is not a variable name"),
        (["--app", "a b"], "--app: 'a b' is not an application"),
        (["--app", "a:b", "--command", "x"], "--app or --command, not both"),
    ],
)
def test_an_option_that_cannot_be_meant_is_a_usage_mistake(
    project: Path, capsys: pytest.CaptureFixture[str], options: list[str], sentence: str
) -> None:
    assert run(["detect", str(project), *options]) == 2
    assert sentence in capsys.readouterr().err


def test_a_project_that_is_nothing_is_an_error_in_a_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["detect", str(tmp_path)]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("preview: Cannot launch: Missing required files")


def test_a_mistake_in_the_projects_file_is_named(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (project / "preview.toml").write_text("[start]\nap = 'x'\n")
    assert run(["detect", str(project)]) == 1
    assert 'preview.toml: there is no key "start.ap"; did you mean "app"?' in capsys.readouterr().err


def test_nothing_of_the_project_is_run(tmp_path: Path) -> None:
    (tmp_path / "main.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n" + APP)
    run(["detect", str(tmp_path), "--json"])
    assert not (tmp_path / "ran").exists()
