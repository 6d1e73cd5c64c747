"""Real nodes on one PostgreSQL: killed, stopped and woken; and their database restarted."""

from __future__ import annotations

import signal
from functools import partial
from pathlib import Path

import pytest
import trio
from cluster_kit import World, open_nodes, until
from fault_client import Client
from fault_ledger import Ledger, Reading
from fault_postgres import Postgres


@pytest.mark.long
@pytest.mark.parametrize("templates", ["0", "1"])
async def test_a_killed_nodes_preview_is_served_by_another_one(
    tmp_path: Path, cache: Path, server: Postgres, templates: str
) -> None:
    async with open_nodes(tmp_path, cache, server, "one", "two", WARM_TEMPLATES=templates) as world:
        generation_id = await world.push("one")
        preview_id = await world.launch("one", generation_id)
        assert world.owner(preview_id) == ("one", 1, "running")
        await until("lines are stored", lambda: len(world.lines(preview_id)) > 5)
        await world.nodes["one"].kill()
        # Its lease is given up. One that ends by itself keeps the time of its end.
        await until("nobody waits for it", lambda: world.rows("SELECT FROM nodes WHERE id = 'one' AND until = 0"))
        await world.serves("two", preview_id)
        assert world.owner(preview_id) == ("two", 2, "running")
        said = await until("it is said", lambda: [n for n, text in world.lines(preview_id) if "node lost: one" in text])
        before = [number for number, _ in world.lines(preview_id) if number < said[0]]
        # The lost node may have shown some lines more, whose numbers are left out.
        assert before == list(range(1, len(before) + 1))
        assert before[-1] + 1 < said[0] < before[-1] + 10_000
        # The killed one comes back, with its name, and leaves the preview where it is.
        await world.nodes["one"].start()
        status = await world.ask("two", "GET", f"/api/v1/previews/{preview_id}")
        assert (status.status, status.body["status"]) == (200, "running")
        assert world.owner(preview_id) == ("two", 2, "running")


@pytest.mark.long
async def test_a_node_that_stood_still_ends_what_it_has_lost(tmp_path: Path, cache: Path, server: Postgres) -> None:
    async with open_nodes(tmp_path, cache, server, "one", "two") as world:
        preview_id = await world.launch("one", await world.push("one"))
        await until("lines are stored", lambda: len(world.lines(preview_id)) > 5)
        pid = world.rows("SELECT pid FROM preview_instances WHERE id = %(id)s", id=preview_id)[0][0]
        world.nodes["one"].signal(signal.SIGSTOP)
        await world.serves("two", preview_id)
        before = world.lines(preview_id)
        world.nodes["one"].signal(signal.SIGCONT)
        # Its own processes end, and the other's go on.
        await until("the first owner's process has ended", lambda: not Path(f"/proc/{pid}").exists())
        log = world.nodes["one"].log
        await until("it renews its lease", lambda: '"event": "cluster lease renewed late"' in log.read_text())
        await until("the second owner writes", lambda: len(world.lines(preview_id)) > len(before) + 20)
        assert world.owner(preview_id) == ("two", 2, "running")
        assert world.status(preview_id) == "running"
        lines = world.lines(preview_id)
        said = next(number for number, text in lines if "node lost: one" in text)
        # No line of the first owner stands after the second one's first line.
        assert [number for number, _ in lines if number >= said] == list(range(said, lines[-1][0] + 1))
        assert lines[: len(before)] == before


@pytest.mark.long
async def test_a_restart_of_postgresql_ends_no_preview(tmp_path: Path, cache: Path, server: Postgres) -> None:
    async with open_nodes(tmp_path, cache, server, "one", "two", NODE_LEASE_S="20") as world:
        first = await world.launch("one", await world.push("one"))
        second = await world.launch("two", await world.push("two", "bob"), "bob")
        await trio.to_thread.run_sync(server.end, signal.SIGINT)
        server.spawn()
        await trio.to_thread.run_sync(server.wait_ready)
        # New launches work, and both previews are where they were.
        third = await world.launch("one", await world.push("one", "eve"), "eve")
        await until("all run", lambda: {world.status(one) for one in (first, second, third)} == {"running"})
        owners = [world.owner(one) for one in (first, second, third)]
        assert owners == [("one", 1, "running"), ("two", 1, "running"), ("one", 1, "running")]
        for one in (first, second):
            before = len(world.lines(one))
            await until("lines go on", partial(_has_more, world, one, before + 20))
            numbers = [number for number, _ in world.lines(one)]
            assert numbers == list(range(1, len(numbers) + 1))


