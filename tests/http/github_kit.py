"""A local server in the place of GitHub, whose answers a test chooses to the byte."""

from __future__ import annotations

import io
import zipfile
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import trio

Answer = bytes | Callable[[trio.SocketStream], Awaitable[None]]
COMMIT = "0123456789abcdef0123456789abcdef01234567"
LINK = 0o120777 << 16


def repository_zip(
    files: Mapping[str, str | bytes], *, top: str = "shop-main", commit: str = COMMIT, links: Mapping[str, str] = {}
) -> bytes:
    """An archive as GitHub makes it: one top folder, the commit as its comment."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(f"{top}/", b"")
        for path, content in files.items():
            archive.writestr(f"{top}/{path}", content)
        for path, target in links.items():
            entry = zipfile.ZipInfo(f"{top}/{path}")
            entry.external_attr = LINK
            archive.writestr(entry, target)
        archive.comment = commit.encode()
    return made.getvalue()


def response(body: bytes, kind: str = "application/zip", status: str = "200 OK", more: str = "") -> bytes:
    fields = f"Content-Type: {kind}\r\nContent-Length: {len(body)}\r\n{more}Connection: close\r\n"
    return f"HTTP/1.1 {status}\r\n{fields}\r\n".encode() + body


def moved(location: str) -> bytes:
    return response(b"", status="302 Found", more=f"Location: {location}\r\n")


@dataclass
class Github:
    """The server.

    Attributes:
        url: Its address.
        answers: By path; other paths are not found.
        asked: Paths that were asked for.
        ended: Set when a connection has ended.
    """

    url: str = ""
    answers: dict[str, Answer] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    heads: list[bytes] = field(default_factory=list)
    ended: trio.Event = field(default_factory=trio.Event)

    async def serve(self, stream: trio.SocketStream) -> None:
        async with stream:
            head = b""
            while b"\r\n\r\n" not in head:
                piece = await stream.receive_some()
                if not piece:
                    return
                head += piece
            path = head.split(b" ", 2)[1].decode()
            self.asked.append(path)
            self.heads.append(head)
            answer = self.answers.get(path, response(b"404: Not Found", "text/plain", "404 Not Found"))
            try:
                if isinstance(answer, bytes):
                    await stream.send_all(answer)
                else:
                    await answer(stream)
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                pass
            finally:
                self.ended.set()

    @property
    def settings(self) -> dict[str, str]:
        """Settings of a service that imports from here."""
        return {"github_url": self.url, "github_archives_url": f"{self.url}/codeload"}


@asynccontextmanager
async def open_github() -> AsyncIterator[Github]:
    github = Github()
    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(trio.serve_tcp, github.serve, 0)
        for one in listeners:
            if one.socket.family == trio.socket.AF_INET:
                github.url = f"http://127.0.0.1:{one.socket.getsockname()[1]}"
        yield github
        nursery.cancel_scope.cancel()
