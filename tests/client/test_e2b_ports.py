"""Ports of sandboxes: what a host name reaches, and what it does not."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator

import httpx2
import pytest
from client_kit import Service, serving
from e2b import Sandbox
from test_e2b_hostile import Caller
from wsproto import ConnectionType, WSConnection
from wsproto.events import AcceptConnection, Request, TextMessage

_SERVER = """
import http.server, json, os, sys
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        body = json.dumps({"path": self.path, "fields": dict(self.headers)}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(201)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
print("up", flush=True)
http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""
_ECHO = """
import base64, hashlib, socket, sys
listener = socket.create_server(("127.0.0.1", int(sys.argv[1])))
while True:
    stream = listener.accept()[0]
    file = stream.makefile("rb")
    key = ""
    while (line := file.readline().strip()):
        if line.lower().startswith(b"sec-websocket-key:"):
            key = line.split(b":")[1].strip() + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
    if not key:
        continue
    accept = base64.b64encode(hashlib.sha1(key).digest())
    stream.sendall(b"HTTP/1.1 101 X\\r\\nUpgrade: websocket\\r\\nConnection: Upgrade\\r\\nSec-WebSocket-Accept: "
                   + accept + b"\\r\\n\\r\\n")
    head, size = file.read(2)
    mask = file.read(4)
    said = bytes(one ^ mask[at % 4] for at, one in enumerate(file.read(size & 127)))
    stream.sendall(bytes((129, len(said))) + said)
    file.read(1)
"""
_UP = "until python3 -c 'import socket; socket.create_connection((\"127.0.0.1\", 3000))' 2>/dev/null; do :; done"


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PREVIEW_E2B", "true")
        patch.setenv("PREVIEW_NETWORK", "loopback-only")
        patch.setenv("PREVIEW_LOOPBACK_PORTS", "5432")
        with serving(tmp_path_factory.mktemp("e2b")) as started:
            patch.setenv("E2B_API_URL", f"{started.url}/e2b/api")
            patch.setenv("E2B_SANDBOX_URL", f"{started.url}/e2b/sandbox")
            patch.setenv("E2B_API_KEY", started.token)
            patch.setenv("E2B_VALIDATE_API_KEY", "false")
            yield started


@pytest.fixture(scope="module")
def sandbox(service: Service) -> Iterator[Sandbox]:
    made = Sandbox.create()
    made.files.write("server.py", _SERVER)
    made.commands.run("python3 -u server.py 3000", background=True)
    made.commands.run(_UP)
    yield made
    made.kill()


def ask(service: Service, host: str, path: str = "/", **more: str) -> httpx2.Response:
    return httpx2.get(f"{service.url}{path}", headers={"Host": host, **more}, timeout=30)


@pytest.mark.long
def test_a_host_name_reaches_only_a_port_of_its_own_sandbox(service: Service, sandbox: Sandbox) -> None:
    own, other = sandbox.sandbox_id, Sandbox.create()
    service_port = service.url.rpartition(":")[2]
    try:
        for host, status in {
            # The service's own port, one that nobody uses, and the first sandbox's port by the second one's name.
            f"{service_port}-{own}.localhost": 502,
            f"3001-{own}.localhost": 502,
            f"3000-{other.sandbox_id}.localhost": 502,
            # A port of the machine that programs inside reach: not the visitors.
            f"5432-{own}.localhost": 403,
            f"0-{own}.localhost": 404,
            f"65536-{own}.localhost": 404,
            f"999999-{own}.localhost": 404,
            f"3000-i{'0' * 19}.localhost": 404,
        }.items():
            answer = ask(service, host)
            assert answer.status_code == status, (host, answer.text)
            assert answer.headers["content-type"] == "application/problem+json"
            assert "fields" not in answer.text
        # These are no names of sandboxes: the service answers them as any other name, and no sandbox does.
        for host in (
            f"-{own}.localhost", f"3000-{own}x.localhost", f"3000-{own}.x.localhost", f"+3000-{own}.localhost",
            f"3000-{own}.example.com", f"3000-{own[:-1]}.localhost", f"3000-{own}@localhost",
        ):  # fmt: skip
            assert '"fields"' not in ask(service, host).text, host
    finally:
        other.kill()


def test_a_path_of_the_service_belongs_to_the_sandbox_under_its_name(service: Service, sandbox: Sandbox) -> None:
    host = f"3000-{sandbox.sandbox_id}.localhost"
    for path in ("/api/v1/previews", "/p/preview_abc/", "/e2b/api/sandboxes", "/.preview/state", "/healthz", "/mcp"):
        assert ask(service, host, path).json()["path"] == path
    # The other way round: a preview's name does not lead to E2B's API.
    assert ask(service, "preview-abc.localhost", "/e2b/api/sandboxes").status_code == 401


def test_secrets_of_the_service_do_not_reach_the_program(service: Service, sandbox: Sandbox) -> None:
    host = f"3000-{sandbox.sandbox_id}.localhost"
    secrets = {"Cookie": "preview_session=abc; own=1", "X-Preview-Token": "abc", "X-Forwarded-For": "6.6.6.6"}
    got = {name.lower(): value for name, value in ask(service, host, **secrets).json()["fields"].items()}
    assert "x-preview-token" not in got
    assert "6.6.6.6" not in str(got)
    assert got["host"] == host


def test_a_sandbox_may_ask_for_a_secret(service: Service) -> None:
    made = Sandbox.create(network={"allow_public_traffic": False})
    try:
        made.commands.run("python3 -m http.server 3000 --bind 127.0.0.1", background=True)
        made.commands.run(_UP)
        host = made.get_host(3000)
        assert made.traffic_access_token
        assert ask(service, host).status_code == ask(service, host, **{"e2b-traffic-access-token": "x"}).status_code
        assert ask(service, host).status_code == 404
        assert ask(service, host, **{"e2b-traffic-access-token": made.traffic_access_token}).status_code == 200
    finally:
        made.kill()
    assert ask(service, host).status_code == 404


def test_get_host_of_the_sdk_reaches_the_server(service: Service, sandbox: Sandbox) -> None:
    host = sandbox.get_host(3000)
    assert host == f"3000-{sandbox.sandbox_id}.localhost:{service.url.rpartition(':')[2]}"
    assert Sandbox.connect(sandbox.sandbox_id).get_host(3000) == host
    assert ask(service, host, "/a%2Fb?x=1").json()["path"] == "/a%2Fb?x=1"
    large = b"x" * 3_000_000
    with httpx2.Client(base_url=service.url, headers={"Host": host}) as client:
        for _ in range(3):
            answer = client.post("/", content=large)
            assert (answer.status_code, answer.content) == (201, large)
    # All commands of a sandbox share its network.
    assert "path" in json.loads(sandbox.commands.run("curl -s http://localhost:3000/x").stdout)


def test_a_websocket_reaches_the_server(service: Service, sandbox: Sandbox) -> None:
    sandbox.files.write("echo.py", _ECHO)
    sandbox.commands.run("python3 echo.py 3100", background=True)
    sandbox.commands.run(_UP.replace("3000", "3100"))
    port = int(service.url.rpartition(":")[2])
    frames = WSConnection(ConnectionType.CLIENT)
    with socket.create_connection(("127.0.0.1", port), timeout=30) as stream:
        stream.sendall(frames.send(Request(host=sandbox.get_host(3100), target="/")))
        assert isinstance(next_event(frames, stream), AcceptConnection)
        stream.sendall(frames.send(TextMessage("hello")))
        assert next_event(frames, stream) == TextMessage("hello")


def next_event(frames: WSConnection, stream: socket.socket) -> object:
    while True:
        if (event := next(frames.events(), None)) is not None:
            return event
        frames.receive_data(stream.recv(65536))


def test_requests_are_counted_and_changes_are_in_the_audit_trail(service: Service, sandbox: Sandbox) -> None:
    with Caller(service, service.token) as caller:
        box = caller.create()
        assert caller.kill(box) == 204
        lines = caller.api("GET", f"/sandboxes/{sandbox.sandbox_id}/logs").json()
        assert "sandbox started" in [one["line"] for one in lines["logs"]]
        assert [one["message"] for one in lines["logEntries"]] == [one["line"] for one in lines["logs"]]
        newer = caller.api("GET", f"/v2/sandboxes/{sandbox.sandbox_id}/logs").json()["logs"]
        assert any("server.py 3000" in one["message"] and one["level"] == "info" for one in newer)
    with httpx2.Client(base_url=service.url, headers={"Authorization": f"Bearer {service.token}"}) as client:
        entries = client.get("/api/v1/audit").json()["items"]
        acted = {(one["action"], one["detail"]) for one in entries}
        assert ("sandbox created", f"POST /e2b/api/sandboxes: {box['sandboxID']}") in acted
        assert ("sandbox ended", f"DELETE /e2b/api/sandboxes/{box['sandboxID']}") in acted
        counted = client.get("/metrics").text
    for route in ("e2b.create", "e2b.kill", "e2b.api", "e2b.sandbox", "e2b.port"):
        assert f'route="{route}"' in counted, route
