"""Projects as people write them, started as they are: servers on ports of their own, and scripts without a suffix."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest
from launch_kit import Rig, ask, story

from preview.core.isolation import Network
from preview.core.lifecycle import State
from preview.detection import detect

AIOHTTP = """
from aiohttp import web
async def home(request): return web.Response(text="aiohttp")
app = web.Application()
app.add_routes([web.get("/", home)])
if __name__ == "__main__":
    web.run_app(app)
"""
TORNADO = """
import asyncio
import tornado.web
from tornado.options import define, options, parse_command_line
define("port", default=8888, type=int)
class Home(tornado.web.RequestHandler):
    def get(self): self.write("tornado")
async def main():
    parse_command_line()
    tornado.web.Application([(r"/", Home)]).listen(options.port)
    await asyncio.Event().wait()
if __name__ == "__main__":
    asyncio.run(main())
"""
SANIC = """
from sanic import Sanic, text
app = Sanic("shop")
@app.get("/")
async def home(request): return text("sanic")
if __name__ == "__main__":
    app.run(host="0.0.0.0", port=8000, single_process=True)
"""
BOTTLE = """
from bottle import route, run
@route("/")
def home(): return "bottle"
run(host="localhost", port=8081)
"""
PLAIN = """
from http.server import BaseHTTPRequestHandler, HTTPServer
class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers(); self.wfile.write(b"plain")
HTTPServer(("", 8000), Handler).serve_forever()
"""
HTTP = "require('http').createServer((q, a) => a.end('script')).listen(3000);\n"
WWW = """#!/usr/bin/env node
const app = require('../app');
require('http').createServer(app).listen(process.env.PORT || '3000');
"""
EXPRESS = """
const app = require('express')();
app.get('/', (request, answer) => answer.send('express'));
module.exports = app;
"""
DJANGO_SETTINGS = """
import os
from pathlib import Path
BASE_DIR = Path(__file__).resolve().parent
SECRET_KEY, ROOT_URLCONF, ALLOWED_HOSTS, INSTALLED_APPS = "x" * 50, "urls", ["*"], []
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": BASE_DIR / "db.sqlite3"}}
if os.environ.get("GITHUB_WORKFLOW"):
    DATABASES = {"default": {"ENGINE": "django.db.backends.postgresql", "HOST": "127.0.0.1", "NAME": "ci"}}
"""
DJANGO = {
    "requirements.txt": "django\n",
    "manage.py": """
import os, sys
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "settings")
from django.core.management import execute_from_command_line
execute_from_command_line(sys.argv)
""",
    "settings.py": DJANGO_SETTINGS,
    "urls.py": """
from django.http import HttpResponse
from django.urls import path
urlpatterns = [path("", lambda request: HttpResponse("django"))]
""",
}
PACKAGE = json.dumps({"scripts": {"start": "node ./bin/www"}, "dependencies": {"express": "^4"}})


async def start(rig: Rig, folder: Path, files: Mapping[str, str], expected: str) -> list[str]:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    preview = await rig.start(files, detect(folder))
    if "main.py" in files and preview.confinement is not None and preview.confinement.network is Network.HOST:
        pytest.skip("no sandbox holds its network here")
    assert preview.record.state is State.RUNNING, (preview.record.reason, story(preview))
    assert (await ask(preview)).text == expected
    return story(preview)


@pytest.mark.parametrize(
    ("library", "text"),
    [("aiohttp", AIOHTTP), ("tornado", TORNADO), ("sanic", SANIC), ("bottle", BOTTLE), ("plain", PLAIN)],
)
async def test_a_server_on_a_port_of_its_own_starts(rig: Rig, tmp_path: Path, library: str, text: str) -> None:
    files = {"requirements.txt": "" if library == "plain" else f"{library}\n", "main.py": text}
    said = await start(rig, tmp_path, files, library)
    assert any("main.py does not read PORT and listens on" in line for line in said)


async def test_a_script_without_a_package_starts(rig: Rig, tmp_path: Path) -> None:
    await start(rig, tmp_path, {"index.js": HTTP}, "script")


async def test_an_express_project_with_bin_www_starts(rig: Rig, tmp_path: Path) -> None:
    await start(rig, tmp_path, {"package.json": PACKAGE, "app.js": EXPRESS, "bin/www": WWW}, "express")


async def test_a_django_project_with_another_database_in_ci_starts(rig: Rig, tmp_path: Path) -> None:
    said = await start(rig, tmp_path, DJANGO, "django")
    assert not [line for line in said if "PostgreSQL" in line]


CHILD = """
const { spawn } = require('child_process');
spawn(process.execPath, ['serve.js'], { stdio: 'inherit' });
"""


@pytest.mark.parametrize("port", ["3000", "process.env.PORT"])
async def test_a_node_server_in_a_child_process_is_found(rig: Rig, tmp_path: Path, port: str) -> None:
    package = json.dumps({"scripts": {"start": "node start.js"}})
    files = {"package.json": package, "start.js": CHILD, "serve.js": HTTP.replace("3000", port)}
    await start(rig, tmp_path, files, "script")
