"""A service on temporary folders, the children that the benchmarks run in it, and a client's view of its streams."""

from __future__ import annotations

import logging
import random
import re
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import structlog
import trio
from _caches import use_usual_caches

from preview.auth import issue_token, load_or_create_secret
from preview.cli.local.hosting import settle_interpreter
from preview.core.clock import utc_now
from preview.core.isolation import Network
from preview.generations import FolderGenerations, Generation, GenerationSource
from preview.http import create_app, serve
from preview.runtime import FD_PLACEHOLDER, ColdStarts, Held, PlainRuntime, ProcessSpec, RunningProcess, Runtime
from preview.service import Service, open_service
from preview.settings import Settings
from preview.supervisor import LaunchRequest, LivePreview, User
from preview.worker import ProjectReader

__all__ = [
    "CHILD",
    "USER",
    "Folders",
    "LightRuntime",
    "Programs",
    "Server",
    "launch",
    "open_bench",
    "open_server",
    "open_sse",
]

USER = User("ann", "enterprise")

# A server that costs nothing. ``answer`` may be replaced; ``sys.argv[1]`` is the listening socket.
CHILD = """
import os, socket, sys, threading, time
listener = socket.socket(fileno=int(sys.argv[1]))
listener.setblocking(True)
answer = lambda path: None
{extra}
print('up', flush=True)
while True:
    connection, _ = listener.accept()
    answer(connection.recv(65536).split(b' ')[1])
    connection.sendall(b'HTTP/1.1 200 OK\\r\\ncontent-length: 0\\r\\nconnection: close\\r\\n\\r\\n')
    connection.close()
"""


class Programs:
    """A host's generations: each is one program that stands in ``behave.py``; to be run by ``LightRuntime``."""

    def __init__(self) -> None:
        self.programs: dict[str, str] = {}

    async def get(self, generation_id: str) -> Generation:
        await trio.lowlevel.checkpoint()
        return Generation(generation_id, "benchmark", USER.id, utc_now())

    async def write_files(self, generation_id: str, directory: Path) -> None:
        files = {
            "main.py": "from fastapi import FastAPI\n\napp = FastAPI()\n",
            "requirements.txt": "",
            "behave.py": self.programs[generation_id],
        }
        for name, text in files.items():
            (directory / name).write_text(text)
        await trio.lowlevel.checkpoint()


class Folders:
    """Folders on disk as generations, by the folder's name."""

    def __init__(self, *folders: Path) -> None:
        self._sources = {
            folder.name: FolderGenerations(folder, generation_id=folder.name, user_id=USER.id, project_id="benchmark")
            for folder in folders
        }

    async def get(self, generation_id: str) -> Generation:
        return await self._sources[generation_id].get(generation_id)

    async def write_files(self, generation_id: str, directory: Path) -> None:
        await self._sources[generation_id].write_files(generation_id, directory)


class LightRuntime(ColdStarts):
    """The plain runtime, but what runs is ``behave.py`` on the bare interpreter."""

    name = "plain"

    def __init__(self) -> None:
        self._inner = PlainRuntime()

    def describe(self) -> Mapping[str, str]:
        return self._inner.describe()

    def holds(self) -> frozenset[Held]:
        return self._inner.holds()

    def network(self, wanted: Network) -> Network:
        return self._inner.network(wanted)

    def shares_listener(self, network: Network) -> bool:
        return self._inner.shares_listener(network)

    def open_process(self, spec: ProcessSpec) -> AbstractAsyncContextManager[RunningProcess]:
        argv = [sys.executable, "-I", "-S", str(spec.directory / "behave.py"), FD_PLACEHOLDER]
        return self._inner.open_process(replace(spec, argv=argv))


@asynccontextmanager
async def open_bench(
    source: GenerationSource | None,
    runtime: Runtime | None = None,
    *,
    reader: ProjectReader | None = None,
    **settings: object,
) -> AsyncIterator[Service]:
    """A service whose data and environments are in a temporary folder, which goes with it; without a source its own."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    use_usual_caches()
    base = 20_000 + 200 * random.SystemRandom().randrange(50)
    with tempfile.TemporaryDirectory(prefix="preview-benchmark-") as folder:
        values: dict[str, object] = {
            "data_dir": Path(folder) / "data",
            "cache_dir": Path(folder) / "cache",
            "port_min": base,
            "port_max": base + 199,
            "max_instances_enterprise": 200,
            "max_previews": 200,
            "launches_per_minute": 100_000,
            **settings,
        }
        made = Settings(**values)  # type: ignore[arg-type]  # pydantic validates each value
        async with open_service(made, generations=source, runtime=runtime, reader=reader) as service:
            settle_interpreter()
            yield service


async def launch(service: Service, generation_id: str) -> LivePreview:
    """Launch, and wait until it runs."""
    launched = await service.previews.launch(LaunchRequest(USER, generation_id))
    await service.previews.wait_ready(launched.record.id, 60)
    preview = service.previews.find(launched.record.id)
    assert preview is not None
    return preview


@dataclass(frozen=True)
class Server:
    """The service's own server: Hypercorn's trio worker on loopback, in this process."""

    address: tuple[str, int]
    token: str

    def request(self, method: str, path: str, body: bytes = b"") -> bytes:
        lines = [
            f"{method} {path} HTTP/1.1",
            "Host: localhost",
            f"Authorization: Bearer {self.token}",
            "Content-Type: application/json",
            f"Content-Length: {len(body)}",
        ]
        return "\r\n".join([*lines, "", ""]).encode() + body


@asynccontextmanager
async def open_server(service: Service) -> AsyncIterator[Server]:
    """Serve ``service`` on a port of the kernel's choice."""
    settings, over = service.settings, trio.Event()
    token = issue_token(settings, load_or_create_secret(settings), USER.id, tier=USER.tier, ttl_s=3600)
    app = create_app(settings, service=service)
    async with trio.open_nursery() as nursery:
        urls: list[str] = await nursery.start(
            partial(serve, settings, service=service, app=app, bind="127.0.0.1:0", shutdown_trigger=over.wait)
        )
        host, _, port = urls[0].removeprefix("http://").rpartition(":")
        try:
            yield Server((host, int(port)), token)
        finally:
            over.set()


_MESSAGE = re.compile(rb'"message": "([^"]*)"')


@asynccontextmanager
async def open_sse(server: Server, generation_id: str, query: str = "") -> AsyncIterator[AsyncIterator[list[bytes]]]:
    """A log stream over HTTP; gives the messages of what each read brings."""

    async def messages(stream: trio.SocketStream) -> AsyncIterator[list[bytes]]:
        rest = b""
        while True:
            rest += await stream.receive_some()
            # A chunk of the body is whole frames: its head never stands within one.
            whole, end, rest = rest.rpartition(b"\n\n")
            if found := _MESSAGE.findall(whole + end):
                yield found

    async with await trio.open_tcp_stream(*server.address) as stream:
        path = f"/api/v1/generations/{generation_id}/preview/logs/stream{query}"
        await stream.send_all(server.request("GET", path))
        yield messages(stream)
