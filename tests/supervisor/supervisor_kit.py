"""A real service on a real database with real, but light, children: what they do stands in their ``behave.py``."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import trio

from preview.core.clock import utc_now
from preview.core.isolation import Network
from preview.errors import GenerationNotFound
from preview.generations import Generation
from preview.logs import Batch, End, Gap, LogLine, StatusChange
from preview.runtime import (
    CONTROL_PLACEHOLDER,
    FD_PLACEHOLDER,
    ColdStarts,
    Held,
    PlainRuntime,
    ProcessSpec,
    RunningProcess,
)
from preview.runtime.cgroups import CgroupTree
from preview.service import Service, open_service
from preview.settings import Settings
from preview.supervisor import Launched, LaunchRequest, LivePreview, User

ANN, BOB = User("ann", "enterprise"), User("bob", "free")

_SERVE = """
while True:
    connection, _ = listener.accept()
    path = connection.recv(65536).split(b' ')[1].decode()
    body = path.encode()
    status = answer(path)
    head = f'HTTP/1.1 {status} X\\r\\ncontent-length: {len(body)}\\r\\nconnection: close\\r\\n\\r\\n'
    connection.sendall(head.encode() + body)
    connection.close()
"""
_LISTEN = """
import os, signal, socket, sys, time
listener = socket.socket(fileno=int(sys.argv[1]))
listener.setblocking(True)
answer = lambda path: 200
"""
SERVER = _LISTEN + "print('up', flush=True)" + _SERVE
NEVER_ANSWERS = "import time; print('thinking', flush=True); time.sleep(600)"
SPEAKS_OTHERWISE = _LISTEN + _SERVE.replace("HTTP/1.1", "SSH-2.0")
EXITS_3 = "import sys; print('ImportError: no module', flush=True); sys.exit(3)"
IGNORES_TERM = _LISTEN + "signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True)" + _SERVE
# The first connection is the readiness probe; the next one ends it.
CRASHES_WHEN_ASKED = (
    _LISTEN
    + "def answer(path):\n    if path == '/crash': os.kill(os.getpid(), signal.SIGKILL)\n    return 200\n"
    + _SERVE
)
SICK_WHEN_TOLD = _LISTEN + "def answer(path):\n    return 503 if os.path.exists('sick') else 200\n" + _SERVE
EATS_MEMORY = _LISTEN + "held = bytearray(os.urandom(1)) * (40 * 2**20)\n" + _SERVE
FLOODS = (
    _LISTEN
    + """
import threading
def flood():
    block = b'x' * 99 + b'\\n'
    while True: os.write(1, block * 600)
threading.Thread(target=flood, daemon=True).start()
"""
    + _SERVE
)
APP = "from fastapi import FastAPI\n\napp = FastAPI()\n"
HEALTH_APP = APP + "\n\n@app.get('/health')\ndef health():\n    return {}\n"


@dataclass
class MemorySource:
    """Generations of a host: made up by the test."""

    projects: dict[str, tuple[Generation, Mapping[str, str]]] = field(default_factory=dict)

    def add(self, generation_id: str, behave: str = SERVER, *, owner: User = ANN, app: str = APP, **more: str) -> str:
        generation = Generation(generation_id, f"project-of-{generation_id}", owner.id, utc_now())
        self.projects[generation_id] = generation, {"main.py": app, "behave.py": behave, "requirements.txt": "", **more}
        return generation_id

    async def get(self, generation_id: str) -> Generation:
        await trio.lowlevel.checkpoint()
        if generation_id not in self.projects:
            raise GenerationNotFound(f"There is no generation {generation_id!r}.")
        return self.projects[generation_id][0]

    async def write_files(self, generation_id: str, directory: Path) -> None:
        for name, text in self.projects[generation_id][1].items():
            if text != "<missing>":
                await trio.Path(directory / name).write_text(text)


class LightRuntime(ColdStarts):
    """The plain runtime, but the child is ``behave.py`` on the bare interpreter: 20 ms instead of a second."""

    name = "plain"

    def __init__(self, groups: CgroupTree | None = None) -> None:
        self.inner = PlainRuntime(groups)
        self.specs: list[ProcessSpec] = []

    def describe(self) -> Mapping[str, str]:
        return self.inner.describe()

    def holds(self) -> frozenset[Held]:
        return self.inner.holds()

    def network(self, wanted: Network) -> Network:
        return self.inner.network(wanted)

    def shares_listener(self, network: Network) -> bool:
        return self.inner.shares_listener(network)

    def open_process(self, spec: ProcessSpec) -> AbstractAsyncContextManager[RunningProcess]:
        self.specs.append(spec)
        argv = [sys.executable, "-I", "-S", str(spec.directory / "behave.py"), FD_PLACEHOLDER, CONTROL_PLACEHOLDER]
        return self.inner.open_process(replace(spec, argv=argv))


@dataclass
class Rig:
    """A service and what tests do with it."""

    service: Service
    source: MemorySource
    runtime: LightRuntime

    async def launch(self, generation_id: str, user: User = ANN, **options: float) -> Launched:
        return await self.service.previews.launch(LaunchRequest(user, generation_id, **options))  # type: ignore[arg-type]  # numbers only

    async def running(self, behave: str = SERVER, generation_id: str = "g1", **more: str) -> LivePreview:
        self.source.add(generation_id, behave, **more)  # type: ignore[arg-type]  # texts only
        launched = await self.launch(generation_id)
        preview = self.preview(launched)
        await preview.settled.wait()
        return preview

    def preview(self, launched: Launched) -> LivePreview:
        preview = self.service.previews.find(launched.record.id)
        assert preview is not None
        return preview


@asynccontextmanager
async def open_rig(
    settings: Settings, groups: CgroupTree | None = None, runtime: LightRuntime | None = None
) -> AsyncIterator[Rig]:
    source, runtime = MemorySource(), runtime or LightRuntime(groups)
    async with open_service(settings, generations=source, runtime=runtime) as service:
        yield Rig(service, source, runtime)


async def ask(preview: LivePreview, path: str = "/") -> bytes:
    """One raw request to the child."""
    async with await trio.open_tcp_stream(*preview.socket_address) as stream:
        await stream.send_all(f"GET {path} HTTP/1.1\r\nhost: x\r\n\r\n".encode())
        return b"".join([chunk async for chunk in stream])


async def read_to_end(preview: LivePreview) -> tuple[list[LogLine], list[StatusChange | Gap | End]]:
    lines: list[LogLine] = []
    others: list[StatusChange | Gap | End] = []
    with preview.log.subscribe() as subscription:
        while not (others and isinstance(others[-1], End)):
            for event in await subscription.receive():
                if isinstance(event, Batch):
                    lines.extend(event.lines)
                else:
                    others.append(event)
    return lines, others


def open_descriptors() -> set[str]:
    found = set()
    for entry in Path("/proc/self/fd").iterdir():
        try:
            found.add(f"{entry.name}:{entry.readlink()}")
        except OSError:
            continue
    return found
