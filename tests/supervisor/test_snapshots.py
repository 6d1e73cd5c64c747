"""A preview's imported application is kept for restarts of the same code, and for nothing else."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import pytest
import trio
import trio.testing
from handover_kit import body_of, reload, says, served, speaking, story
from supervisor_kit import ANN, LightRuntime, Rig, ask, open_rig

from preview.core.lifecycle import State
from preview.runtime import NoSnapshot, ProcessSpec, RunningProcess, Snapshot
from preview.settings import Settings
from preview.supervisor import LivePreview
from preview.supervisor.process import snapshots

KEPT = "a snapshot of the imported application is ready"
REFUSED = "no snapshot for restarts: starts a thread"
# The old process ends when the test says so.
DRAINS_LONG = """
def drained():
    while not os.path.exists('go'): time.sleep(0.005)
    tell(b'drained')
    sys.exit(0)
"""


class FakeSnapshot:
    """Starts the same light child; says by what."""

    def __init__(self, runtime: KeepingRuntime, spec: ProcessSpec) -> None:
        self.runtime = runtime
        self.made_by = spec
        self.started: list[ProcessSpec] = []
        self.ended = trio.Event()
        self.fails = False

    @property
    def is_spent(self) -> bool:
        return self.runtime.only_once and bool(self.started)

    def open_process(self, spec: ProcessSpec) -> AbstractAsyncContextManager[RunningProcess]:
        return self._open(spec)

    @asynccontextmanager
    async def _open(self, spec: ProcessSpec) -> AsyncIterator[RunningProcess]:
        await trio.lowlevel.checkpoint()
        assert not self.ended.is_set()
        assert not self.is_spent
        if self.fails:
            raise NoSnapshot("the snapshot has ended")
        self.started.append(spec)
        async with LightRuntime.open_process(self.runtime, spec) as process:
            yield process
            assert not self.ended.is_set(), "it ended before what was forked from it"


class KeepingRuntime(LightRuntime):
    """Keeps applications, or refuses to."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = 0
        self.was_asked = trio.Event()
        self.kept: list[FakeSnapshot] = []
        self.refuses: str | None = None
        # As without control groups.
        self.only_once = False
        self.may_be_ready = trio.Event()
        self.may_be_ready.set()

    @asynccontextmanager
    async def open_snapshot(self, spec: ProcessSpec) -> AsyncIterator[Snapshot]:
        self.asked += 1
        self.was_asked.set()
        await self.may_be_ready.wait()
        if self.refuses is not None:
            raise NoSnapshot(self.refuses)
        made = FakeSnapshot(self, spec)
        self.kept.append(made)
        try:
            yield made
        finally:
            made.ended.set()


@pytest.fixture
async def keeping(make_settings: Callable[..., Settings]) -> AsyncIterator[Rig]:
    async with open_rig(make_settings(warm_templates=1), runtime=KeepingRuntime()) as opened:
        yield opened


def runtime_of(rig: Rig) -> KeepingRuntime:
    assert isinstance(rig.runtime, KeepingRuntime)
    return rig.runtime


async def restart(rig: Rig) -> None:
    await rig.service.previews.restart(ANN, "g1")


async def kept_after_a_restart(rig: Rig, more: str = "") -> tuple[LivePreview, FakeSnapshot]:
    preview = await rig.running(speaking(more=more))
    await restart(rig)
    await says(preview, KEPT)
    return preview, runtime_of(rig).kept[-1]


async def test_it_is_made_after_the_first_restart_and_not_before(keeping: Rig) -> None:
    runtime = runtime_of(keeping)
    preview = await keeping.running(speaking())
    assert runtime.asked == 0
    await restart(keeping)
    await says(preview, KEPT)
    (snapshot,) = runtime.kept
    assert snapshot.started == []
    assert preview.find_all() is not None


