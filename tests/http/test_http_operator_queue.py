"""An operator stops previews that no node runs now: a queued launch, a drained preview, and one of a lost node."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from http_kit import World, open_world
from sqlalchemy import text

from preview.core.lifecycle import Departure, State
from preview.errors import LaunchFailed, NoActivePreview

# Nothing to install.
FILES = {
    "main.py": """
import os
from http.server import BaseHTTPRequestHandler, HTTPServer

class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()

HTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
"""
}


async def _set(world: World, query: str, **values: Any) -> None:
    await world.service.database.write(lambda connection: connection.execute(text(query), values))


async def _drain(world: World, preview_id: str) -> None:
    """Move a preview away, as a drain does."""
    cluster, preview = world.service.cluster, world.service.previews.find(preview_id)
    assert cluster is not None
    assert preview is not None
    cluster.moving.add(preview_id)
    preview.depart(Departure.MOVED, LaunchFailed("moved"))
    await preview.over.wait()


def _leaves(member: Any) -> set[str]:
    """Let the node take nothing of the returned set; it may queue other launches for a moment, and takes these."""
    left, take = set[str](), member.take

    async def take_others(most: int, chosen: Sequence[str]) -> Any:
        return await take(most, [one for one in chosen if one not in left])

    member.take = take_others
    return left


async def test_an_operator_stops_what_waits_for_a_node(postgres_database_url: str, tmp_path: Path) -> None:
    cluster: dict[str, Any] = {
        "cluster": True,
        "cluster_secret": "one secret of all nodes of this cluster",
        "node_name": "one",
    }
    more: dict[str, Any] = {
        "node_address": "127.0.0.1:0",
        "node_lease_s": 60,
        "max_previews": 1,
        "operators": ("olga",),
    }
    async with open_world(tmp_path, database_url=postgres_database_url, **cluster, **more) as world:
        member: Any = world.service.cluster
        # The node takes none of these back.
        left = _leaves(member)
        previews = world.service.previews

        async def stop(preview_id: str, user: str = "olga") -> int:
            return (await world.ask("DELETE", f"/api/v1/operator/previews/{preview_id}", user=user)).status_code

        async def is_stopped(preview_id: str) -> None:
            assert await stop(preview_id, "ann") == 403
            assert await stop(preview_id) == 204
            record = await previews.get(preview_id)
            assert (record.state, record.reason) == (State.STOPPED, "stopped on request")
            assert await stop(preview_id) == 404

        generation = await world.keep(FILES)
        drained = (await world.launch(generation))["id"]
        left.add(drained)
        # The node is full.
        other = await world.keep(FILES, "bob", "proj_2")
        queued = (await world.launch(other, user="bob", wait_s=None))["id"]
        await is_stopped(queued)
        await _drain(world, drained)
        # Another one of its generation is left alone.
        with pytest.raises(NoActivePreview):
            await previews.stop(generation, only="preview_other")
        await is_stopped(drained)

        lost = (await world.launch(generation))["id"]
        left.add(lost)
        with pytest.raises(NoActivePreview):
            await previews.stop(generation, only=drained)
        await _drain(world, lost)
        dead = "UPDATE owners SET state = 'running', node = 'gone' WHERE preview_id = :id"
        await _set(world, dead, id=lost)
        # A node without a row is lost once the database's server has been up for a lease.
        member.queue._queue._lease_ms = 0
        await is_stopped(lost)
        assert await stop("preview_none") == 404
