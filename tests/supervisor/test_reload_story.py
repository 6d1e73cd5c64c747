"""A reload as its owner sees it: what is kept, what is decided anew, who may, and what is told."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import trio
from handover_kit import body_of, reload, says, speaking, story
from supervisor_kit import ANN, APP, BOB, HEALTH_APP, NEVER_ANSWERS, Rig, open_rig

from preview.core.lifecycle import State
from preview.errors import (
    Forbidden,
    GenerationNotFound,
    InvalidGeneration,
    LaunchFailed,
    NoActivePreview,
    TooManyLaunches,
)
from preview.settings import Settings
from preview.supervisor import FilesChange

MakeSettings = Callable[..., Settings]

ENV_APP = "import os\n" + APP + "\nKEY = os.environ['SESSION_SECRET']\n"


async def test_a_reload_answers_with_what_was_changed(rig: Rig) -> None:
    preview = await rig.running(speaking(), **{"old.py": ""})
    change = FilesChange({"behave.py": speaking("two").encode(), "new/part.py": b""}, ["old.py"])
    done = await rig.service.previews.reload(ANN, "g1", change)
    assert (done.changed, done.removed) == (("behave.py", "new/part.py"), ("old.py",))
    assert (done.record.id, done.record.state) == (preview.id, State.RUNNING)
    assert 0 < done.elapsed_s < 30
    assert await body_of(preview) == "two"
    assert "reload: changed behave.py, +2 more" in story(preview)
    assert any(line.startswith("reloaded in ") for line in story(preview))


async def test_what_the_application_has_written_stays(rig: Rig) -> None:
    preview = await rig.running(speaking("one", "open('data', 'w').write('mine')\n"))
    await reload(rig, speaking("two"))
    assert preview.directory is not None
    assert await trio.Path(preview.directory / "data").read_text() == "mine"


async def test_how_it_starts_is_decided_anew(rig: Rig) -> None:
    preview = await rig.running(speaking())
    assert preview.record.health_path == "/"
    await reload(rig, speaking("two"), **{"main.py": HEALTH_APP})
    assert preview.record.health_path == "/health"


async def test_what_was_made_up_for_the_preview_stays(rig: Rig) -> None:
    await rig.running(speaking(), app=ENV_APP)
    await reload(rig, speaking("two"))
    first, second = (spec.environment["SESSION_SECRET"] for spec in rig.runtime.specs)
    assert first == second


async def test_what_was_told_at_the_launch_is_not_told_again(rig: Rig) -> None:
    preview = await rig.running(speaking())
    await reload(rig, speaking("two"))
    said = story(preview)
    assert len([line for line in said if line.startswith('FastAPI app "app" found')]) == 1
    assert len([line for line in said if line.startswith("environment ready in ")]) == 1


async def test_a_project_that_names_no_application_any_more_leaves_the_old_one_serving(rig: Rig) -> None:
    preview = await rig.running(speaking())
    change = FilesChange({"behave.py": speaking("two").encode(), "preview.toml": b"[start]\napp = 3\n"})
    with pytest.raises(InvalidGeneration):
        await rig.service.previews.reload(ANN, "g1", change)
    assert await body_of(preview) == "one"
    # A restart takes the files as they are, too.
    await rig.service.previews.reload(ANN, "g1", FilesChange(removed=["preview.toml"]))
    assert await body_of(preview) == "two"


async def test_a_restart_after_a_change_that_did_not_start_takes_the_changed_files(rig: Rig) -> None:
    preview = await rig.running(speaking())
    with pytest.raises(LaunchFailed):
        await reload(rig, "import sys; sys.exit(1)")
    with pytest.raises(LaunchFailed, match="exit code 1"):
        await rig.service.previews.restart(ANN, "g1")
    assert await body_of(preview) == "one"


async def test_a_new_process_that_eats_memory_is_ended_and_the_preview_is_not(make_settings: MakeSettings) -> None:
    async with open_rig(make_settings(memory_limit_mb=40, usage_interval_s=0.05)) as rig:
        preview = await rig.running(speaking())
        hungry = "held = bytearray(os.urandom(1)) * (60 * 2**20)\ntime.sleep(600)\n"
        with pytest.raises(LaunchFailed, match="used more than 40 MB of memory"):
            await reload(rig, speaking("two", hungry))
        assert await body_of(preview) == "one"
        assert preview.record.state is State.RUNNING


async def test_what_is_not_yours_is_not_reloaded(rig: Rig) -> None:
    preview = await rig.running(speaking())
    with pytest.raises(Forbidden):
        await rig.service.previews.reload(BOB, "g1", FilesChange({"behave.py": b""}))
    with pytest.raises(GenerationNotFound):
        await rig.service.previews.reload(ANN, "nothing", FilesChange())
    assert await body_of(preview) == "one"


async def test_without_a_preview_nothing_is_reloaded(rig: Rig) -> None:
    rig.source.add("g1")
    with pytest.raises(NoActivePreview):
        await reload(rig, speaking())


async def test_one_that_is_starting_is_waited_for(rig: Rig) -> None:
    rig.source.add("g1", speaking("one", "time.sleep(0.3)\n"))
    preview = rig.preview(await rig.launch("g1"))
    await reload(rig, speaking("two"))
    assert await body_of(preview) == "two"


async def test_one_that_fails_to_start_says_so_to_who_waited(rig: Rig) -> None:
    rig.source.add("g1", NEVER_ANSWERS)
    preview = rig.preview(await rig.launch("g1", startup_timeout_s=0.3))
    with pytest.raises(LaunchFailed, match="did not answer within"):
        await reload(rig, speaking("two"))
    await preview.over.wait()


async def test_reloads_count_as_launches_do(make_settings: MakeSettings) -> None:
    async with open_rig(make_settings(launches_per_minute=2)) as rig:
        preview = await rig.running(speaking())
        await reload(rig, speaking("two"))
        with pytest.raises(TooManyLaunches):
            await reload(rig, speaking("three"))
        assert await body_of(preview) == "two"


async def test_more_changes_than_can_wait_are_carried_out_together(rig: Rig) -> None:
    preview = await rig.running(speaking())
    async with trio.open_nursery() as nursery:
        for number in range(6):
            nursery.start_soon(reload, rig, speaking(f"version {number}"))
    assert (await body_of(preview)).startswith("version ")
    await says(preview, "reloaded in ")
    assert preview.record.state is State.RUNNING