async def test_restarts_after_that_are_started_from_it(keeping: Rig) -> None:
    preview, snapshot = await kept_after_a_restart(keeping)
    for _ in range(2):
        await restart(keeping)
    assert len(snapshot.started) == 2
    assert runtime_of(keeping).asked == 1
    assert await body_of(preview) == "one"


async def test_one_that_serves_only_once_is_replaced_after_each_restart_and_told_once(keeping: Rig) -> None:
    runtime = runtime_of(keeping)
    runtime.only_once = True
    preview, first = await kept_after_a_restart(keeping)
    for number in (2, 3):
        await restart(keeping)
        with trio.fail_after(60):
            while len(runtime.kept) < number:
                await trio.lowlevel.checkpoint()
    assert [len(one.started) for one in runtime.kept] == [1, 1, 0]
    # Its process has served, and was replaced.
    await first.ended.wait()
    assert sum(one.startswith(KEPT) for one in story(preview)) == 1
    assert await body_of(preview) == "one"


async def test_a_restart_before_the_next_one_that_serves_once_is_ready_is_an_ordinary_one(keeping: Rig) -> None:
    runtime = runtime_of(keeping)
    runtime.only_once = True
    preview, first = await kept_after_a_restart(keeping)
    runtime.may_be_ready, runtime.was_asked = trio.Event(), trio.Event()
    await restart(keeping)
    await runtime.was_asked.wait()
    await restart(keeping)
    assert len(first.started) == 1
    assert runtime.asked == 2
    assert await body_of(preview) == "one"
    # Nothing waits for it.
    await keeping.service.previews.stop("g1")
    assert runtime.kept == [first]


async def test_it_is_made_of_what_started_the_process_that_serves(keeping: Rig) -> None:
    _, snapshot = await kept_after_a_restart(keeping)
    assert snapshot.made_by is runtime_of(keeping).specs[-1]


async def test_a_restart_that_comes_before_it_is_ready_does_not_wait_for_it(keeping: Rig) -> None:
    runtime = runtime_of(keeping)
    runtime.may_be_ready = trio.Event()
    preview = await keeping.running(speaking())
    await restart(keeping)
    await runtime.was_asked.wait()
    await restart(keeping)
    assert runtime.kept == []
    assert runtime.asked == 1
    runtime.may_be_ready.set()
    await says(preview, KEPT)


async def test_it_is_not_made_while_the_new_process_answers_its_first_requests(
    keeping: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshots, "_CALM_S", 3600.0)
    preview = await keeping.running(speaking())
    await restart(keeping)
    assert await body_of(preview) == "one"
    await trio.testing.wait_all_tasks_blocked()
    assert runtime_of(keeping).asked == 0
    # It is of no process of the preview, so the preview cannot be stopped for certain.
    assert preview.find_all() is None
    # Nothing waits for it.
    await keeping.service.previews.stop("g1")
    assert runtime_of(keeping).asked == 0


