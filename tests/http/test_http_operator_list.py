"""The operator's list of previews: those of all nodes, in pages; facts that only a node has are null for others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from http_kit import World, open_world
from sqlalchemy import text
from test_http_operator_queue import FILES

from preview.storage.people_tables import nodes

LIST = "/api/v1/operator/previews"
LIVE_FACTS = ("memory_bytes", "cpu_percent", "processes", "viewers")


def _cluster(name: str, **more: Any) -> dict[str, Any]:
    return {
        "cluster": True,
        "cluster_secret": "one secret of all nodes of this cluster",
        "node_name": name,
        "node_address": "127.0.0.1:0",
        "node_lease_s": 60,
        "max_previews": 1,
        "operators": ("olga",),
        "jwt_secret": "sesame-sesame-sesame-sesame-sesame",
        **more,
    }


async def _listed(world: World, query: str = "") -> dict[str, Any]:
    answer = await world.ask("GET", LIST + query, user="olga")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def _lose(world: World, preview_id: str) -> None:
    """Let the preview's row be that of a node that is lost, and of a member of the cluster for a moment longer."""

    def change(connection: Any) -> None:
        lost = {"id": "gone", "address": "x:1", "until": 1, "epoch": 1, "version": "", "capacity": 50, "load": 0}
        connection.execute(nodes.insert(), {**lost, "labels": "{}", "draining": 0, "started_at": 1})
        values = {"id": preview_id}
        connection.execute(text("UPDATE owners SET node = 'gone' WHERE preview_id = :id"), values)

    await world.service.database.write(change)


async def test_any_node_lists_the_previews_of_all(postgres_database_url: str, tmp_path: Path) -> None:
    (tmp_path / "1").mkdir()
    (tmp_path / "2").mkdir()
    ports = {"port_min": 23101, "port_max": 23199}
    async with (
        open_world(tmp_path / "1" / "a", database_url=postgres_database_url, **_cluster("one")) as one,
        open_world(tmp_path / "2" / "b", database_url=postgres_database_url, **_cluster("two", **ports)) as two,
    ):
        first = (await one.launch(await one.keep(FILES)))["id"]
        second = (await two.launch(await two.keep(FILES, "bob"), user="bob"))["id"]
        # Both are full.
        third = (await two.launch(await two.keep(FILES, "eve"), user="eve", wait_s=None))["id"]
        for world, own in ((one, first), (two, second)):
            found = await _listed(world)
            assert [(it["id"], it["user_id"], it["node"], it["placement"]) for it in found["items"]] == [
                (first, "ann", "one", "placed"), (second, "bob", "two", "placed"), (third, "eve", None, "queued"),
            ]  # fmt: skip
            assert [it["status"] for it in found["items"]] == ["running", "running", "starting"]
            assert (found["total"], found["limit"], found["next"]) == (3, 2, None)
            for it in found["items"]:
                known = {it["viewers"] is not None, *(it[name] is not None for name in LIVE_FACTS)}
                assert (True in known) == (it["id"] == own), it
        # The whole list is the same in pages, on whichever node each is read.
        paged, query = [], "?limit=1"
        for number in range(3):
            page = await _listed((one, two)[number % 2], query)
            paged += [it["id"] for it in page["items"]]
            query = f"?limit=1&cursor={page['next']}"
        assert (paged, page["next"]) == ([first, second, third], None)
        for wrong in ("cursor=x", "limit=0", "limit=201"):
            assert (await one.ask("GET", f"{LIST}?{wrong}", user="olga")).status_code == 400, wrong
        assert (await one.ask("GET", LIST, user="ann")).status_code == 403
        # The node that has lost it may not know yet.
        await _lose(two, second)
        lost = [it for it in (await _listed(two))["items"] if it["id"] == second]
        assert [(it["node"], it["placement"]) for it in lost] == [("gone", "lost")]
        assert {lost[0][name] for name in LIVE_FACTS} == {None}
        assert (await _listed(two))["limit"] == 2
        # Stopped from here: it waits on no node.
        assert (await one.ask("DELETE", f"{LIST}/{third}", user="olga")).status_code == 204
        assert [it["id"] for it in (await _listed(one))["items"]] == [first, second]


async def test_a_service_alone_lists_its_previews_in_pages(tmp_path: Path) -> None:
    async with open_world(tmp_path, operators=("olga",)) as world:
        made = [(await world.launch(await world.keep(FILES, user), user=user))["id"] for user in ("ann", "bob")]
        found = await _listed(world)
        assert [it["id"] for it in found["items"]] == made
        assert {it["placement"] for it in found["items"]} == {"placed"}
        assert (found["total"], found["limit"], found["next"]) == (2, 100, None)
        machine = (await world.ask("GET", "/api/v1/operator/nodes", user="olga")).json()["items"][0]["name"]
        assert {it["node"] for it in found["items"]} == {machine}
        assert {it["viewers"] for it in found["items"]} == {0}
        page = await _listed(world, "?limit=1")
        assert [it["id"] for it in page["items"]] == made[:1]
        last = await _listed(world, f"?limit=1&cursor={page['next']}")
        assert ([it["id"] for it in last["items"]], last["next"]) == (made[1:], None)
        assert (await world.ask("GET", f"{LIST}?cursor=x", user="olga")).status_code == 400
