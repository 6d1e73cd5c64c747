"""A WebSocket to a preview stays open over a pause of its node, through that node and through another one."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
import trio
from cluster_kit import World, open_nodes, until
from fault_client import Client, open_raw
from fault_postgres import Postgres
from trio_websocket import WebSocketConnection, wrap_client_stream

# Counts to each client, and answers with its pid.
MAIN_PY = """
import base64, hashlib, os, socketserver, struct, threading, time

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


class Handler(socketserver.StreamRequestHandler):
    def handle(self):
        head = b""
        while not head.endswith(b"\\r\\n\\r\\n"):
            head += self.rfile.readline() or b"\\r\\n\\r\\n"
        pairs = [line.partition(b": ") for line in head.split(b"\\r\\n")]
        fields = {name.lower(): value for name, _, value in pairs}
        if fields.get(b"upgrade", b"").lower() != b"websocket":
            self.wfile.write(b"HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\nConnection: close\\r\\n\\r\\nok")
            return
        accept = base64.b64encode(hashlib.sha1(fields[b"sec-websocket-key"] + GUID).digest())
        self.wfile.write(
            b"HTTP/1.1 101 Switching Protocols\\r\\nUpgrade: websocket\\r\\nConnection: Upgrade\\r\\n"
            b"Sec-WebSocket-Accept: " + accept + b"\\r\\n\\r\\n"
        )
        number = 0
        while True:
            text = f"{os.getpid()} {number}".encode()
            self.wfile.write(struct.pack("BB", 0x81, len(text)) + text)
            number += 1
            time.sleep(0.02)


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = daemon_threads = True


Server(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
"""
FILES = {
    "main.py": MAIN_PY,
    "preview.toml": '[start]\ncommand = "python main.py"\nhealth = "/"\n',
    "requirements.txt": "",
}


class Counted:
    """What one client got."""

    def __init__(self, world: World, node: str, preview_id: str) -> None:
        self._service, self._preview_id = world.nodes[node], preview_id
        self.texts: list[str] = []

    async def run(self) -> None:
        """Read until cancelled, or until the connection ends, which fails the test."""
        host = f"{self._preview_id.replace('_', '-')}.localhost:{self._service.address[1]}"
        token = Client(self._service).headers["Authorization"].encode()
        async with open_raw(self._service) as stream, trio.open_nursery() as nursery:
            socket: WebSocketConnection = await wrap_client_stream(
                nursery, stream, host, "/", extra_headers=[(b"authorization", token)]
            )
            while True:
                self.texts.append(str(await socket.get_message()))


@pytest.mark.long
async def test_a_websocket_stays_open_over_a_pause(tmp_path: Path, cache: Path, server: Postgres) -> None:
    async with (
        open_nodes(tmp_path, cache, server, "one", "two", ISOLATION="plain") as world,
        trio.open_nursery() as nursery,
    ):
        client = Client(world.nodes["one"])
        made = await client.ask("POST", "/api/v1/generations", {"files": FILES})
        preview_id = await world.launch("one", str(made.body["id"]))
        clients = [Counted(world, node, preview_id) for node in ("one", "two")]
        for one in clients:
            nursery.start_soon(one.run)
        await until("both get messages", lambda: all(len(one.texts) > 5 for one in clients))
        pid = clients[0].texts[0].split()[0]
        await trio.to_thread.run_sync(server.end, signal.SIGINT)
        await until("the preview is stopped", lambda: Path(f"/proc/{pid}/stat").read_text().split(") ")[1][0] == "T")
        counts = [len(one.texts) for one in clients]
        server.spawn()
        await trio.to_thread.run_sync(server.wait_ready)
        await until(
            "both get more",
            lambda: all(len(one.texts) > count + 20 for one, count in zip(clients, counts, strict=True)),
        )
        # The same process, and each message once.
        for one in clients:
            assert one.texts == [f"{pid} {number}" for number in range(len(one.texts))]
        assert world.owner(preview_id) == ("one", 1, "running")
        nursery.cancel_scope.cancel()
        await client.aclose()
