"""The audit: nobody reads another's, nothing secret is in it, it has a bound; then what it is for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import trio
from http_kit import FILES, World, open_world
from together_kit import new_guest

from preview.auth import Audit, audit
from preview.http.audited import AUDITED

_PLAIN = {"main.py": "print(1)\n"}


async def entries(world: World, path: str = "/api/v1/audit", user: str = "ann") -> list[dict[str, Any]]:
    answer = await world.ask("GET", path, user=user)
    assert answer.status_code == 200, answer.text
    items: list[dict[str, Any]] = answer.json()["items"]
    return items


async def test_only_operators_read_the_changes_of_others_and_no_secret_is_in_them(tmp_path: Path) -> None:
    async with open_world(tmp_path, operators="root") as world:
        generation = await world.keep(_PLAIN)
        await world.keep(_PLAIN, user="bob")
        secret = "s3cr3t-value"
        put = await world.ask("PUT", "/api/v1/projects/proj_1/secrets/API_KEY", {"value": secret})
        assert put.status_code < 300, put.text
        token = (await world.ask("POST", "/api/v1/tokens", {"name": "t"})).json()
        for path in (
            "/api/v1/operator/audit",
            "/api/v1/operator/audit?user_id=bob",
            "/api/v1/operator/templates",
            "/api/v1/operator/nodes",
        ):
            assert (await world.ask("GET", path)).status_code == 403
            assert (await world.ask("GET", path, user=None)).status_code == 401
            api = {"Authorization": f"Bearer {token['token']}"}
            assert (await world.client.get(path, headers=api)).status_code == 403
        mine = await entries(world)
        assert {one["user_id"] for one in mine} == {"ann"}
        assert [one["action"] for one in mine] == ["token made", "secret set", "project added"]
        everything = await entries(world, "/api/v1/operator/audit", "root")
        assert {one["user_id"] for one in everything} == {"ann", "bob"}
        assert secret not in str(everything)
        assert token["token"] not in str(everything)
        templates = (await world.ask("GET", "/api/v1/operator/templates", user="root")).json()
        assert all(one["is_ready"] or one["why_not"] for one in templates["items"])
        (node,) = (await world.ask("GET", "/api/v1/operator/nodes", user="root")).json()["items"]
        assert node["processors"] >= 1
        assert node["live_previews"] == 0
        # What was refused is no change.
        await world.ask("DELETE", f"/api/v1/generations/{generation}", user="bob")
        assert len(await entries(world, "/api/v1/operator/audit?user_id=bob", "root")) == 1


async def test_launches_guests_and_removals_are_entries(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        generation = await world.keep(FILES)
        await world.launch(generation)
        guest = await new_guest(world, generation, name="Gus")
        assert (await entries(world))[0]["detail"].endswith("/preview/share: role watch")
        await world.ask("PUT", f"{guest.base}/preview/access", {"public": False})
        assert (await entries(world))[0]["detail"].endswith("/preview/access: private")
        await world.ask("DELETE", f"{guest.base}/preview/viewers/{guest.me['id']}")
        await world.stop_preview(generation)
        await world.ask("DELETE", guest.base)
        found = await entries(world)
        assert [one["action"] for one in found] == [
            "project removed", "stopped", "guest removed", "access changed", "shared", "launched", "project added",
        ]  # fmt: skip
        assert found[0]["subject"] == generation
        names = {rule.endpoint for rule in world.app.url_map.iter_rules()}
        assert set(AUDITED) <= names


async def test_a_busy_user_pushes_out_their_own_entries_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit, "MOST_OF_USER", 5)
    monkeypatch.setattr(audit, "_PRUNE_EACH", 1)
    async with open_world(tmp_path) as world:
        book = Audit(world.service.database)
        await book.note("ann", "launched", "first", "")
        for number in range(20):
            await book.note("bob", "launched", f"{number} \ud800" + "x" * 500, "y" * 5000)
        assert len(await entries(world, user="bob")) <= 6
        assert [one["subject"] for one in await entries(world)] == ["first"]
        page = (await world.ask("GET", "/api/v1/audit?limit=2", user="bob")).json()
        following = (await world.ask("GET", f"/api/v1/audit?limit=2&cursor={page['next']}", user="bob")).json()
        assert len({one["id"] for one in page["items"] + following["items"]}) == 4
        assert (await world.ask("GET", "/api/v1/audit?cursor=x", user="bob")).status_code == 400


async def test_a_helper_s_entries_do_not_keep_a_busy_user_s(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit, "MOST_OF_USER", 5)
    monkeypatch.setattr(audit, "_PRUNE_EACH", 10)
    async with open_world(tmp_path) as world:
        book = Audit(world.service.database)
        for _ in range(5):
            # Old entries were removed at each tenth entry, of any user.
            await book.note("carl", "launched", "", "")
            for _ in range(9):
                await book.note("bob", "launched", "", "")
        assert len(await entries(world, user="bob")) <= 15


async def test_a_client_that_leaves_before_the_response_is_in_the_audit(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        generation = await world.keep(FILES)
        base = f"/api/v1/generations/{generation}/preview"
        head = [f"POST {base}/launch HTTP/1.1", "Host: localhost", "Content-Length: 2", "Prefer: wait=60"]
        head += [f"{name}: {value}" for name, value in world.headers("ann").items()]
        async with await trio.open_tcp_stream(*world.address) as stream:
            await stream.send_all(("\r\n".join(head) + "\r\n\r\n{}").encode())
            with trio.fail_after(30):
                while (await world.ask("GET", f"{base}/status")).status_code != 200:
                    await trio.lowlevel.checkpoint()
        with trio.fail_after(30):
            while (newest := (await entries(world))[0])["action"] != "launched":
                await trio.lowlevel.checkpoint()
        assert newest["detail"].endswith("(the client left before the response)")
