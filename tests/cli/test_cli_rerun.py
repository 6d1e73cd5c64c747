"""What a run that follows its folder does when something is saved, as the service is at that moment."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing

from preview.cli.local.running import Rerun
from preview.cli.local.watching import FolderWatch
from preview.core.clock import now_ms
from preview.core.lifecycle import State
from preview.errors import LaunchFailed, PreviewError, UpstreamFailed
from preview.generations import FolderChange, FolderGenerations
from preview.logs import End
from preview.user import User

SAVED = FolderChange({"main.py": b"new"}, [])
Outcome = End | PreviewError | trio.Event


def ended(state: State) -> End:
    return End("preview_a", state, "", None, None, now_ms())


class Story:
    """Keeps what is told."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.came = trio.Event()

    def _tell(self, what: str) -> None:
        self.told.append(what)
        self.came.set()

    def waiting(self) -> None:
        self._tell("waiting")

    def refused(self, error: PreviewError) -> None:
        self._tell(f"refused: {error}")

    def reloaded(self, reload: Any) -> None:
        self._tell(f"reloaded {reload.changed}: {reload.error}")


class Run:
    """Its launches end as they are told to; an event stands for one that runs until that is set."""

    def __init__(self, *outcomes: Outcome) -> None:
        self.user, self.generation_id = User("ann"), "g1"
        self.story = Story()
        self.previews: Any = self
        self.state: State | None = None
        self.refusals: list[PreviewError] = []
        self.brought: list[dict[str, bytes]] = []
        self._outcomes = list(outcomes)

    async def say(self, tell: Callable[[Story], None]) -> None:
        await trio.lowlevel.checkpoint()
        tell(self.story)

    async def tell(self, told: trio.Event) -> End:
        outcome = self._outcomes.pop(0)
        if isinstance(outcome, trio.Event):
            await outcome.wait()
            return ended(State.STOPPED)
        await trio.lowlevel.checkpoint()
        if isinstance(outcome, PreviewError):
            raise outcome
        return outcome

    # As the service's previews

    def active(self, generation_id: str) -> Any:
        return None if self.state is None else self

    @property
    def record(self) -> Any:
        return self

    @property
    def settled(self) -> trio.Event:
        event = trio.Event()
        event.set()
        return event

    async def reload(self, user: User, generation_id: str, files: Any) -> None:
        await trio.lowlevel.checkpoint()
        self.brought.append(dict(files.written))
        if self.refusals:
            raise self.refusals.pop(0)


@pytest.fixture
def watch(tmp_path: Path) -> FolderWatch:
    return FolderWatch(tmp_path)


def rerun(run: Run, watch: FolderWatch, tmp_path: Path) -> Rerun:
    made: Any = run
    source = FolderGenerations(tmp_path, generation_id="g1", user_id="ann", project_id="p1")
    return Rerun(made, source, watch)


async def heard(run: Run, count: int) -> list[str]:
    """What was told, once it is so much."""
    while len(run.story.told) < count:
        run.story.came = trio.Event()
        await run.story.came.wait()
    return run.story.told


async def test_what_has_failed_is_launched_again_when_something_is_saved(watch: FolderWatch, tmp_path: Path) -> None:
    run = Run(ended(State.FAILED), LaunchFailed("no port"), ended(State.STOPPED))
    ends: list[End | None] = []

    async def tell() -> None:
        ends.append(await rerun(run, watch, tmp_path).tell(trio.Event()))

    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(tell)
            assert await heard(run, 1) == ["waiting"]
            watch.give_back(SAVED)
            assert await heard(run, 3) == ["waiting", "refused: no port", "waiting"]
            watch.give_back(SAVED)
    assert [one and one.state for one in ends] == [State.STOPPED]


async def test_a_first_launch_that_is_refused_is_an_error_and_no_group(watch: FolderWatch, tmp_path: Path) -> None:
    with pytest.raises(LaunchFailed, match="no port"):
        await rerun(Run(LaunchFailed("no port")), watch, tmp_path).tell(trio.Event())


async def test_told_to_end_while_nothing_runs_it_has_no_end_to_tell(watch: FolderWatch, tmp_path: Path) -> None:
    run, told = Run(ended(State.FAILED)), trio.Event()
    ends: list[End | None] = []

    async def tell() -> None:
        ends.append(await rerun(run, watch, tmp_path).tell(told))

    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(tell)
            await heard(run, 1)
            told.set()
    assert ends == [None]


async def test_told_to_end_as_it_fails_the_failure_is_the_end(watch: FolderWatch, tmp_path: Path) -> None:
    told = trio.Event()
    told.set()
    end = await rerun(Run(ended(State.FAILED)), watch, tmp_path).tell(told)
    assert end is not None
    assert end.state is State.FAILED


async def test_what_is_saved_comes_to_the_preview_with_what_may_not_have_come_before(
    watch: FolderWatch, tmp_path: Path
) -> None:
    over = trio.Event()
    run = Run(over)
    run.state, run.refusals = State.RUNNING, [UpstreamFailed("it hangs")]
    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(rerun(run, watch, tmp_path).tell, trio.Event())
            await trio.testing.wait_all_tasks_blocked()
            watch.give_back(SAVED)
            assert await heard(run, 1) == ["reloaded ['main.py']: it hangs"]
            watch.give_back(FolderChange({"other.py": b"2"}, []))
            assert await heard(run, 2) == ["reloaded ['main.py']: it hangs", "reloaded ['other.py']: None"]
            over.set()
    assert run.brought == [{"main.py": b"new"}, {"main.py": b"new", "other.py": b"2"}]


@pytest.mark.parametrize("state", [None, State.FAILED], ids=["is gone", "ends as it comes"])
async def test_what_is_saved_for_a_preview_that_ends_is_kept_for_the_next(
    state: State | None, watch: FolderWatch, tmp_path: Path
) -> None:
    run = Run(trio.Event())
    run.state, run.refusals = state, [LaunchFailed("it ended") for _ in range(100)]
    taken: list[FolderChange] = []
    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(rerun(run, watch, tmp_path).tell, trio.Event())
            await trio.testing.wait_all_tasks_blocked()
            watch.give_back(SAVED)
            for _ in range(20):
                await trio.lowlevel.checkpoint()
            nursery.cancel_scope.cancel()
        taken.append(watch.take())
    assert taken == [SAVED]
    assert run.story.told == []


async def test_a_folder_that_cannot_be_taken_is_told(watch: FolderWatch, tmp_path: Path) -> None:
    over = trio.Event()
    run = Run(over)
    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(rerun(run, watch, tmp_path).tell, trio.Event())
            await trio.testing.wait_all_tasks_blocked()
            watch.error = LaunchFailed("too large")
            watch.give_back(FolderChange({}, []))
            assert await heard(run, 1) == ["refused: too large"]
            over.set()
