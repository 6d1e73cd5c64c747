"""WebSockets in the source: listed beside the endpoints, and never among them."""

from __future__ import annotations

from pathlib import Path

from preview.endpoints import extract

FASTAPI = """
from fastapi import APIRouter, FastAPI, WebSocket
from starlette.routing import WebSocketRoute

app = FastAPI()
room = APIRouter(prefix="/rooms")


@app.get("/health")
def health(): return {}


@app.websocket("/ws")
async def ws(socket: WebSocket): ...


@room.websocket("/{room_id:path}/chat")
async def chat_in_room(socket: WebSocket, room_id: str): ...


async def listed(socket): ...


app.include_router(room, prefix="/v1")
app.add_api_websocket_route("/added", listed)


@app.websocket(NAME)
async def unknown(socket): ...
"""
STARLETTE = """
from starlette.applications import Starlette
from starlette.routing import Mount, Route, WebSocketRoute


async def home(request): ...
async def feed(socket): ...


app = Starlette(routes=[Route("/", home), Mount("/live", routes=[WebSocketRoute("/feed", feed)])])
"""
QUART = """
from quart import Blueprint, Quart, websocket

app = Quart(__name__)
live = Blueprint("live", __name__, url_prefix="/live")


@app.get("/")
async def home(): return "x"


@app.websocket("/ws/<int:number>")
async def ws(number): ...


@live.websocket("/feed")
async def feed(): ...


app.register_blueprint(live)
"""
SOCKET_IO = """
import socketio
from fastapi import FastAPI

sio = socketio.AsyncServer(async_mode="asgi")
app = FastAPI()


@app.get("/x")
def x(): return 1


app.mount("/", socketio.ASGIApp(sio))
"""

Socket = tuple[str, str, int | None]


def found_in(folder: Path, text: str) -> tuple[list[str], list[Socket]]:
    (folder / "main.py").write_text(text)
    found = extract(folder)
    assert all(one.file == "main.py" for one in found.sockets)
    endpoints = [f"{one.method} {one.path}" for one in found.endpoints]
    return endpoints, [(one.path, one.protocol, one.line) for one in found.sockets]


def test_websockets_of_fastapi_are_listed_apart(tmp_path: Path) -> None:
    endpoints, sockets = found_in(tmp_path, FASTAPI)
    assert endpoints == ["GET /health"]
    assert [path for path, _, _ in sockets] == ["/ws", "/v1/rooms/{room_id}/chat", "/added"]
    assert sockets[0][2] == 14
    # The one whose path nobody knows is said.
    assert any("the path of a WebSocket" in one for one in extract(tmp_path).unread)


def test_websockets_of_starlette_and_quart_are_listed(tmp_path: Path) -> None:
    assert found_in(tmp_path, STARLETTE) == (["GET /"], [("/live/feed", "websocket", 7)])
    endpoints, sockets = found_in(tmp_path, QUART)
    assert endpoints == ["GET /"]
    assert [path for path, _, _ in sockets] == ["/ws/{number}", "/live/feed"]


def test_socket_io_is_named(tmp_path: Path) -> None:
    assert found_in(tmp_path, SOCKET_IO)[1] == [("/socket.io/", "socket.io", 2)]
    (tmp_path / "main.py").write_text("# import socketio\nfrom fastapi import FastAPI\napp = FastAPI()\n")
    assert extract(tmp_path).sockets == ()
