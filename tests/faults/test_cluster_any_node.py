"""Two real nodes on one PostgreSQL: each answers for a preview that the other one runs."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio
from cluster_kit import open_nodes, until
from fault_client import Client, open_raw
from fault_postgres import Postgres


@pytest.mark.long
async def test_the_other_node_answers_and_a_log_survives_the_owners_death(
    tmp_path: Path, cache: Path, server: Postgres
) -> None:
    async with open_nodes(tmp_path, cache, server, "one", "two") as world:
        generation_id = await world.push("two")
        preview_id = await world.launch("one", generation_id)
        api = f"/api/v1/generations/{generation_id}/preview"
        # The tokens of one node hold on the other one.
        status = await world.ask("two", "GET", f"{api}/status")
        assert (status.status, status.body["id"], status.body["status"]) == (200, preview_id, "running")
        again = await world.ask("two", "POST", f"{api}/launch")
        assert (again.status, again.code, again.body["details"]["preview_id"]) == (409, "already_running", preview_id)
        client = Client(world.nodes["two"], "ann")
        got = b""
        with trio.fail_after(120):
            async with open_raw(world.nodes["two"]) as stream:
                token = f"Authorization: {client.headers['Authorization']}"
                lines = [f"GET {api}/logs/stream HTTP/1.1", "Host: localhost", token, "", ""]
                await stream.send_all("\r\n".join(lines).encode())
                while b"data: " not in got:
                    got += await stream.receive_some()
                await world.nodes["one"].kill()
                while b"node lost: one" not in got:
                    piece = await stream.receive_some()
                    assert piece, got
                    got += piece
        await client.aclose()
        await world.serves("two", preview_id)
        # One answer, each line once and in order.
        assert got.count(b"HTTP/1.1 200") == 1
        numbers = [int(line[4:]) for line in got.split(b"\n") if line.startswith(b"id: ")]
        assert numbers == sorted(set(numbers))
        deleted = await world.ask("two", "DELETE", api)
        assert deleted.status in {200, 204}
        await until("it is over", lambda: world.owner(preview_id)[2:] == ("over",))
