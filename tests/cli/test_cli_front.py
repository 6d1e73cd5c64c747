"""nginx and Caddy, as ``preview deploy init`` sets them up, in front of a real service and a preview."""

from __future__ import annotations

import json
import os
import shutil
import socket
import ssl
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp

import httpx2
import pytest
import trio
import trustme
from cli_service import PROGRAM, serving
from trio_websocket import wrap_client_stream

from preview.cli.deploying.choices import make_deployment
from preview.cli.deploying.files import make_files

_DOMAIN = "preview.example.com"
# Answers, upgrades to a WebSocket with one frame, and prints a line for each request.
_MAIN = """
import base64, hashlib, http.server, os
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        forwarded = [self.headers[f"X-Forwarded-{name}"] for name in ("For", "Proto")]
        print("asked for", self.path, "by", *forwarded, flush=True)
        if self.path == "/socket":
            key = self.headers["Sec-WebSocket-Key"].encode() + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
            self.send_response(101)
            self.send_header("Upgrade", "websocket")
            self.send_header("Connection", "Upgrade")
            self.send_header("Sec-WebSocket-Accept", base64.b64encode(hashlib.sha1(key).digest()).decode())
            self.end_headers()
            self.wfile.write(b"\\x81\\x05hello")
            self.rfile.read(2)
            return
        self.send_response(200)
        self.send_header("Content-Length", "4")
        self.end_headers()
        self.wfile.write(b"page")
    def log_message(self, *_):
        pass
http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
"""


@dataclass(frozen=True)
class Behind:
    """A service behind a proxy: its port, what it trusts, and the preview in it."""

    port: int
    folder: Path
    authority: trustme.CA
    token: str
    generation: str
    preview_host: str


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


