"""Outgoing requests of a traced request have a ``traceparent``, with the id of their own span; programs see nothing."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import uv

from preview.runtime.launchers import LAUNCHERS

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
OWN = "00-11111111111111111111111111111111-2222222222222222-01"
PYTHON = """
import asyncio, sys, threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
sys.path.insert(0, sys.argv[1])
import preview_control
sent, heard = [], {}
tracer = preview_control.load_beside("preview_trace", "tracing").start(lambda message: sent.append(message) or True)
import httpx, requests, urllib.request
class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.rfile.read(int(self.headers.get("content-length", 0)))
        assert self.path not in heard, self.path
        heard[self.path] = self.headers.get("traceparent", "")
        self.send_response(302 if "from" in self.path else 200)
        self.send_header("location", self.path.replace("from", "to"))
        self.end_headers()
    do_POST = do_GET
    def log_message(self, *_): pass
server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
def at(path): return f"http://127.0.0.1:{server.server_port}/{path}"
own = {"traceparent": sys.argv[3]}
def work(mark):
    httpx.get(at(f"httpx-{mark}"))
    httpx.get(at(f"own-httpx-{mark}"), headers=own)
    async def later():
        async with httpx.AsyncClient() as client:
            asked = client.build_request("GET", at(f"async-{mark}"))
            await client.send(asked)
            assert "traceparent" not in asked.headers
    asyncio.run(later())
    requests.get(at(f"requests-from-{mark}"))
    requests.get(at(f"own-requests-{mark}"), headers=own)
    asked = requests.Request("GET", at(f"prepared-{mark}")).prepare()
    requests.Session().send(asked)
    assert "traceparent" not in asked.headers
    urllib.request.urlopen(at(f"urllib-from-{mark}"))
    opener = urllib.request.build_opener()
    opener.open(fullurl=at(f"named-{mark}"))
    opener.open(at(f"data-{mark}"), b"a=1", 5)
    asked = urllib.request.Request(at(f"request-{mark}"))
    opener.open(asked, timeout=5)
    assert not asked.has_header("Traceparent")
    opener.open(urllib.request.Request(at(f"own-urllib-{mark}"), headers=own))
    for wrong in ("nothing", 5):
        try:
            opener.open(wrong)
        except (ValueError, AttributeError):
            continue
        raise SystemExit("no error")
work("before")
active = tracer.begin("GET", "/books", sys.argv[2], "r1", "")
work("in")
active.end(200)
work("after")
import json
spans = [json.loads(line.split(b" ", 2)[2]) for line in b"".join(sent).splitlines()]
print(json.dumps([heard, spans]))
"""
AIOHTTP = (
    PYTHON.partition("import httpx")[0]
    + """
import aiohttp
"""
    + PYTHON[PYTHON.index("class Handler") : PYTHON.index("def work(")]
    + """
async def ask(mark):
    async with aiohttp.ClientSession() as session:
        for path in (f"get-from-{mark}", f"second-{mark}"):
            async with session.get(at(path)) as response:
                assert response.status == 200
        for path, given in ((f"fields-{mark}", {"X-A": "1"}), (f"pairs-{mark}", [("X-A", "1"), ("X-A", "2")])):
            before = repr(given)
            async with session.post(at(path), headers=given, data=b"a=1"):
                assert repr(given) == before
        for given in (own, {"TraceParent": own["traceparent"]}, list(own.items())):
            async with session.get(at(f"own-{len(heard)}-{mark}"), headers=given):
                pass
    async with aiohttp.ClientSession(at(""), headers=own) as session, session.get(f"own-session-{mark}"):
        pass
