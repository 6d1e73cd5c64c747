"""Environments that are built when a generation is pushed."""

from __future__ import annotations

import zipfile
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import cast

import pytest
import trio
import trio.testing
from supervisor_kit import ANN, APP, BOB, SERVER, LightRuntime, MemorySource

from preview.core.clock import utc_now
from preview.environments import EnvironmentCache
from preview.environments.node.build import NodeEnvironmentCache
from preview.environments.python.build import build_environment
from preview.environments.store import cache as cache_module
from preview.errors import GenerationNotFound
from preview.generations import Edit, Generation, GenerationLibrary
from preview.logs import LogWriter
from preview.runtime import ProcessSpec
from preview.service import Service, open_service
from preview.settings import Settings
from preview.storage import PreviewStore
from preview.supervisor import AnalysisCache, LaunchRequest, PushQueue, SupervisorContext, User, run_builder
from preview.worker import InProcess

LIMIT_S = 60


@pytest.fixture
def settings(
    make_settings_in: Callable[..., Settings], write_packages: Path, monkeypatch: pytest.MonkeyPatch
) -> Settings:
    monkeypatch.setenv("UV_FIND_LINKS", str(write_packages))
    return make_settings_in(uv_offline=True, build_on_push=True)


@pytest.fixture
def write_packages(tmp_path: Path) -> Path:
    """Wheels of one line each, for builds that take no network and no time."""
    folder = tmp_path / "packages"
    folder.mkdir()
    for name in ("fastapi", "uvicorn", "tiny"):
        info = f"{name}-99.0.dist-info"
        with zipfile.ZipFile(folder / f"{name}-99.0-py3-none-any.whl", "w") as wheel:
            wheel.writestr(f"{name}/__init__.py", "")
            wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 99.0\n")
            wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
            wheel.writestr(f"{info}/RECORD", f"{name}/__init__.py,,\n")
    return folder


@asynccontextmanager
async def opened(settings: Settings) -> AsyncIterator[Service]:
    with trio.fail_after(LIMIT_S):
        async with open_service(settings, runtime=LightRuntime()) as service:
            yield service


async def push(service: Service, requirements: str = "tiny==99.0\n", **more: str) -> Generation:
    assert service.library is not None
    files = {"main.py": APP, "behave.py": SERVER, "requirements.txt": f"fastapi==99.0\n{requirements}", **more}
    return await service.library.create(
        user_id=ANN.id, project_id=None, name="", files={name: text.encode() for name, text in files.items()}
    )


def built(settings: Settings) -> list[Path]:
    return sorted((settings.cache_dir / "environments").glob("*/preview.json"))


async def wait_for_builds(settings: Settings, count: int) -> None:
    while len(built(settings)) < count:  # noqa: ASYNC110  a process does it
        await trio.sleep(0.01)


async def log_of_a_launch(service: Service, generation: Generation, user: User = ANN) -> str:
    launched = await service.previews.launch(LaunchRequest(user, generation.id))
    preview = service.previews.find(launched.record.id)
    assert preview is not None
    await preview.settled.wait()
    said = "\n".join(preview.last_lines(100))
    await service.previews.stop(generation.id)
    return said