@pytest.fixture(scope="module")
def behind(shared_cache: Path) -> Iterator[Behind]:
    """One service with one preview, for both proxies."""
    folder = Path(mkdtemp(prefix="front"))
    folder.chmod(0o755)
    authority = trustme.CA()
    made = authority.issue_cert(_DOMAIN, "*.previews.example.com")
    made.cert_chain_pems[0].write_to_path(folder / "cert.pem")
    made.private_key_pem.write_to_path(folder / "key.pem")
    (folder / "project").mkdir()
    (folder / "project" / "main.py").write_text(_MAIN)
    environment = {
        "PREVIEW_CACHE_DIR": str(shared_cache),
        "PREVIEW_DATA_DIR": str(folder / "data"),
        "PREVIEW_ISOLATION": "plain",
        "PREVIEW_PUBLIC_URL": f"https://{_DOMAIN}",
        "PREVIEW_DOMAIN": "previews.example.com",
        "PREVIEW_TRUSTED_PROXIES": "127.0.0.1",
    }

    def preview(*arguments: str) -> str:
        done = subprocess.run(
            [*PROGRAM, *arguments], env={**os.environ, **environment}, capture_output=True, text=True, timeout=120
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    with serving(environment) as service:
        generation = json.loads(preview("push", str(folder / "project"), "--json"))["id"]
        preview("launch", generation, "--command", "python main.py")
        token = preview("token", "local")
        headers = {"Authorization": f"Bearer {token}", "Host": _DOMAIN}
        path = f"/api/v1/generations/{generation}/preview/access"
        address = httpx2.get(f"{service.url}{path}", headers=headers).json()["address"]
        port = int(service.url.rpartition(":")[2])
        yield Behind(port, folder, authority, token, generation, httpx2.URL(address).host)
    shutil.rmtree(folder)


@contextmanager
def open_front(kind: str, behind: Behind, folder: Path) -> Iterator[int]:
    """The proxy with the generated file; yields its port. Skips the test where the program is missing."""
    program = shutil.which(kind) or shutil.which(kind, path="/usr/sbin")
    if program is None:
        if kind == "nginx" and os.environ.get("PREVIEW_TEST_REQUIRE_NGINX") == "1":
            pytest.fail("PREVIEW_TEST_REQUIRE_NGINX=1, but there is no nginx")
        pytest.skip(f"no {kind} (on Debian: apt-get install {kind})")
    port = free_port()
    deployment = make_deployment(
        kind="systemd",
        domain=_DOMAIN,
        tls=kind,
        https_port=port,
        certificate=str(behind.folder / "cert.pem"),
        key=str(behind.folder / "key.pem"),
    )
    name = {"nginx": "nginx.conf", "caddy": "Caddyfile"}[kind]
    (text,) = [file.content for file in make_files(deployment) if file.name == name]
    assert "127.0.0.1:8000" in text
    site = folder / name
    site.write_text(text.replace("127.0.0.1:8000", f"127.0.0.1:{behind.port}"))
    if kind == "nginx":
        temporary = "".join(
            f"{one}_temp_path {folder}/{one};" for one in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        user = "user root;" if os.geteuid() == 0 else ""
        (folder / "main.conf").write_text(
            f"daemon off; master_process off; {user} pid {folder}/pid; error_log {folder}/error.log;\n"
            f"events {{}}\nhttp {{ access_log off; {temporary} include {site}; }}\n"
        )
        checked = [program, "-t", "-q", "-e", str(folder / "error.log"), "-c", str(folder / "main.conf")]
        command = [program, "-e", str(folder / "error.log"), "-c", str(folder / "main.conf")]
    else:
        checked = [program, "validate", "--config", str(site), "--adapter", "caddyfile"]
        command = [program, "run", "--config", str(site), "--adapter", "caddyfile"]
    environment = {**os.environ, "HOME": str(folder), "XDG_DATA_HOME": str(folder), "XDG_CONFIG_HOME": str(folder)}
    done = subprocess.run(checked, env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    running = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)
    try:
        yield port
    finally:
        # Caddy's own end waits for open WebSockets.
        running.kill()
        running.wait(20)


async def until_listening(port: int) -> None:
    with trio.fail_after(30):
        while True:
            try:
                async with await trio.open_tcp_stream("127.0.0.1", port):
                    return
            except OSError:
                await trio.sleep(0.01)


def trust(behind: Behind) -> ssl.SSLContext:
    context = ssl.create_default_context()
    behind.authority.configure_trust(context)
    return context


@asynccontextmanager
async def open_client(behind: Behind, port: int, host: str) -> AsyncIterator[httpx2.AsyncClient]:
    """A client of HTTP/2 that looks no name up; certificates are checked for the host."""
    headers = {"Authorization": f"Bearer {behind.token}", "Host": host, "X-Forwarded-For": "6.6.6.6"}

    async def add_name(request: httpx2.Request) -> None:
        request.extensions = {**request.extensions, "sni_hostname": host}

    async with httpx2.AsyncClient(
        base_url=f"https://127.0.0.1:{port}",
        http1=True,
        http2=True,
        verify=trust(behind),
        headers=headers,
        trust_env=False,
        event_hooks={"request": [add_name]},
        timeout=30,
    ) as client:
        yield client


@pytest.mark.long
@pytest.mark.parametrize("kind", ["nginx", "caddy"])
async def test_tls_http2_a_wildcard_host_a_web_socket_and_a_stream_pass(
    kind: str, behind: Behind, tmp_path: Path
) -> None:
    log = f"/api/v1/generations/{behind.generation}/preview/logs"
    with trio.fail_after(60), open_front(kind, behind, tmp_path) as port:
        await until_listening(port)
        async with open_client(behind, port, _DOMAIN) as client:
            answer = await client.get("/healthz")
            assert (answer.status_code, answer.http_version) == (200, "HTTP/2")
            assert answer.headers["strict-transport-security"].startswith("max-age=")
        # A line is printed while the stream is open, and comes while it is open.
        async with open_tls(behind, port, _DOMAIN) as stream, open_client(behind, port, behind.preview_host) as visitor:
            bearer = f"Authorization: Bearer {behind.token}"
            await stream.send_all(f"GET {log}/stream HTTP/1.1\r\nHost: {_DOMAIN}\r\n{bearer}\r\n\r\n".encode())
            seen = await until(stream, "", "event: ")
            page = await visitor.get(f"/by-{kind}")
            assert (page.status_code, page.text, page.http_version) == (200, "page", "HTTP/2")
            seen = await until(stream, seen, f"asked for /by-{kind} by ")
            line = (await until(stream, seen[seen.index(f"asked for /by-{kind}") :], '"')).partition('"')[0]
        assert "content-type: text/event-stream" in seen.lower()
        assert "6.6.6.6" not in line, "a client's own word passes for its address"
        assert line.endswith(" https")
        for host, path in ((behind.preview_host, "/socket"), (_DOMAIN, f"{log}/ws")):
            assert await first_message(behind, port, host, path)


@asynccontextmanager
async def open_tls(behind: Behind, port: int, host: str) -> AsyncIterator[trio.SSLStream[trio.SocketStream]]:
    """A connection for HTTP/1.1."""
    context = trust(behind)
    context.set_alpn_protocols(["http/1.1"])
    stream = trio.SSLStream(await trio.open_tcp_stream("127.0.0.1", port), context, server_hostname=host)
    try:
        yield stream
    finally:
        await trio.aclose_forcefully(stream)


async def until(stream: trio.SSLStream[trio.SocketStream], seen: str, wanted: str) -> str:
    while wanted not in seen:
        part = await stream.receive_some()
        assert part, f"closed before {wanted!r}: {seen}"
        seen += bytes(part).decode()
    return seen


async def first_message(behind: Behind, port: int, host: str, path: str) -> str | bytes:
    headers = [(b"Authorization", f"Bearer {behind.token}".encode())]
    async with open_tls(behind, port, host) as stream, trio.open_nursery() as nursery:
        connection = await wrap_client_stream(nursery, stream, host, path, extra_headers=headers)
        message: str | bytes = await connection.get_message()
        nursery.cancel_scope.cancel()
    return message


@pytest.mark.parametrize("kind", ["nginx", "caddy"])
async def test_another_host_has_no_certificate_or_no_page(kind: str, behind: Behind, tmp_path: Path) -> None:
    with trio.fail_after(60), open_front(kind, behind, tmp_path) as port:
        await until_listening(port)
        async with open_client(behind, port, "elsewhere.example") as client:
            with pytest.raises(httpx2.ConnectError):
                await client.get("/healthz")
