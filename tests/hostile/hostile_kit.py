"""The real service with a hostile preview and an innocent one, on each rung."""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import pytest
import trio
from engine_kit import IN_CONTAINERS, IN_TIME_S, engine_or_skip, own_runtime
from planned_kit import give_plan, take_plans

from preview.core.clock import utc_now
from preview.detection import Server, StartPlan, Toolchain
from preview.endpoints import AppTarget
from preview.generations import Generation
from preview.runtime import Refusal, SandboxRuntime, probe_sandbox
from preview.runtime.warm import WarmRuntime
from preview.service import Service, open_service
from preview.settings import Settings
from preview.supervisor import LaunchRequest, LivePreview, User

PROGRAMS = Path(__file__).with_name("programs")
ANN = User("ann", "enterprise")
# A warm start is a sandboxed one: each preview is forked from a template.
RUNGS = ("plain", "sandbox", "warm", *IN_CONTAINERS)
SERVICE_ALONE = [pytest.param(rung, marks=() if rung == "sandbox" else pytest.mark.long) for rung in RUNGS]
"""For what the service does with files and bytes, whatever holds the preview."""
MIB = 2**20
SECRET = "s3cret-of-the-service"
_COMMAND = StartPlan("command", Toolchain.PYTHON, Server.COMMAND, None, command=("python", "main.py"))
_TARGET = AppTarget("main", "application", ".", factory=False, file="main.py", reason="", framework="flask")
_SERVED = StartPlan("flask", Toolchain.PYTHON, Server.WSGI, _TARGET, extra_requirements=("waitress",))


@dataclass
class Projects:
    """Generations whose files are texts."""

    files: dict[str, Mapping[str, str]] = field(default_factory=dict)

    async def get(self, generation_id: str) -> Generation:
        await trio.lowlevel.checkpoint()
        return Generation(generation_id, "project", ANN.id, utc_now())

    async def write_files(self, generation_id: str, directory: Path) -> None:
        for name, text in self.files[generation_id].items():
            await trio.Path(directory / name).write_text(text)


@dataclass
class Rig:
    """A service and its previews."""

    service: Service
    projects: Projects

    async def running(self, generation_id: str, *programs: str) -> LivePreview:
        """A preview of the first program; the others lie beside it. Forked, where the rung has templates."""
        preview = await self._launched(generation_id, *programs)
        if self.service.settings.warm_templates and not is_warm(preview):
            runtime = self.service.previews._context.runtime
            assert isinstance(runtime, WarmRuntime)
            with trio.fail_after(IN_TIME_S):
                while not runtime.templates.ready:  # noqa: ASYNC110  a pool tells nobody
                    await trio.sleep(0.01)
            await self.service.previews.stop(generation_id)
            preview = await self._launched(generation_id, *programs)
            assert is_warm(preview), preview.last_lines(20)
        return preview

    async def _launched(self, generation_id: str, *programs: str) -> LivePreview:
        first, *others = programs
        texts = {"main.py": (PROGRAMS / f"{first}.py").read_text()}
        texts |= {f"{name}.py": (PROGRAMS / f"{name}.py").read_text() for name in others}
        self.projects.files[generation_id] = texts
        launched = await self.service.previews.launch(LaunchRequest(ANN, generation_id))
        preview = self.service.previews.find(launched.record.id)
        assert preview is not None
        await preview.settled.wait()
        return preview


def is_warm(preview: LivePreview) -> bool:
    return any(line.startswith("started warm") for line in preview.last_lines(50))


def isolation_of(rung: str) -> dict[str, Any]:
    """Settings of a rung."""
    if rung == "container":
        named = {"container_engine": f"unix://{engine_or_skip()}", "container_runtime": own_runtime()}
        return {"isolation": "container", **named, "warm_templates": 0}
    return {"isolation": "plain" if rung == "plain" else "auto", "warm_templates": 2 if rung == "warm" else 0}


@asynccontextmanager
async def open_hostile_rig(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Rig]:
    projects = Projects()
    plan = _SERVED if settings.warm_templates else _COMMAND
    take_plans(monkeypatch)
    give_plan(monkeypatch, plan)
    async with open_service(settings, generations=projects) as service:
        yield Rig(service, projects)


async def request(preview: LivePreview, name: str = "", world: Mapping[str, object] | None = None) -> Any:
    host, port = preview.socket_address
    async with httpx2.AsyncClient(timeout=60, verify=False) as client:
        if world is None:
            return (await client.get(f"http://{host}:{port}/{name}")).json()
        return (await client.post(f"http://{host}:{port}/{name}", json=dict(world))).json()


def sandbox_or_skip(folder: Path) -> None:
    """Skips where the machine has no sandbox; call it outside of trio."""
    found: list[SandboxRuntime | Refusal] = []

    async def probe() -> None:
        found.append(await probe_sandbox(folder))

    trio.run(probe)
    if isinstance(found[0], Refusal):
        if os.environ.get("PREVIEW_TEST_REQUIRE_SANDBOX") == "1":
            pytest.fail(f"PREVIEW_TEST_REQUIRE_SANDBOX=1, but {found[0].reason}")
        pytest.skip(f"no sandbox: {found[0].reason}")


@contextmanager
def a_world(folder: Path) -> Iterator[dict[str, Any]]:
    """What is around a preview on its machine, each thing of somebody else's."""
    folder.mkdir()
    (folder / "secret").write_text(SECRET)
    (folder / "secret").chmod(0o600)
    with ExitStack() as stack:
        victims = [_bystander(stack) for _ in range(2)]
        service = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        datagrams = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        datagrams.bind(("127.0.0.1", 0))
        abstract, by_file = (stack.enter_context(socket.socket(socket.AF_UNIX)) for _ in range(2))
        name = f"preview-hostile-{os.getpid()}"
        abstract.bind("\0" + name)
        by_file.bind(str(folder / "socket"))
        abstract.listen()
        by_file.listen()
        yield {
            "secret": SECRET,
            "secret_file": str(folder / "secret"),
            "outside": str(folder),
            "victim": victims[0].pid,
            "bystander": victims[1].pid,
            "service": os.getpid(),
            "service_port": service.getsockname()[1],
            "datagram_port": datagrams.getsockname()[1],
            "datagrams": datagrams,
            "abstract": name,
            "socket_file": str(folder / "socket"),
            "victims": victims,
        }


def _bystander(stack: ExitStack) -> subprocess.Popen[bytes]:
    one = stack.enter_context(subprocess.Popen(["/bin/sleep", "600"], env={"SECRET": SECRET}))
    stack.callback(one.kill)
    return one


MakeSettings = Callable[..., Settings]
