"""The speculative start of a launch: when it is adopted, when it is discarded, and what it may see."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing
from supervisor_kit import ANN, BOB, SERVER, LightRuntime, Rig, ask, open_descriptors, open_rig

from preview.core.clock import utc_now
from preview.core.isolation import Network
from preview.core.lifecycle import State
from preview.detection import Origin, Overrides, StartPlan, Step, Variable
from preview.errors import DatabaseUnavailable, InvalidGeneration, LaunchFailed, StartupTimeout
from preview.generations import Generation
from preview.logs import Source
from preview.runtime import ProcessSpec, RunningProcess, SpeculativeProcess
from preview.runtime.kernel import proctree
from preview.settings import Settings
from preview.supervisor import LaunchRequest, LivePreview
from preview.supervisor.launch.planning import open_environment
from preview.supervisor.launch.preparation import decide
from preview.supervisor.launch.warming import Whose
from preview.supervisor.launch.workspace import workspace_root
from preview.supervisor.life import prestart, run
from preview.supervisor.life.prestart import Mismatch, NullPrestart, Prestart
from preview.worker import Analysis, InProcess

MakeSettings = Callable[..., Settings]

# Tells what it was started with, how often its folder has seen a start, and serves.
TELLS = (
    "import json, os\nopen('starts', 'a').write('x')\n"
    "print(json.dumps({'starts': os.path.getsize('starts'), **os.environ}), flush=True)\n" + SERVER
)
EXITS = "print('no such thing', flush=True)\nraise SystemExit(3)\n"


@dataclass
class Early:
    """A process that was started early."""

    spec: ProcessSpec
    process: RunningProcess
    held: AsyncExitStack
    fits: bool = True
    runs: bool = True
    has_run: bool = True

    async def wait(self) -> bool:
        await trio.lowlevel.checkpoint()
        return self.runs

    def is_for(self, spec: ProcessSpec) -> bool:
        return self.fits and replace(spec, warm=None) == replace(self.spec, warm=None)

    async def end(self) -> None:
        self.runs = False
        await self.held.aclose()


class EarlyRuntime(LightRuntime):
    """Starts early whatever it is asked for, and notes that."""

    def __init__(self) -> None:
        super().__init__()
        self.started: list[Early] = []
        self.adopted: list[Early] = []
        self.starts_early = True
        self.fits = True
        # What is started early goes wrong: not at all, or before, or after some of its code has run.
        self.comes_to_run = True
        self.runs = True

    def network(self, wanted: Network) -> Network:
        return wanted

    @asynccontextmanager
    async def speculate(self, spec: ProcessSpec) -> AsyncIterator[SpeculativeProcess | None]:
        if not self.starts_early:
            yield None
            return
        async with AsyncExitStack() as held:
            process = await held.enter_async_context(super().open_process(spec))
            runs = self.runs and self.comes_to_run
            self.started.append(Early(spec, process, held, self.fits, runs, self.comes_to_run))
            yield self.started[-1]

    @asynccontextmanager
    async def open_process(self, spec: ProcessSpec) -> AsyncIterator[RunningProcess]:
        mine = [one for one in self.started if one.spec.preview_id == spec.preview_id and one not in self.adopted]
        if mine and mine[-1].is_for(spec):
            self.adopted += mine
            async with mine[-1].held.pop_all():
                yield mine[-1].process
        else:
            async with super().open_process(spec) as process:
                yield process


class EarlyRig(Rig):
    """Launches generations of one project, or of others."""

    runtime: EarlyRuntime

    def put(self, name: str, behave: str = TELLS, *, project: str = "shop", **files: str) -> str:
        self.source.add(name, behave, **{"name.txt": name, **files})  # type: ignore[arg-type]  # texts only
        self.source.projects[name] = Generation(name, project, ANN.id, utc_now()), self.source.projects[name][1]
        return name

    async def start(self, name: str, overrides: Overrides | None = None) -> LivePreview:
        launched = await self.service.previews.launch(LaunchRequest(ANN, name, overrides=overrides))
        preview = self.preview(launched)
        await preview.settled.wait()
        await preview.log.read_on()
        return preview

    async def next(self, name: str = "g2", behave: str = TELLS, **files: Any) -> LivePreview:
        """Start the next generation; the one before has shown how."""
        return await self.start(self.put(name, behave, **files))


def told(preview: LivePreview) -> dict[str, Any]:
    """What the process that serves has told of itself; only one has."""
    (line,) = (line for line in preview.last_lines(100) if line.startswith("{"))
    found: dict[str, Any] = json.loads(line)
    return found


def discarded(preview: LivePreview) -> list[str]:
    """Why, as its log says it."""
    lines = (line for line in preview.last_lines(100) if line.startswith("restarted: "))
    return [line.partition("(")[2].removesuffix(")") for line in lines]


@pytest.fixture
async def rig(make_settings: MakeSettings) -> AsyncIterator[EarlyRig]:
    """One generation of the shop has been started; nothing was known of it. Its log shows what it prints of secrets."""
    runtime = EarlyRuntime()
    async with open_rig(make_settings(warm_templates=1, spares=0, log_mask_secrets=False), runtime=runtime) as opened:
        rig = EarlyRig(opened.service, opened.source, runtime)
        first = await rig.next("g1")
        assert (first.record.state, runtime.started) == (State.RUNNING, [])
        yield rig


async def test_the_next_generation_runs_while_its_files_are_read(
    rig: EarlyRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[int] = []

    async def look(*arguments: Any, **named: Any) -> Any:
        begun.append(len(rig.runtime.started))
        assert named == {"is_still": False}
        return await decide(*arguments, **named)

    monkeypatch.setattr(prestart, "decide", look)
    second = await rig.next()
    assert (begun, second.record.state) == ([1], State.RUNNING)
    assert [one.process.identity.pid for one in rig.runtime.adopted] == [second.record.pid]
    assert told(second)["starts"] == 1
    assert discarded(second) == []


def story(preview: LivePreview) -> tuple[list[str], list[tuple[str, str, str | None, bool]]]:
    """The service's lines and the launch's steps; numbers are those of one process, or times."""
    own = (
        line.message for line in preview.log.last_lines(100) if line.source in (Source.SYSTEM, Source.SYSTEM_STARTUP)
    )
    steps = [
        (one.name, one.state.value, one.detail and re.sub(r"\d+", "N", one.detail), one.reused)
        for one in preview.progress.steps
    ]
    return [re.sub(r"\d+", "N", line) for line in own], steps


async def test_its_story_is_that_of_a_launch_without_a_prestart(rig: EarlyRig, monkeypatch: pytest.MonkeyPatch) -> None:
    early = await rig.next("g2")
    assert len(rig.runtime.adopted) == 1

    @asynccontextmanager
    async def nothing(preview: LivePreview, context: Any, workspace: Any) -> AsyncIterator[NullPrestart]:
        yield NullPrestart(preview, context, workspace)

    monkeypatch.setattr(run, "open_prestart", nothing)
    plain = await rig.next("g3")
    assert len(rig.runtime.started) == 1
    lines, steps = story(early)
    plain_lines, plain_steps = story(plain)
    assert lines == plain_lines
    assert len(lines) > 3
    # That its process ran already is the one thing that the steps may say of it.
    assert [one[:3] for one in steps] == [one[:3] for one in plain_steps]


async def test_a_mismatch_leaves_nothing_of_the_speculative_process(rig: EarlyRig) -> None:
    await rig.service.previews.stop("g1")
    before = open_descriptors()
    second = await rig.next(**RED)
    (early,) = rig.runtime.started
    assert discarded(second) == [Mismatch.PROCESS]
    assert not proctree.is_alive(early.process.identity)
    assert second.directory is not None
    # What it wrote is not there, and its slot is free.
    assert (second.directory / "starts").read_text() == "x"
    assert rig.service.previews._context.start_queue._used == {}
    await rig.service.previews.stop("g2")
    assert open_descriptors() <= before
    assert list(workspace_root(rig.service.settings).iterdir()) == []


async def test_nothing_is_remembered_of_files_that_were_read_while_it_ran(rig: EarlyRig) -> None:
    analyses = rig.service.previews._context.analyses
    before = len(analyses._known)
    await rig.next()
    assert len(analyses._known) == before


async def test_what_its_files_want_otherwise_is_done_in_a_new_folder(rig: EarlyRig) -> None:
    second = await rig.next(**{"preview.toml": '[env]\nCOLOUR = "red"\n'})
    assert (told(second)["COLOUR"], told(second)["starts"]) == ("red", 1)
    assert (len(rig.runtime.started), rig.runtime.adopted) == (1, [])
    assert discarded(second) == [Mismatch.PROCESS]
    assert second.record.pid != rig.runtime.started[0].process.identity.pid
    assert await ask(second)
    await rig.service.previews.stop("g2")
    assert [one.name for one in workspace_root(rig.service.settings).iterdir()] == [
        rig.service.previews.require("g1").id
    ]


async def test_nothing_is_started_early_where_something_runs_ahead_of_it(
    rig: EarlyRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    second = await with_plan(rig, monkeypatch, "g2", steps=(Step("seed", ("python", "-c", "pass"), ".", "asked"),))
    assert discarded(second) == [Mismatch.STEPS]
    await with_plan(rig, monkeypatch, "g3", steps=())
    assert len(rig.runtime.started) == 1


async def with_plan(rig: EarlyRig, monkeypatch: pytest.MonkeyPatch, name: str, **changed: Any) -> LivePreview:
    """Start a generation whose plan is the one before, but for this."""
    start = rig.service.previews._context.history.find("g1", Whose(ANN.id, ""))
    assert start is not None
    plan: StartPlan = replace(start.analysis.plan, **changed)
    analyse = InProcess.analyse

    async def analyse_by_plan(
        reader: InProcess, project: Path, overrides: Overrides | None, _supplied: object = None
    ) -> Analysis:
        return replace(await analyse(reader, project, overrides), plan=plan)

    monkeypatch.setattr(InProcess, "analyse", analyse_by_plan)
    return await rig.next(name)


async def test_another_environment_is_another_start(rig: EarlyRig, monkeypatch: pytest.MonkeyPatch) -> None:
    async def other(*_: object, owner: str) -> str:
        assert owner == ANN.id
        await trio.lowlevel.checkpoint()
        return "other"

    monkeypatch.setattr(prestart, "environment_key", other)
    second = await rig.next()
    assert discarded(second) == [Mismatch.ENVIRONMENT]
    assert second.record.state is State.RUNNING


async def test_what_is_another_one_by_the_time_that_it_is_held_ends_it_and_the_preview_goes_on(
    rig: EarlyRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The row is there already; an environment may be removed, or its template replaced, at any moment before."""
    store_row = run._store_row

    async def late(preview: LivePreview, *arguments: Any) -> None:
        await store_row(preview, *arguments)
        rig.runtime.started[0].fits = False

    monkeypatch.setattr(run, "_store_row", late)
    second = await rig.next()
    assert (second.record.state, rig.runtime.adopted) == (State.RUNNING, [])
    assert discarded(second) == [Mismatch.TEMPLATE]
    assert (told(second)["starts"], rig.runtime.specs[-1].number) == (1, 1)
    assert sum(line.startswith("files ready") for line in second.last_lines(100)) == 1


