"""The project's own start command, for a second attempt: which forms count, and what a hostile file gets from it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from preview.detection import OWN_START, Overrides, Server, StartPlan, detect
from preview.errors import InvalidGeneration

APP = "from flask import Flask\napp = Flask(__name__)\n\n@app.get('/')\ndef home():\n    return ''\n"
BROKEN = APP.replace("app = ", "from gone import nothing\napp = ")
SERVER = "import http.server\nhttp.server.HTTPServer(('', 8000), None).serve_forever()\n"


def write(folder: Path, files: Mapping[str, str]) -> None:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def plans(folder: Path, files: Mapping[str, str], given: Overrides | None = None) -> tuple[StartPlan, StartPlan]:
    """The plan of the first attempt, and that of the second."""
    write(folder, files)
    first = given or Overrides()
    return detect(folder, first), detect(folder, Overrides(app=first.app, command=first.command, is_own_start=True))


def why(plan: StartPlan) -> str:
    return next((one.removeprefix(OWN_START).strip() for one in plan.decisions if one.startswith(OWN_START)), "")


# The first attempt starts no example, though the project's own command does.
PYTHON = {
    "app.py": BROKEN,
    "examples/site.py": APP,
    "requirements.txt": "flask\n",
}


@pytest.mark.parametrize(
    "command",
    [
        "gunicorn ../../outside:app",
        "gunicorn /etc/passwd:app",
        "python ../examples/site.py",
        "python /usr/lib/python3/serve.py",
        "curl https://example.com | sh",
        "gunicorn missing:app",
        "python seed.py",  # no server
        "python -c 'import os'",
        "python -m seed",
        "python -m pytest",
        "python -m ../examples.site",
        "echo gunicorn examples.site:app",
        "gunicorn app:app",  # the entry that has failed
        "python app.py",
    ],
)
def test_other_commands_of_a_readme_start_nothing(tmp_path: Path, command: str) -> None:
    files = {**PYTHON, "seed.py": "print(1)\n", "README.md": f"# Shop\n\n```\n{command}\n```\n"}
    first, second = plans(tmp_path, files)
    assert first.target is not None
    assert first.target.file == "app.py"
    assert (second.target, second.command, why(second)) == (first.target, (), "")


def test_options_and_further_commands_are_not_taken_over(tmp_path: Path) -> None:
    readme = (
        "# Shop\n\n```\nFLASK_ENV=x gunicorn examples.site:app --config evil.py --bind $(id) && rm -rf / ; id\n```\n"
    )
    _, second = plans(tmp_path, {**PYTHON, "README.md": readme})
    assert second.target is not None
    assert (second.target.file, second.server, second.command) == ("examples/site.py", Server.WSGI, ())
    assert why(second).isprintable()
    assert set(second.variables) & {"FLASK_ENV"} == set()


@pytest.mark.parametrize(
    "text",
    [
        "`" * 130_000,
        "gunicorn " * 20_000,
        "```\n" + "gunicorn a.b:app\n" * 20_000,
        "$ python " + "a/" * 60_000 + "b.py",
    ],
)
def test_a_long_readme_is_read_in_bounded_time(tmp_path: Path, text: str) -> None:
    files = {**PYTHON, "README.md": text}
    write(tmp_path, files)
    started = time.process_time()
    assert why(detect(tmp_path, Overrides(is_own_start=True))) == ""
    assert time.process_time() - started < 20


@pytest.mark.parametrize(
    ("file", "text", "line", "target"),
    [
        (
            "README.md",
            "# Shop\n\nStart it:\n\n```console\n$ gunicorn -w 4 examples.site:app\n```\n",
            6,
            "examples.site:app",
        ),
        ("README.md", "Run `flask --app examples.site run`.\n", 1, "examples.site:app"),
        ("Makefile", "all:\n\tpytest\nrun:\n\tuvicorn examples.site:app --reload\n", 4, "examples.site:app"),
        ("service/Procfile", "worker: python x.py\nweb: gunicorn examples.site:app\n", 2, "examples.site:app"),
        ("Dockerfile", 'FROM python:3.11\nCMD ["gunicorn", "examples.site:app"]\n', 2, "examples.site:app"),
        ("README.md", "```\npoetry run gunicorn examples.site:app\n```\n", 2, "examples.site:app"),
        ("README.md", "```\ncd examples\ngunicorn site:app\n```\n", 3, "site:app"),
    ],
)
def test_an_application_that_a_file_names_is_started_by_our_launcher(
    tmp_path: Path, file: str, text: str, line: int, target: str
) -> None:
    write(tmp_path, {**PYTHON, file: text})
    plan = detect(tmp_path, Overrides(is_own_start=True))
    assert str(plan.target) == target
    assert plan.server is Server.WSGI
    assert why(plan).endswith(f"({file}, line {line})")


def test_a_script_that_a_readme_names_is_started_as_a_command(tmp_path: Path) -> None:
    readme = "# Shop\n\n```\npip install -r requirements.txt\npython tools/serve.py --port 1\n```\n"
    _, second = plans(tmp_path, {**PYTHON, "tools/serve.py": SERVER, "README.md": readme})
    assert (second.server, second.command, second.directory) == (Server.COMMAND, ("python", "tools/serve.py"), ".")
    assert why(second) == '"python tools/serve.py --port 1" (README.md, line 5)'


@pytest.mark.parametrize(
    ("words", "taken"),
    [
        ("runserver --port 1", ("runserver",)),
        ("serve", ("serve",)),
        ("--debug runserver", ()),
        ("$(id)", ()),
    ],
)
def test_the_subcommand_that_starts_a_server_is_kept(tmp_path: Path, words: str, taken: tuple[str, ...]) -> None:
    readme = f"# Shop\n\n```\npython tools/serve.py {words}\n```\n"
    _, second = plans(tmp_path, {**PYTHON, "tools/serve.py": SERVER, "README.md": readme})
    assert second.command == ("python", "tools/serve.py", *taken)


def test_another_subcommand_starts_no_server(tmp_path: Path) -> None:
    readme = "# Shop\n\n```\npython tools/serve.py drop_all runserver\n```\n"
    _, second = plans(tmp_path, {**PYTHON, "tools/serve.py": SERVER, "README.md": readme})
    assert second.command == ()


def test_a_module_that_a_file_names_is_started_as_a_command(tmp_path: Path) -> None:
    """The application is made by a function with arguments, which only the package's own main module has."""
    app = "from fastapi import FastAPI\ndef create_api(tokens, limit):\n    api = FastAPI()\n    return api\n"
    main = "from shop.app import create_api\nimport uvicorn\nuvicorn.run(create_api({'a'}, 1))\n"
    files = {"shop/app.py": app, "shop/__main__.py": main, "shop/__init__.py": "", "requirements.txt": "fastapi\n"}
    first, second = plans(tmp_path, {**files, "shop/Dockerfile": 'ENTRYPOINT ["python3", "-m", "shop", "/data"]\n'})
    assert first.target is not None
    assert first.target.factory
    assert (second.command, second.directory) == (("python", "-m", "shop"), ".")
    assert "-m shop /data" in why(second)


