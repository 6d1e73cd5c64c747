"""One application in four frameworks, for ``round_trips.py``: the same routes, the same answers.

``/`` is small, ``/large`` has 64 KiB, ``/streamed`` the same in eight pieces, ``POST /echo`` says its content again,
``/ticks`` sends the time each 10 ms as an event (CLOCK_MONOTONIC in ns, one clock for the machine), and ``/ws`` echoes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

__all__ = ["PROJECTS", "Project"]

_FASTAPI = """
import asyncio, time
from fastapi import FastAPI, Request, Response, WebSocket, WebSocketDisconnect
from fastapi.responses import StreamingResponse
app = FastAPI()
@app.get("/")
async def small(): return {"message": "hello"}
@app.get("/large")
async def large(): return Response(b"x" * 65536, media_type="text/plain")
@app.get("/streamed")
async def streamed():
    async def pieces():
        for _ in range(8): yield b"x" * 8192
    return StreamingResponse(pieces(), media_type="text/plain")
@app.post("/echo")
async def echo(request: Request): return Response(await request.body(), media_type="text/plain")
@app.get("/ticks")
async def ticks():
    async def events():
        while True:
            yield f"data: {time.monotonic_ns()}\\n\\n"
            await asyncio.sleep(0.01)
    return StreamingResponse(events(), media_type="text/event-stream")
@app.websocket("/ws")
async def socket(one: WebSocket):
    await one.accept()
    try:
        while True: await one.send_text(await one.receive_text())
    except WebSocketDisconnect: pass
"""
_FLASK = """
import time
from flask import Flask, Response, request
app = Flask(__name__)
@app.get("/")
def small(): return {"message": "hello"}
@app.get("/large")
def large(): return Response(b"x" * 65536, mimetype="text/plain")
@app.get("/streamed")
def streamed(): return Response((b"x" * 8192 for _ in range(8)), mimetype="text/plain")
@app.post("/echo")
def echo(): return Response(request.get_data(), mimetype="text/plain")
@app.get("/ticks")
def ticks():
    def events():
        while True:
            yield f"data: {time.monotonic_ns()}\\n\\n"
            time.sleep(0.01)
    return Response(events(), mimetype="text/event-stream")
"""
_DJANGO_URLS = """
import time
from django.http import HttpResponse, JsonResponse, StreamingHttpResponse
from django.urls import path
def small(request): return JsonResponse({"message": "hello"})
def large(request): return HttpResponse(b"x" * 65536, content_type="text/plain")
def streamed(request): return StreamingHttpResponse((b"x" * 8192 for _ in range(8)), content_type="text/plain")
def echo(request): return HttpResponse(request.body, content_type="text/plain")
def ticks(request):
    def events():
        while True:
            yield f"data: {time.monotonic_ns()}\\n\\n"
            time.sleep(0.01)
    return StreamingHttpResponse(events(), content_type="text/event-stream")
urlpatterns = [path("", small), path("large", large), path("streamed", streamed), path("echo", echo),
               path("ticks", ticks)]
"""
_DJANGO_SETTINGS = """
SECRET_KEY, DEBUG, ROOT_URLCONF, ALLOWED_HOSTS, INSTALLED_APPS = "x" * 50, False, "shop.urls", ["*"], []
MIDDLEWARE = ["django.middleware.common.CommonMiddleware"]
WSGI_APPLICATION = "shop.wsgi.application"
"""
_DJANGO_MANAGE = """
import os, sys
from django.core.management import execute_from_command_line
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "shop.settings")
execute_from_command_line(sys.argv)
"""
_DJANGO_WSGI = """
import os
from django.core.wsgi import get_wsgi_application
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "shop.settings")
application = get_wsgi_application()
"""
_EXPRESS = """
const express = require('express');
const { WebSocketServer } = require('ws');
const app = express();
const block = Buffer.alloc(8192, 'x');
app.get('/', (request, response) => response.json({ message: 'hello' }));
app.get('/large', (request, response) => response.type('text/plain').send(Buffer.alloc(65536, 'x')));
app.get('/streamed', (request, response) => {
  response.type('text/plain');
  for (let i = 0; i < 8; i++) response.write(block);
  response.end();
});
app.post('/echo', express.raw({ type: '*/*' }), (request, response) => response.type('text/plain').send(request.body));
app.get('/ticks', (request, response) => {
  response.type('text/event-stream');
  const timer = setInterval(() => response.write(`data: ${process.hrtime.bigint()}\\n\\n`), 10);
  response.on('close', () => clearInterval(timer));
});
const server = app.listen(process.env.PORT || 3000);
new WebSocketServer({ server, path: '/ws' }).on('connection', (one) => {
  one.on('message', (data, binary) => one.send(data, { binary }));
});
"""
# As preview's own launcher has it.
_WAITRESS = ("-m", "waitress", "--threads", "16", "--listen", "127.0.0.1:{port}")


@dataclass(frozen=True)
class Project:
    """One application.

    Attributes:
        files: Its files.
        argv: Starts it by hand with the server that the preview has; ``{program}`` is the environment's, ``{port}``
            where to listen.
        needs: What the environment's Python can import; empty for Node.
        has_web_socket: Whether it has ``/ws``.
    """

    files: Mapping[str, str]
    argv: tuple[str, ...]
    needs: str
    has_web_socket: bool

    def write(self, folder: Path) -> None:
        for name, text in self.files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text)


PROJECTS: Mapping[str, Project] = {
    "FastAPI": Project(
        {"main.py": _FASTAPI, "requirements.txt": "fastapi\nwebsockets\n"},
        ("{program}", "-m", "uvicorn", "main:app", "--port", "{port}"),
        "fastapi, uvicorn, websockets",
        has_web_socket=True,
    ),
    "Flask": Project(
        {"main.py": _FLASK, "requirements.txt": "flask\n"},
        ("{program}", *_WAITRESS, "main:app"),
        "flask, waitress",
        has_web_socket=False,
    ),
    "Django": Project(
        {
            "manage.py": _DJANGO_MANAGE,
            "shop/__init__.py": "",
            "shop/settings.py": _DJANGO_SETTINGS,
            "shop/urls.py": _DJANGO_URLS,
            "shop/wsgi.py": _DJANGO_WSGI,
            "requirements.txt": "django\n",
        },
        ("{program}", *_WAITRESS, "shop.wsgi:application"),
        "django, waitress",
        has_web_socket=False,
    ),
    "Express": Project(
        {
            "server.js": _EXPRESS,
            "package.json": '{"name": "bench", "main": "server.js",'
            ' "dependencies": {"express": "^5.1.0", "ws": "^8.18.0"}}',
        },
        ("node", "server.js"),
        "",
        has_web_socket=True,
    ),
}
