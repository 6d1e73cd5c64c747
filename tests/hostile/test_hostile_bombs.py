"""A preview that takes all it can get: its own limit holds it, and the service and its neighbour do not notice."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

import httpx2
import pytest
import trio
from engine_kit import IN_TIME_S, is_gvisor
from hostile_kit import MIB, SERVICE_ALONE, Rig, open_hostile_rig, request

from preview.core.lifecycle import State
from preview.logs import Batch, End
from preview.settings import Settings
from preview.supervisor import LivePreview

MakeSettings = Callable[..., Settings]


async def ended(preview: LivePreview) -> State:
    with preview.log.subscribe() as subscription:
        while preview.record.state not in (State.FAILED, State.STOPPED):
            events = await subscription.receive()
            if any(isinstance(event, End) for event in events):
                break
    return preview.record.state


async def bombed(rig: Rig, program: str) -> LivePreview:
    """A preview in which the bomb went off while its neighbour served; whatever its own answer was."""
    neighbour = await rig.running("neighbour", "hostile_app")
    preview = await rig.running("bomb", "hostile_app", program)
    assert preview.record.state is State.RUNNING, preview.record.reason
    with suppress(httpx2.TransportError):  # it was ended while it was at it
        await request(preview, program, {})
    assert await request(neighbour) is not None
    assert neighbour.record.state is State.RUNNING
    return preview


async def test_a_memory_bomb_is_ended_and_told(hostile_settings: MakeSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    with trio.fail_after(IN_TIME_S):
        async with open_hostile_rig(hostile_settings(memory_limit_mb=64), monkeypatch) as rig:
            preview = await bombed(rig, "memory_bomb")
            assert await ended(preview) is State.FAILED
            assert "64 MB of memory" in (preview.record.reason or "")


@pytest.mark.long
async def test_a_disk_bomb_is_ended_and_told(hostile_settings: MakeSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = hostile_settings(disk_limit_mb=8, disk_interval_s=0.1)
    with trio.fail_after(IN_TIME_S):
        async with open_hostile_rig(settings, monkeypatch) as rig:
            preview = await bombed(rig, "disk_bomb")
            assert await ended(preview) is State.FAILED
            assert "8 MB" in (preview.record.reason or "")


async def test_a_fork_bomb_stays_within_its_processes(
    hostile_settings: MakeSettings, monkeypatch: pytest.MonkeyPatch, rung: str
) -> None:
    if rung == "plain":
        pytest.skip("the plain rung counts no tree's processes: none of root's, and all of a user's (hostile_ledger)")
    with trio.fail_after(IN_TIME_S):
        async with open_hostile_rig(hostile_settings(max_processes=48), monkeypatch) as rig:
            if rung == "container" and "processes" not in rig.service.runtime.holds():
                # Without control groups the limit is that of all the user's processes, and memory ends it.
                await bombed(rig, "fork_bomb")
                return
            if rung == "container" and is_gvisor():
                # Its kernel counts no processes: its threads on the machine are limited, and it ends without them.
                assert await ended(await bombed(rig, "fork_bomb")) is State.FAILED
                return
            neighbour = await rig.running("neighbour", "hostile_app")
            preview = await rig.running("bomb", "hostile_app", "fork_bomb")
            told = await request(preview, "fork_bomb", {})
            assert told["done"], told
            assert 1 <= int(told["told"]) <= 48
            assert await request(neighbour) is not None
            await rig.service.previews.stop("bomb")


@pytest.mark.long
async def test_a_fork_bomb_in_the_sandbox_is_told_once_where_a_control_group_counts(
    hostile_settings: MakeSettings, monkeypatch: pytest.MonkeyPatch, rung: str
) -> None:
    if rung == "container" and is_gvisor():
        pytest.skip("gVisor ends with its fork bomb")
    with trio.fail_after(IN_TIME_S):
        async with open_hostile_rig(hostile_settings(max_processes=40), monkeypatch) as rig:
            if rung == "plain" or not all(one.holds for one in rig.service.rungs):
                pytest.skip("no control groups, or no sandbox")
            preview = await rig.running("bomb", "hostile_app", "fork_bomb")
            assert 1 <= int((await request(preview, "fork_bomb", {}))["told"]) <= 42
            sentence = "limited to 40 processes: further ones were refused"
            with preview.log.subscribe() as events:
                while sentence not in preview.last_lines(1000):
                    await events.receive()
            assert preview.confinement is not None
            assert [(one.limit, one.message) for one in preview.confinement.reached] == [("processes", sentence)]
            assert preview.last_lines(1000).count(sentence) == 1


@pytest.mark.long
async def test_descriptors_run_out_for_the_bomb_alone(
    hostile_settings: MakeSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    with trio.fail_after(IN_TIME_S):
        async with open_hostile_rig(hostile_settings(max_open_files=100), monkeypatch) as rig:
            preview = await rig.running("bomb", "hostile_app", "descriptor_bomb")
            told = await request(preview, "descriptor_bomb", {})
            assert told["done"]
            assert 50 < int(told["told"]) < 100
            assert preview.record.state is State.RUNNING


@pytest.mark.parametrize("rung", SERVICE_ALONE, indirect=True)
async def test_a_flood_of_output_holds_up_nobody_else(
    hostile_settings: MakeSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = hostile_settings(output_bytes_per_s=MIB, backlog_bytes=MIB)
    with trio.fail_after(IN_TIME_S):
        async with open_hostile_rig(settings, monkeypatch) as rig:
            preview = await bombed(rig, "log_bomb")
            seen = 0
            with preview.log.subscribe() as subscription:
                while seen < 2_000:
                    seen += sum(len(one.lines) for one in await subscription.receive() if isinstance(one, Batch))
            await rig.service.previews.stop("bomb")