class Gate:
    """Builds that begin and do not go on until they may."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.begun, self.may_go_on = trio.Event(), trio.Event()
        monkeypatch.setattr(cache_module, "build_environment", self._build)

    async def _build(self, *args: object, **options: object) -> None:
        self.begun.set()
        await self.may_go_on.wait()
        await build_environment(*args, **options)  # type: ignore[arg-type]  # as it was called


async def test_a_launch_finds_the_environment_that_the_push_has_built(settings: Settings) -> None:
    async with opened(settings) as service:
        generation = await push(service)
        await wait_for_builds(settings, 1)
        assert "(cached, Python " in await log_of_a_launch(service, generation)
    assert len(built(settings)) == 1
    assert not list((settings.data_dir / "pushed").iterdir())


async def test_a_launch_waits_for_the_build_under_way_and_says_so(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = Gate(monkeypatch)
    async with opened(settings) as service:
        generation = await push(service)
        await gate.begun.wait()
        launched = await service.previews.launch(LaunchRequest(ANN, generation.id))
        preview = service.previews.find(launched.record.id)
        assert preview is not None
        waits = "waiting for the same environment, which is already being built"
        while not any(waits in line for line in preview.last_lines(20)):  # noqa: ASYNC110  its task says it
            await trio.sleep(0.01)
        gate.may_go_on.set()
        await preview.settled.wait()
        assert preview.outcome is None
    assert len(built(settings)) == 1


async def test_a_shutdown_ends_the_build_and_nothing_is_left(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = Gate(monkeypatch)
    async with opened(settings) as service:
        await push(service)
        await gate.begun.wait()
    assert not list((settings.data_dir / "pushed").iterdir())
    assert not list((settings.cache_dir / "environments").iterdir())


async def test_what_cannot_be_built_is_told_by_its_launch_and_keeps_nothing_else_from_being_built(
    settings: Settings,
) -> None:
    async with opened(settings) as service:
        bad = await push(service, "no-such-package==1\n")
        await push(service)
        await wait_for_builds(settings, 1)
        launched = await service.previews.launch(LaunchRequest(ANN, bad.id))
        preview = service.previews.find(launched.record.id)
        assert preview is not None
        await preview.over.wait()
        assert preview.outcome is not None
        assert "no-such-package" in preview.outcome.reason


async def test_it_can_be_turned_off(settings: Settings) -> None:
    async with opened(settings.model_copy(update={"build_on_push": False})) as service:
        generation = await push(service)
        assert "(built, Python " in await log_of_a_launch(service, generation)


async def test_what_a_killed_service_left_is_removed(settings: Settings) -> None:
    left = settings.data_dir / "pushed" / "0123" / "main.py"
    left.parent.mkdir(parents=True)
    left.touch()
    async with opened(settings):
        assert not left.parent.exists()


async def test_the_compiler_runs_in_the_service(settings: Settings) -> None:
    async with opened(settings) as service:
        await push(service)
        await wait_for_builds(settings, 1)
        while not list((settings.cache_dir / "environments").glob("*/compiled.json")):  # noqa: ASYNC110  a process
            await trio.sleep(0.01)


# A folder that is a package: its build copies the wheel in it.
PACKAGE = """
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]
[project]
name = "tiny"
version = "99.0"
"""
BACKEND = """
import pathlib, shutil
def build_wheel(directory, config_settings=None, metadata_directory=None):
    name = "tiny-99.0-py3-none-any.whl"
    shutil.copy(pathlib.Path(__file__).parent / name, pathlib.Path(directory) / name)
    return name
