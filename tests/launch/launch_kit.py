"""A real service that starts real projects from a plan given by hand: what detection finds is another room's matter."""

from __future__ import annotations

import os
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx2
import pytest
import trio
from planned_kit import give_plan, take_plans

from preview.core.clock import utc_now
from preview.detection import Overrides, Server, StartPlan, Toolchain
from preview.endpoints import AppTarget
from preview.generations import Generation
from preview.runtime.kernel import proctree
from preview.service import Service, open_service
from preview.settings import Settings
from preview.supervisor import LaunchRequest, LivePreview, User

__all__ = ["ANN", "Rig", "ask", "command", "inherits", "listening_ports", "open_rig", "says", "story", "target"]

ANN = User("ann", "enterprise")


@dataclass
class MemorySource:
    """Generations that are texts."""

    projects: dict[str, Mapping[str, str]] = field(default_factory=dict)
    revision: int = 1

    async def get(self, generation_id: str) -> Generation:
        await trio.lowlevel.checkpoint()
        return Generation(generation_id, "project", ANN.id, utc_now(), revision=self.revision)

    async def write_files(self, generation_id: str, directory: Path) -> None:
        for name, text in self.projects[generation_id].items():
            path = trio.Path(directory / name)
            await path.parent.mkdir(parents=True, exist_ok=True)
            await path.write_text(text)


@dataclass
class Rig:
    """A service and what tests do with it."""

    service: Service
    source: MemorySource
    monkeypatch: pytest.MonkeyPatch

    async def begin(
        self, files: Mapping[str, str], plan: StartPlan, *, overrides: Overrides | None = None
    ) -> LivePreview:
        """Launch the project by this plan; it is still starting."""
        self.source.projects["g1"] = files
        give_plan(self.monkeypatch, plan)
        launched = await self.service.previews.launch(LaunchRequest(ANN, "g1", overrides=overrides))
        preview = self.service.previews.find(launched.record.id)
        assert preview is not None
        return preview

    async def start(self, files: Mapping[str, str], plan: StartPlan) -> LivePreview:
        """As ``begin``; it runs, or has failed."""
        preview = await self.begin(files, plan)
        await preview.settled.wait()
        # What it has printed ahead of its first answer.
        await preview.log.read_on()
        return preview


@asynccontextmanager
async def open_rig(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Rig]:
    source = MemorySource()
    take_plans(monkeypatch)
    async with open_service(settings, generations=source) as service:
        yield Rig(service, source, monkeypatch)


def target(module: str, attribute: str, *, app_dir: str = ".", factory: bool = False, framework: str) -> AppTarget:
    file = f"{app_dir}/{module.replace('.', '/')}.py".removeprefix("./")
    return AppTarget(module, attribute, app_dir, factory, file, f"{module} was chosen", framework)


def command(*words: str, **more: object) -> StartPlan:
    """A plan that runs a command of the plain Python environment."""
    return StartPlan("command", Toolchain.PYTHON, Server.COMMAND, None, command=words, **more)  # type: ignore[arg-type]  # fields of the plan


def story(preview: LivePreview) -> list[str]:
    """Its log so far."""
    return preview.last_lines(1000)


async def says(preview: LivePreview, text: str) -> None:
    """Wait until its log has this line."""
    with preview.log.subscribe() as events:
        while text not in story(preview):
            await events.receive()


async def ask(preview: LivePreview, path: str = "/") -> httpx2.Response:
    host, port = preview.socket_address
    async with httpx2.AsyncClient(verify=False) as client:
        return await client.get(f"http://{host}:{port}{path}")


def listening_ports(preview: LivePreview) -> set[int]:
    """Ports that any process of the preview listens on, whichever network it is in."""
    pid = preview.record.pid
    assert pid is not None
    found = set()
    for one in (pid, *proctree.descendants(pid)):
        sockets = {link.readlink().name for link in Path(f"/proc/{one}/fd").iterdir()}
        for table in ("tcp", "tcp6"):
            for line in Path(f"/proc/{one}/net/{table}").read_text("ascii").splitlines()[1:]:
                # local_address, state (0A: listening) and inode, as proc_net_tcp(5) has them.
                fields = line.split()
                if fields[3] == "0A" and f"socket:[{fields[9]}]" in sockets:
                    found.add(int(fields[1].rpartition(":")[2], 16))
    # The inherited socket is in another network than the preview's processes.
    if inherits(preview, preview.inner or preview.listener) and preview.record.port is not None:
        found.add(preview.record.port)
    return found


def inherits(preview: LivePreview, listener: socket.socket) -> bool:
    """Whether a process of the preview has this socket. In a sandbox the application is below the leader."""
    leader = preview.record.pid
    assert leader is not None
    pids = (leader, *proctree.descendants(leader))
    held = {link.readlink().name for one in pids for link in Path(f"/proc/{one}/fd").iterdir()}
    return f"socket:[{os.fstat(listener.fileno()).st_ino}]" in held
