"""Many at once, cancelled at any moment: afterwards database and machine agree, and nothing is left (guarantee 1)."""

from __future__ import annotations

import os
import random
import socket
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
import trio
from supervisor_kit import FLOODS, IGNORES_TERM, NEVER_ANSWERS, SERVER, Rig, ask, open_descriptors, open_rig

from preview.core.lifecycle import ACTIVE, State
from preview.errors import NoActivePreview, PreviewError
from preview.logs import Batch
from preview.runtime.kernel import proctree
from preview.settings import Settings
from preview.supervisor import User

MakeSettings = Callable[..., Settings]


async def test_fifty_launches_and_stops_at_once_cancelled_at_random_leave_nothing(make_settings: MakeSettings) -> None:
    settings = make_settings(stop_grace_s=0.2)
    before = open_descriptors()
    # Services that live as long as the whole run have previews too.
    others = set(proctree.descendants(os.getpid()))
    chance = random.Random(20_251_121)
    async with open_rig(settings) as rig:
        users = [User(f"user-{number}", "enterprise") for number in range(50)]
        with trio.CancelScope():
            async with trio.open_nursery() as nursery:
                for number, user in enumerate(users):
                    behave = chance.choice([SERVER, SERVER, NEVER_ANSWERS, IGNORES_TERM])
                    rig.source.add(f"g{number}", behave, owner=user)
                    nursery.start_soon(launch_and_stop, rig, f"g{number}", user, chance.random() * 2, chance.random())
        for generation_id in rig.source.projects:
            with suppress(NoActivePreview):
                await rig.service.previews.stop(generation_id)
        assert rig.service.previews.all_active == {}
        for user in users:
            records, _ = await rig.service.previews.list_for_user(user.id)
            assert all(record.state not in ACTIVE for record in records)
        assert list((settings.data_dir / "previews").iterdir()) == []
        assert list(settings.resolved_db_path.iterdir()) == []
        left = [pid for pid in proctree.descendants(os.getpid()) if pid not in others and proctree.read_marker(pid)]
        assert left == []
        for port in range(settings.port_min, settings.port_max + 1):
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(("127.0.0.1", port))
    # A thread that was reading a project for a launch that was cancelled closes its file by itself.
    with trio.move_on_after(20):
        while not open_descriptors() <= before:  # noqa: ASYNC110  a thread that nobody waits for tells nobody
            await trio.sleep(0.01)
    assert open_descriptors() <= before


async def launch_and_stop(rig: Rig, generation_id: str, user: User, patience_s: float, mood: float) -> None:
    """Launch, wait a little, stop; a third of the callers go away in the middle of it."""
    with trio.move_on_after(patience_s if mood < 0.33 else float("inf")):
        launched = await rig.launch(generation_id, user)
        if mood < 0.66:
            with suppress(PreviewError):
                await rig.service.previews.wait_ready(launched.record.id, patience_s)
        with suppress(NoActivePreview):
            await rig.service.previews.stop(generation_id)


@pytest.mark.parametrize("checkpoint", range(1, 60, 4))
async def test_cancellation_at_any_checkpoint_of_the_launch_leaves_nothing(
    make_settings: MakeSettings, checkpoint: int
) -> None:
    """The stop button pressed after the Nth time that anything in the service was scheduled."""
    settings = make_settings()
    async with open_rig(settings) as rig:
        rig.source.add("g1", SERVER)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(launch_and_ignore, rig)
            for _ in range(checkpoint):
                await trio.lowlevel.checkpoint()
            preview = rig.service.previews.active("g1")
            if preview is not None:
                preview.scope.cancel()
                await preview.over.wait()
        assert preview is None or preview.record.state in (State.STOPPED, State.FAILED)
        await rig.service.previews.stop_all()
        assert rig.service.previews.all_active == {}
    assert not (settings.data_dir / "previews").exists() or list((settings.data_dir / "previews").iterdir()) == []


async def launch_and_ignore(rig: Rig) -> None:
    with suppress(PreviewError):
        await rig.launch("g1")


@pytest.mark.timed
async def test_a_flooding_child_slows_nobody_and_stops_at_once(make_settings: MakeSettings) -> None:
    settings = make_settings(backlog_bytes=2**20, log_queue_bytes=4 * 2**20)
    async with open_rig(settings) as rig:
        flood = await rig.running(FLOODS, "flood")
        quiet = await rig.running(SERVER, "quiet")
        with flood.log.subscribe(tail=1) as watching:
            while flood.log.last_seq < 300_000:
                await watching.receive()
            assert (await ask(quiet, "/still-there")).endswith(b"/still-there")
        started = trio.current_time()
        await rig.service.previews.stop("flood")
        assert trio.current_time() - started < settings.stop_budget_s
        assert flood.log.backlog.size_bytes <= settings.backlog_bytes
        assert quiet.record.state is State.RUNNING


async def test_a_subscriber_that_never_reads_does_not_hold_up_the_end(make_settings: MakeSettings) -> None:
    async with open_rig(make_settings(subscriber_batches=1)) as rig:
        preview = await rig.running(FLOODS)
        with preview.log.subscribe() as stalled:
            await rig.service.previews.stop("g1")
            received = await stalled.receive()
        assert any(isinstance(event, Batch) for event in received)


async def test_links_planted_in_the_project_are_removed_not_followed(
    make_settings: MakeSettings, tmp_path: Path
) -> None:
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "file").write_text("keep")
    plant = f"""
import os
os.symlink({str(precious)!r}, 'link')
os.mkdir('locked')
open('locked/x', 'w').close()
os.chmod('locked', 0)
"""
    async with open_rig(make_settings()) as rig:
        preview = await rig.running(plant + SERVER)
        root = trio.Path(preview.record.directory or "")
        await rig.service.previews.stop("g1")
        assert not await root.exists()
    assert (precious / "file").read_text() == "keep"
