"""What starts a small program under each runtime, and sees that nothing of it is left."""

from __future__ import annotations

import os
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest
import trio
from engine_kit import IN_CONTAINERS, use_engine
from runtime_containers import any_runtime
from runtime_kit import (
    INTERPRETER,
    LIMITS,
    PYTHON,
    Start,
    none_but,
    open_descriptors,
    sandbox_or_skip,
    strangers,
    zombies,
)
from runtime_warm import KeptTemplate, keep_template, open_texts

from preview.core.isolation import Network
from preview.runtime import Limits, ProcessSpec, RunningProcess, Runtime, SandboxRuntime, bind_in_range, child_subreaper
from preview.runtime.kernel import proctree


@pytest.fixture
def sandbox_here() -> SandboxRuntime:
    return sandbox_or_skip()


@pytest.fixture
def told() -> list[str]:
    """What starts have said."""
    return []


# An ordinary user's sandbox is the inner one, cold and warm.
INNER = ["inner"] if os.geteuid() == 0 else []


@pytest.fixture(params=["plain", "sandbox", "warm", *IN_CONTAINERS, *INNER])
def manner(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """How programs are started; a warm start isolates as the sandbox does, and calls itself so."""
    name = use_engine(request.param, monkeypatch)
    # Probed here, outside of trio.
    any_runtime(name)
    return name


@pytest.fixture(scope="session")
def kept_template() -> Iterator[KeptTemplate]:
    with keep_template(sandbox_or_skip()) as kept:
        yield kept


@pytest.fixture
def kept(manner: str, request: pytest.FixtureRequest) -> KeptTemplate | None:
    """The template that programs are forked from, where they are started so."""
    return request.getfixturevalue("kept_template") if manner == "warm" else None


@pytest.fixture
async def runtime(manner: str, kept: KeptTemplate | None) -> AsyncIterator[Runtime]:
    with child_subreaper():
        if kept is None:
            yield any_runtime(manner)
            return
        before, others = open_descriptors(), set(proctree.descendants(os.getpid()))
        async with open_texts(sandbox_or_skip(), kept) as made:
            yield made
        await none_but(others)
        assert open_descriptors() <= before


@pytest.fixture
def sandbox() -> Iterator[SandboxRuntime]:
    made = sandbox_or_skip()
    with child_subreaper():
        yield made


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with bind_in_range("127.0.0.1", 20_000, 32_000) as bound:
        yield bound


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """The only folder that the program is given."""
    folder = tmp_path / "project"
    folder.mkdir(mode=0o700)
    return folder


def starter(runtime: Runtime, listener: socket.socket, project: Path) -> Start:
    def begin(
        program: str,
        *arguments: str,
        limits: Limits = LIMITS,
        network: Network = Network.NONE,
        environment: dict[str, str] | None = None,
        readable: tuple[Path, ...] = (),
        links: dict[Path, Path] | None = None,
        around: Path | None = None,
        placed: dict[Path, Path] | None = None,
    ) -> AbstractAsyncContextManager[RunningProcess]:
        spec = ProcessSpec(
            preview_id="preview_test",
            argv=[*PYTHON, program, *arguments],
            directory=project,
            environment={"ONLY": "this"} if environment is None else environment,
            listener=listener,
            limits=limits,
            readable=(*INTERPRETER, *readable),
            writable=(project,),
            links=links or {},
            around=around,
            placed=placed or {},
            network=network,
            slot=listener.getsockname()[1],
        )
        return _in_time(runtime, spec)

    return begin


@asynccontextmanager
async def _in_time(runtime: Runtime, spec: ProcessSpec) -> AsyncIterator[RunningProcess]:
    # In the test's own task: a deadline in a fixture would not cancel the test.
    with trio.fail_after(60):
        async with runtime.open_process(spec) as process:
            yield process


@pytest.fixture
async def inherited(
    runtime: Runtime, listener: socket.socket, nothing_left_of_it: None
) -> AsyncIterator[socket.socket]:
    """What all processes of the preview inherit, as the supervisor has it."""
    async with open_inherited(runtime, listener) as found:
        yield found


@asynccontextmanager
async def open_inherited(runtime: Runtime, listener: socket.socket) -> AsyncIterator[socket.socket]:
    async with runtime.open_inner_listener(listener) as inner:
        if inner is not None:
            inner.carry()
        yield inner or listener


@pytest.fixture
def start(runtime: Runtime, inherited: socket.socket, project: Path) -> Start:
    return starter(runtime, inherited, project)


@pytest.fixture
def start_sandboxed(sandbox: SandboxRuntime, listener: socket.socket, project: Path) -> Start:
    return starter(sandbox, listener, project)


@pytest.fixture(params=["sandbox", "warm", pytest.param("container", marks=pytest.mark.long)])
def cage(request: pytest.FixtureRequest) -> str:
    """How a sandboxed program is started."""
    name: str = request.param
    any_runtime(name)
    return name


@pytest.fixture
async def caged(cage: str, request: pytest.FixtureRequest) -> AsyncIterator[Runtime]:
    """A runtime that isolates."""
    with child_subreaper():
        if cage != "warm":
            yield any_runtime(cage)
            return
        async with open_texts(sandbox_or_skip(), request.getfixturevalue("kept_template")) as made:
            yield made


@pytest.fixture(autouse=True)
def known_strangers() -> None:
    strangers.clear()
    strangers.update(proctree.descendants(os.getpid()))


@asynccontextmanager
async def _nothing_further() -> AsyncIterator[None]:
    """Of each process that is started meanwhile, neither it nor a descriptor is left."""
    before = open_descriptors()
    known = set(proctree.descendants(os.getpid()))
    yield
    await none_but(known)
    assert zombies() == []
    assert open_descriptors() <= before


@pytest.fixture
async def nothing_left_of_it(runtime: Runtime) -> AsyncIterator[None]:
    """Nothing is left of any process, while the runtime is open still."""
    async with _nothing_further():
        yield


@pytest.fixture
async def start_caged(caged: Runtime, listener: socket.socket, project: Path) -> AsyncIterator[Start]:
    """Starts programs sandboxed, cold and warm; nothing is left of any."""
    async with _nothing_further(), open_inherited(caged, listener) as inherited:
        yield starter(caged, inherited, project)


@pytest.fixture
async def nothing_left() -> AsyncIterator[None]:
    """Neither processes nor descriptors are left."""
    before = open_descriptors()
    yield
    left = [pid for pid in proctree.descendants(os.getpid()) if proctree.read_marker(pid) == "preview_test"]
    assert left == []
    assert zombies() == []
    assert open_descriptors() <= before
