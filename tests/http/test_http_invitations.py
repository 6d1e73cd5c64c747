"""Invitations: what strangers and removed people try first, then what they are for."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import httpx2
import pytest
import trio
from http_kit import FILES, World, open_events, open_world
from sqlalchemy import select, update

from preview.auth import invitations as book
from preview.auth.api_tokens import checksum
from preview.auth.members import MEMBER_SESSION_S
from preview.storage.people_tables import api_tokens, invitations

OLGA: dict[str, Any] = {"operators": ("olga",)}
INVITATIONS = "/api/v1/operator/invitations"


async def invite(world: World, **body: Any) -> dict[str, Any]:
    answer = await world.ask("POST", INVITATIONS, body, user="olga")
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made | {"code": made["url"].rpartition("/")[2]}


async def join(world: World, code: str, name: str = "", **headers: str) -> httpx2.Response:
    world.client.cookies.clear()
    answer = await world.ask("POST", "/api/v1/join", {"code": code, "name": name}, user=None, headers=headers)
    world.client.cookies.clear()
    return answer


def session(answer: httpx2.Response) -> dict[str, str]:
    """The headers of the page that an answer has signed in."""
    assert answer.status_code == 201, answer.text
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie
    return {"Cookie": cookie.partition(";")[0], "Sec-Fetch-Site": "same-origin"}


async def listed(world: World) -> dict[str, Any]:
    found = (await world.ask("GET", INVITATIONS, user="olga")).json()["items"]
    return {one["id"]: one for one in found}


def valid(text: str) -> str:
    return text + checksum(text)


async def test_no_code_but_an_open_one_admits_anybody(tmp_path: Path) -> None:
    async with open_world(tmp_path, **OLGA) as world:
        made = await invite(world)
        code = made["code"]
        for wrong in (
            "", "inv_", code[:-1], code + "x", code.upper(), code[4:], made["id"], "\x00" * 53,
            "inv_" + "a" * 49, valid("inv_" + "a" * 43), "pvt_" + code[4:],
        ):  # fmt: skip
            answer = await join(world, wrong)
            assert answer.status_code == 401, wrong
            assert answer.json()["details"]["reason"] == "invitation"
            assert "set-cookie" not in answer.headers
        assert (await join(world, "x" * 201)).status_code == 400
        half = await world.client.post(
            "/api/v1/join", content=b'{"code": "\\ud800"}', headers={"Content-Type": "application/json"}
        )
        assert half.status_code in {400, 401}
        assert (await listed(world))[made["id"]]["uses"] == 0
        # The code stands nowhere: neither in the list nor in the database nor in the audit.
        everything = (await world.ask("GET", INVITATIONS, user="olga")).text
        everything += (await world.ask("GET", "/api/v1/operator/audit", user="olga")).text
        stored = await world.service.database.read(lambda connection: connection.execute(select(invitations)).all())
        assert code not in everything + repr(stored)
        assert code[4:20] not in everything + repr(stored)


async def test_a_code_is_good_for_its_uses_only_also_in_a_race(tmp_path: Path) -> None:
    async with open_world(tmp_path, **OLGA) as world:
        once, few = await invite(world), await invite(world, uses=3)
        users: list[str] = []

        async def try_it(code: str) -> None:
            answer = await world.client.post("/api/v1/join", json={"code": code})
            if answer.status_code == 201:
                users.append(answer.json()["user_id"])
            else:
                assert answer.json()["details"]["reason"] == "invitation"

        for made, most in ((once, 1), (few, 3)):
            users.clear()
            async with trio.open_nursery() as nursery:
                for _ in range(8):
                    nursery.start_soon(try_it, made["code"])
            assert len(set(users)) == len(users) == most
            found = (await listed(world))[made["id"]]
            assert (found["uses"], found["state"], len(found["people"])) == (most, "used", most)
            assert (await join(world, made["code"])).status_code == 401


async def test_expired_and_revoked_invitations_admit_nobody(tmp_path: Path) -> None:
    async with open_world(tmp_path, **OLGA) as world:
        late, revoked = await invite(world), await invite(world, uses=5)
        change = update(invitations).where(invitations.c.id == late["id"]).values(expires_at=1)
        await world.service.database.write(lambda connection: connection.execute(change))
        kept = session(await join(world, revoked["code"]))
        for _ in range(2):
            assert (await world.ask("DELETE", f"{INVITATIONS}/{revoked['id']}", user="olga")).status_code == 204
        assert {one["state"] for one in (await listed(world)).values()} == {"expired", "revoked"}
        for made in (late, revoked):
            assert (await join(world, made["code"])).status_code == 401
        # Those whom it has admitted stay: only `people` removes them.
        assert (await world.ask("GET", "/api/v1/session", user=None, headers=kept)).status_code == 200
        for path in (f"{INVITATIONS}/invitation_none", f"{INVITATIONS}/%00", "/api/v1/operator/members/ann",
                     "/api/v1/operator/members/invited:none", "/api/v1/operator/members/invited:%00"):  # fmt: skip
            assert (await world.ask("DELETE", path, user="olga")).status_code == 404, path


async def test_only_operators_invite_and_no_token_does(tmp_path: Path) -> None:
    async with open_world(tmp_path, **OLGA) as world:
        made = await invite(world, uses=2)
        member = session(await join(world, made["code"]))
        token = (await world.ask("POST", "/api/v1/tokens", {"name": "x"}, user="olga")).json()["token"]
        for method, path in (
            ("GET", INVITATIONS), ("POST", INVITATIONS), ("DELETE", f"{INVITATIONS}/{made['id']}"),
            ("DELETE", "/api/v1/operator/members/invited:x"),
        ):  # fmt: skip
            body: Any = {} if method == "POST" else None
            assert (await world.ask(method, path, body, user=None)).status_code == 401
            assert (await world.ask(method, path, body)).status_code == 403
            assert (await world.ask(method, path, body, user=None, headers=member)).status_code == 403
            bearer = {"Authorization": f"Bearer {token}"}
            assert (await world.ask(method, path, body, user=None, headers=bearer)).status_code == 403
        for body in (
            {"uses": 0}, {"uses": 501}, {"uses": True}, {"expires_in": 1}, {"expires_in": 1e9}, {"role": "operator"},
            {"tier": "gold"}, {"note": "a\nb"}, {"user": "olga"},
        ):  # fmt: skip
            assert (await world.ask("POST", INVITATIONS, body, user="olga")).status_code == 400, body


async def test_no_other_site_makes_a_browser_join_or_leads_it_away(tmp_path: Path) -> None:
    async with open_world(tmp_path, **OLGA) as world:
        made = await invite(world)
        for headers in (
            {"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"}, {"Origin": "https://evil.example"},
            {"Origin": "null"},
        ):  # fmt: skip
            assert (await join(world, made["code"], **headers)).status_code == 403, headers
        # A form of another site has no JSON, and an address that is only opened changes nothing.
        form = await world.client.post("/api/v1/join", data={"code": made["code"]})
        assert form.status_code in {400, 415}
        assert (await world.client.get(f"/api/v1/join?code={made['code']}")).status_code == 405
        assert (await listed(world))[made["id"]]["uses"] == 0
        # There is nowhere that a redirect could lead to.
        answer = await join(world, made["code"], "next=https://evil.example", **{"Sec-Fetch-Site": "same-origin"})
        assert "location" not in answer.headers
        # A foreign `Host` is refused, so no link with it is made.
        foreign = await world.ask("POST", INVITATIONS, {}, user="olga", headers={"Host": "evil.example"})
        assert foreign.status_code == 421


async def test_nobody_takes_another_user_s_place(tmp_path: Path) -> None:
    async with open_world(tmp_path, **OLGA) as world:
        made = await invite(world, uses=500)
        ids = set()
        for name in ("olga", "ann", "ann", "Änn <b>", "local", "invited:ann", "\u202eann", "", "名前", "x" * 40):
            answer = await join(world, made["code"], name)
            user = answer.json()["user_id"]
            assert re.fullmatch(r"invited:([a-z0-9-]{1,24}-)?[2-9a-z]{16}", user), user
            ids.add(user)
            usage = await world.ask("GET", "/api/v1/usage", user=None, headers=session(answer))
            assert (usage.json()["user_id"], usage.json()["is_operator"]) == (user, False)
        assert len(ids) == 10
        # A signed token for an id of this kind is not enough: nobody was admitted by it.
        assert (await world.ask("GET", "/api/v1/session", user="invited:eve")).status_code == 401
        assert (await world.ask("GET", "/api/v1/session", user="invited:eve")).json()["details"]["reason"] == "removed"


async def test_tries_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from preview.http.routes.people import invitations as routes

    monkeypatch.setattr(routes, "_JOINS_AT_ONCE", 3.0)
    monkeypatch.setattr(routes, "_JOINS_PER_S", 0.0001)
    async with open_world(tmp_path, **OLGA) as world:
        made = await invite(world)
        assert [(await join(world, "inv_x")).status_code for _ in range(5)] == [401, 401, 401, 429, 429]
        assert (await join(world, made["code"])).status_code == 429


async def test_a_removed_person_is_out_at_once(tmp_path: Path) -> None:
    async with open_world(tmp_path, **OLGA) as world:
        made = await invite(world, uses=2)
        answer = await join(world, made["code"], "Anna")
        anna, user = session(answer), answer.json()["user_id"]
        ben = session(await join(world, made["code"], "Ben"))
        kept = await world.ask(
            "POST", "/api/v1/generations", {"project_id": "p", "files": dict(FILES)}, user=None, headers=anna
        )
        generation = kept.json()["id"]
        base = f"/api/v1/generations/{generation}/preview"
        wait = anna | {"Prefer": "wait=60"}
        assert (await world.ask("POST", f"{base}/launch", {}, user=None, headers=wait)).status_code == 201
        token = (await world.ask("POST", "/api/v1/tokens", {"name": "x"}, user=None, headers=anna)).json()["token"]
        bearer = {"Authorization": f"Bearer {token}"}
        ticket = (await world.ask("POST", f"{base}/logs/ticket", user=None, headers=anna)).json()["ticket"]
        async with (
            open_events(world, generation, user=None, **anna) as log,
            open_events(world, generation, user=None, **bearer) as by_token,
        ):
            await log.event()
            await by_token.event()
            gone = await world.ask("DELETE", f"/api/v1/operator/members/{user}", user="olga")
            assert gone.status_code == 204
            with trio.fail_after(60):
                for stream in (log, by_token):
                    with pytest.raises(Exception, match=r"closed|incomplete|without sending"):
                        await stream.events()
        for headers in (anna, bearer):
            refused = await world.ask("GET", "/api/v1/session", user=None, headers=headers)
            assert refused.status_code == 401
        assert (await world.ask("GET", f"{base}/logs/stream?ticket={ticket}", user=None)).status_code == 401
        assert (await world.ask("GET", "/api/v1/session", user=None, headers=ben)).status_code == 200
        count = await world.service.database.read(lambda connection: connection.execute(select(api_tokens)).all())
        assert count == []
        people = {one["name"]: one["removed_at"] for one in (await listed(world))[made["id"]]["people"]}
        assert people["Anna"] is not None
        assert people["Ben"] is None
        with_people = await world.ask("DELETE", f"{INVITATIONS}/{made['id']}?people=true", user="olga")
        assert with_people.status_code == 204
        assert (await world.ask("GET", "/api/v1/session", user=None, headers=ben)).status_code == 401


async def test_an_invited_person_has_the_invitation_s_tier_and_role(tmp_path: Path) -> None:
    async with open_world(tmp_path, **OLGA) as world:
        made = await invite(world, tier="pro", role="read", note="May workshop")
        assert made["url"] == f"{world.url}/#/invite/{made['code']}"
        anna = session(await join(world, made["code"], "Anna"))
        assert (await world.ask("GET", "/api/v1/usage", user=None, headers=anna)).json()["tier"] == "pro"
        body = {"project_id": "p", "files": dict(FILES)}
        refused = await world.ask("POST", "/api/v1/generations", body, user=None, headers=anna)
        assert refused.status_code == 403
        assert "invitation has the role `read`" in refused.json()["detail"]
        # The account's own routes: tokens with no more than the invitation's role.
        for role, status in (("admin", 403), ("full", 403), ("use", 403), ("read", 201)):
            token = await world.ask("POST", "/api/v1/tokens", {"name": "x", "role": role}, user=None, headers=anna)
            assert token.status_code == status, role
        bearer = {"Authorization": f"Bearer {token.json()['token']}"}
        assert (await world.ask("GET", "/api/v1/generations", user=None, headers=bearer)).status_code == 200
        cross = anna | {"Sec-Fetch-Site": "cross-site"}
        assert (await world.ask("POST", "/api/v1/logout", user=None, headers=cross)).status_code == 403
        assert (await world.ask("POST", "/api/v1/logout", user=None, headers=anna)).status_code == 204
        entries = (await world.ask("GET", "/api/v1/operator/audit", user="olga")).json()["items"]
        actions = {one["action"]: one for one in entries}
        assert actions["joined"]["detail"].endswith(f": by {made['id']}")
        assert actions["operator: invitation created"]["user_id"] == "olga"


async def test_a_session_in_use_is_renewed(tmp_path: Path) -> None:
    async with open_world(tmp_path, **OLGA) as world:
        answer = await join(world, (await invite(world))["code"])
        user = answer.json()["user_id"]
        assert f"Max-Age={MEMBER_SESSION_S}" in answer.headers["set-cookie"]
        fresh = await world.ask("GET", "/api/v1/session", user=None, headers=session(answer))
        assert "set-cookie" not in fresh.headers
        name = answer.headers["set-cookie"].partition("=")[0]
        old = {"Cookie": f"{name}={world.token(user, ttl_s=3600)}"}
        assert (
            f"Max-Age={MEMBER_SESSION_S}"
            in (await world.ask("GET", "/api/v1/session", user=None, headers=old)).headers["set-cookie"]
        )
        # Not that of others, and not for a token.
        for headers in ({"Cookie": f"{name}={world.token('ann')}"}, world.headers(user)):
            answer = await world.ask("GET", "/api/v1/session", user=None, headers=headers)
            assert (answer.status_code, "set-cookie" in answer.headers) == (200, False)


async def test_the_number_of_invitations_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(book, "MOST_INVITATIONS", 2)
    async with open_world(tmp_path, **OLGA, public_url="https://preview.example.com/app/") as world:
        first = await invite(world)
        assert first["url"].startswith("https://preview.example.com/app/#/invite/inv_")
        await invite(world)
        assert (await world.ask("POST", INVITATIONS, {}, user="olga")).status_code == 409
        joined = await join(world, first["code"])
        # The public address is an encrypted one, whatever the proxy forwards.
        assert "Secure" in joined.headers["set-cookie"]
        third = await invite(world)
        assert set(await listed(world)) >= {third["id"]}
        assert first["id"] not in await listed(world)
        cookie = {"Cookie": joined.headers["set-cookie"].partition(";")[0]}
        assert (await world.ask("GET", "/api/v1/session", user=None, headers=cookie)).status_code == 200
