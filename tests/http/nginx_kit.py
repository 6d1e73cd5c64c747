"""A real nginx in front of an address, with a file that only its own configuration may serve."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import h11
import pytest
import trio

SECRET = b"only nginx itself may serve this"
_CONF = """
daemon off;
master_process off;
{user}
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections 64; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    server {{
        listen unix:{folder}/front.sock;
        location / {{
            proxy_pass http://{upstream};
            proxy_http_version 1.1;
            proxy_set_header Host $http_host;
        }}
        location /secret/ {{ internal; alias {folder}/files/; }}
    }}
}}
"""


class Nginx:
    """A running nginx; each ``ask`` is a connection of its own."""

    def __init__(self, path: Path, process: subprocess.Popen[bytes]) -> None:
        self._path = path
        self._process = process

    async def ask(self, request: bytes) -> tuple[h11.Response, bytes]:
        """One request and its whole answer."""
        parser = h11.Connection(h11.CLIENT)
        parser.send(h11.Request(method="GET", target="/", headers=[("Host", "x"), ("Connection", "close")]))
        parser.send(h11.EndOfMessage())
        head, body = None, b""
        with trio.fail_after(60):
            async with await self._connect() as stream:
                await stream.send_all(request.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n", 1))
                while True:
                    event = parser.next_event()
                    if event is h11.NEED_DATA:
                        parser.receive_data(await stream.receive_some())
                    elif isinstance(event, h11.Response):
                        head = event
                    elif isinstance(event, h11.Data):
                        body += bytes(event.data)
                    elif isinstance(event, h11.EndOfMessage):
                        break
        assert head is not None
        return head, body

    async def _connect(self) -> trio.SocketStream:
        """Connect; nginx says nothing when it begins to listen, so ask until it does."""
        while True:
            try:
                return await trio.open_unix_socket(str(self._path))
            except OSError:
                assert self._process.poll() is None, "nginx has ended"
                await trio.sleep(0.01)


@contextmanager
def open_nginx(folder: Path, upstream: tuple[str, int]) -> Iterator[Nginx]:
    """nginx as Debian builds it, in front of this address. Skips the test where there is none."""
    program = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    if program is None:
        if os.environ.get("PREVIEW_TEST_REQUIRE_NGINX") == "1":
            pytest.fail("PREVIEW_TEST_REQUIRE_NGINX=1, but there is no nginx")
        pytest.skip("no nginx (on Debian: apt-get install nginx-light)")
    (folder / "files").mkdir(parents=True)
    (folder / "files" / "secret.txt").write_bytes(SECRET)
    user = "user root;" if os.geteuid() == 0 else ""
    (folder / "nginx.conf").write_text(_CONF.format(folder=folder, upstream=f"{upstream[0]}:{upstream[1]}", user=user))
    running = subprocess.Popen([program, "-e", folder / "error.log", "-c", folder / "nginx.conf"])
    try:
        yield Nginx(folder / "front.sock", running)
    finally:
        running.terminate()
        running.wait(20)