async def test_one_that_is_retired_before_it_is_made_is_never_made(
    keeping: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    preview = await keeping.running(speaking())
    monkeypatch.setattr(snapshots, "_CALM_S", 0.5)
    await restart(keeping)
    await reload(keeping, speaking("two"))
    monkeypatch.setattr(snapshots, "_CALM_S", 0.0)
    await restart(keeping)
    await says(preview, KEPT)
    assert len(runtime_of(keeping).kept) == 1
    assert await body_of(preview) == "two"


async def test_changed_files_are_never_served_from_it_and_it_ends(keeping: Rig) -> None:
    preview, snapshot = await kept_after_a_restart(keeping)
    await reload(keeping, speaking("two"))
    assert snapshot.started == []
    await restart(keeping)
    await snapshot.ended.wait()
    assert await body_of(preview) == "two"


async def test_of_changed_files_there_is_another_after_the_next_restart(keeping: Rig) -> None:
    preview, _ = await kept_after_a_restart(keeping)
    await reload(keeping, speaking("two"))
    assert runtime_of(keeping).asked == 1
    last = preview.log.last_seq
    await restart(keeping)
    while not any(line.message.startswith(KEPT) for line in preview.log.last_lines(100) if line.seq > last):
        await trio.lowlevel.checkpoint()
    await restart(keeping)
    assert len(runtime_of(keeping).kept[-1].started) == 1
    await served(preview, "two")


async def test_it_stays_for_as_long_as_a_process_of_it_drains(keeping: Rig) -> None:
    preview, snapshot = await kept_after_a_restart(keeping)
    await reload(keeping, speaking("two", DRAINS_LONG))
    await restart(keeping)
    assert preview.directory is not None
    await trio.Path(preview.directory / "go").touch()
    await snapshot.ended.wait()


async def test_a_process_of_it_that_drains_holds_it(keeping: Rig) -> None:
    preview, snapshot = await kept_after_a_restart(keeping, DRAINS_LONG)
    directory = preview.directory
    assert directory is not None
    await restart(keeping)
    assert len(snapshot.started) == 1
    await reload(keeping, speaking("two"))
    await restart(keeping)
    assert not snapshot.ended.is_set()
    await trio.Path(directory / "go").touch()
    await snapshot.ended.wait()


async def test_what_refuses_it_is_told_once_and_restarts_go_on(keeping: Rig) -> None:
    runtime_of(keeping).refuses = "starts a thread"
    preview = await keeping.running(speaking())
    for _ in range(3):
        await restart(keeping)
    await says(preview, REFUSED)
    assert story(preview).count(REFUSED) == 1
    assert runtime_of(keeping).asked == 1
    assert await body_of(preview) == "one"


async def test_changed_files_are_asked_about_anew(keeping: Rig) -> None:
    runtime = runtime_of(keeping)
    runtime.refuses = "starts a thread"
    preview = await keeping.running(speaking())
    await restart(keeping)
    await says(preview, REFUSED)
    runtime.refuses = None
    await reload(keeping, speaking("two"))
    await restart(keeping)
    await says(preview, KEPT)


async def test_where_nothing_can_be_started_from_it_the_restart_is_an_ordinary_one(keeping: Rig) -> None:
    preview, snapshot = await kept_after_a_restart(keeping)
    snapshot.fails = True
    await restart(keeping)
    assert "started again: the snapshot has ended" in story(preview)
    assert preview.record.state is State.RUNNING
    assert await body_of(preview) == "one"
    await snapshot.ended.wait()


async def test_a_preview_that_is_stopped_ends_it(keeping: Rig) -> None:
    preview, snapshot = await kept_after_a_restart(keeping)
    await restart(keeping)
    await keeping.service.previews.stop("g1")
    await preview.over.wait()
    assert snapshot.ended.is_set()


async def test_a_preview_that_fails_ends_it(keeping: Rig) -> None:
    preview, snapshot = await kept_after_a_restart(keeping)
    await restart(keeping)
    await ask(preview, "/crash")
    await preview.over.wait()
    assert preview.record.state is State.FAILED
    assert snapshot.ended.is_set()


async def test_a_preview_that_is_stopped_does_not_wait_for_one_that_is_being_made(keeping: Rig) -> None:
    runtime_of(keeping).may_be_ready = trio.Event()
    preview = await keeping.running(speaking())
    await restart(keeping)
    await keeping.service.previews.stop("g1")
    await preview.over.wait()
    assert runtime_of(keeping).kept == []


@pytest.mark.parametrize("setting", [{"warm_snapshots": False}, {"warm_templates": 0}])
async def test_without_the_setting_there_is_none(
    make_settings: Callable[..., Settings], setting: dict[str, object]
) -> None:
    async with open_rig(make_settings(**{"warm_templates": 1, **setting}), runtime=KeepingRuntime()) as rig:
        preview = await rig.running(speaking())
        for _ in range(2):
            await restart(rig)
        await says(preview, "restarted in ")
        assert runtime_of(rig).asked == 0
