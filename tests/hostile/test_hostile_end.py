"""A preview that does not want to end, or to be cleaned away, or that waits for a reader of its files or its log."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
import trio
from engine_kit import IN_TIME_S, is_gvisor
from hostile_kit import SECRET, SERVICE_ALONE, Rig, a_world, open_hostile_rig, request

from preview.core.lifecycle import State
from preview.settings import Settings

MakeSettings = Callable[..., Settings]


def processes_with(mark: str) -> list[int]:
    found = []
    for entry in os.scandir("/proc"):
        if entry.name.isdecimal():
            try:
                if mark.encode() in Path(f"/proc/{entry.name}/environ").read_bytes():
                    found.append(int(entry.name))
            except OSError:
                continue
    return found


async def test_a_daemon_without_a_trace_does_not_outlive_the_stop(hostile: Rig, rung: str) -> None:
    if rung == "container" and is_gvisor():
        pytest.skip("the machine sees no process of a container of gVisor")
    name = f"daemon-{os.getpid()}-{rung}"
    preview = await hostile.running("g1", "hostile_app", "stay_alive")
    with trio.fail_after(IN_TIME_S):
        assert (await request(preview, "stay_alive", {"name": name}))["done"]
        while not processes_with(name):  # noqa: ASYNC110  the kernel tells nobody that a program was executed
            await trio.sleep(0.01)
        await hostile.service.previews.stop("g1")
    left = processes_with(name)
    for pid in left:
        os.kill(pid, 9)
    # Plain: its origin can be told only while it still has a mark of it (control groups, or a namespace, hold more).
    assert left == [] or rung == "plain"


# The program serves by itself: no template has it.
@pytest.mark.parametrize("rung", ["plain", "sandbox"], indirect=True)
async def test_one_that_ignores_its_end_is_ended(hostile: Rig) -> None:
    preview = await hostile.running("g1", "ignore_the_end", "hostile_app")
    assert preview.record.state is State.RUNNING
    with trio.fail_after(IN_TIME_S):
        record = await hostile.service.previews.stop("g1")
    assert record.state is State.STOPPED


async def test_what_is_planted_in_its_folder_leads_the_cleanup_nowhere(
    hostile_settings: MakeSettings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    # Whoever nests so deep is ended by the watch over its disk, unless it is done before the next look.
    settings = hostile_settings(disk_interval_s=60)
    with a_world(tmp_path / "world") as world:
        given = {"outside": world["outside"], "secret_file": world["secret_file"]}
        async with open_hostile_rig(settings, monkeypatch) as hostile:
            preview = await hostile.running("g1", "hostile_app", "plant_for_cleanup")
            told = await request(preview, "plant_for_cleanup", given)
            assert told["done"], told
            project = preview.directory
            assert project is not None
            with trio.fail_after(IN_TIME_S):
                await hostile.service.previews.stop("g1")
                # On a busy machine the removal outlasts the stop's share of it, and goes on.
                while await trio.Path(project).exists():  # noqa: ASYNC110  a removal tells nobody
                    await trio.sleep(0.05)
        assert await trio.Path(world["secret_file"]).read_text() == SECRET


@pytest.mark.parametrize("rung", SERVICE_ALONE, indirect=True)
async def test_extraction_beside_a_running_preview_follows_no_link_and_waits_for_no_pipe(
    hostile: Rig, tmp_path: Path
) -> None:
    from preview.endpoints import extract

    with a_world(tmp_path / "world") as world:
        (tmp_path / "world" / "app.py").write_text(
            "from fastapi import FastAPI\napp = FastAPI()\n@app.get('/of-another')\ndef f(): ...\n"
        )
        given = {"outside": world["outside"], "secret_file": world["secret_file"]}
        preview = await hostile.running("g1", "hostile_app", "plant_for_readers")
        assert (await request(preview, "plant_for_readers", given))["done"]
        assert preview.directory is not None
        with trio.fail_after(IN_TIME_S):
            found = await trio.to_thread.run_sync(extract, preview.directory)
    assert "of-another" not in repr(found)
    assert SECRET not in repr(found)


@pytest.mark.parametrize("rung", SERVICE_ALONE, indirect=True)
async def test_control_sequences_act_on_no_terminal_and_end_no_event(hostile: Rig) -> None:
    preview = await hostile.running("g1", "hostile_app", "print_controls")
    assert (await request(preview, "print_controls", {}))["done"]
    with trio.fail_after(IN_TIME_S), preview.log.subscribe() as subscription:
        while "the last line" not in preview.last_lines(20):
            await subscription.receive()
    text = "\n".join(preview.last_lines(20))
    assert "\x1b[31mred\x1b[0m" in text  # colours are kept
    for harmful in ("\x1b]", "\x07", "\x1b[2J", "\x1b[6n", "\x1bP", "\x9b", "\x00", "\x08", "\x7f", "\r"):
        assert harmful not in text
    assert preview.record.state is State.RUNNING
