"""Guests of share links: first those who try to get more than their role, then those who are welcome."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import trio
from http_kit import FILES, World, open_events, open_world
from together_kit import OWN_PAGE, GuestClient, join, new_guest, new_link, open_stream

from preview.auth import Role
from preview.http.roles import GUEST_ROUTES
from preview.people_errors import TooFast
from preview.together import Audience

_PARAMETERS = {
    "number": "1", "preview_id": "preview_x", "share_id": "share_x", "failure_id": "abcdef12", "snapshot_id": "s",
    "comment_id": "comment_x", "viewer_id": "guest_x", "path": "main.py", "table": "t", "database": "d",
    "kind": "redis", "alert_id": "a", "token_id": "t", "environment_id": "e", "name": "n",
}  # fmt: skip


async def all_routes(world: World, generation_id: str) -> list[tuple[str, str, str]]:
    """Name, method and address of each route of the document that needs a token."""
    document = (await world.client.get("/openapi.json")).json()
    found = []
    for path, methods in document["paths"].items():
        address = path.replace("{generation_id}", generation_id)
        for name, value in _PARAMETERS.items():
            address = address.replace(f"{{{name}}}", value)
        address = re.sub(r"\{\w+\}", "x", address)
        found += [(one["operationId"], method.upper(), address) for method, one in methods.items() if one["security"]]
    return found


async def test_each_role_gets_its_routes_only(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        generation = await world.keep(FILES)
        await world.launch(generation)
        guests = {Role(one): await new_guest(world, generation, one) for one in ("watch", "use")}
        routes = await all_routes(world, generation)
        assert len(routes) > 80
        unknown = {name for names in GUEST_ROUTES.values() for name in names} - {name for name, _, _ in routes}
        assert unknown <= {"v1_log_sockets.watch", "call_sockets.talk"}
        for role, guest in guests.items():
            for name, method, address in routes:
                if name in GUEST_ROUTES[role]:
                    continue
                refused = await guest.ask(method, address, None if method in {"GET", "DELETE"} else {})
                assert refused.status_code in {401, 403}, (role, name, refused.status_code)
                # Nothing that the role does not give is in the refusal.
                assert "ann" not in refused.text.replace(address, ""), (role, name)


async def test_a_guest_is_bound_to_one_preview_and_to_the_role_of_the_link(tmp_path: Path) -> None:
    async with open_world(tmp_path, max_instances_per_user=3) as world:
        generation, other = await world.keep(FILES), await world.keep(FILES)
        await world.launch(generation)
        launched = await world.launch(other)
        guest = await new_guest(world, generation, "watch")
        base, status = guest.base, "/preview/status"
        assert (await guest.ask("GET", f"{base}{status}")).status_code == 200

        # Another generation, and another preview by its id.
        assert (await guest.ask("GET", f"/api/v1/generations/{other}{status}")).status_code == 401
        assert (await guest.ask("GET", f"/api/generations/{generation}{status}")).status_code in {401, 403}
        for path in ("logs", "requests", "failures", "comments"):
            answer = await guest.ask("GET", f"{base}/preview/{path}?preview_id={launched['id']}")
            assert answer.status_code == 404, path
        # A link of one preview does not open another, and a token of one kind is not one of another.
        links = {role: await new_link(world, generation, role) for role in ("open", "watch", "use")}
        tokens = {role: re.split(r"/|token=", link["url"])[-1] for role, link in links.items()}
        assert (await join(world, other, tokens["use"])).status_code == 401
        assert (await join(world, generation, tokens["open"])).status_code == 401
        raised = tokens["watch"].split(".")[0] + "." + tokens["use"].split(".")[1]
        assert (await join(world, generation, raised)).status_code == 401
        address = urlsplit(links["open"]["url"])
        opened = await world.client.get(f"{address.path}?token={tokens['use']}", headers={"Host": address.netloc})
        assert opened.status_code == 401

        # The role cannot be raised.
        watching = await join(world, generation, tokens["watch"])
        assert watching.json()["role"] == "watch"
        for body in ({"token": tokens["watch"], "role": "use"}, {"token": tokens["watch"], "name": "x" * 41}):
            answer = await world.ask("POST", f"{base}/preview/join", body, user=None, headers=OWN_PAGE)
            assert answer.status_code == 400
        call = {"method": "GET", "path": "/health", "role": "use"}
        assert (await guest.ask("POST", f"{base}/preview/request?role=use", call)).status_code == 403
        assert (await guest.ask("PUT", f"{base}/preview/viewers/me", {"role": "use"})).status_code == 400


@pytest.mark.parametrize("headers", [{"Sec-Fetch-Site": "cross-site"}, {"Origin": "https://evil.example"}])
async def test_other_sites_neither_act_for_a_guest_nor_make_one(tmp_path: Path, headers: dict[str, str]) -> None:
    async with open_world(tmp_path) as world:
        generation = await world.keep(FILES)
        await world.launch(generation)
        guest = await new_guest(world, generation, "use")
        theirs = {"Cookie": guest.cookie} | headers
        call = {"method": "GET", "path": "/health"}
        answer = await world.client.post(f"{guest.base}/preview/request", json=call, headers=theirs)
        assert answer.status_code == 403
        link = await new_link(world, generation, "watch")
        body = {"token": link["url"].rpartition("/")[2]}
        made = await world.client.post(f"{guest.base}/preview/join", json=body, headers=headers)
        assert made.status_code == 403
        assert "set-cookie" not in made.headers
        # A form of another site needs no preflight, so its type is refused.
        made = await world.client.post(f"{guest.base}/preview/join", data={"token": "x"})
        assert made.status_code in {400, 415}
        # A cookie that somebody has set beforehand is not taken over.
        fixed = {"Cookie": f"preview_guest={'a' * 43}"} | OWN_PAGE
        made = await world.client.post(f"{guest.base}/preview/join", json=body, headers=fixed)
        assert "aaaa" not in made.headers["set-cookie"]
        assert {"HttpOnly", "SameSite=Strict", f"Path={guest.base}/"} <= set(made.headers["set-cookie"].split("; "))


async def _opened(world: World, guest: GuestClient) -> dict[str, int]:
    """Statuses of the guest's routes."""
    paths = ("status", "logs", "requests", "failures", "comments", "viewers/me")
    return {path: (await guest.ask("GET", f"{guest.base}/preview/{path}")).status_code for path in paths}


