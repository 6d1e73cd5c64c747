"""A preview's data goes with it to another node: from its last snapshot, or as it is when its node drains."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio
from cluster_kit import World, open_nodes, until
from fault_client import Answer, Client
from fault_postgres import Postgres

COUNTER = """
import pathlib

KEPT = pathlib.Path("kept.txt")


def app(environ, start_response):
    if environ["PATH_" + "INFO"] == "/add":
        with KEPT.open("a") as file:
            file.write("x")
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"kept %d" % (KEPT.stat().st_size if KEPT.exists() else 0)]
"""
FILES = {
    "main.py": COUNTER,
    "preview.toml": '[start]\napp = "main:app"\nserver = "wsgi"\nhealth = "/health"\n',
    "requirements.txt": "",
}


class Counter:
    """A preview that counts, asked through any node."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.generation_id = self.preview_id = self._token = ""

    async def ask(self, node: str, method: str, path: str, body: object = None) -> Answer:
        """Cancellation: it is cut."""
        headers = {"X-Preview-Token": self._token, "Prefer": "wait=60"}
        client = Client(self.world.nodes[node])
        try:
            return await client.ask(method, f"/api/v1/generations{path}", body, headers)
        finally:
            await client.aclose()

    async def launch(self, node: str) -> None:
        """Cancellation: it may go on."""
        stored = await self.ask(node, "POST", "", {"files": FILES})
        self.generation_id = str(stored.body["id"])
        launched = await self.ask(node, "POST", f"/{self.generation_id}/preview/launch", {})
        assert launched.status == 201, launched
        self.preview_id, self._token = launched.body["id"], launched.body["session_token"]

    async def call(self, node: str, path: str) -> str:
        """The preview's answer, once it serves. Cancellation: it is cut."""
        body = {"method": "GET", "path": path}
        with trio.fail_after(90):
            while True:
                got = await self.ask(node, "POST", f"/{self.generation_id}/preview/request", body)
                if got.status == 200:
                    return str(got.body["body"])
                assert got.status == 503, got
                await trio.sleep(0.1)


@pytest.mark.long
async def test_the_last_snapshot_is_there_after_the_loss_of_a_node(
    tmp_path: Path, cache: Path, server: Postgres
) -> None:
    async with open_nodes(tmp_path, cache, server, "one", "two") as world:
        counter = Counter(world)
        await counter.launch("one")
        assert await counter.call("one", "/add") == "kept 1"
        saved = await counter.ask("one", "POST", f"/{counter.generation_id}/preview/snapshots", {})
        assert saved.status == 201, saved
        assert await counter.call("one", "/add") == "kept 2"
        await world.nodes["one"].kill()
        await world.serves("two", counter.preview_id)
        assert await counter.call("two", "/") == "kept 1"
        said = f"data: loading the snapshot {saved.body['id']}"
        await until("it is said", lambda: any(said in text for _, text in world.lines(counter.preview_id)))


@pytest.mark.long
async def test_all_data_is_there_after_a_drain(tmp_path: Path, cache: Path, server: Postgres) -> None:
    async with open_nodes(tmp_path, cache, server, "one", "two") as world:
        counter = Counter(world)
        await counter.launch("one")
        for number in range(3):
            assert await counter.call("one", "/add") == f"kept {number + 1}"
        world.rows("UPDATE nodes SET draining = 1 WHERE id = 'one' RETURNING id")
        await world.serves("two", counter.preview_id)
        assert await counter.call("two", "/") == "kept 3"
