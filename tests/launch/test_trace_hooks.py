"""The hooks in a program's libraries: they measure, and a program runs as without them."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from preview.runtime.launchers import LAUNCHERS

# Libraries of the form that the real ones have.
PYTHON_LIBRARIES = {
    "requests/__init__.py": "",
    "requests/sessions.py": "class Session:\n    def send(self, request, **named):\n        return request.answer\n",
    "redis/__init__.py": "",
    "redis/client.py": (
        "class Redis:\n    def execute_command(self, *words):\n        return words\n"
        "class Pipeline:\n    def execute(self):\n        return []\n"
    ),
    "psycopg/__init__.py": "",
    "psycopg/cursor.py": (
        "class Cursor:\n    def execute(self, query, params=None):\n"
        "        if 'bad' in query: raise ValueError('secret')\n        return self\n"
    ),
    "asyncpg/__init__.py": "",
    "asyncpg/connection.py": "class Connection:\n    async def fetch(self, query, *given):\n        return [query]\n",
    # Of an unexpected form.
    "httpx.py": "HTTPTransport = 5\n",
    "aiohttp/__init__.py": "",
    "aiohttp/client.py": "raise ImportError('broken')\n",
}
PYTHON = """
import asyncio, sys
sys.path.insert(0, sys.argv[1])
import preview_control
sent = []
tracer = preview_control.load_beside("preview_trace", "tracing").start(lambda message: sent.append(message) or True)
sys.path.insert(0, sys.argv[2])
import requests.sessions, redis.client, psycopg.cursor, asyncpg.connection, httpx
try:
    import aiohttp.client
except ImportError:
    pass
class Asked:
    method, url = "POST", "https://user:word@host/a?key=secret#x"
    class answer: status_code = 201
def work():
    assert requests.sessions.Session().send(Asked()) is Asked.answer
    assert redis.client.Redis().execute_command("SET", "key", "secret") == ("SET", "key", "secret")
    redis.client.Pipeline().execute()
    psycopg.cursor.Cursor().execute("select name from books where id = %s", ("secret",))
    try:
        psycopg.cursor.Cursor().execute("bad")
    except ValueError:
        pass
    assert asyncio.run(asyncpg.connection.Connection().fetch("select 1", "secret")) == ["select 1"]
work()
assert sent == []
active = tracer.begin("GET", "/books", "", "r1", "")
work()
active.end(200)
work()
assert tracer.begin("GET", "/", "", "x.check", "") is None
sys.stdout.buffer.write(b"".join(sent))
"""
NODE_LIBRARIES = {
    "node_modules/pg/package.json": '{"name": "pg", "main": "./lib/index.js"}',
    "node_modules/pg/lib/index.js": """
class Client {
  query(text, values, callback) {
    if (typeof callback === 'function') { setImmediate(() => callback(null, 'rows')); return undefined; }
    return text.includes('bad') ? Promise.reject(new Error('secret')) : Promise.resolve('rows');
  }
}
module.exports = { Client };
""",
    "node_modules/mysql2/package.json": '{"name": "mysql2", "main": "./index.js"}',
    # As the real one: the methods are inherited.
    "node_modules/mysql2/index.js": """
class Base { query() { return Promise.resolve('rows'); } }
class Connection extends Base {}
module.exports = { Connection };
""",
}
NODE = """
const trace = require(`${process.argv[2]}/tracing/trace.cjs`);
trace.watch();
const { EventEmitter } = require('events');
const assert = require('assert');
const lines = [];
trace.sendOver({ writableLength: 0, destroyed: false, write: (line) => lines.push(line) });
const { Client } = require('pg');
const client = new Client();
const { Connection } = require('mysql2');
const { query } = Connection.prototype;
// Other tools replace methods too.
Connection.prototype.query = function replaced(...given) { return query.apply(this, given); };
assert.equal(Connection.prototype.query.name, 'replaced');
async function work() {
  assert.equal(await client.query('select name from books where id = $1', ['secret']), 'rows');
  assert.equal(await new Promise((done) => client.query('select 2', [], (_, rows) => done(rows))), 'rows');
  await assert.rejects(client.query('bad'), /secret/);
  assert.equal(await new Connection().query('select "a" from "shop"."books"'), 'rows');
}
let unhandled = 0;
process.on('unhandledRejection', () => { unhandled += 1; });
const response = Object.assign(new EventEmitter(), { headersSent: true, statusCode: 200, writableFinished: true });
const request = { headers: { 'x-request-id': 'r1' }, method: 'GET', url: '/books?key=secret' };
(async () => {
  await work();
  assert.deepEqual(lines, []);
  await trace.run(request, response, async () => { await work(); client.query('bad'); });
  await new Promise((done) => setTimeout(done, 20));
  response.emit('close');
  // A rejection that the program forgets is still one.
  assert.equal(unhandled, 1);
  process.stdout.write(lines.join(''));
})();
"""


def run(folder: Path, files: dict[str, str], *command: str) -> list[list[Any]]:
    """Run a program beside these files; return the spans that it has reported."""
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert "secret" not in done.stdout
    return [json.loads(line.split(" ", 2)[2]) for line in done.stdout.splitlines()]


def test_libraries_of_python_are_measured_without_values_and_errors_go_on(tmp_path: Path) -> None:
    command = [sys.executable, "-c", PYTHON, str(LAUNCHERS), str(tmp_path)]
    spans = run(tmp_path, PYTHON_LIBRARIES, *command)
    assert [(kind, name, status, error) for kind, _, _, _, _, _, name, _, status, error, _ in spans] == [
        ("call", "POST host/a", 201, ""),
        ("cache", "SET", 0, ""),
        ("cache", "PIPELINE", 0, ""),
        ("sql", "SELECT books", 0, ""),
        ("sql", "BAD", 0, "ValueError"),
        ("sql", "SELECT", 0, ""),
        ("request", "GET /books", 200, ""),
    ]
    assert spans[0][7] == "https://host/a"


@pytest.mark.skipif(shutil.which("node") is None, reason="no Node")
def test_clients_of_node_are_measured_and_forgotten_rejections_stay_unhandled(tmp_path: Path) -> None:
    files = NODE_LIBRARIES | {"main.js": NODE}
    spans = run(tmp_path, files, "node", "main.js", str(LAUNCHERS))
    assert [(span[0], span[6], span[9]) for span in spans] == [
        ("sql", "SELECT books", ""),
        ("sql", "SELECT", ""),
        ("sql", "BAD", "Error"),
        ("sql", "SELECT books", ""),
        ("sql", "BAD", "Error"),
        ("request", "GET /books", ""),
    ]