"""


async def test_a_package_of_a_project_is_built_for_each_user_and_one_of_the_index_once(
    settings: Settings, write_packages: Path
) -> None:
    wheel = "tiny-99.0-py3-none-any.whl"
    package = {
        "pkg/pyproject.toml": PACKAGE.encode(),
        "pkg/backend.py": BACKEND.encode(),
        f"pkg/{wheel}": (write_packages / wheel).read_bytes(),
    }

    async def launched(service: Service, user: User, line: str, project: Mapping[str, bytes]) -> str:
        assert service.library is not None
        files = {"main.py": APP.encode(), "behave.py": SERVER.encode(), **project}
        files["requirements.txt"] = f"fastapi==99.0\n{line}\n".encode()
        made = await service.library.create(user_id=user.id, project_id=None, name="", files=files)
        return await log_of_a_launch(service, made, user)

    async with opened(settings.model_copy(update={"build_on_push": False})) as service:
        assert "(built, Python " in await launched(service, ANN, "./pkg", package)
        assert "(cached, Python " in await launched(service, ANN, "./pkg", package)
        assert "(built, Python " in await launched(service, BOB, "./pkg", package)
        assert "(built, Python " in await launched(service, ANN, "tiny==99.0", {})
        assert "(cached, Python " in await launched(service, BOB, "tiny==99.0", {})


# The queue


def generation(number: int, user_id: str = "ann") -> Generation:
    return Generation(f"{user_id}-{number}", "project", user_id, utc_now())


async def waiting(queue: PushQueue) -> list[str]:
    return [(await queue.get()).id for _ in range(len(queue))]


async def test_the_queue_keeps_the_order_and_each_generation_once(settings: Settings) -> None:
    queue = PushQueue(settings)
    for number in (1, 2, 1, 3):
        queue.put(generation(number))
    assert await waiting(queue) == ["ann-1", "ann-2", "ann-3"]


async def test_a_full_queue_drops_the_oldest_of_whoever_has_most_in_it(settings: Settings) -> None:
    queue = PushQueue(settings.model_copy(update={"build_queue": 4}))
    queue.put(generation(1, "bob"))
    for number in range(1000):
        queue.put(generation(number))
    assert await waiting(queue) == ["bob-1", "ann-997", "ann-998", "ann-999"]


async def test_the_queue_waits_for_a_push(settings: Settings) -> None:
    queue = PushQueue(settings)
    with trio.fail_after(LIMIT_S):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(queue.get)
            await trio.testing.wait_all_tasks_blocked()
            queue.put(generation(1))


# The builder


Ready = tuple[str, str]


class NotingRuntime(LightRuntime):
    """Says of what a template is to be prepared: the environment, and what is required there."""

    def __init__(self, tell: Callable[[Ready], None]) -> None:
        super().__init__()
        self._tell = tell

    def prepare(self, spec: ProcessSpec) -> None:
        assert spec.warm is not None
        self._tell((spec.warm.key, (spec.directory / "requirements.txt").read_text()))


async def build(settings: Settings, source: MemorySource, *names: str, count: int) -> list[Ready]:
    """Have these built ahead, until templates of ``count`` environments are asked for."""
    queue = PushQueue(settings)
    send, receive = trio.open_memory_channel[Ready](len(names))
    context = SupervisorContext(
        settings=settings.model_copy(update={"warm_templates": 1}),
        source=source,
        environments=EnvironmentCache(settings),
        node_environments=NodeEnvironmentCache(settings),
        runtime=NotingRuntime(send.send_nowait),
        store=cast("PreviewStore", None),
        writer=cast("LogWriter", None),
        analyses=AnalysisCache(InProcess()),
    )
    for name in names:
        queue.put(Generation(name, "project", ANN.id, utc_now()))
    with trio.fail_after(LIMIT_S):
        async with trio.open_nursery() as nursery:
            await nursery.start(run_builder, queue, context)
            found = [await receive.receive() for _ in range(count)]
            await trio.testing.wait_all_tasks_blocked()
            nursery.cancel_scope.cancel()
    return found


def add(source: MemorySource, name: str, requirements: str) -> None:
    source.add(name)
    made, files = source.projects[name]
    source.projects[name] = made, {**files, "requirements.txt": requirements}


async def test_a_template_is_prepared_of_each_environment_that_is_ready(settings: Settings) -> None:
    source = MemorySource()
    for name in ("first", "second"):
        add(source, name, "fastapi==99.0")
    found = await build(settings, source, "first", "second", count=2)
    assert [required for _, required in found] == ["fastapi==99.0"] * 2
    assert len({key for key, _ in found}) == 1


async def test_a_package_that_lies_in_the_project_is_not_built_ahead_as_each_launch_has_its_own(
    settings: Settings,
) -> None:
    source = MemorySource()
    add(source, "own", "./packed.zip")
    add(source, "plain", "fastapi==99.0")
    source.projects["own"][1]["packed.zip"] = ""  # type: ignore[index]  # a dict
    found = await build(settings, source, "own", "plain", count=1)
    assert [required for _, required in found] == ["fastapi==99.0"]


async def test_a_generation_that_is_gone_meanwhile_is_passed_over(settings: Settings) -> None:
    class Forgetful(MemorySource):
        async def write_files(self, generation_id: str, directory: Path) -> None:
            if generation_id not in self.projects:
                raise GenerationNotFound("There is none.")
            await super().write_files(generation_id, directory)

    source = Forgetful()
    add(source, "there", "fastapi==99.0")
    assert len(await build(settings, source, "gone", "there", count=1)) == 1


# What counts as a push


async def test_a_change_of_requirements_is_a_push_and_one_of_code_is_none(settings: Settings) -> None:
    async with opened(settings.model_copy(update={"build_on_push": False})) as service:
        told: list[str] = []
        library = GenerationLibrary(service.database, settings, lambda one: told.append(one.id))
        files = {"main.py": b"1", "requirements.txt": b""}
        made = await library.create(user_id="ann", project_id=None, name="", files=files)
        await library.edit(made.id, Edit({"main.py": b"2"}))
        assert told == [made.id]
        await library.edit(made.id, Edit({"requirements.txt": b"tiny"}))
        assert told == [made.id, made.id]