async def test_access_ends_with_the_link_the_owner_s_word_and_the_preview(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        generation = await world.keep(FILES)
        await world.launch(generation)
        link = await new_link(world, generation, "watch")
        first = await join(world, generation, link, "First")
        guest = GuestClient(world, generation, first.headers["set-cookie"].partition(";")[0], first.json())
        other = await new_guest(world, generation, "watch")
        assert set((await _opened(world, guest)).values()) == {200}

        # Removed in the middle of three streams: each ends within a second, and one says why.
        fields = {"Cookie": guest.cookie} | OWN_PAGE
        async with (
            open_events(world, generation, user=None, Cookie=guest.cookie) as log,
            open_stream(world, f"{guest.base}/preview/requests", fields) as requests,
            open_stream(world, f"{guest.base}/preview/viewers", fields) as viewers,
            open_stream(world, f"{guest.base}/preview/viewers", {"Cookie": other.cookie} | OWN_PAGE) as others,
        ):
            assert {log.status, requests.status, viewers.status, others.status} == {200}
            await log.event()
            await viewers.event()
            removed = await world.ask("DELETE", f"{guest.base}/preview/viewers/{guest.me['id']}")
            assert removed.status_code == 204
            with trio.fail_after(1):
                events = await viewers.events()
                assert events[-1].kind == "removed"
                for stream in (log, requests):
                    # The connection is closed, in the middle of the body.
                    with pytest.raises(Exception, match=r"closed|incomplete|without sending"):
                        await stream.events()
            seen = await others.event()
            assert seen is not None
        assert set((await _opened(world, guest)).values()) == {401}
        assert (await guest.ask("GET", f"{guest.base}/preview/status")).json()["details"]["reason"] == "removed"
        # The link admits nobody further, and those whom it has admitted before stay.
        assert (await join(world, generation, link)).status_code == 401
        assert set((await _opened(world, other)).values()) == {200}
        again = await world.ask("DELETE", f"{guest.base}/preview/viewers/{guest.me['id']}")
        assert again.status_code == 404

        # Revoked.
        shares = (await world.ask("GET", f"{guest.base}/preview/access")).json()["shares"]
        assert [one["closed"] for one in shares] == [True, False]
        async with open_stream(world, f"{guest.base}/preview/viewers", {"Cookie": other.cookie} | OWN_PAGE) as viewers:
            await viewers.event()
            await world.ask("DELETE", f"{guest.base}/preview/share/{shares[1]['id']}")
            with trio.fail_after(1):
                assert (await viewers.events())[-1].kind == "removed"
        assert set((await _opened(world, other)).values()) == {401}

        # The preview's end, and a later preview of the same generation.
        last = await new_guest(world, generation, "use")
        async with open_stream(world, f"{guest.base}/preview/viewers", {"Cookie": last.cookie} | OWN_PAGE) as viewers:
            await viewers.event()
            await world.stop_preview(generation)
            assert (await viewers.events())[-1].kind == "end"
        assert set((await _opened(world, last)).values()) == {401}
        await world.launch(generation)
        assert set((await _opened(world, last)).values()) == {401}


async def test_an_expired_link_ends_its_guests(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        generation = await world.keep(FILES)
        await world.launch(generation)
        link = await new_link(world, generation, "watch", expires_in=1.5)
        joined = await join(world, generation, link)
        guest = GuestClient(world, generation, joined.headers["set-cookie"].partition(";")[0], joined.json())
        async with open_stream(world, f"{guest.base}/preview/viewers", {"Cookie": guest.cookie} | OWN_PAGE) as viewers:
            assert (await viewers.events())[-1].kind == "expired"
        assert set((await _opened(world, guest)).values()) == {401}
        assert (await join(world, generation, link)).status_code == 401


async def test_a_guest_with_the_role_use_sends_and_replays_on_a_trial_without_anybody_s_secrets(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        generation = await world.keep(FILES)
        launched = await world.launch(generation)
        guest = await new_guest(world, generation, "use", "Bea")
        call: dict[str, Any] = {"method": "POST", "path": "/echo", "headers": {}, "body": "hello"}
        # The owner's own request, with a secret.
        secret = call | {"headers": {"Authorization": "Bearer sesame-of-ann"}}
        token = {"X-Preview-Token": launched["session_token"]}
        assert (await world.ask("POST", f"{guest.base}/preview/request", secret, headers=token)).status_code == 200
        sent = await guest.ask("POST", f"{guest.base}/preview/request", call)
        assert sent.status_code == 200, sent.text
        # The browser may have logged in here once: an old session takes nothing from the guest.
        old = {"Authorization": "Bearer expired"}
        for method, path, body in (("GET", "viewers/me", None), ("POST", "request", call)):
            again = await guest.ask(method, f"{guest.base}/preview/{path}", body, old)
            assert again.status_code == 200, again.text
        records = (await guest.ask("GET", f"{guest.base}/preview/requests")).json()["items"][1:]
        assert [one["who"] for one in records[:2]] == ["viewer", "agent"]
        own = records[1]["number"]
        for path in (f"requests/{own}", f"requests/{own}?format=curl", "requests?format=har", "logs", "failures"):
            assert "sesame" not in (await guest.ask("GET", f"{guest.base}/preview/{path}")).text, path

        address = f"{guest.base}/preview/requests/{own}/replay"
        for body in ({}, {"on": "preview"}, {"on": "auto", "allow_changes": True}):
            assert (await guest.ask("POST", address, body)).status_code == 403, body
        replayed = await guest.ask("POST", address, {"on": "trial"})
        assert replayed.status_code == 200, replayed.text
        assert "sesame" not in replayed.text


async def test_guests_have_a_pace(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        generation = await world.keep(FILES)
        await world.launch(generation)
        guest, other = [await new_guest(world, generation, "use", name) for name in ("Bea", "Cem")]
        call: dict[str, Any] = {"method": "POST", "path": "/echo", "headers": {}, "body": "hello"}
        address, seen = f"{guest.base}/preview/request", []

        async def send() -> None:
            seen.append((await guest.ask("POST", address, call)).status_code)

        async with trio.open_nursery() as nursery:
            for _ in range(45):
                nursery.start_soon(send)
        assert set(seen) == {200, 429}
        # Nobody else waits for it.
        assert (await other.ask("POST", address, call)).status_code == 200
        audience = Audience()
        for _ in range(3):
            audience.trials.spend("guest")
        with pytest.raises(TooFast, match="once every 10 seconds"):
            audience.trials.spend("guest")


async def test_people_see_each_other_and_their_comments(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        generation = await world.keep(FILES)
        await world.launch(generation)
        watch = await new_guest(world, generation, "watch", "  Ann\u202e \n B.  ")
        use = await new_guest(world, generation, "use", "owner")
        assert (watch.me["name"], use.me["name"]) == ("Ann B.", "Guest 2")
        assert watch.me["colour"] != use.me["colour"] != 0
        viewers_path, me_path = f"{watch.base}/preview/viewers", f"{watch.base}/preview/viewers/me"
        comments = f"{watch.base}/preview/comments"
        async with open_stream(world, viewers_path, world.headers("ann")) as owner:
            assert (await owner.event()).data["items"][0]["role"] == "owner"  # type: ignore[union-attr]
            async with open_stream(world, viewers_path, {"Cookie": use.cookie} | OWN_PAGE) as stream:
                await stream.event()
                with trio.fail_after(1):
                    shown = await owner.event()
                assert shown is not None
                assert [one["name"] for one in shown.data["items"]] == ["Owner", "Guest 2"]
                place = {"kind": "line", "id": "1"}
                assert (await use.ask("PUT", me_path, {"target": place})).status_code == 204
                with trio.fail_after(1):
                    shown = await owner.event()
                assert shown is not None
                assert shown.data["items"][1]["target"] == place
                # Bounds: a flood of positions, a long text, things that are not there, the wrong kind.
                flood = [(await use.ask("PUT", me_path, {"target": {"kind": "line", "id": str(n)}})).status_code
                         for n in range(1, 30)]  # fmt: skip
                assert 429 in flood
                for target, status in (
                    ({"kind": "line", "id": "999999"}, 400), ({"kind": "line", "id": "abcdef12"}, 400),
                    ({"kind": "request", "id": "99"}, 404), ({"kind": "failure", "id": "abcdef12"}, 404),
                    ({"kind": "line", "id": "../1"}, 400),
                ):  # fmt: skip
                    answer = await use.ask("POST", comments, {"target": target, "text": "x"})
                    assert answer.status_code == status, (target, answer.text)
                for text in ("", "  \n ", "x" * 2001):
                    assert (await use.ask("POST", comments, {"target": place, "text": text})).status_code == 400
                assert (await watch.ask("POST", comments, {"target": place, "text": "hi"})).status_code == 403
                text = "<b>Look</b>\u202e\x00\nhere"
                made = await use.ask("POST", comments, {"target": place, "text": text})
                assert made.status_code == 201, made.text
                assert made.json()["text"] == "<b>Look</b>  \nhere"
                with trio.fail_after(1):
                    while (event := await owner.event()) is not None and event.kind != "comment":
                        pass
                assert event is not None
                assert event.data == made.json()
        assert (await watch.ask("GET", comments)).json()["items"] == [made.json()]
        own = await world.ask("POST", comments, {"target": place, "text": "Mine"})
        assert own.json()["author_id"] == "owner"
        assert (await use.ask("DELETE", f"{comments}/{own.json()['id']}")).status_code == 403
        assert (await use.ask("PUT", f"{comments}/{own.json()['id']}", {"resolved": True})).json()["resolved"]
        # They stay with the log after the preview's end, for the owner.
        await world.stop_preview(generation)
        kept = await world.ask("GET", comments)
        assert [one["text"] for one in kept.json()["items"]] == ["Mine", "<b>Look</b>  \nhere"]
        assert "ann" not in json.dumps(kept.json())
        for one in kept.json()["items"]:
            assert (await world.ask("DELETE", f"{comments}/{one['id']}")).status_code == 204
        assert (await world.ask("GET", comments)).json()["items"] == []
        assert (await world.ask("GET", comments, user="bob")).status_code == 404
