"""A package index on loopback (PEP 503) that serves a folder's packages, and keeps what it was asked for."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from packaging.utils import canonicalize_name

__all__ = ["Index", "open_index"]


@dataclass
class Index:
    """One index.

    Attributes:
        port: On 127.0.0.1.
        asked: Paths, and the host that each was asked of.
    """

    port: int
    asked: list[tuple[str, str]] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/simple/"

    @property
    def projects(self) -> set[str]:
        """Names of the packages that were asked for."""
        return {path.split("/")[2] for path, _ in self.asked if path.startswith("/simple/")}


def _listing(name: str, files: list[Path], uploaded: Mapping[str, str]) -> bytes:
    found = [
        {
            "filename": path.name,
            "url": f"/files/{path.name}",
            "hashes": {"sha256": hashlib.sha256(path.read_bytes()).hexdigest()},
            "upload-time": f"{uploaded[path.name]}T12:00:00Z",
        }
        for path in files
    ]
    return json.dumps({"meta": {"api-version": "1.1"}, "name": name, "files": found}).encode()


@contextmanager
def open_index(folder: Path, uploaded: Mapping[str, str] | None = None) -> Iterator[Index]:
    """Serve the packages that lie in ``folder`` until the context is left.

    Args:
        uploaded: Days of upload (``2021-05-30``) by file name; with them the index answers as PEP 691 and PEP 700 say.
    """

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            index.asked.append((self.path, self.headers["Host"]))
            kind, _, name = self.path.strip("/").partition("/")
            served = sorted([*folder.glob("*.whl"), *folder.glob("*.tar.gz")])
            files = [path for path in served if canonicalize_name(path.name.split("-")[0]) == name]
            if kind == "simple" and files and uploaded is not None:
                self._answer(200, _listing(name, files, uploaded), "application/vnd.pypi.simple.v1+json")
            elif kind == "simple" and files:
                links = "".join(f'<a href="/files/{path.name}">{path.name}</a>' for path in files)
                self._answer(200, f"<!DOCTYPE html><html><body>{links}</body></html>".encode(), "text/html")
            elif kind == "files" and (folder / name).is_file():
                self._answer(200, (folder / name).read_bytes(), "application/octet-stream")
            else:
                self._answer(404, b"", "text/plain")

        def _answer(self, status: int, body: bytes, kind: str) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        def do_HEAD(self) -> None:
            self.do_GET()

        def log_message(self, *_args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        index = Index(server.server_address[1])
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield index
        finally:
            server.shutdown()
            thread.join()
