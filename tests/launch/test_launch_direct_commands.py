"""Requests at the own port of a start command are reported by its Python web servers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

import pytest
import trio
from direct_kit import Heard, get, trace_of
from launch_kit import Rig, command, open_rig, story

from preview.core.ids import REQUEST_MARK
from preview.core.lifecycle import State
from preview.detection import StartPlan
from preview.settings import Settings

ASGI = """
async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive(); await send({"type": "lifespan.startup.complete"}); await receive(); return
    print("handled", scope["path"])
    await send({"type": "http.response.start", "status": 404 if scope["path"] == "/none" else 200, "headers": []})
    await send({"type": "http.response.body", "body": b"ok"})
"""
WSGI = """
import os
def app(environ, start_response):
    print("handled", environ["PATH_INFO"])
    start_response("404 Not Found" if environ["PATH_INFO"] == "/none" else "200 OK", [("Content-Type", "text/plain")])
    return [b"ok"] if environ["PATH_INFO"] == "/none" else iter([b"o", b"k"])
PORT = int(os.environ["PORT"])
"""
FILES = {
    "requirements.txt": "flask\nwaitress\ngunicorn\nuvicorn\nhypercorn\ndaphne\naiohttp\ntornado\nsanic\n",
    "web.py": ASGI,
    "wsgi.py": WSGI,
    "flaskapp.py": WSGI.replace("def app", "def answer") + "from flask import Flask\napp = Flask(__name__)\n"
    "app.wsgi_app = answer\nif __name__ == '__main__': app.run(port=PORT, debug=True)\n",
    "serve.py": "from wsgi import *\nfrom wsgiref.simple_server import make_server\n"
    "if __name__ == '__main__': make_server('127.0.0.1', PORT, app).serve_forever()\n",
    "run.py": "from web import *\nimport os, uvicorn\n"
    "if __name__ == '__main__': uvicorn.run(app, port=int(os.environ['PORT']))\n",
    "waits.py": "from wsgi import *\nimport waitress\nif __name__ == '__main__': waitress.serve(app, port=PORT)\n",
    "aio.py": """
import os
from aiohttp import web
async def home(request): print("handled", request.path); return web.Response(text="ok")
app = web.Application()
app.add_routes([web.get("/", home)])
@web.middleware
async def tell(request, handler): print("handled", request.path); return await handler(request)
app.middlewares.append(tell)
web.run_app(app, port=int(os.environ["PORT"]))
""",
    "torn.py": """
import asyncio, os, tornado.web
class Home(tornado.web.RequestHandler):
    def get(self, path):
        print("handled", self.request.path); self.set_status(404 if path else 200); self.write("ok")
async def main():
    tornado.web.Application([(r"/(.*)", Home)]).listen(int(os.environ["PORT"]))
    await asyncio.Event().wait()
asyncio.run(main())
""",
    "plain.py": """
import os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        path = self.path.partition("?")[0]
        print("handled", path)
        self.send_response(404 if path == "/none" else 200); self.send_header("Content-Length", "2"); self.end_headers()
        self.wfile.write(b"ok")
ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
""",
    "san.py": """
import os
from sanic import Sanic, text
app = Sanic("shop")
@app.get("/<path:path>")
async def home(request, path): print("handled", request.path); return text("ok", 404 if path else 200)
if __name__ == "__main__": app.run(port=int(os.environ["PORT"]), single_process=True)
""",
    # Its modules have the names of ours, and its own customisation counts on.
    "preview_channel.py": "raise SystemExit('not this one')\n",
    "sitecustomize.py": "import os\nos.environ['CUSTOM'] = 'yes'\n",
}
COMMANDS: dict[str, StartPlan] = {
    "uvicorn": command("uvicorn", "web:app", "--port", "$PORT"),
    "uvicorn workers": command("uvicorn", "web:app", "--port", "$PORT", "--workers", "2"),
    "gunicorn": command("gunicorn", "wsgi:app", "--bind", "127.0.0.1:$PORT", "--workers", "2"),
    "hypercorn": command("hypercorn", "web:app", "--bind", "127.0.0.1:$PORT"),
    "daphne": command("daphne", "-p", "$PORT", "web:app"),
    "flask run": command("flask", "--app", "flaskapp", "run", "--port", "$PORT"),
    "app.run with reloader": command("python", "flaskapp.py"),
    "waitress": command("python", "waits.py"),
    "aiohttp": command("python", "aio.py"),
    "tornado": command("python", "torn.py"),
    "sanic": command("python", "san.py"),
    "http.server": command("python", "plain.py"),
    "wsgiref": command("python", "serve.py"),
    "uvicorn.run": command("python", "run.py"),
}


@pytest.fixture
async def rig(
    make_settings_in: Callable[..., Settings], launch_cache_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Rig]:
    settings = make_settings_in(cache_dir=launch_cache_dir, stop_grace_s=2, warm_templates=0, capture="meta")
    with trio.fail_after(150):
        async with open_rig(settings, monkeypatch) as opened:
            yield opened


# Each kind of worker process and of hook; the others are of the same hooks.
QUICK = ("uvicorn workers", "gunicorn", "aiohttp", "http.server")


@pytest.mark.long
@pytest.mark.parametrize(
    "kind", [one if one in QUICK else pytest.param(one, marks=pytest.mark.long) for one in COMMANDS]
)
async def test_a_start_commands_server_reports_each_request_at_the_own_port_once(rig: Rig, kind: str) -> None:
    preview = await rig.start(FILES, replace(COMMANDS[kind], trace=True))
    assert preview.record.state is State.RUNNING, story(preview)
    heard = Heard()
    preview.traffic.listeners.append(heard.take)
    # The order to report reaches each process in its own time.
    while not heard.drafts:
        assert await get(preview, "/", x_request_id="mine") == 200
    assert await get(preview, "/", x_request_id=REQUEST_MARK + "00") == 200
    assert await get(preview, "/none?q=1%202") == 404
    while (b"/none?q=1%202", 404) not in {(one.target, one.status) for one in heard.drafts}:
        await heard.came.wait()
    assert {one.origin.value for one in heard.drafts} == {"direct"}
    assert {one.request_id for one in heard.drafts if one.target == b"/"} == {b"mine"}
    last = heard.drafts[-1]
    assert heard.drafts.count(last) == 1
    assert last.request_id.startswith(b"direct-")
    name = last.request_id.decode()
    await preview.log.read_on()
    assert "handled /none" in [line.message for line in preview.log.last_lines(100) if line.request_id == name]
    if kind in {"uvicorn workers", "gunicorn"}:
        # Spans of workers come over the same channel.
        await trace_of(preview, "mine")
