"""The audit: nobody reads another's, nothing secret is in it, it has a bound; then what it is for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from unittest.mock import AsyncMock, Mock
from urllib.parse import urlsplit

import pytest
import trio
from http_kit import FILES, World, open_world
from together_kit import new_guest

from preview.auth import Audit, Role
from preview.auth.audit import trail
from preview.http.audited import AUDITED, READ, READ_BY_GUESTS
from preview.http.roles import GUEST_ROUTES
from preview.http.routes.people import operator
from preview.user import User

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
        assert [one["action"] for one in mine] == ["token created", "secret set", "project added"]
        everything = await entries(world, "/api/v1/operator/audit", "root")
        assert {one["user_id"] for one in everything} == {"ann", "bob"}
        assert secret not in str(everything)
        assert token["token"] not in str(everything)
        templates = (await world.ask("GET", "/api/v1/operator/templates", user="root")).json()
        assert all(one["is_ready"] or one["why_not"] for one in templates["items"])
        (node,) = (await world.ask("GET", "/api/v1/operator/nodes", user="root")).json()["items"]
        assert node["processors"] >= 1
        assert node["live_previews"] == 0
        # What was refused is an entry of the one who tried, and the owner learns nothing of it.
        await world.ask("DELETE", f"/api/v1/generations/{generation}", user="bob")
        refused, _ = await entries(world, "/api/v1/operator/audit?user_id=bob", "root")
        assert (refused["action"], refused["outcome"], refused["owner_id"]) == ("project removed", "refused", "bob")
        assert len(await entries(world)) == 3


async def test_an_operator_changes_a_tier_and_both_see_it_in_the_audit(tmp_path: Path) -> None:
    async with open_world(tmp_path, operators="root") as world:
        await world.keep(_PLAIN)
        tier = {"tier": "pro"}
        path = "/api/v1/operator/users/ann/tier"
        assert (await world.ask("PUT", path, tier)).status_code == 403
        assert (await world.ask("PUT", path, tier, user=None)).status_code == 401
        assert (await world.ask("PUT", path, {"tier": "emperor"}, user="root")).status_code == 400
        for unknown in ("nobody", "%00", "ann%2F..%2Fbob"):
            answer = await world.ask("PUT", f"/api/v1/operator/users/{unknown}/tier", tier, user="root")
            assert answer.status_code == 404, answer.text
        assert (await world.ask("PUT", path, tier, user="root")).status_code == 204
        assert (await world.ask("GET", "/api/v1/usage")).json()["tier"] == "pro"
        (changed,) = [
            one for one in await entries(world) if (one["action"], one["outcome"]) == ("operator: tier changed", "ok")
        ]
        assert (changed["user_id"], changed["subject"]) == ("root", "ann")
        assert changed["detail"].endswith("/tier: free to pro")


async def test_an_operator_drops_and_rebuilds_templates_and_the_audit_has_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = Mock()
    pool.drop = pool.rebuild = lambda key: key == "c41b"
    async with open_world(tmp_path, operators="root") as world:
        monkeypatch.setattr(operator, "_templates", lambda _backend: pool)
        for method, rest in (("DELETE", ""), ("POST", "/rebuild")):
            for user, status in ((None, 401), ("ann", 403), ("root", 204)):
                answer = await world.ask(method, f"/api/v1/operator/templates/c41b{rest}", user=user)
                assert answer.status_code == status, answer.text
            for unknown in ("c41", "%00", "..", "c41b%2F.."):
                answer = await world.ask(method, f"/api/v1/operator/templates/{unknown}{rest}", user="root")
                assert answer.status_code == 404, answer.text
        found = await entries(world, "/api/v1/operator/audit?user_id=root", "root")
        assert [(one["action"], one["subject"]) for one in found if one["outcome"] == "ok"] == [
            ("operator: template rebuilt", "c41b"),
            ("operator: template dropped", "c41b"),
        ]


async def test_only_operators_drain_nodes_and_the_audit_has_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with open_world(tmp_path, operators="root") as world:
        for method in ("POST", "DELETE"):
            for user, status in ((None, 401), ("ann", 403), ("root", 404)):
                answer = await world.ask(method, "/api/v1/operator/nodes/one/drain", user=user)
                assert answer.status_code == status, answer.text
        cluster = Mock()
        cluster.drain = AsyncMock(side_effect=lambda name, *, draining: name == "one")
        object.__setattr__(world.service, "cluster", cluster)
        for method in ("POST", "DELETE"):
            assert (await world.ask(method, "/api/v1/operator/nodes/one/drain", user="root")).status_code == 204
            for unknown in ("two", "%00", "..", "one%2F.."):
                answer = await world.ask(method, f"/api/v1/operator/nodes/{unknown}/drain", user="root")
                assert answer.status_code == 404, answer.text
        found = await entries(world, "/api/v1/operator/audit?user_id=root", "root")
        assert [(one["action"], one["subject"]) for one in found if one["outcome"] == "ok"] == [
            ("operator: node resumed", "one"),
            ("operator: node drained", "one"),
        ]


async def test_launches_guests_and_removals_are_entries(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        generation = await world.keep(FILES)
        await world.launch(generation)
        guest = await new_guest(world, generation, name="Gus")
        assert (await entries(world))[1]["detail"].endswith("/preview/share: role watch")
        await world.ask("PUT", f"{guest.base}/preview/access", {"public": False})
        assert (await entries(world))[0]["detail"].endswith("/preview/access: private")
        await world.ask("DELETE", f"{guest.base}/preview/viewers/{guest.me['id']}")
        await world.stop_preview(generation)
        await world.ask("DELETE", guest.base)
        found = await entries(world)
        assert [one["action"] for one in found] == [
            "project removed", "stopped", "guest removed", "access changed", "guest joined", "shared", "launched",
            "project added",
        ]  # fmt: skip
        assert found[0]["subject"] == generation
        apps = (world.app, world.app._e2b)
        names = {rule.endpoint for app in apps for rule in app.url_map.iter_rules()}
        assert {*AUDITED, *READ, *READ_BY_GUESTS} <= names


async def test_a_busy_user_s_further_entries_of_a_day_are_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trail, "MOST_OF_USER", 5)
    async with open_world(tmp_path) as world:
        book = Audit(world.service.database)
        await book.note("ann", "launched", "first", "")
        for number in range(20):
            await book.note("bob", "launched", f"{number} \ud800" + "x" * 500, "y" * 5000)
        found = await entries(world, user="bob")
        assert len(found) == 5
        assert found[0]["detail"].endswith("(further entries of this day are left out)")
        assert [one["subject"] for one in await entries(world)] == ["first"]
        page = (await world.ask("GET", "/api/v1/audit?limit=2", user="bob")).json()
        following = (await world.ask("GET", f"/api/v1/audit?limit=2&cursor={page['next']}", user="bob")).json()
        assert len({one["id"] for one in page["items"] + following["items"]}) == 4
        assert (await world.ask("GET", "/api/v1/audit?cursor=x", user="bob")).status_code == 400


async def test_nobody_gets_the_entries_of_guests_or_of_the_service_by_taking_their_name(tmp_path: Path) -> None:
    async with open_world(tmp_path, operators="root") as world:
        generation = await world.keep(FILES)
        await world.launch(generation)
        guest = await new_guest(world, generation, name="Gus")
        for path in ("/preview/logs", "/preview/logs", "/preview/requests"):
            assert (await guest.ask("GET", f"{guest.base}{path}")).status_code == 200
        # Others' reads are stored a little later; a check of the trail stores them first.
        verdict = (await world.ask("GET", "/api/v1/operator/audit/verify", user="root")).json()
        assert verdict["is_whole"]
        found = [one for one in await entries(world) if one["user_id"] == "guest Gus"]
        assert [one["action"] for one in found] == ["requests read", "log read", "guest joined"]
        assert all(one["via"].startswith("share share_") and one["address"] for one in found)
        assert all(one["preview_id"].startswith("preview_") and one["owner_id"] == "ann" for one in found)
        for name in ("guest Gus", "service", "visitor"):
            assert await entries(world, user=name) == []
        assert (await world.ask("GET", "/api/v1/operator/audit/verify")).status_code == 403


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


# A program with data, and without a package.
_SHOP = {
    "preview.toml": '[start]\nframework = "flask"\nserver = "wsgi"\napp = "main:app"\n',
    "main.py": """
