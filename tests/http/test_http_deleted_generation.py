from __future__ import annotations

from pathlib import Path

import pytest
import trio
from http_kit import FILES, NEVER_READY, World, open_world

from preview.core.clock import utc_now
from preview.generations import GenerationLibrary
from preview.logs import journal_folder, open_journal
from preview.logs.model.batch import Batch
from preview.replay.probe import ProbeResult, ProbeState
from preview.replay.probe.store import ProbeStore
from preview.storage import PreviewStore
from preview.supervisor.manager import cleanup


async def test_a_preview_launched_while_its_generation_is_deleted_is_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_world(tmp_path) as world:
        generation_id = await world.keep(FILES)
        delete, launched = GenerationLibrary.delete, list[str]()

        async def launch_first(library: GenerationLibrary, deleted: str) -> None:
            launched.append((await world.launch(deleted, wait_s=None))["id"])
            await delete(library, deleted)

        monkeypatch.setattr(GenerationLibrary, "delete", launch_first)
        answer = await world.ask("DELETE", f"/api/v1/generations/{generation_id}")
        assert answer.status_code == 204
        assert world.service.previews.active(generation_id) is None
        await gone(world, launched[0])


async def test_the_last_probe_goes_with_its_generation(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        generation_id = await world.keep(FILES)
        store = ProbeStore(world.service.database)
        await store.save(ProbeResult("probe_1", generation_id, ProbeState.DONE, utc_now(), 30, 1), "ann")
        assert (await world.ask("DELETE", f"/api/v1/generations/{generation_id}")).status_code == 204
        assert await store.last(generation_id, "ann") is None


async def lines_of(world: World, preview_id: str) -> int:
    lines = await world.service.log_store.read(preview_id, after=0, limit=1000)
    return len(lines)


async def stopped_with_lines(world: World, user: str = "ann") -> tuple[str, str]:
    generation = await world.keep(NEVER_READY, user=user, project=f"proj_{user}")
    launched = await world.launch(generation, user=user, wait_s=None)
    await world.stop_preview(generation, user=user)
    return generation, launched["id"]


async def gone(world: World, preview_id: str) -> None:
    with trio.fail_after(60):
        while await lines_of(world, preview_id) or await PreviewStore(world.service.database).get(preview_id):  # noqa: ASYNC110  what another process would see
            await trio.sleep(0.05)


async def test_previews_and_logs_go_with_their_generation(tmp_path: Path) -> None:
    async with open_world(tmp_path, max_instances_per_user=5) as world:
        generation, preview = await stopped_with_lines(world)
        _, kept = await stopped_with_lines(world)
        _, of_bob = await stopped_with_lines(world, "bob")
        before = [await lines_of(world, one) for one in (preview, kept, of_bob)]
        assert all(before)
        assert (await world.ask("DELETE", f"/api/v1/generations/{generation}")).status_code == 204
        # At once for everybody, although the lines are deleted after the answer.
        assert (await world.ask("GET", f"/api/v1/previews/{preview}")).status_code == 404
        listed = (await world.ask("GET", "/api/v1/previews")).json()["previews"]
        assert [one["id"] for one in listed] == [kept]
        await gone(world, preview)
        assert [await lines_of(world, one) for one in (kept, of_bob)] == before[1:]
        assert not list((tmp_path / "data").rglob(f"*{preview}*"))


async def test_a_kill_in_the_middle_is_finished_by_the_next_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(cleanup, "_ENDS_S", 3600)
        async with open_world(tmp_path) as world:
            generation, preview = await stopped_with_lines(world)
            assert (await world.ask("DELETE", f"/api/v1/generations/{generation}")).status_code == 204
            assert await lines_of(world, preview) > 0, "this service has not begun with it"
    async with open_world(tmp_path) as world:
        await gone(world, preview)


async def test_lines_that_come_after_the_deletion_are_kept_nowhere(tmp_path: Path) -> None:
    """What is still in the writer's queue, or in the journal after a kill, belongs to a row that is gone."""
    async with open_world(tmp_path) as world:
        generation, preview = await stopped_with_lines(world)
        _, kept = await stopped_with_lines(world)
        before = await lines_of(world, kept)
        await world.ask("DELETE", f"/api/v1/generations/{generation}")
        await gone(world, preview)
        late = [Batch(one, 900, [0], bytes([0]), ["late"]) for one in (preview, kept)]
        writer = world.service.previews._context.writer
        for batch in late:
            writer.offer(batch)
        for batch in late:
            await writer.flush(batch.preview_id)
        assert (await lines_of(world, preview), await lines_of(world, kept)) == (0, before + 1)
        folder = journal_folder(world.service.settings)
        assert b"late" not in b"".join(path.read_bytes() for path in folder.iterdir())
    with open_journal(folder) as journal:
        for batch in (Batch(one, 901, [0], bytes([0]), ["later"]) for one in (preview, kept)):
            journal.append(batch)
    async with open_world(tmp_path) as world:
        assert (await lines_of(world, preview), await lines_of(world, kept)) == (0, before + 2)
        assert not list(folder.iterdir())
