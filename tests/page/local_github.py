"""A local server in the place of GitHub, from which the service of the page's tests imports."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread


@dataclass
class LocalGithub:
    """Its address, and the archives that it has by path."""

    url: str
    archives: dict[str, bytes] = field(default_factory=dict)

    def push(self, repository: str, files: Mapping[str, str], commit: str) -> None:
        """Make these the files of the default branch, and of this commit."""
        made = io.BytesIO()
        with zipfile.ZipFile(made, "w") as archive:
            for path, text in files.items():
                archive.writestr(f"{repository.rpartition('/')[2]}-main/{path}", text)
            archive.comment = commit.encode()
        for ref in ("HEAD", commit):
            self.archives[f"/codeload/{repository}/zip/{ref}"] = made.getvalue()


@contextmanager
def run_github() -> Iterator[LocalGithub]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found = github.archives.get(self.path)
            self.send_response(404 if found is None else 200)
            self.send_header("Content-Type", "application/zip")
            self.send_header("Content-Length", str(len(found or b"")))
            self.end_headers()
            self.wfile.write(found or b"")

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    github = LocalGithub(f"http://127.0.0.1:{server.server_address[1]}")
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield github
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
