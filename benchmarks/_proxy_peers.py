"""Programs that carry requests to a server, each a process of its own, and that server for what is long."""

from __future__ import annotations

__all__ = ["BARE_RELAY", "QUART", "SERVICE", "SINK"]

# The service as it is, with relay and access gate. Two previews run, and in each one's place answers a server that is
# the same for all peers. A browser's cookie lets in. argv: the servers' ports, and whether it relays.
SERVICE = """
import json, sys
from dataclasses import replace
import trio
from _service import CHILD, LightRuntime, Programs, launch, open_bench
from functools import partial
from preview.http import create_app, serve
async def main():
    ports, relays = [int(one) for one in sys.argv[1:3]], sys.argv[3] == "relay"
    source = Programs()
    source.programs = {name: CHILD.format(extra="") for name in ("a", "b")}
    opened = open_bench(source, LightRuntime(), relay=relays, capture=sys.argv[4])
    async with opened as service, trio.open_nursery() as nursery:
        app, over = create_app(service.settings, service=service), trio.Event()
        urls = await nursery.start(
            partial(serve, service.settings, service=service, app=app, bind="127.0.0.1:0", shutdown_trigger=over.wait))
        port, said = int(urls[0].rpartition(":")[2]), []
        for name, upstream in zip("ab", ports, strict=True):
            preview = await launch(service, name)
            preview.record = replace(preview.record, port=upstream)
            host = preview.id.replace("_", "-") + f".localhost:{port}"
            cookie, _ = app.backend.access.owner_cookie(preview.id, 3600)
            said.append([host, f"preview_access={cookie}"])
        print(json.dumps([port, said]), flush=True)
        await trio.sleep_forever()
trio.run(main)
"""

# The same relay, with an access gate that admits everybody. argv: own port, the server's.
BARE_RELAY = """
import sys
from contextlib import nullcontext
import trio
from hypercorn.config import Config
from preview.http.relay import open_relay
from preview.http.server import serve_app
from preview.proxy.admission import Admitted, OwnAnswer
from preview.settings import load_settings
port, upstream = int(sys.argv[1]), int(sys.argv[2])
class Door:
    def is_for_preview(self, host, target): return True
    async def authorize(self, head):
        return self.again(head.target)._replace(again=self.again)
    def again(self, target):
        return Admitted("preview_x", ("127.0.0.1", upstream), 1, 0, "", nullcontext)
    async def explain(self, head, admitted, error): return self.refuse(head, error)
    def refuse(self, head, error): return OwnAnswer(502, [], str(error).encode())
async def app(scope, receive, send):
    for phase in ("startup", "shutdown"):
        await receive()
        await send({"type": f"lifespan.{phase}.complete"})
async def main():
    config = Config.from_mapping({"bind": [f"127.0.0.1:{port}"], "errorlog": None})
    async with open_relay(Door(), load_settings()) as relay:
        await serve_app(app, config, shutdown_trigger=trio.sleep_forever, relay=relay)
trio.run(main)
"""

# As one would write it by the frameworks' documents: a route for all, an HTTP client, both contents streamed.
# argv: own port, the server's.
QUART = """
import sys
import httpx2, trio
from hypercorn.config import Config
from hypercorn.trio import serve
from quart import Response, request
from quart_trio import QuartTrio
app = QuartTrio(__name__)
app.config["MAX_CONTENT_LENGTH"] = None
app.config["BODY_TIMEOUT"] = app.config["RESPONSE_TIMEOUT"] = None
hop = {"connection", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade", "host"}
@app.route("/", defaults={"path": ""}, methods=["GET", "POST"])
@app.route("/<path:path>", methods=["GET", "POST"])
async def carry(path):
    fields = [(name, value) for name, value in request.headers.items() if name.lower() not in hop]
    content = request.body if request.method == "POST" else None
    url = f"http://127.0.0.1:{sys.argv[2]}/{path}"
    ask = client.build_request(request.method, url, headers=fields, content=content)
    answer = await client.send(ask, stream=True)
    async def pieces():
        try:
            async for piece in answer.aiter_raw():
                yield piece
        finally:
            await answer.aclose()
    said = [(name, value) for name, value in answer.headers.items() if name.lower() not in hop]
    return Response(pieces(), answer.status_code, dict(said))
async def main():
    global client
    async with httpx2.AsyncClient(trust_env=False, timeout=60, limits=httpx2.Limits(max_connections=64)) as client:
        await serve(app, Config.from_mapping({"bind": [f"127.0.0.1:{sys.argv[1]}"], "errorlog": None}))
trio.run(main)
"""

# GET gives so many bytes, POST takes them; elsewhere there is nothing (the service asks after health).
# argv: own port, bytes.
SINK = """
import socket, sys, threading
size, block = int(sys.argv[2]), bytes(256 * 1024)
def serve(sock):
    try:
        answer(sock)
    except OSError:
        pass
    sock.close()
def answer(sock):
    buffer = memoryview(bytearray(256 * 1024))
    head = b""
    while b"\\r\\n\\r\\n" not in head:
        more = sock.recv(65536)
        if not more:
            return
        head += more
    if b" /long " not in head:
        sock.sendall(b"HTTP/1.1 200 OK\\r\\nContent-Length: 0\\r\\nConnection: close\\r\\n\\r\\n")
    elif head.startswith(b"GET"):
        sock.sendall(b"HTTP/1.1 200 OK\\r\\nContent-Length: %d\\r\\n\\r\\n" % size)
        for _ in range(size // len(block)):
            sock.sendall(block)
    else:
        chunked = b"chunked" in head.lower()
        taken, tail = len(head.partition(b"\\r\\n\\r\\n")[2]), b""
        while (not tail.endswith(b"\\r\\n0\\r\\n\\r\\n")) if chunked else taken < size:
            more = sock.recv_into(buffer)
            if not more:
                return
            taken, tail = taken + more, (tail + bytes(buffer[max(0, more - 7):more]))[-7:]
        sock.sendall(b"HTTP/1.1 200 OK\\r\\nContent-Length: 4\\r\\nConnection: close\\r\\n\\r\\ndone")
with socket.create_server(("127.0.0.1", int(sys.argv[1]))) as listener:
    while True:
        threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()
"""