@pytest.mark.long
async def test_an_outage_longer_than_the_lease_pauses_previews_and_ends_none(
    tmp_path: Path, cache: Path, server: Postgres
) -> None:
    async with open_nodes(tmp_path, cache, server, "one", "two") as world, trio.open_nursery() as nursery:
        generation_id = await world.push("one")
        preview_id = await world.launch("one", generation_id)
        await until("lines are stored", lambda: len(world.lines(preview_id)) > 5)
        pid = world.rows("SELECT pid FROM preview_instances WHERE id = %(id)s", id=preview_id)[0][0]
        client, reading = Client(world.nodes["one"]), Reading(Ledger(), preview_id)
        nursery.start_soon(client.follow_to_end, generation_id, reading)
        await trio.to_thread.run_sync(server.end, signal.SIGINT)
        await until("its process is stopped", lambda: _state(pid) == "T")
        server.spawn()
        await trio.to_thread.run_sync(server.wait_ready)
        await until("it runs again", lambda: _state(pid) not in {"T", ""})
        last = max(reading.lines)
        await until("its reader gets more", lambda: max(reading.lines) > last + 20)
        assert any("could not reach the cluster's database" in line for line in reading.lines.values())
        assert world.owner(preview_id) == ("one", 1, "running")
        assert world.rows("SELECT pid FROM preview_instances WHERE id = %(id)s", id=preview_id)[0][0] == pid
        await until("its lines are stored", lambda: world.lines(preview_id)[-1][0] > last + 20)
        numbers = [number for number, _ in world.lines(preview_id)]
        assert numbers == list(range(1, len(numbers) + 1))
        nursery.cancel_scope.cancel()
        await client.aclose()


@pytest.mark.long
async def test_what_stands_still_when_its_node_is_killed_never_runs_again(
    tmp_path: Path, cache: Path, server: Postgres
) -> None:
    async with open_nodes(tmp_path, cache, server, "one", "two") as world:
        preview_id = await world.launch("one", await world.push("one"))
        pid = world.rows("SELECT pid FROM preview_instances WHERE id = %(id)s", id=preview_id)[0][0]
        await trio.to_thread.run_sync(server.end, signal.SIGINT)
        await until("its process is stopped", lambda: _state(pid) == "T")
        await world.nodes["one"].kill()
        server.spawn()
        await trio.to_thread.run_sync(server.wait_ready)
        seen = set[str]()

        def is_on_two() -> bool:
            seen.add(_state(pid))
            return world.owner(preview_id)[:1] == ("two",) and world.status(preview_id) == "running"

        await until("the other node runs it", is_on_two)
        assert seen <= {"T", "Z", ""}
        await world.nodes["one"].start()
        await until("it is gone", lambda: _state(pid) in {"Z", ""})
        assert world.owner(preview_id)[:1] == ("two",)


def _state(pid: int) -> str:
    """State of a process as the kernel has it; empty if there is none."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0]
    except (FileNotFoundError, ProcessLookupError):
        return ""


def _has_more(world: World, preview_id: str, count: int) -> bool:
    return len(world.lines(preview_id)) > count


@pytest.mark.long
async def test_a_user_has_one_limit_on_all_nodes(tmp_path: Path, cache: Path, server: Postgres) -> None:
    async with open_nodes(tmp_path, cache, server, "one", "two", MAX_INSTANCES_ENTERPRISE="1") as world:
        generation_id = await world.push("one")
        preview_id = await world.launch("one", generation_id)
        path = "/api/v1/generations/{}/preview/launch"
        again = await world.ask("two", "POST", path.format(generation_id))
        assert (again.status, again.code, again.body["details"]["preview_id"]) == (409, "already_running", preview_id)
        other = await world.ask("two", "POST", path.format(await world.push("two")))
        assert (other.status, other.code) == (409, "preview_limit_reached"), other
        # A stopped one makes room at once, on any node.
        stopped = await world.ask("one", "DELETE", f"/api/v1/generations/{generation_id}/preview")
        assert stopped.status in (200, 204), stopped
        await world.launch("two", await world.push("two"))


@pytest.mark.long
async def test_a_drained_nodes_previews_move_and_lose_no_line(tmp_path: Path, cache: Path, server: Postgres) -> None:
    async with open_nodes(tmp_path, cache, server, "one", "two", OPERATORS="root") as world:
        generation_id = await world.push("one")
        preview_id = await world.launch("one", generation_id)
        await until("lines are stored", lambda: len(world.lines(preview_id)) > 5)
        path = "/api/v1/operator/nodes/one/drain"
        assert (await world.ask("two", "POST", path)).status == 403
        assert (await world.ask("two", "POST", path.replace("one", "none"), "root")).status == 404
        drained = await world.ask("two", "POST", path, "root")
        assert drained.status == 204, drained
        await world.serves("two", preview_id)
        await until(
            "lines go on", lambda: any("started on the node two" in text for _, text in world.lines(preview_id))
        )
        lines = world.lines(preview_id)
        assert [number for number, _ in lines] == list(range(1, len(lines) + 1))
        assert any("moved to another node" in text for _, text in lines)
        # A launch at the draining node is queued, and the other one takes it.
        queued = await world.launch("one", await world.push("one"))
        assert world.owner(queued) == ("two", 1, "running")
        await until("it is seen as empty", lambda: world.rows("SELECT 1 FROM nodes WHERE load = 0 AND id = 'one'"))
        nodes = (await world.ask("two", "GET", "/api/v1/operator/nodes", "root")).body["items"]
        assert (nodes[0]["name"], nodes[0]["is_draining"], nodes[0]["live_previews"]) == ("one", True, 0)
        assert (await world.ask("one", "DELETE", path, "root")).status == 204
        await until(
            "it takes previews again", lambda: world.rows("SELECT 1 FROM nodes WHERE draining = 0 AND id = 'one'")
        )
