"""Two real nodes on one PostgreSQL: each answers for a preview that the other one runs."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import httpx2
import pytest
import trio
from cluster_kit import World, open_nodes, until
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


class Stream:
    """A log stream through one node, by one person."""

    def __init__(self, world: World, node: str, path: str, *fields: str) -> None:
        self._service, self._path, self._fields = world.nodes[node], path, fields
        self.ended = trio.Event()

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Read until the end. Cancellation: it is cut."""
        got = b""
        async with open_raw(self._service) as stream:
            head = [f"GET {self._path} HTTP/1.1", "Host: localhost", *self._fields, "", ""]
            await stream.send_all("\r\n".join(head).encode())
            with suppress(trio.BrokenResourceError):
                while piece := await stream.receive_some():
                    got += piece
                    if b"data: " in got and task_status is not trio.TASK_STATUS_IGNORED:
                        task_status.started()
                        task_status = trio.TASK_STATUS_IGNORED
        assert got.startswith(b"HTTP/1.1 200"), got[:2000]
        self.ended.set()


@pytest.mark.long
async def test_revoked_access_ends_open_streams_through_all_nodes(
    tmp_path: Path, cache: Path, server: Postgres
) -> None:
    async with (
        open_nodes(tmp_path, cache, server, "one", "two", ISOLATION="plain") as world,
        trio.open_nursery() as nursery,
    ):
        generation_id = await world.push("one")
        await world.launch("one", generation_id)
        api = f"/api/v1/generations/{generation_id}/preview"
        client = Client(world.nodes["two"], "ann")
        made = await client.ask("POST", "/api/v1/tokens", {"name": "ci", "role": "read", "expires_in": 3600})
        link = await client.ask("POST", f"{api}/share", {"role": "watch"})
        own_page = {"Origin": world.nodes["two"].url, "Sec-Fetch-Site": "same-origin"}
        async with httpx2.AsyncClient(trust_env=False, timeout=60) as browser:
            body = {"token": str(link.body["url"]).rpartition("/")[2], "name": ""}
            joined = await browser.post(f"{world.nodes['two'].url}{api}/join", json=body, headers=own_page)
        assert (made.status, link.status, joined.status_code) == (201, 201, 200), (made, link, joined.text)
        token = f"Authorization: Bearer {made.body['token']}"
        cookie = "Cookie: " + joined.headers["set-cookie"].partition(";")[0]
        mine = f"Authorization: {client.headers['Authorization']}"
        path = f"{api}/logs/stream"
        by_token = [Stream(world, node, path, token) for node in ("one", "two")]
        by_link = [Stream(world, node, path, cookie) for node in ("one", "two")]
        kept = Stream(world, "two", path, mine)
        with trio.fail_after(90):
            for one in (*by_token, *by_link, kept):
                await nursery.start(one.run)
        # Each is revoked through the node that does not run the preview.
        await client.ask("DELETE", f"/api/v1/tokens/{made.body['id']}")
        with trio.fail_after(90):
            for one in by_token:
                await one.ended.wait()
        assert not any(one.ended.is_set() for one in (*by_link, kept))
        await client.ask("DELETE", f"{api}/share/{link.body['id']}")
        with trio.fail_after(90):
            for one in by_link:
                await one.ended.wait()
        assert not kept.ended.is_set()
        await client.aclose()
        nursery.cancel_scope.cancel()


@pytest.mark.long
async def test_events_come_from_the_node_that_runs_the_preview(tmp_path: Path, cache: Path, server: Postgres) -> None:
    async with open_nodes(tmp_path, cache, server, "one", "two", ISOLATION="plain") as world:
        client, other = Client(world.nodes["two"], "ann"), Client(world.nodes["one"], "ann")
        got = b""
        async with open_raw(world.nodes["two"]) as stream, trio.open_nursery() as nursery:
            token = f"Authorization: {client.headers['Authorization']}"
            head = ["GET /api/v1/events HTTP/1.1", "Host: localhost", token, "Accept: text/event-stream", "", ""]
            await stream.send_all("\r\n".join(head).encode())

            async def read() -> None:
                nonlocal got
                while piece := await stream.receive_some():
                    got += piece

            nursery.start_soon(read)
            await until("the stream has started", lambda: b"event: start" in got)
            generation_id = await world.push("one")
            preview_id = await world.launch("one", generation_id)
            name = f'"id": "{preview_id}"'.encode()
            await until("it runs", lambda: name in got and b'"status": "running"' in got)
            api = f"/api/v1/generations/{generation_id}/preview"
            comment = {"target": {"kind": "line", "id": "1"}, "text": "look here"}
            made = await client.ask("POST", f"{api}/comments", comment)
            assert made.status == 201, made
            await until("the comment is seen", lambda: b"look here" in got)
            assert (await other.ask("DELETE", api)).status in {200, 204}
            await until("it has stopped", lambda: b'"status": "stopped"' in got)
            # Notices are lost: the reader is asked to read everything again.
            server.kill()
            server.spawn()
            server.wait_ready()
            await until("it starts again", lambda: got.count(b"event: start") > 1)
            nursery.cancel_scope.cancel()
        await client.aclose()
        await other.aclose()
