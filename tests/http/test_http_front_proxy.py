"""A preview's answer does not command the proxy in front of the service: with a real nginx."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import mkdtemp

import pytest
import trio
from browser_kit import Door, open_door
from nginx_kit import SECRET, open_nginx

from preview.proxy.carriage import FRONT_PROXY_FIELDS, FRONT_PROXY_PREFIXES, ORIGIN_FIELDS

REDIRECT = b"X-Accel-Redirect: /secret/secret.txt"
OBEYED = [REDIRECT, b"X_Accel_Redirect: /secret/secret.txt"]
OBEYED += [name + b": 1" for name in sorted(FRONT_PROXY_FIELDS)]
OBEYED += [prefix + b"x: 1" for prefix in FRONT_PROXY_PREFIXES]
SHARED = [name + b": Basic realm=x" for name in sorted(ORIGIN_FIELDS)]


@pytest.fixture
def short_folder() -> Iterator[Path]:
    """A folder whose path fits into the address of a Unix socket."""
    folder = Path(mkdtemp(prefix="front"))
    yield folder
    shutil.rmtree(folder)


def names(lines: list[bytes]) -> set[bytes]:
    return {line.partition(b":")[0].lower() for line in lines}


@asynccontextmanager
async def answering(*fields: bytes) -> AsyncIterator[tuple[str, int]]:
    """A server that says "page" with these fields to each request."""
    payload = b"\r\n".join([b"HTTP/1.1 200 OK", b"Content-Length: 4", *fields]) + b"\r\n\r\npage"

    async def serve(stream: trio.SocketStream) -> None:
        rest = b""
        async for part in stream:
            *heads, rest = (rest + part).split(b"\r\n\r\n")
            for _ in heads:
                await stream.send_all(payload)

    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            listeners = await nursery.start(partial(trio.serve_tcp, serve, 0, host="127.0.0.1"))
            host, port = listeners[0].socket.getsockname()
            yield host, port
            nursery.cancel_scope.cancel()


def request(door: Door, form: str) -> bytes:
    host, target = (f"localhost:{door.port}", f"{door.prefix}/") if form == "path" else (door.host, "/")
    bearer = door.bearer()["Authorization"]
    return f"GET {target} HTTP/1.1\r\nHost: {host}\r\nAuthorization: {bearer}\r\n\r\n".encode()


async def test_nginx_serves_its_internal_file_to_an_upstream_that_asks_for_it(short_folder: Path) -> None:
    """The other tests here would see nothing if nginx obeyed nobody."""
    async with answering(REDIRECT) as address:
        with open_nginx(short_folder, address) as nginx:
            assert (await nginx.ask(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"))[1] == SECRET


@pytest.mark.parametrize("form", ["host", "path"])
@pytest.mark.parametrize("relay", [True, False], ids=["relay", "application"])
async def test_nginx_gets_no_command_of_a_preview(relay: bool, form: str, short_folder: Path) -> None:
    sent = [*OBEYED, *(SHARED if form == "path" else [])]
    async with (
        answering(b"X-Mine: 1", b"X-Accel-Buffering: no", *sent) as (_, port),
        open_door(short_folder / "service", relay=relay) as door,
    ):
        door.preview.record = replace(door.preview.record, port=port)
        with open_nginx(short_folder / "nginx", door.edge.address) as nginx:
            head, body = await nginx.ask(request(door, form))
        host = f"localhost:{door.port}" if form == "path" else door.host
        path = f"{door.prefix}/" if form == "path" else "/"
        direct = await door.get(path, host=host, headers=door.bearer())
    assert (head.status_code, body, direct.content) == (200, b"page", b"page")
    # nginx leaves out some of its own; what the service itself says has none of them.
    assert direct.headers["x-accel-buffering"] == "no"
    assert not {name.lower() for name, _ in direct.headers.raw} & names(sent)
    named = {name for name, _ in head.headers}
    assert b"x-mine" in named
    assert not named & names(sent)
