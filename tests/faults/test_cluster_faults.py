"""Real nodes on one PostgreSQL: killed, stopped and woken; and their database restarted."""

from __future__ import annotations

from pathlib import Path

import pytest
from cluster_kit import open_nodes, until
from fault_postgres import Postgres


@pytest.mark.long
async def test_a_killed_nodes_preview_is_served_by_another_one(tmp_path: Path, cache: Path, server: Postgres) -> None:
    async with open_nodes(tmp_path, cache, server, "one", "two") as world:
        generation_id = await world.push("one")
        preview_id = await world.launch("one", generation_id)
        assert world.owner(preview_id) == ("one", 1, "running")
        await until("lines are stored", lambda: len(world.lines(preview_id)) > 5)
        await world.nodes["one"].kill()
        await world.serves("two", preview_id)
        assert world.owner(preview_id) == ("two", 2, "running")
        said = await until("it is said", lambda: [n for n, text in world.lines(preview_id) if "node lost: one" in text])
        before = [number for number, _ in world.lines(preview_id) if number < said[0]]
        # The lost node may have shown some lines more, whose numbers are left out.
        assert before == list(range(1, len(before) + 1))
        assert said[0] == before[-1] + 1001
        # The killed one comes back, with its name, and leaves the preview where it is.
        await world.nodes["one"].start()
        status = await world.ask("two", "GET", f"/api/v1/previews/{preview_id}")
        assert (status.status, status.body["status"]) == (200, "running")
        assert world.owner(preview_id) == ("two", 2, "running")
