"""A package registry on loopback with packages of one line each, so that real npm has versions to choose from."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import tarfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

__all__ = ["open_registry"]

Versions = Mapping[str, Mapping[str, str]]


def _packed(name: str, version: str, needs: Mapping[str, str]) -> bytes:
    files = {
        "package.json": json.dumps({"name": name, "version": version, "dependencies": needs}),
        "index.js": f"module.exports = '{version}';",
    }
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for file, text in files.items():
            info = tarfile.TarInfo(f"package/{file}")
            info.size = len(text)
            archive.addfile(info, io.BytesIO(text.encode()))
    return buffer.getvalue()


@contextmanager
def open_registry(packages: Mapping[str, Versions]) -> Iterator[str]:
    """Serve them until the context is left.

    Args:
        packages: Name to version to what that version requires; the last version is the newest.

    Yields:
        The registry's address.
    """
    packed = {
        f"/{name}/-/{name}-{version}.tgz": _packed(name, version, needs)
        for name, versions in packages.items()
        for version, needs in versions.items()
    }

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            name = self.path.strip("/")
            if self.path in packed:
                self._answer(200, packed[self.path])
            elif name in packages:
                self._answer(200, json.dumps(self._facts(name, packages[name])).encode())
            else:
                self._answer(404, b"{}")

        def _facts(self, name: str, versions: Versions) -> dict[str, object]:
            address = f"http://{self.headers['Host']}"
            told = {}
            for version, needs in versions.items():
                path = f"/{name}/-/{name}-{version}.tgz"
                digest = base64.b64encode(hashlib.sha512(packed[path]).digest()).decode()
                dist = {"tarball": f"{address}{path}", "integrity": f"sha512-{digest}"}
                told[version] = {"name": name, "version": version, "dependencies": needs, "dist": dist}
            return {"name": name, "dist-tags": {"latest": list(versions)[-1]}, "versions": told}

        def _answer(self, status: int, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}/"
        finally:
            server.shutdown()
            thread.join()