import sqlite3
with sqlite3.connect("shop.db") as db:
    db.execute("create table if not exists books (title text)")
def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"ok"]
""",
}


def test_what_guests_read_is_in_the_trail() -> None:
    harmless = {"v1.status", "v1.endpoints", "v1.preview_endpoints", "saved.list_saved", "saved.list_variables"}
    among_themselves = {name for name in GUEST_ROUTES[Role.USE] if name.startswith("together.")}
    assert GUEST_ROUTES[Role.USE] - harmless - among_themselves <= {*AUDITED, *READ_BY_GUESTS}


@pytest.mark.long
async def test_each_kind_of_action_has_who_what_where_by_which_token_or_share_and_its_outcome(tmp_path: Path) -> None:
    async with open_world(tmp_path, operators="root") as world:
        generation = await world.keep(_SHOP)
        base = f"/api/v1/generations/{generation}"
        launched = await world.launch(generation)
        token = (await world.ask("POST", "/api/v1/tokens", {"name": "ci"})).json()

        async def ask(method: str, path: str, body: Any = None) -> Any:
            answer = await world.ask(method, path, body)
            assert answer.status_code < 300, (path, answer.text)
            return answer.json() if answer.content else None

        code = world.app.login_codes.issue(User("ann"))
        assert (await world.client.get(f"/login/{code}", follow_redirects=False)).status_code == 303
        world.client.cookies.clear()
        once = urlsplit((await ask("POST", f"{base}/preview/open", {}))["url"])
        entered = await world.client.get(
            f"{once.path}?{once.query}", headers={"Host": once.netloc}, follow_redirects=False
        )
        assert entered.status_code == 303
        world.client.cookies.clear()
        shared = await ask("POST", f"{base}/preview/share", {"role": "open"})
        place = urlsplit(shared["url"])
        opened = await world.client.get(
            f"{place.path}?{place.query}", headers={"Host": place.netloc}, follow_redirects=False
        )
        assert opened.status_code == 303
        world.client.cookies.clear()
        guest = await new_guest(world, generation, "use", "Gus")
        for part in ("logs", "traces"):
            assert (await guest.ask("GET", f"{base}/preview/{part}")).status_code == 200, part
        comment = {"target": {"kind": "line", "id": "1"}, "text": "why?"}
        made = await guest.ask("POST", f"{base}/preview/comments", comment)
        assert made.status_code == 201, made.text
        await ask("PUT", "/api/v1/projects/proj_1/secrets/API_KEY", {"value": "s3cr3t-value"})
        await ask("PATCH", "/api/v1/projects/proj_1/environment", {"set": {"LEVEL": "debug"}})
        (database,) = (await ask("GET", f"{base}/preview/data"))["databases"]
        await ask("POST", f"{base}/preview/data/query", {"database": database["id"], "sql": "select 1"})
        assert (await world.ask("POST", f"{base}/preview/launch", {}, user="bob")).status_code == 403
        bearer = {"Authorization": f"Bearer {token['token']}"}
        assert (await world.client.delete(f"{base}/preview", headers=bearer)).status_code == 204

        assert (await world.ask("GET", "/api/v1/operator/audit/verify", user="root")).json()["is_whole"]
        rows = (await world.ask("GET", "/api/v1/operator/audit?limit=200", user="root")).json()["items"]
        preview = launched["id"]
        wanted = {
            ("ann", "launched", "bearer", preview, "ok"),
            # Who is refused learns nothing of another's preview.
            ("bob", "launched", "bearer", "", "refused"),
            ("ann", "open link created", "bearer", preview, "ok"),
            ("ann", "signed in", "browser", "", "ok"),
            ("visitor", "opened", "link", preview, "ok"),
            ("ann", "shared", "bearer", preview, "ok"),
            ("visitor", "opened", f"share {shared['id']}", preview, "ok"),
            ("guest Gus", "guest joined", "share", preview, "ok"),
            ("guest Gus", "log read", "share", preview, "ok"),
            ("guest Gus", "traces read", "share", preview, "ok"),
            ("guest Gus", "commented", "share", preview, "ok"),
            ("ann", "secret set", "bearer", "", "ok"),
            ("ann", "settings changed", "bearer", "", "ok"),
            ("ann", "data read", "bearer", preview, "ok"),
            ("ann", "data queried", "bearer", preview, "ok"),
            ("ann", "token created", "bearer", "", "ok"),
            ("ann", "stopped", f"token {token['id']}", preview, "ok"),
        }
        found = {
            (
                one["user_id"],
                one["action"],
                one["via"].split()[0] if one["user_id"] == "guest Gus" else one["via"],
                one["preview_id"] or "",
                one["outcome"],
            )
            for one in rows
        }
        assert wanted <= found, (wanted - found, found - wanted)
        assert {one["address"] for one in rows} == {"127.0.0.1"}
        assert code not in json.dumps(rows)
        assert all(one["at"] and len(one["hash"]) == 64 for one in rows)
