"""What goes wrong around one preview stays with it: mistakes, outages and races of its row."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import trio
from structlog.testing import capture_logs
from supervisor_kit import MemorySource, Rig, open_rig

from preview.core.lifecycle import State
from preview.errors import DatabaseUnavailable, DiskFull, NoActivePreview, PreviewNotFound, StartupTimeout
from preview.runtime import Usage
from preview.runtime.process.process import TreeProcess
from preview.service import open_service
from preview.settings import Settings
from preview.storage import PreviewRecord, PreviewStore
from preview.storage.previews import to_row
from preview.supervisor import LaunchRequest, LivePreview, User, clean_once, run_cleanup
from preview.supervisor.life import run

MakeSettings = Callable[..., Settings]
ANN = User("ann", "enterprise")


async def test_a_measurement_that_fails_ends_no_preview(
    make_settings: MakeSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured = trio.Event()
    calls = 0

    async def usage(self: TreeProcess) -> Usage:
        nonlocal calls
        await trio.lowlevel.checkpoint()
        calls += 1
        if calls < 3:
            raise OSError(24, "Too many open files")
        measured.set()
        return Usage(1, 0.0, 1)

    monkeypatch.setattr(TreeProcess, "usage", usage)
    async with open_rig(make_settings(usage_interval_s=0.01)) as rig:
        preview = await rig.running()
        await measured.wait()
        assert preview.record.state is State.RUNNING
        assert preview.usage is not None


async def test_what_a_running_preview_lacks_a_descriptor_for_is_said_as_that(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def watch(*_: object) -> None:
        await trio.lowlevel.checkpoint()
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(run, "watch_databases", watch)
    with capture_logs() as logs:
        preview = await rig.running()
    assert preview.record.state is State.FAILED
    assert "Too many open files; try again, or raise the service's limit of open files" in str(preview.record.reason)
    assert [entry["event"] for entry in logs if entry["log_level"] == "error"] == ["preview setup failed"]


async def test_a_mistake_while_an_end_is_stored_reaches_no_other_preview(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = await rig.running(generation_id="other")
    preview = await rig.running()

    async def broken(self: PreviewStore, record: PreviewRecord) -> None:
        await trio.lowlevel.checkpoint()
        raise RuntimeError("a mistake")

    with monkeypatch.context() as patch:
        patch.setattr(PreviewStore, "update", broken)
        record = await rig.service.previews.stop("g1")
    assert record.state is State.STOPPED
    assert other.record.state is State.RUNNING
    assert (await rig.service.previews.get(preview.id)).state is State.STOPPED
    await clean_once(rig.service.previews, rig.service.previews._context)
    stored = await rig.service.previews._context.store.get(preview.id)
    assert stored is not None
    assert stored.state is State.STOPPED


async def test_the_cleanup_spares_what_was_launched_since_it_began(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    launched: list[LivePreview] = []

    def launch_then_list(settings: Settings) -> frozenset[str]:
        launched.append(trio.from_thread.run(rig.running))
        names: frozenset[str] = folder_names(settings)
        return names

    # The package exports a function of the module's name.
    module = sys.modules["preview.supervisor.manager.cleanup"]
    folder_names = module._folder_names
    monkeypatch.setattr(module, "_folder_names", launch_then_list)
    await clean_once(rig.service.previews, rig.service.previews._context)
    directory = launched[0].directory
    assert directory is not None
    assert directory.is_dir()


async def test_a_mistake_in_the_cleanup_ends_nothing(
    make_settings: MakeSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_rig(make_settings(cleanup_interval_s=0.01)) as rig:
        preview = await rig.running()
        rounds = 0
        twice = trio.Event()

        async def broken(self: PreviewStore, ms: int, limit: int = 100) -> int:
            nonlocal rounds
            await trio.lowlevel.checkpoint()
            rounds += 1
            if rounds == 2:
                twice.set()
            raise RuntimeError("a mistake")

        monkeypatch.setattr(PreviewStore, "delete_ended_before", broken)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(run_cleanup, rig.service.previews, rig.service.previews._context)
            await twice.wait()
            nursery.cancel_scope.cancel()
        assert preview.record.state is State.RUNNING


async def test_an_end_whose_row_is_gone_holds_up_no_other(rig: Rig) -> None:
    await rig.running()
    record = await rig.service.previews.stop("g1")
    pending = rig.service.previews._context.pending
    pending["preview_gone"] = replace(record, id="preview_gone")
    pending[record.id] = record
    assert await rig.service.previews.store_pending() == 1
    assert pending == {}


async def test_a_late_save_of_a_live_preview_does_not_revive_its_row(rig: Rig) -> None:
    preview = await rig.running()
    live = preview.record
    await rig.service.previews.stop("g1")
    with pytest.raises(PreviewNotFound):
        await rig.service.previews._context.store.update(live)
    assert (await rig.service.previews.get(preview.id)).state is State.STOPPED


async def test_an_extension_that_comes_too_late_says_that_there_is_no_preview(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    preview = await rig.running()

    async def too_late(self: PreviewStore, record: PreviewRecord) -> None:
        await trio.lowlevel.checkpoint()
        raise PreviewNotFound("There is no row.")

    with monkeypatch.context() as patch:
        patch.setattr(PreviewStore, "update", too_late)
        with pytest.raises(NoActivePreview):
            await rig.service.previews.extend("g1", 1)
    assert preview.record.state is State.RUNNING


async def test_a_list_shows_ends_that_the_database_has_not_taken_yet(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    await rig.running()

    async def away(self: PreviewStore, record: PreviewRecord) -> None:
        await trio.lowlevel.checkpoint()
        raise DatabaseUnavailable("The service's database did not answer.")

    with monkeypatch.context() as patch:
        patch.setattr(PreviewStore, "update", away)
        await rig.service.previews.stop("g1")
    records, _ = await rig.service.previews.list_for_user("ann")
    assert [record.state for record in records] == [State.STOPPED]


async def test_a_pipe_that_somebody_outside_holds_open_does_not_hold_up_the_stop(rig: Rig) -> None:
    preview = await rig.running()
    held = os.open(f"/proc/{preview.record.pid}/fd/1", os.O_WRONLY)
    try:
        with trio.fail_after(60):
            record = await rig.service.previews.stop("g1")
    finally:
        os.close(held)
    assert record.state is State.STOPPED


async def test_the_row_of_an_ended_preview_is_what_was_known_of_it(rig: Rig) -> None:
    preview = await rig.running()
    checked_at = preview.record.last_health_check
    record = await rig.service.previews.stop("g1")
    assert record == preview.record
    assert record.last_health_check == checked_at is not None
    stored = await rig.service.previews._context.store.get(preview.id)
    assert stored is not None
    # The database keeps milliseconds.
    assert to_row(stored) == to_row(record)


class SlowSource(MemorySource):
    async def write_files(self, generation_id: str, directory: Path) -> None:
        await trio.sleep_forever()


async def test_files_that_never_come_end_the_launch_in_time(make_settings: MakeSettings) -> None:
    source = SlowSource()
    source.add("g1")
    async with open_service(make_settings(), generations=source) as service:
        with trio.fail_after(60), pytest.raises(StartupTimeout, match="files"):
            await service.previews.launch(LaunchRequest(ANN, "g1", startup_timeout_s=0.1))
        assert not service.previews.all_active


class FullDisk(MemorySource):
    async def write_files(self, generation_id: str, directory: Path) -> None:
        await trio.lowlevel.checkpoint()
        raise OSError(28, "No space left on device", str(directory / "main.py"))


async def test_a_full_disk_is_named_as_the_reason(make_settings: MakeSettings) -> None:
    source = FullDisk()
    source.add("g1")
    async with open_service(make_settings(), generations=source) as service:
        with pytest.raises(
            DiskFull, match=r"is full \(No space left on device\), so the launch failed; free some space"
        ):
            await service.previews.launch(LaunchRequest(ANN, "g1"))


async def test_an_end_that_the_cleanup_stores_meanwhile_ends_nothing_else(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = await rig.running(generation_id="other")
    await rig.running()
    context, update = rig.service.previews._context, PreviewStore.update

    async def update_beside_the_cleanup(self: PreviewStore, record: PreviewRecord) -> None:
        await update(self, record)
        if record.id in context.pending and not record.is_active:
            monkeypatch.undo()
            assert await rig.service.previews.store_pending() == 1

    monkeypatch.setattr(PreviewStore, "update", update_beside_the_cleanup)
    await rig.service.previews.stop("g1")
    assert context.pending == {}
    assert other.record.state is State.RUNNING
