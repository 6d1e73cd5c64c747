"""What cannot be read from the source is named, and an application without routes is named beside another one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from python_project_kit import write

from preview.cli.entry import run
from preview.detection import detect
from preview.endpoints import extract, find_app

UNKNOWN_PATH = "main.py:{}: the path of a route is not known from the source"
ADDED_HERE = "main.py:{}: routes that are added here are not known from the source"
HANDLER = "main.py:{}: the handler of a route is not known from the source"

CASES: dict[str, tuple[str, list[str]]] = {
    "a path of FastAPI": (
        "from fastapi import FastAPI\napp = FastAPI()\n@app.get(read())\ndef a(): ...\n",
        [UNKNOWN_PATH.format(3)],
    ),
    "a library's router": (
        "from fastapi import FastAPI\nfrom lib import users\napp = FastAPI()\napp.include_router(users.router())\n",
        ["main.py:4: an included router is not known from the source"],
    ),
    "routers of a loop": (
        "from fastapi import FastAPI\napp = FastAPI()\nfor one in load():\n    app.include_router(one)\n",
        ["main.py:4: an included router is not known from the source"],
    ),
    "a prefix of FastAPI": (
        "from fastapi import *\nr, app = APIRouter(), FastAPI()\napp.include_router(r, prefix=read())\n",
        ["main.py:3: the prefix of an included router is not known from the source, so its paths are incomplete here"],
    ),
    "a prefix of Flask": (
        "from flask import *\nb, app = Blueprint('b', 'b'), Flask('a')\napp.register_blueprint(b, url_prefix=f())\n",
        ["main.py:3: the prefix of a blueprint is not known from the source, so its paths are incomplete here"],
    ),
    "blueprints of a loop": (
        "from flask import Flask\napp = Flask('a')\nfor one in load():\n    app.register_blueprint(one)\n",
        ["main.py:4: a blueprint is not known from the source"],
    ),
    "a mounted application": (
        "from fastapi import FastAPI\nfrom lib import make\napp = FastAPI()\napp.mount('/m', make())\n",
        ["main.py:4: the application mounted at /m is not known from the source"],
    ),
    "a route of Starlette": (
        "from starlette import applications as a, routing as r\n\napp = a.Starlette(routes=[r.Route(read(), f)])\n",
        [UNKNOWN_PATH.format(3)],
    ),
    "a path of Flask": (
        "from flask import Flask\napp = Flask(__name__)\n@app.route(read())\ndef a(): ...\n",
        [UNKNOWN_PATH.format(3)],
    ),
    "a blueprint": (
        "from flask import Flask\nfrom lib import bp\napp = Flask(__name__)\napp.register_blueprint(bp)\n",
        ["main.py:4: a blueprint is not known from the source"],
    ),
    "a path of Quart": (
        "from quart import Quart\napp = Quart(__name__)\n@app.get(read())\nasync def a(): ...\n",
        [UNKNOWN_PATH.format(3)],
    ),
    "a handler of Litestar": (
        "from litestar import Litestar\nfrom lib import handler\napp = Litestar([handler, *handler.more])\n",
        [ADDED_HERE.format(3)],
    ),
    "a path of aiohttp": (
        "from aiohttp import web\napp = web.Application()\napp.router.add_get(read(), f)\napp.add_routes(read())\n",
        [UNKNOWN_PATH.format(3), ADDED_HERE.format(4)],
    ),
    "a blueprint of Sanic": (
        "from sanic import Sanic\napp = Sanic('x')\napp.blueprint(read())\n@app.get(read())\nasync def a(r): ...\n",
        [ADDED_HERE.format(3), UNKNOWN_PATH.format(4)],
    ),
    "a handler of Tornado": (
        "import tornado.web\napp = tornado.web.Application([(r'/', H), *more()])\n",
        [HANDLER.format(2), ADDED_HERE.format(2)],
    ),
    "a path of BlackSheep": (
        "from blacksheep import Application, get\napp = Application()\n@get(read())\ndef a(): ...\n",
        [UNKNOWN_PATH.format(3)],
    ),
    "a resource of Falcon": (
        "import falcon\napp = falcon.App()\napp.add_route('/x', read())\n",
        [HANDLER.format(3)],
    ),
    "a path of Bottle": (
        "from bottle import Bottle\napp = Bottle()\n@app.get(read())\ndef a(): ...\n",
        [UNKNOWN_PATH.format(3)],
    ),
    "a library without a reader": (
        "import cherrypy\ncherrypy.quickstart(A())\n",
        ["main.py:1: uses CherryPy, and no application whose routes can be read was found"],
    ),
    "the standard library's server": (
        "x = 1\nfrom http.server import HTTPServer\n",
        ["main.py:2: uses http.server, and no application whose routes can be read was found"],
    ),
    "an application without a framework": (
        "async def app(scope, receive, send): ...\n",
        ["main.py:1: uses no framework, and no application whose routes can be read was found"],
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_a_part_that_cannot_be_read_is_named(tmp_path: Path, case: str) -> None:
    text, sentences = CASES[case]
    found = extract(write(tmp_path, main=text))
    assert sorted(found.unread) == sorted(sentences)
    assert not found.complete


def test_files_are_no_routes_that_were_missed(tmp_path: Path) -> None:
    text = (
        "from fastapi import FastAPI\nfrom fastapi.staticfiles import StaticFiles\napp = FastAPI()\n"
        "class Page(StaticFiles): ...\napp.mount('/a', StaticFiles(directory='a'))\napp.mount('/b', Page())\n"
    )
    assert extract(write(tmp_path, main=text)).complete


def test_a_folder_without_a_server_is_complete(tmp_path: Path) -> None:
    assert extract(write(tmp_path, main="print(1)\n")).complete


def test_a_project_of_unread_routes_names_a_bounded_number(tmp_path: Path) -> None:
    text = "from flask import Flask\napp = Flask(__name__)\n" + "@app.get(read())\ndef a(): ...\n" * 300
    assert len(extract(write(tmp_path, main=text)).unread) == 20


EMPTY = "from fastapi import FastAPI\napp = FastAPI()\n"
ROUTED = EMPTY + "@app.get('/x')\ndef x(): ...\n@app.get('/y')\ndef y(): ...\n"


def test_an_application_with_routes_comes_before_one_without(tmp_path: Path) -> None:
    found = find_app(write(tmp_path, app=EMPTY, api__server=ROUTED))
    assert found is not None
    assert (found.file, found.reason.partition("; ")[2]) == (
        "api/server.py",
        "app.py has no routes; api/server.py has 2 routes",
    )


def test_a_manifest_beside_an_application_without_routes_does_not_decide(tmp_path: Path) -> None:
    (tmp_path / "requirements.txt").write_text("fastapi\n")
    (tmp_path / "web").mkdir()
    (tmp_path / "web" / "requirements.txt").write_text("fastapi\n")
    (tmp_path / "web" / "Dockerfile").write_text("FROM python\n")
    found = find_app(write(tmp_path, web__app=EMPTY, api__server=ROUTED))
    assert found is not None
    assert found.file == "api/server.py"


def test_the_projects_own_start_command_decides_and_the_other_is_named(tmp_path: Path) -> None:
    write(tmp_path, app=EMPTY, api__server=ROUTED)
    (tmp_path / "Procfile").write_text("web: uvicorn app:app\n")
    plan = detect(tmp_path)
    assert plan.target is not None
    assert plan.target.file == "app.py"
    assert "app.py has no routes; api/server.py has 2 routes" in plan.decisions[0]


def test_an_application_whose_routes_cannot_be_read_is_not_one_without_routes(tmp_path: Path) -> None:
    text = EMPTY + "from lib import router\napp.include_router(router)\n"
    (tmp_path / "requirements.txt").write_text("fastapi\n")
    (tmp_path / "Dockerfile").write_text("FROM python\n")
    (tmp_path / "api").mkdir()
    found = find_app(write(tmp_path, app=text, api__server=ROUTED))
    assert found is not None
    assert "no routes" not in found.reason


def test_starlette_is_called_by_its_name(tmp_path: Path) -> None:
    text = "from starlette.applications import Starlette\napp = Starlette()\n"
    plan = detect(write(tmp_path, main=text))
    assert (plan.framework, plan.decisions[0]) == ("starlette", 'Starlette app "app" found in main.py')


def test_the_command_names_what_was_not_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path, main="import cherrypy\ncherrypy.quickstart(A())\n")
    assert run(["endpoints", str(tmp_path)]) == 0
    said = capsys.readouterr().err
    assert "No endpoints could be read from the source" in said
    assert "not read: main.py:1: uses CherryPy" in said
    assert run(["endpoints", str(tmp_path), "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert (shown["complete"], len(shown["unread"])) == (False, 1)


def test_a_named_application_without_a_reader_is_not_complete(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path, main="from lib import make\napp = make()\n")
    (tmp_path / "preview.toml").write_text('[start]\napp = "main:app"\n')
    assert run(["endpoints", str(tmp_path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["unread"] == [
        "main.py: the routes of this application cannot be read from the source"
    ]