def work(mark): asyncio.run(ask(mark))
"""
    + PYTHON[PYTHON.index('work("before")') :]
)
NODE = """
const trace = require(`${process.argv[2]}/tracing/trace.cjs`);
trace.watch();
const http = require('http');
const { EventEmitter } = require('events');
const lines = [];
const heard = {};
trace.sendOver({ writableLength: 0, destroyed: false, write: (line) => lines.push(line) });
const server = http.createServer((request, response) => {
  heard[request.url.slice(1)] = request.headers.traceparent || '';
  response.end('ok');
});
const own = { traceparent: process.argv[4] };
function get(path, options = {}) {
  return new Promise((done, failed) => {
    http.get({ port: server.address().port, path, agent: false, ...options }, (response) => {
      response.resume();
      response.on('end', done);
    }).on('error', failed);
  });
}
async function work(mark) {
  const address = `http://127.0.0.1:${server.address().port}`;
  await get(`/http-${mark}`);
  await get(`/own-http-${mark}`, { headers: own });
  // The headers of such a request are written at once.
  await get(`/own-raw-${mark}`, { headers: ['Host', 'a', 'traceparent', own.traceparent] });
  await (await fetch(`${address}/fetch-${mark}`)).text();
  await (await fetch(`${address}/own-fetch-${mark}`, { headers: own })).text();
}
const response = Object.assign(new EventEmitter(), { headersSent: true, statusCode: 200, writableFinished: true });
const request = { headers: { traceparent: process.argv[3] }, method: 'GET', url: '/books' };
server.listen(0, async () => {
  await work('before');
  await trace.run(request, response, () => work('in'));
  response.emit('close');
  await work('after');
  server.close();
  const spans = lines.map((line) => JSON.parse(line.split(' ').slice(2).join(' ')));
  process.stdout.write(JSON.stringify([heard, spans]));
});
"""


def run(*command: str) -> tuple[dict[str, str], list[list[Any]]]:
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    heard, spans = json.loads(done.stdout)
    return heard, spans


def check(heard: dict[str, str], spans: list[list[Any]]) -> None:
    """Each request in the traced one had the id of a span; one of the program's own has kept it."""
    calls = {span[7].rpartition("/")[2]: (span[1], span[2]) for span in spans if span[0] == "call"}
    for path, field in heard.items():
        if "own-" in path:
            assert field == OWN, path
        elif not path.endswith("-in"):
            assert not field, path
        elif "-to-" in path:
            # The way back to the first request's span.
            assert field == heard[path.replace("-to-", "-from-")], path
        else:
            assert field == "00-{}-{}-01".format(*calls[path]), path
    assert {span[1] for span in spans} == {PARENT[3:35]}
    assert len({span[2] for span in spans}) == len(spans)


def test_requests_of_python_carry_the_id_of_their_span(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(PYTHON)
    heard, spans = run(sys.executable, str(program), str(LAUNCHERS), PARENT, OWN)
    heard = {path[1:]: field for path, field in heard.items()}
    check(heard, spans)
    assert sum(path.endswith("-in") for path in heard) == 13
    assert "POST 127.0.0.1" in {span[6].partition(":")[0] for span in spans}


def test_requests_of_aiohttp_carry_the_id_of_their_span(tmp_path: Path) -> None:
    words = [uv.find_uv_bin(), "pip", "install", "-q", "--python", sys.executable, "--target", str(tmp_path), "aiohttp"]
    subprocess.run(words, check=True, capture_output=True)
    program = tmp_path / "program.py"
    program.write_text(AIOHTTP)
    heard, spans = run(sys.executable, str(program), str(LAUNCHERS), PARENT, OWN)
    heard = {path[1:]: field for path, field in heard.items()}
    check(heard, spans)
    assert sum(path.endswith("-in") for path in heard) == 9


@pytest.mark.skipif(shutil.which("node") is None, reason="no Node")
def test_requests_of_node_carry_the_id_of_their_span(tmp_path: Path) -> None:
    program = tmp_path / "program.js"
    program.write_text(NODE)
    heard, spans = run("node", str(program), str(LAUNCHERS), PARENT, OWN)
    check(heard, spans)
    assert sum(path.endswith("-in") for path in heard) == 5
