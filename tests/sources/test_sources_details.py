"""Start commands, Node entries and broken Python, one line of source at a time."""

from __future__ import annotations

import ast
import json
from pathlib import Path

import pytest

from preview.sources import Sources
from preview.sources.commands import StartCommand, start_commands
from preview.sources.node_package import find_entry, read_node_packages
from preview.sources.repair import parse_what_can_be

START_Y = '{"scripts": {"start": "node y"}}'
EXPRESS = "require('express')().listen(1)"


def write(folder: Path, files: dict[str, str]) -> Sources:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return Sources(folder)


def commands(folder: Path, files: dict[str, str]) -> list[StartCommand]:
    return start_commands(write(folder, files))


@pytest.mark.parametrize(
    ("line", "program", "app", "script"),
    [
        ("flask --app shop:create_app() run", "flask", ("shop", "create_app"), None),
        ("flask --app=src/run.py run", "flask", ("src.run", ""), None),
        ("fastapi run app/main.py", "fastapi", None, "app/main.py"),
        ("python -m uvicorn app.main:app", "uvicorn", ("app.main", "app"), None),
        ("python3 -m flask --app shop run", "flask", ("shop", ""), None),
        ("python -m app.server", "python", None, "app/server"),
        ("python -u ./run.py", "python", None, "run.py"),
        ("python manage.py runserver", "python", None, "manage.py"),
        ("gunicorn -k uvicorn.workers.UvicornWorker shop.wsgi", "gunicorn", ("shop.wsgi", ""), None),
        ("uvicorn main:app \\", "uvicorn", ("main", "app"), None),
    ],
)
def test_a_line_that_starts_a_server_is_read(
    tmp_path: Path, line: str, program: str, app: tuple[str, str] | None, script: str | None
) -> None:
    (found,) = commands(tmp_path, {"Procfile": f"web: {line}"})
    assert (found.program, found.app, found.script) == (program, app, script)


@pytest.mark.parametrize(
    "line",
    [
        "web: flask routes",
        "web: flask run",
        "web: fastapi version main.py",
        "web: python -c pass",
        "web: python manage.py migrate",
        "web: uvicorn --reload",
        "worker: uvicorn main:app",
    ],
)
def test_a_line_that_starts_no_known_server_is_not(tmp_path: Path, line: str) -> None:
    assert commands(tmp_path, {"Procfile": line}) == []


def test_reading_ends_after_the_file_that_fills_the_list(tmp_path: Path) -> None:
    files = {"Procfile": "web: uvicorn main:app\n" * 200, "README.md": "python run.py"}
    assert {command.file for command in commands(tmp_path, files)} == {"Procfile"}


def test_a_folder_for_the_program_is_read_from_either_way_of_writing_it(tmp_path: Path) -> None:
    text = "web: uvicorn main:app --app-dir src\nweb: gunicorn --chdir=./api main:app"
    assert [command.app_dir for command in commands(tmp_path, {"Procfile": text})] == ["src", "api"]


@pytest.mark.parametrize(
    ("script", "files", "entry"),
    [
        ("cd api && node x.js", {"api/x.js": EXPRESS}, "api/x.js"),
        ("npm --prefix api start", {"api/package.json": START_Y, "api/y.js": EXPRESS}, "api/y.js"),
        ("yarn --cwd=api start", {"api/package.json": START_Y, "api/y.js": EXPRESS}, "api/y.js"),
        ("npm --prefix none start", {}, None),
        ("npm --silent", {}, None),
        ("nest start", {"src/main.ts": EXPRESS}, "src/main.ts"),
        ("node .", {"lib.js": EXPRESS}, "lib.js"),
        ("node -r dotenv/config x.js", {"x.js": EXPRESS}, "x.js"),
        ("pm2 start pm2.config.js", {"pm2.config.js": "apps: [{script: './x.js'}]", "x.js": EXPRESS}, "x.js"),
        ("pm2 start pm2.json", {"pm2.json": "{}"}, None),
        (r"node .\src\x.js", {"src/x.js": EXPRESS}, "src/x.js"),
        ("nodemon", {"nodemon.json": '{"exec": "node x.js"}', "x.js": EXPRESS}, "x.js"),
        ("nodemon", {"nodemon.json": '{"exec": "node gone.js"}', "lib.js": EXPRESS}, "lib.js"),
        ("nodemon", {"nodemon.json": "{", "lib.js": EXPRESS}, "lib.js"),
        ("node --inspect", {}, None),
        ("nx serve", {"w/project.json": '{"main": "src/x.ts"}', "w/src/x.ts": EXPRESS}, "w/src/x.ts"),
        ("nx serve", {"w/project.json": "{}", "a/project.json": '{"main": "a/x.js"}', "a/x.js": EXPRESS}, "a/x.js"),
        ("cd apps && nx serve", {"web/project.json": '{"main": "x.js"}', "web/x.js": EXPRESS}, None),
        ("vite", {}, None),
        ("vite", {"src/server.js": EXPRESS}, "src/server.js"),
    ],
)  # fmt: skip
def test_a_script_leads_to_the_file_that_it_runs(
    tmp_path: Path, script: str, files: dict[str, str], entry: str | None
) -> None:
    package = {"main": "lib.js", "scripts": {"start": script}}
    sources = write(tmp_path, {"package.json": json.dumps(package), **files})
    found = find_entry(read_node_packages(sources)[0], sources)
    assert (found.file if found else None) == entry


def test_a_package_that_is_no_object_is_named_as_skipped(tmp_path: Path) -> None:
    sources = write(tmp_path, {"package.json": "[]", "a/package.json": "{"})
    assert read_node_packages(sources) == []
    assert sources.skipped["package.json"] == "not a JSON object"
    assert sources.skipped["a/package.json"].startswith("not valid JSON")


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("a = 1\n@first\n@second\ndef broken(:\n    pass\nb = 2\n", "a = 1\nb = 2"),
        ("a = 1\n@first(1 2)\ndef f():\n    return 1\nb = 2\n", "a = 1\nb = 2"),
        ("def f():\n    x = = 1\n    return 2\n", "def f():\n    pass\n    return 2"),
        ("type A = int\nclass B[T]:\n    pass\n", "A = int\n\nclass B:\n    pass"),
        ('x = f"{row["name"]}"\n', "x = f\"{row['name']}\""),
    ],
)
def test_what_is_broken_is_left_out_and_the_rest_stays(text: str, kept: str) -> None:
    assert ast.unparse(parse_what_can_be(text.encode())) == kept


@pytest.mark.parametrize("text", ["def (:", "\n".join(f"def (: {number}" for number in range(20)) + "\na = 1"])
def test_a_file_with_too_much_broken_is_refused(text: str) -> None:
    with pytest.raises(SyntaxError):
        parse_what_can_be(text.encode())
