"""Trial previews: hidden, with a copy of the data, and gone at their end."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import trio
from launch_kit import ANN, Rig, ask, open_rig, story
from test_launch_data import FILES, NOTES, PLAN, answer, generation

from preview.core.clock import now_ms
from preview.core.lifecycle import State
from preview.errors import LaunchFailed, LimitReached, NoActivePreview
from preview.replay import TrialOptions, open_trial
from preview.settings import Settings
from preview.storage import PreviewRecord
from preview.supervisor import LivePreview, User, reconcile

MakeSettings = Callable[..., Settings]


@pytest.fixture
def settings(make_settings_in: MakeSettings, launch_cache_dir: Path) -> Settings:
    return make_settings_in(cache_dir=launch_cache_dir, stop_grace_s=1, warm_templates=0, max_instances_enterprise=1)


@pytest.fixture
async def rig(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Rig]:
    with trio.fail_after(120):
        async with open_rig(settings, monkeypatch) as opened:
            yield opened


def rests(rig: Rig, preview_id: str) -> list[Path]:
    """Files and folders of a preview, and of unfinished copies of data."""
    data = rig.service.settings.data_dir
    return [path for path in data.rglob("*") if preview_id in path.name or path.name.startswith(".new-")]


async def rows(rig: Rig, preview_id: str) -> list[Any]:
    found = await rig.service.previews._context.store.get(preview_id)
    _, last_line = await rig.service.log_store.bounds(preview_id)
    return [one for one in (found, last_line) if one]


async def test_a_trial_has_a_copy_of_the_data_and_leaves_no_trace(rig: Rig) -> None:
    preview = await rig.start(FILES, PLAN)
    assert preview.record.state is State.RUNNING, story(preview)
    await answer(preview, "/add/Emma")
    seen: list[LivePreview] = []
    options = TrialOptions(observers=(seen.append,))
    async with open_trial(rig.service, ANN, await generation(rig), options) as trial:
        assert seen == [trial]
        # The same data, on another port.
        assert await answer(trial, "/list") == ["Emma"]
        assert trial.record.port != preview.record.port
        await answer(trial, "/add/Persuasion")
        await answer(trial, "/write/two.txt")
        assert await answer(trial, "/list") == ["Emma", "Persuasion"]
        # The preview does not see it; no list shows the trial.
        assert await answer(preview, "/list") == ["Emma"]
        listed, _ = await rig.service.previews.list_for_user(ANN.id)
        assert [one.id for one in listed] == [preview.id]
        assert (await rig.service.previews.latest("g1")).id == preview.id
        assert rig.service.previews.find(trial.id) is None
        # The cleanup takes its folders for those of a live preview.
        assert rig.service.previews.is_held(trial.id)
    assert trial.record.state is State.STOPPED
    assert trial.over.is_set()
    assert rests(rig, trial.id) == []
    assert await rows(rig, trial.id) == []
    assert not rig.service.previews.is_held(trial.id)
    assert await answer(preview, "/files") == []
    # And again.
    async with open_trial(rig.service, ANN, await generation(rig)) as again:
        assert await answer(again, "/list") == ["Emma"]


async def test_a_trial_runs_without_a_preview_and_counts_as_none(rig: Rig) -> None:
    preview = await rig.start(FILES, PLAN)
    await rig.service.previews.stop("g1")
    async with open_trial(rig.service, ANN, await generation(rig)) as trial:
        assert await answer(trial, "/list") == []
        # The user may have one preview, and starts it beside the trial.
        preview = await rig.start(FILES, PLAN)
        assert preview.record.state is State.RUNNING, story(preview)
    await rig.service.previews.stop("g1")
    with pytest.raises(NoActivePreview):
        async with open_trial(rig.service, ANN, await generation(rig), TrialOptions(snapshot="now")):
            raise AssertionError


async def test_trials_are_limited_for_each_user_and_in_all(rig: Rig) -> None:
    await rig.start(FILES, PLAN)
    made = await generation(rig)
    async with open_trial(rig.service, ANN, made):
        with pytest.raises(LimitReached, match="already have a trial"):
            async with open_trial(rig.service, ANN, made):
                raise AssertionError
        ben, cleo = User("ben", "free"), User("cleo", "free")
        async with open_trial(rig.service, ben, replace(made, user_id="ben")):
            with pytest.raises(LimitReached, match="PREVIEW_TRIALS"):
                async with open_trial(rig.service, cleo, replace(made, user_id="cleo")):
                    raise AssertionError
    async with open_trial(rig.service, ANN, made) as trial:
        assert (await ask(trial, "/list")).status_code == 200


async def test_a_trial_that_does_not_start_raises_its_reason_and_ends(rig: Rig) -> None:
    await rig.start(FILES, PLAN)
    await rig.service.previews.stop("g1")
    rig.source.projects["g1"] = FILES | {"main.py": "import sys\nsys.exit('no such table')\n"}
    with pytest.raises(LaunchFailed) as failed:
        async with open_trial(rig.service, ANN, await generation(rig)):
            raise AssertionError
    details: dict[str, Any] = dict(failed.value.details)
    assert any("no such table" in line for line in details["last_lines"])
    assert rests(rig, details["preview_id"]) == []


@pytest.mark.parametrize("moment", ["starting", "running"])
async def test_a_cancelled_trial_is_gone(rig: Rig, moment: str) -> None:
    await rig.start(FILES, PLAN)
    made = await generation(rig)
    opened: list[LivePreview] = []
    with trio.CancelScope() as scope:

        def observe(trial: LivePreview) -> None:
            opened.append(trial)
            if moment == "starting":
                scope.cancel()

        async with open_trial(rig.service, ANN, made, TrialOptions(observers=[observe])):
            assert moment == "running"
            scope.cancel()
            await trio.sleep_forever()
    assert scope.cancelled_caught
    [trial] = opened
    assert trial.over.is_set()
    assert rests(rig, trial.id) == []


async def test_the_service_ends_trials_at_its_shutdown(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            async with open_rig(settings, monkeypatch) as rig:
                await rig.start(FILES | {"main.py": NOTES}, PLAN)
                running: list[LivePreview] = []

                async def hold(task_status: trio.TaskStatus[None]) -> None:
                    async with open_trial(rig.service, ANN, await generation(rig)) as trial:
                        running.append(trial)
                        task_status.started()
                        await trial.over.wait()

                await nursery.start(hold)
            assert running[0].over.is_set()
            assert rests(rig, running[0].id) == []


async def test_after_a_kill_the_next_start_removes_a_trial(rig: Rig) -> None:
    preview = await rig.start(FILES, PLAN)
    store = rig.service.previews._context.store
    # As a kill leaves it: a row in a live state, and a folder.
    folder = Path(preview.record.directory or "").parent / "preview_killed"
    folder.mkdir()
    killed: PreviewRecord = replace(preview.record, id="preview_killed", directory=str(folder), pid=None)
    await rig.service.previews.stop("g1")
    await store.hidden().insert(replace(killed, state=State.RUNNING))
    found = await reconcile(rig.service.settings, store)
    assert (found.rows, found.folders) == (1, 1)
    await store.delete_disowned()
    assert await rows(rig, "preview_killed") == []
    assert not folder.exists()
    assert (await rig.service.previews.latest("g1")).id == preview.id
    assert killed.created_at.timestamp() * 1000 < now_ms()
