"""A reserved fork that runs before its start is decided: what a start takes over, and what becomes of it otherwise."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import trio
import trio.testing
from runtime_kit import CancelAtStep, open_descriptors, read_all
from runtime_warm import Environment, make_environment, open_leaving_nothing, settled

from preview.runtime import Exit, ProcessSpec, RunningProcess, SandboxRuntime, SpeculativeProcess
from preview.runtime.kernel import proctree
from preview.runtime.warm import WarmRuntime
from preview.runtime.warm.forks import speculative
from preview.runtime.warm.forks.process import ForkedProcess

# Says by a file of its own that it runs; nobody reads its output yet.
RUNS = "print('hello', flush=True); open('runs', 'w').close(); import time; time.sleep(600)"
FAILS = "print('hello', flush=True); open('runs', 'w').close(); raise SystemExit(3)"
FLOODS = "import os; os.write(1, b'x' * 60_000); open('runs', 'w').close(); os.write(1, b'y' * 60_000)"
READS_COLOUR = "import os; found = os.environ.get('COLOUR')"


@pytest.fixture
async def warm(sandbox_here: SandboxRuntime) -> AsyncIterator[WarmRuntime]:
    async with open_leaving_nothing(sandbox_here) as opened:
        yield opened


@dataclass
class Start:
    """A start that is likely, of which a fork is reserved.

    Attributes:
        warm: Has a template for it.
        spec: What it is likely to be.
        project: Its folder.
    """

    warm: WarmRuntime
    spec: ProcessSpec
    project: Path

    @asynccontextmanager
    async def run(self, text: str = RUNS, **values: object) -> AsyncIterator[tuple[SpeculativeProcess, ProcessSpec]]:
        """Start it early, as this program."""
        spec = replace(self.spec, argv=[*self.spec.argv[:2], text], **values)  # type: ignore[arg-type]  # its fields
        async with self.warm.reserve(spec), self.warm.speculate(spec) as process:
            assert process is not None
            assert await process.wait()
            await self.has_run()
            yield process, spec

    async def has_run(self) -> None:
        with trio.fail_after(60):
            while not (self.project / "runs").exists():  # noqa: ASYNC110  nobody tells
                await trio.sleep(0.002)

    def processes(self) -> list[int]:
        """Of the speculative one."""
        return [pid for pid in proctree.descendants(os.getpid()) if self._is_in_project(pid)]

    def _is_in_project(self, pid: int) -> bool:
        try:
            return Path(f"/proc/{pid}/cwd").readlink() == self.project
        except OSError:
            return False

    async def none_runs(self) -> None:
        with trio.fail_after(60):
            while self.processes():  # noqa: ASYNC110  nobody tells
                await trio.sleep(0.002)


@pytest.fixture
async def start(warm: WarmRuntime, tmp_path: Path, project: Path, told: list[str]) -> Start:
    environment: Environment = make_environment(tmp_path / "environment", {"packaged": READS_COLOUR})
    spec = environment.spec(RUNS, project, told)
    assert await settled(warm, spec)
    return Start(warm, spec, project)


def same_process(process: RunningProcess, pids: list[int]) -> bool:
    assert isinstance(process, ForkedProcess)
    application = process._fork.application
    return application is not None and application.pid in pids


async def test_it_runs_before_its_start_and_goes_on_as_that(start: Start, told: list[str]) -> None:
    async with start.run() as (one, spec):
        assert one.is_for(spec)
        running = start.processes()
        assert told == []
        async with start.warm.open_process(spec) as process:
            assert same_process(process, running)
            assert told[-1].startswith("started warm: ")
            assert await process.stop(grace_s=5) == Exit(signal=signal.SIGTERM)
            assert await read_all(process) == "hello\n"


async def test_its_start_ends_it_and_not_its_opener(start: Start) -> None:
    async with start.run() as (_, spec):
        async with start.warm.open_process(spec):
            assert start.processes()
        await start.none_runs()


async def test_nothing_of_one_that_nobody_starts_is_left(start: Start) -> None:
    async with start.run():
        assert start.processes()
    assert start.processes() == []


async def test_one_that_is_ended_is_gone_and_the_same_start_is_another_process(start: Start) -> None:
    async with start.run() as (one, spec):
        ended = start.processes()
        await one.end()
        assert start.processes() == []
        async with start.warm.open_process(spec) as process:
            assert not same_process(process, ended)
        assert start.warm._speculative == {}


async def test_the_end_of_one_that_its_start_has_is_its_start_s(start: Start) -> None:
    async with start.run() as (one, spec), start.warm.open_process(spec):
        await one.end()
        assert start.processes()


async def test_one_that_is_ended_while_it_starts_leaves_nothing(start: Start) -> None:
    async with start.warm.reserve(start.spec), start.warm.speculate(start.spec) as one:
        assert one is not None
        await one.end()
        assert not await one.wait()
        assert start.processes() == []


async def test_what_it_has_printed_meanwhile_is_all_there_however_much(start: Start) -> None:
    """A pipe holds 64 KiB (pipe(7)): it waits for a reader, and loses nothing."""
    async with start.run(FLOODS) as (_, spec), start.warm.open_process(spec) as process:
        text = await read_all(process)
        assert (text.count("x"), text.count("y")) == (60_000, 60_000)
        assert await process.wait() == Exit(code=0)


async def test_one_that_has_ended_by_itself_ends_so_for_its_start(start: Start) -> None:
    async with start.run(FAILS) as (one, spec):
        await start.none_runs()
        assert one.is_for(spec)
        async with start.warm.open_process(spec) as process:
            assert await process.wait() == Exit(code=3)
            assert await read_all(process) == "hello\n"


@pytest.mark.parametrize(
    "changed",
    [
        {"argv": ["python", "other.py"]},
        {"environment": {"LEVEL": "2"}},
        {"environment": {"COLOUR": "red"}},
        {"network": "host"},
        {"number": 2},
        {"slot": 9},
        {"readable": ()},
        {"warm": None},
    ],
    ids=str,
)
async def test_it_is_for_no_other_start(start: Start, changed: dict[str, object]) -> None:
    async with start.run() as (one, spec):
        assert not one.is_for(replace(spec, **changed))  # type: ignore[arg-type]  # fields of it


async def test_it_is_for_no_project_with_a_module_of_a_name_that_is_loaded(start: Start) -> None:
    async with start.run() as (one, spec):
        assert spec.warm is not None
        assert not one.is_for(replace(spec, warm=replace(spec.warm, own=frozenset({"packaged"}))))
        assert one.is_for(replace(spec, warm=replace(spec.warm, own=frozenset({"its_own"}))))


async def test_it_is_for_no_project_that_wants_less_than_its_template_has_imported(start: Start) -> None:
    async with start.run() as (one, spec):
        assert spec.warm is not None
        assert one.is_for(replace(spec, warm=replace(spec.warm, modules=(*spec.warm.modules, "json"))))
        assert not one.is_for(replace(spec, warm=replace(spec.warm, modules=())))


async def test_a_start_of_another_kind_does_not_get_it(start: Start) -> None:
    async with start.run() as (_, spec):
        running = start.processes()
        async with start.warm.open_process(replace(spec, environment={"LEVEL": "2"})) as process:
            assert not same_process(process, running)


async def test_without_a_reserved_fork_nothing_runs(start: Start) -> None:
    async with start.warm.speculate(start.spec) as nothing:
        assert nothing is None
    assert not (start.project / "runs").exists()


async def test_what_is_started_cold_does_not_run_early_and_what_was_reserved_stays(start: Start) -> None:
    async with start.warm.reserve(start.spec):
        async with start.warm.speculate(replace(start.spec, environment={"COLOUR": "red"})) as nothing:
            assert nothing is None
        async with start.warm.speculate(start.spec) as one:
            assert one is not None
            assert await one.wait()


async def test_a_fork_that_is_gone_does_not_run_and_the_start_is_another_s(start: Start) -> None:
    async with start.warm.reserve(start.spec, stays=True):
        (reserved,) = start.warm._reservations._unused.values()
        await reserved._is_made.wait()
        assert reserved.fork is not None
        group = proctree.descendants(os.getpid())
        reserved.fork.request.close()
        async with start.warm.speculate(start.spec) as one:
            assert one is not None
            assert not await one.wait()
            assert not one.has_run
            async with start.warm.open_process(start.spec) as process:
                assert process.identity.pid not in group
                await start.has_run()


async def test_a_mistake_in_it_is_nobody_s_end(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(speculative, "open_tree", fail)
    async with start.warm.reserve(start.spec), start.warm.speculate(start.spec) as one:
        assert one is not None
        assert not await one.wait()
        assert one.has_run


@pytest.mark.long
async def test_one_that_is_cancelled_at_any_moment_leaves_nothing(start: Start) -> None:
    before, others = open_descriptors(), set(proctree.descendants(os.getpid()))
    for steps in range(1, 200):
        is_through = False
        with trio.CancelScope() as scope:
            instrument = CancelAtStep(scope, steps)
            trio.lowlevel.add_instrument(instrument)
            try:
                async with start.warm.reserve(start.spec), start.warm.speculate(start.spec) as one:
                    if one is not None and await one.wait():
                        async with start.warm.open_process(start.spec):
                            is_through = True
            finally:
                trio.lowlevel.remove_instrument(instrument)
        with trio.fail_after(60):
            # A fork that was not told to go on ends by itself.
            while not set(proctree.descendants(os.getpid())) <= others:  # noqa: ASYNC110  nobody tells
                await trio.sleep(0.001)
        assert open_descriptors() <= before, steps
        assert start.warm._speculative == {}
        if is_through and not scope.cancelled_caught:
            break
    else:
        pytest.fail("never got through")


async def test_its_socket_and_channel_are_those_of_the_start(start: Start) -> None:
    with socket.create_server(("127.0.0.1", 0)) as outer:
        async with start.warm.open_inner_listener(outer) as inner, start.run(listener=inner or outer) as (one, spec):
            assert one.is_for(spec)
            with outer.dup() as another:
                assert not one.is_for(replace(spec, listener=another))
