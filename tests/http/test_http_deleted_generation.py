from __future__ import annotations

from pathlib import Path

import pytest
from http_kit import FILES, open_world

from preview.generations import GenerationLibrary


async def test_a_preview_launched_while_its_generation_is_deleted_is_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_world(tmp_path) as world:
        generation_id = await world.keep(FILES)
        delete = GenerationLibrary.delete

        async def launch_first(library: GenerationLibrary, deleted: str) -> None:
            await world.launch(deleted, wait_s=None)
            await delete(library, deleted)

        monkeypatch.setattr(GenerationLibrary, "delete", launch_first)
        answer = await world.ask("DELETE", f"/api/v1/generations/{generation_id}")
        assert answer.status_code == 204
        assert world.service.previews.active(generation_id) is None
