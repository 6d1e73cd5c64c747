"""The tools and resources that a repair does not need, through the SDK's own client; and the bounds of a call."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import trio
from agents_kit import BROKEN, START, Agent, agent_over_http, fact
from http_kit import open_world
from test_http_agents import token_of

from preview.http.streams import agent_calls

# Publishes a document, keeps its data in SQLite, and fails for one book.
_SERVER = """
import json, os, sqlite3, traceback
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

ITEM = {"parameters": [{"name": "n", "in": "path", "required": True, "schema": {"type": "integer"}}],
        "responses": {"200": {"description": "A share of it."}}}
LIST = {"responses": {"200": {"description": "All."}}}
DOCUMENT = {"openapi": "3.1.0", "info": {"title": "t", "version": "1"},
            "paths": {"/share/{n}": {"get": ITEM}, "/books": {"get": LIST, "post": {"responses": LIST["responses"]}}}}


def rows(statement, *values):
    with sqlite3.connect("books.db") as database:
        database.execute("CREATE TABLE IF NOT EXISTS books (title TEXT)")
        return database.execute(statement, values).fetchall()


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        status, value = 200, {}
        try:
            if self.path == "/openapi.json":
                value = DOCUMENT
            elif self.path.startswith("/share/"):
                value = {"share": 1 / int(self.path[7:])}
            elif self.path == "/books":
                value = [title for title, in rows("SELECT title FROM books")]
        except Exception:
            traceback.print_exc()
            status = 500
        self.answer(status, value)

    def do_POST(self):
        title = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["title"]
        rows("INSERT INTO books VALUES (?)", title)
        print("added", title, flush=True)
        self.answer(201, {})

    def answer(self, status, value):
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


rows("SELECT 1")
ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
"""
FILES = {"main.py": _SERVER, "preview.toml": START}


async def test_every_other_tool_and_resource_answers(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world, agent_over_http(world.url, await token_of(world, "launch")) as agent:
        here = {"generation_id": fact(await agent.use("launch", files=FILES, wait_s=0), "generation_id")}
        assert fact(await agent.use("wait", **here, seconds=60), "status") == "running"
        await _data(agent, here)
        listed = await agent.use("endpoints", **here)
        assert "GET /share/{n} parameters: n" in listed
        assert "POST /books" in listed
        found = await agent.use("probe", **here, seconds=3, endpoints=["GET /share/{n}"])
        assert fact(found, "state") == "done", found
        assert "/share/0" in found
        failed = await agent.use("request", **here, path="/share/0")
        assert "`failures` has the cause" in failed
        assert "Give two versions" in await agent.refused("compare", **here)
        same = await agent.use("reload", **here, files={"preview.toml": START})
        assert "nothing was done" in same
        log, failures = [await _read(agent, here, name) for name in ("log", "failures")]
        assert "added Dune" in log
        assert "ZeroDivisionError" in failures
        assert "is not a generation's id" in await _read(agent, {"generation_id": "x y"}, "log")


async def _data(agent: Agent, here: dict[str, str]) -> None:
    await agent.use("request", **here, method="POST", path="/books", body={"title": "Dune"})
    saved = fact(await agent.use("snapshot", **here, name="one book"), "snapshot")
    await agent.use("request", **here, method="POST", path="/books", body={"title": "Emma"})
    read = "SELECT title FROM books ORDER BY title"
    counted = await agent.use("sql", **here, statement=read)
    assert fact(counted, "rows") == "2"
    assert '["Dune"]\n["Emma"]' in counted
    assert "rows" not in await agent.refused("sql", **here, statement="DELETE FROM books")
    snapshots = await agent.use("snapshots", **here)
    assert saved in snapshots
    assert "one book" in snapshots
    undo = await agent.use("restore", **here, snapshot=saved)
    assert fact(await agent.use("sql", **here, statement=read), "rows") == "1"
    before = undo.partition("`restore` with ")[2].partition(" ")[0]
    await agent.use("restore", **here, snapshot=before)
    assert fact(await agent.use("sql", **here, statement=read), "rows") == "2"


async def _read(agent: Agent, here: dict[str, str], name: str) -> str:
    try:
        found = await agent.client.read_resource(f"preview://{here['generation_id']}/{name}")
    except Exception as error:  # noqa: BLE001  the SDK's own classes
        return str(error)
    return getattr(found.contents[0], "text", "")


async def test_a_call_ends_when_its_time_is_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with open_world(tmp_path) as world:
        token = await token_of(world, "launch")
        async with agent_over_http(world.url, token) as agent:
            launched = await agent.use("launch", files={"main.py": BROKEN, "preview.toml": START}, wait_s=60)
        monkeypatch.setattr(agent_calls, "MOST_S", 0.5)
        arguments = {"generation_id": fact(launched, "generation_id"), "path": "/slow"}
        call = {"name": "request", "arguments": arguments}
        body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": call}
        with trio.fail_after(30):
            answer = await world.client.post("/mcp", json=body, headers=_headers(token))
        assert (answer.status_code, answer.json()["code"]) == (504, "upstream_timeout")
        assert "ask for less" in answer.json()["detail"]


async def test_a_slow_body_is_given_up_and_holds_no_call(tmp_path: Path) -> None:
    async with open_world(tmp_path, body_timeout_s=0.5) as world:
        token = await token_of(world, "launch")
        port = int(world.url.rpartition(":")[2])
        fields = _headers(token) | {"Host": "localhost", "Content-Length": "1000"}
        head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())

        async def drip() -> None:
            async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
                await stream.send_all(f"POST /mcp HTTP/1.1\r\n{head}\r\n{{".encode())
                with trio.fail_after(30):
                    assert b" 408 " in await stream.receive_some(1000)

        async with trio.open_nursery() as nursery:
            for _ in range(agent_calls.MOST_CALLS):
                nursery.start_soon(drip)
        asked = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {}}
        answer = await world.client.post("/mcp", content=json.dumps(asked).encode(), headers=_headers(token))
        assert answer.status_code == 200


def _headers(token: str) -> dict[str, str]:
    return {
        "Accept": "application/json, text/event-stream",
        "Content-Type": "application/json",
        "Authorization": f"Bearer {token}",
    }