@pytest.mark.parametrize("given", [Overrides(app="app:app"), Overrides(command=("python", "app.py"))])
def test_what_somebody_has_given_stays(tmp_path: Path, given: Overrides) -> None:
    first, second = plans(tmp_path, {**PYTHON, "README.md": "```\ngunicorn examples.site:app\n```\n"}, given)
    assert (second.target, second.command, why(second)) == (first.target, first.command, "")


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("Procfile", "web: gunicorn app:app\n"),
        ("Makefile", "run:\n\tuvicorn app:app --reload\n"),
        ("service/Dockerfile", 'FROM python:3.11\nCMD ["python", "../app.py"]\n'),
        (".flaskenv", "FLASK_APP=app.py\n"),
        ("INSTALL.md", "```\ngunicorn examples.site:app\n```\n\n```\ngunicorn app:app\n```\n"),
    ],
)
def test_a_command_that_names_the_failed_application_keeps_it(tmp_path: Path, file: str, text: str) -> None:
    files = {**PYTHON, "README.md": "```\ngunicorn examples.site:app\n```\n", file: text}
    first, second = plans(tmp_path, files)
    assert str(first.target) == "app:app"
    assert (second.target, second.command, why(second)) == (first.target, (), "")


NODE = {
    "package.json": '{"name": "shop", "main": "index.js"}',
    "index.js": "require('http').createServer().listen(process.env.PORT);\n",
    "lib/serve.js": "require('http').createServer().listen(process.env.PORT);\n",
    "bin/web.js": "require('http').createServer().listen(process.env.PORT);\n",
}


@pytest.mark.parametrize(
    ("readme", "file", "said"),
    [
        ("```\nnode bin/web.js\n```\n", "bin/web.js", '"node bin/web.js" (README.md, line 2)'),
        (
            "```\nnode ../../evil.js\nnode lib/serve.js\n```\n",
            "lib/serve.js",
            '"node lib/serve.js" (README.md, line 3)',
        ),
    ],
)
def test_a_file_of_node_is_started_by_our_launcher(tmp_path: Path, readme: str, file: str, said: str) -> None:
    first, second = plans(tmp_path, {**NODE, "README.md": readme})
    assert first.command[-1] == "index.js"
    assert (second.server, second.command[-1], why(second)) == (Server.NODE, file, said)


@pytest.mark.parametrize("script", ["start", "serve"])
def test_a_file_that_a_script_of_the_package_starts_is_kept(tmp_path: Path, script: str) -> None:
    package = f'{{"name": "shop", "main": "index.js", "scripts": {{"{script}": "node index.js"}}}}'
    files = {**NODE, "package.json": package, "README.md": "```\nnode bin/web.js\n```\n"}
    first, second = plans(tmp_path, files)
    assert first.command[-1] == "index.js"
    assert (second.command, why(second)) == (first.command, "")


def test_a_project_without_an_application_is_refused_as_before(tmp_path: Path) -> None:
    write(tmp_path, {"README.md": "```\npython serve.py\n```\n"})
    with pytest.raises(InvalidGeneration):
        detect(tmp_path, Overrides(is_own_start=True))


def test_a_program_beside_a_package_of_its_name_is_started_as_one(tmp_path: Path) -> None:
    package = {"app/__init__.py": "from flask import Flask\n\ndef create_app(name):\n    return Flask(name)\n"}
    program = "from app import create_app\napp = create_app('a')\napp.run()\n"
    first, second = plans(tmp_path, {**package, "app.py": program, "requirements.txt": "flask\n"})
    assert first.target is not None
    assert (first.target.file, why(first)) == ("app.py", "")
    assert second.command[:2] == ("python", "app.py")
    assert "a package of the same name stands beside it" in why(second)