async def test_an_environment_that_had_to_be_made_is_not_the_one_that_it_started_in(
    rig: EarlyRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    count = 0

    @asynccontextmanager
    async def built(*arguments: Any, owner: str) -> AsyncIterator[Any]:
        nonlocal count
        count += 1
        async with open_environment(*arguments, owner=owner) as environment:
            yield replace(environment, how="built") if count == 1 else environment

    monkeypatch.setattr(run, "open_environment", built)
    second = await rig.next()
    assert (second.record.state, discarded(second)) == (State.RUNNING, [Mismatch.REBUILT])


async def test_what_has_not_come_to_run_is_no_reason_to_restart(rig: EarlyRig) -> None:
    rig.runtime.comes_to_run = False
    second = await rig.next()
    assert (second.record.state, discarded(second)) == (State.RUNNING, [])
    assert rig.service.previews._context.start_queue._used == {}


async def test_what_may_have_run_and_does_not_is_undone(rig: EarlyRig) -> None:
    rig.runtime.runs = False
    second = await rig.next()
    assert (second.record.state, discarded(second)) == (State.RUNNING, [Mismatch.NOT_STARTED])


async def test_it_is_started_as_what_its_fork_was_reserved_for(rig: EarlyRig) -> None:
    """Its user may launch something else meanwhile."""
    history = rig.service.previews._context.history
    start = history.find("g1", Whose(ANN.id, ""))
    assert start is not None
    write_files = rig.source.write_files

    async def slowly(generation_id: str, directory: Path) -> None:
        plan = replace(start.analysis.plan, variables={"COLOUR": Variable("COLOUR", "blue", Origin.MADE_UP)})
        history.note(replace(start, generation_id="g9", analysis=replace(start.analysis, plan=plan)))
        await write_files(generation_id, directory)

    rig.source.write_files = slowly  # type: ignore[method-assign]
    assert await colours(rig, "g2") == [None]


async def test_what_its_template_does_not_fit_is_another_start(rig: EarlyRig) -> None:
    rig.runtime.fits = False
    assert len(discarded(await rig.next())) == 1
    assert rig.runtime.adopted == []


async def test_what_stands_in_the_way_of_reading_is_not_the_project_s_fault(
    rig: EarlyRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It runs while its files are read, and may do anything to them."""

    async def late(preview: LivePreview, *arguments: Any, is_still: bool) -> Any:
        if not is_still:
            assert preview.directory is not None
            (preview.directory / "main.py").unlink()
        return await decide(preview, *arguments, is_still=is_still)

    monkeypatch.setattr(prestart, "decide", late)
    second = await rig.next()
    assert second.record.state is State.RUNNING
    assert discarded(second) == [Mismatch.UNREADABLE]


@pytest.mark.parametrize("error", [RecursionError(), OSError(40, "Too many levels of symbolic links")], ids=repr)
async def test_whatever_stands_in_the_way_is_looked_at_again_without_it(
    rig: EarlyRig, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    async def fails(*arguments: Any, is_still: bool) -> Any:
        if not is_still:
            raise error
        return await decide(*arguments, is_still=is_still)

    monkeypatch.setattr(prestart, "decide", fails)
    second = await rig.next()
    assert second.record.state is State.RUNNING
    assert discarded(second) == [Mismatch.UNREADABLE]


async def test_reading_that_takes_too_long_is_not_tried_again(rig: EarlyRig, monkeypatch: pytest.MonkeyPatch) -> None:
    async def late(*_: object, **__: object) -> None:
        await trio.lowlevel.checkpoint()
        raise StartupTimeout("too long")

    monkeypatch.setattr(prestart, "decide", late)
    rig.put("g2")
    with pytest.raises(StartupTimeout):
        await rig.start("g2")
    assert len(rig.runtime.started) == 1


async def test_a_project_that_cannot_be_started_is_refused_as_ever_and_nothing_is_left(rig: EarlyRig) -> None:
    await rig.service.previews.stop("g1")
    rig.put("g2", app="nothing = 'to serve'\n")
    before = open_descriptors()
    with pytest.raises(InvalidGeneration, match="Missing required files"):
        await rig.start("g2")
    assert len(rig.runtime.started) == 1
    assert rig.service.previews.active("g2") is None
    assert list(workspace_root(rig.service.settings).iterdir()) == []
    assert open_descriptors() <= before
    records, _ = await rig.service.previews.list_for_user(ANN.id, limit=10)
    assert [one.generation_id for one in records] == ["g1"]


async def test_an_end_before_its_start_is_told_as_any_other(rig: EarlyRig) -> None:
    second = await rig.next(behave=EXITS)
    assert (second.record.state, second.record.exit_code) == (State.FAILED, 3)
    assert "no such thing" in second.last_lines(100)
    assert discarded(second) == []


async def test_without_a_row_nothing_runs_on(rig: EarlyRig, monkeypatch: pytest.MonkeyPatch) -> None:
    async def insert(*_: object) -> None:
        await trio.lowlevel.checkpoint()
        raise DatabaseUnavailable("away")

    monkeypatch.setattr(rig.service.previews._context.store, "insert", insert)
    rig.put("g2")
    with pytest.raises(DatabaseUnavailable):
        await rig.start("g2")
    assert len(rig.runtime.started) == 1


@pytest.mark.parametrize("moment", ["decide", "_compare", "_store_row", "run_first_steps"])
async def test_a_stop_in_the_middle_leaves_nothing(rig: EarlyRig, monkeypatch: pytest.MonkeyPatch, moment: str) -> None:
    reached = trio.Event()

    async def wait(*_: object, **__: object) -> None:
        reached.set()
        await trio.sleep_forever()

    owner = {"decide": prestart, "_compare": Prestart}.get(moment, run)
    monkeypatch.setattr(owner, moment, wait)
    await rig.service.previews.stop("g1")
    before = open_descriptors()
    rig.put("g2")
    async with trio.open_nursery() as nursery:

        @nursery.start_soon
        async def launch() -> None:
            if moment == "run_first_steps":
                await rig.service.previews.launch(LaunchRequest(ANN, "g2"))
            else:
                with pytest.raises(LaunchFailed):
                    await rig.service.previews.launch(LaunchRequest(ANN, "g2"))

        await reached.wait()
        await rig.service.previews.stop("g2")
    assert len(rig.runtime.started) == 1
    assert rig.runtime.adopted == []
    assert open_descriptors() <= before
    assert rig.service.previews._context.start_queue._used == {}


async def test_a_secret_that_was_made_up_for_it_stays_its_own(rig: EarlyRig) -> None:
    reads = "import os\nSECRET_KEY = os.environ['SECRET_KEY']\n"
    first = await rig.next("g2", app=f"{reads}from fastapi import FastAPI\napp = FastAPI()\n")
    # Where it is read is no part of it.
    second = await rig.next("g3", app=f"# more\n{reads}from fastapi import FastAPI\napp = FastAPI()\n")
    assert rig.runtime.adopted[-1].process.identity.pid == second.record.pid
    secret = told(second)["SECRET_KEY"]
    assert len(secret) == 64
    assert secret != told(first)["SECRET_KEY"]
    await rig.service.previews.restart(ANN, "g3")
    await second.log.read_on()
    assert [json.loads(line)["SECRET_KEY"] for line in second.last_lines(100) if line[0] == "{"] == [secret] * 2


async def test_a_restart_of_it_is_a_process_of_its_own(rig: EarlyRig) -> None:
    second = await rig.next()
    pid, before = second.record.pid, len(open_descriptors())
    await rig.service.previews.restart(ANN, "g2")
    assert second.record.pid != pid
    assert len(rig.runtime.started) == 1
    assert rig.runtime.specs[-1].number == 2
    with trio.fail_after(60):
        # The old one's channel went with it.
        while len(open_descriptors()) > before:  # noqa: ASYNC110  nobody tells
            await trio.sleep(0.01)


# What it may see


RED = {"preview.toml": '[env]\nCOLOUR = "red"\n'}


def example(app: str = "") -> Mapping[str, str]:
    return {
        ".env.example": "COLOUR=red\n",
        "app": f"import os\nfrom fastapi import FastAPI\napp = FastAPI()\nos.environ['COLOUR']\n{app}",
    }


async def colours(rig: EarlyRig, name: str, **more: Any) -> list[str | None]:
    """Of what was started early for this generation."""
    before = len(rig.runtime.started)
    await rig.next(name, **more)
    return [one.spec.environment.get("COLOUR") for one in rig.runtime.started[before:]]


async def test_what_one_generation_is_given_no_other_one_sees(rig: EarlyRig) -> None:
    await rig.next("g2", **RED)
    assert await colours(rig, "g3") == []


async def hand_over(rig: EarlyRig, name: str) -> None:
    """The generation is over, and its id is another user's from here on, in a project of the same name."""
    await rig.service.previews.stop(name)
    rig.source.projects[name] = replace(rig.source.projects[name][0], user_id=BOB.id), rig.source.projects[name][1]


@pytest.mark.parametrize("files", [RED, example()], ids=["given", "example"])
async def test_what_one_user_s_start_was_no_other_user_sees_by_the_same_ids(
    rig: EarlyRig, files: Mapping[str, str]
) -> None:
    await rig.next("g2", **files)
    await hand_over(rig, "g2")
    await rig.service.previews.launch(LaunchRequest(BOB, "g2"))
    await rig.service.previews.require("g2").settled.wait()
    assert rig.runtime.started[1:] == []
    assert [one for one in rig.runtime.started if one.spec.environment.get("COLOUR")] == []


async def test_what_a_launch_was_given_no_other_user_restarts_with(rig: EarlyRig) -> None:
    red = Overrides(variables={"COLOUR": Variable("COLOUR", "red", Origin.REQUEST)})
    await rig.start(rig.put("g2"), red)
    await hand_over(rig, "g2")
    preview = rig.preview(await rig.service.previews.restart(BOB, "g2"))
    await preview.settled.wait()
    await preview.log.read_on()
    assert "COLOUR" not in told(preview)


async def test_what_a_launch_is_given_no_other_generation_sees(rig: EarlyRig) -> None:
    await rig.start(rig.put("g2"), Overrides(variables={"COLOUR": Variable("COLOUR", "red", Origin.REQUEST)}))
    assert await colours(rig, "g3") == []


async def test_what_one_launch_is_given_the_next_one_does_not_see(rig: EarlyRig) -> None:
    red = Overrides(variables={"COLOUR": Variable("COLOUR", "red", Origin.REQUEST)})
    await rig.start(rig.put("g2"), red)
    await rig.service.previews.stop("g2")
    assert await colours(rig, "g2") == []
    await rig.service.previews.stop("g2")
    await rig.start("g2", red)
    assert rig.runtime.started == []


async def test_a_generation_is_started_early_with_its_own(rig: EarlyRig) -> None:
    await rig.next("g2", **RED)
    await rig.service.previews.stop("g2")
    assert await colours(rig, "g2", **RED) == ["red"]


async def test_a_project_s_examples_are_its_next_generation_s(rig: EarlyRig) -> None:
    await rig.next("g2", **example())
    assert await colours(rig, "g3", **example("# more\n")) == ["red"]


async def test_a_project_s_examples_are_no_other_project_s(rig: EarlyRig) -> None:
    await rig.next("g2", **example())
    assert await colours(rig, "g3", project="another") == []


async def test_a_project_that_wants_nothing_is_what_another_one_starts_early_with(rig: EarlyRig) -> None:
    second = await rig.next(project="another")
    assert [one.process.identity.pid for one in rig.runtime.adopted] == [second.record.pid]


async def test_what_is_not_reserved_is_started_as_ever(rig: EarlyRig) -> None:
    rig.runtime.starts_early = False
    second = await rig.next()
    assert (second.record.state, discarded(second)) == (State.RUNNING, [])
    assert told(second)["starts"] == 1


async def test_nothing_is_started_early_without_a_free_slot(rig: EarlyRig) -> None:
    queue = rig.service.previews._context.start_queue
    queue._most = 1
    async with queue.open_slot():
        second = await rig.next()
    assert (second.record.state, rig.runtime.started) == (State.RUNNING, [])


async def test_it_has_one_slot_and_releases_it(rig: EarlyRig) -> None:
    queue = rig.service.previews._context.start_queue
    queue._most = 1
    second = await rig.next()
    assert len(rig.runtime.adopted) == 1
    assert second.record.state is State.RUNNING
    with trio.fail_after(60):
        await queue.wait_idle()
