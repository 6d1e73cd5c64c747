"""Removed generations: hidden at once, restored by their owner only, really gone after their time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing
from http_kit import FILES, World, make_settings, open_world
from sqlalchemy import func, select

from preview.generations import removal
from preview.service import open_service
from preview.storage.tables import generations

_DAY_S = 86_400
_PLAIN = {"main.py": "print(1)\n"}


async def remove(world: World, generation: str) -> None:
    assert (await world.ask("DELETE", f"/api/v1/generations/{generation}")).status_code == 204


async def removed(world: World, user: str = "ann") -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = (await world.ask("GET", "/api/v1/removed", user=user)).json()["items"]
    return items


async def test_nobody_else_sees_restores_or_deletes_a_removed_generation(tmp_path: Path) -> None:
    async with open_world(tmp_path, removed_kept_s=_DAY_S) as world:
        generation = await world.keep(_PLAIN)
        await remove(world, generation)
        assert await removed(world, "bob") == []
        for method, path in (
            ("POST", f"/api/v1/removed/{generation}/restore"),
            ("DELETE", f"/api/v1/removed/{generation}"),
        ):
            assert (await world.ask(method, path, user="bob")).status_code == 404
            assert (await world.ask(method, path, user=None)).status_code == 401
        # Neither one that exists and was not removed, nor an id that is none.
        kept = await world.keep(_PLAIN)
        for wrong in (kept, "gen_x", "%00", "a" * 500):
            assert (await world.ask("POST", f"/api/v1/removed/{wrong}/restore")).status_code == 404
            assert (await world.ask("DELETE", f"/api/v1/removed/{wrong}")).status_code == 404
        assert [one["id"] for one in await removed(world)] == [generation]


async def test_a_removed_generation_is_hidden_everywhere_and_comes_back_as_it_was(tmp_path: Path) -> None:
    async with open_world(tmp_path, removed_kept_s=_DAY_S, generations_per_user=2) as world:
        generation = await world.keep(FILES)
        launched = await world.launch(generation)
        refused = await world.ask("DELETE", f"/api/v1/generations/{generation}")
        assert refused.status_code == 409
        await world.stop_preview(generation)
        base = f"/api/v1/generations/{generation}"
        used = (await world.ask("GET", "/api/v1/usage")).json()["items"]
        await remove(world, generation)
        await remove_again(world, generation)
        for path in ("", "/files", "/versions", "/launches", "/preview/status", "/preview/logs", "/archive"):
            assert (await world.ask("GET", base + path)).status_code == 404, path
        assert (await world.ask("POST", f"{base}/preview/launch", {})).status_code == 404
        assert (await world.ask("PATCH", base, {"name": "x"})).status_code == 404
        assert (await world.ask("GET", f"/api/v1/previews/{launched['id']}")).status_code == 404
        assert (await world.ask("GET", "/api/v1/previews")).json()["previews"] == []
        assert (await world.ask("GET", "/api/v1/generations")).json()["generations"] == []
        # Its size is named apart, and its place is free.
        now = {one["name"]: one["used"] for one in (await world.ask("GET", "/api/v1/usage")).json()["items"]}
        assert now["files"] == 0
        assert now["removed_files"] == next(one["used"] for one in used if one["name"] == "files")
        others = [await world.keep(_PLAIN), await world.keep(_PLAIN)]
        full = await world.ask("POST", f"/api/v1/removed/{generation}/restore")
        assert (full.status_code, full.json()["code"]) == (409, "generation_limit_reached")
        await remove(world, others[0])

        back = await world.ask("POST", f"/api/v1/removed/{generation}/restore")
        assert back.status_code == 200, back.text
        assert [one["id"] for one in await removed(world)] == [others[0]]
        assert (await world.ask("GET", f"/api/v1/previews/{launched['id']}")).json()["status"] == "stopped"
        assert (await world.ask("GET", f"{base}/preview/logs?preview_id={launched['id']}")).status_code == 200
        listed = (await world.ask("GET", f"{base}/files")).json()["files"]
        assert {one["path"] for one in listed} == set(FILES)
        assert (await world.ask("DELETE", f"/api/v1/removed/{others[0]}")).status_code == 204
        assert await removed(world) == []


async def test_a_deletion_that_is_final_is_known_before_it(tmp_path: Path) -> None:
    async with open_world(tmp_path, removed_kept_s=0) as world:
        assert (await world.ask("GET", "/api/v1/removed")).json()["kept_s"] == 0
        await remove(world, await world.keep(_PLAIN))
        assert await removed(world) == []


async def remove_again(world: World, generation: str) -> None:
    assert (await world.ask("DELETE", f"/api/v1/generations/{generation}")).status_code == 404


async def test_a_removed_generation_is_gone_after_its_time_and_only_the_newest_are_kept(tmp_path: Path) -> None:
    async with open_world(tmp_path, removed_kept_s=0.3) as world:
        generation = await world.keep(_PLAIN)
        await remove(world, generation)
        library = world.service.library
        assert library is not None
        with trio.fail_after(20):
            while await library.removed.due(2**53):
                await trio.testing.wait_all_tasks_blocked(0.05)
        assert (await world.ask("POST", f"/api/v1/removed/{generation}/restore")).status_code == 404

    async with open_world(tmp_path / "many", removed_kept_s=_DAY_S) as world:
        made = [await world.keep(_PLAIN) for _ in range(removal.MOST_REMOVED + 2)]
        for one in made:
            await remove(world, one)
        assert len(await removed(world)) == removal.MOST_REMOVED
        library = world.service.library
        assert library is not None
        # The others do not stay until the next purge: uploads and removals in turn would fill the disk.
        assert await library.removed.due(0) == []
        stored = select(func.count()).select_from(generations)
        assert await world.service.database.read(lambda one: one.scalar(stored)) == removal.MOST_REMOVED


async def test_a_removal_survives_the_service(tmp_path: Path) -> None:
    """Either removed or not: it is one row. What is removed stays so, and can be restored, in the next service."""
    async with open_world(tmp_path, removed_kept_s=_DAY_S) as world:
        generation = await world.keep(_PLAIN)
        await remove(world, generation)
    async with open_service(make_settings(tmp_path, removed_kept_s=_DAY_S)) as service:
        assert service.library is not None
        found = await service.library.removed.list_for_user("ann", 0)
        assert [one.id for one in found] == [generation]
        await service.library.removed.restore(generation, "ann", 0)
        assert (await service.library.get(generation)).id == generation


async def test_a_removal_that_fails_for_any_reason_does_not_end_the_service(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries, tried_again = 0, trio.Event()

    async def due(_until_ms: int, _limit: int = 20) -> list[removal.RemovedGeneration]:
        nonlocal tries
        await trio.lowlevel.checkpoint()
        tries += 1
        if tries == 2:
            tried_again.set()
        raise RuntimeError("refused")

    async with open_world(tmp_path, removed_kept_s=0.1) as world:
        library = world.service.library
        assert library is not None
        monkeypatch.setattr(library.removed, "due", due)
        with trio.fail_after(20):
            await tried_again.wait()
        assert (await world.client.get("/healthz")).status_code == 200


async def test_removed_projects_are_counted_apart(tmp_path: Path) -> None:
    async with open_world(tmp_path, removed_kept_s=_DAY_S) as world:
        kept, removed = [await world.keep({"main.py": "print(1)\n"}) for _ in range(2)]
        assert kept != removed
        await world.ask("DELETE", f"/api/v1/generations/{removed}")
        used = {one["name"]: one["used"] for one in (await world.ask("GET", "/api/v1/usage")).json()["items"]}
        assert (used["generations"], used["files"]) == (1, 9)
        assert (used["removed"], used["removed_files"]) == (1, 9)
