from __future__ import annotations

import re
from datetime import datetime
from pathlib import Path

import trio
import trio.testing
from browser_kit import open_door

from preview.core.lifecycle import State
from preview.http.contracts import v1


async def test_a_link_opens_the_preview_once_and_leads_to_its_clean_address(tmp_path: Path) -> None:
    async with open_door(tmp_path) as door:
        made = (await door.api("POST", "open", {"path": "/docs?x=1"})).json()
        v1.OpenLinkShape.model_validate(made)
        assert made["address"] == f"http://{door.host}/"
        assert made["url"].startswith(f"http://{door.host}/.preview/open?code=")
        answer = await door.follow(made["url"])
        assert (answer.status_code, answer.headers["location"]) == (303, "/docs?x=1")
        pair, *attributes = answer.headers["set-cookie"].split("; ")
        assert {"Path=/", "HttpOnly", "SameSite=Lax"} <= set(attributes)
        assert not any(one.lower().startswith("domain") for one in attributes)
        inside = await door.get("/docs?x=1", headers={"Cookie": pair})
        assert (inside.status_code, inside.json()["target"]) == (200, "/docs?x=1")
        again = await door.follow(made["url"])
        assert again.status_code == 401
        assert "set-cookie" not in again.headers


async def test_a_link_that_was_used_leads_in_whoever_is_in_already(tmp_path: Path) -> None:
    async with open_door(tmp_path) as door:
        made = (await door.api("POST", "open", {})).json()
        cookie = (await door.follow(made["url"])).headers["set-cookie"].partition(";")[0]
        again = await door.follow(made["url"], Cookie=cookie)
        assert (again.status_code, again.headers["location"]) == (303, "/")


async def test_looking_ahead_does_not_use_a_link_up(tmp_path: Path) -> None:
    async with open_door(tmp_path) as door:
        url = (await door.api("POST", "open", {})).json()["url"]
        path = url.partition(door.host)[2]
        assert (await door.get(path, method="HEAD")).status_code == 204
        assert (await door.get(path, headers={"Sec-Purpose": "prefetch;prerender"})).status_code == 204
        assert (await door.follow(url)).status_code == 303


async def test_a_link_leads_to_no_other_host(tmp_path: Path) -> None:
    async with open_door(tmp_path) as door:
        for path in ("//evil.example", "/\\evil.example", "https://evil.example", "docs", "/a\nb", "/a b"):
            answer = await door.api("POST", "open", {"path": path})
            assert (answer.status_code, answer.json()["code"]) == (400, "invalid_request"), path


async def test_nobody_else_makes_links_to_a_preview(tmp_path: Path) -> None:
    async with open_door(tmp_path) as door:
        for method, rest in [("POST", "open"), ("POST", "share"), ("GET", "access"), ("DELETE", "access")]:
            assert (await door.api(method, rest, user="bob")).status_code == 404


async def test_without_access_a_preview_and_one_that_never_was_are_the_same(tmp_path: Path) -> None:
    async with open_door(tmp_path) as door:
        other = f"preview-23456789abcdefgh.localhost:{door.port}"
        mine, none = await door.get("/x"), await door.get("/x", host=other)
        assert (mine.status_code, mine.content) == (none.status_code, none.content) == (401, mine.content)
        assert mine.headers["content-type"] == "application/problem+json"
        assert mine.headers["www-authenticate"].startswith("Bearer")
        as_bob = [await door.get("/x", host=one, headers=door.bearer("bob")) for one in (door.host, other)]
        assert [one.status_code for one in as_bob] == [404, 404]
        assert as_bob[0].content == as_bob[1].content


async def test_a_person_without_access_gets_a_page_that_loads_nothing(tmp_path: Path) -> None:
    async with open_door(tmp_path) as door:
        page = await door.get("/", headers={"Accept": "text/html,*/*;q=0.8", "Sec-Fetch-Mode": "navigate"})
        assert (page.status_code, page.headers["content-type"]) == (401, "text/html; charset=utf-8")
        assert "preview open" in page.text
        assert "default-src 'none'" in page.headers["content-security-policy"]
        assert not re.search(r"(src|href)=", page.text)


async def test_the_owner_s_bearer_token_opens_and_is_not_passed_on(tmp_path: Path) -> None:
    async with open_door(tmp_path) as door:
        said = (await door.get("/", headers=door.bearer())).json()
        assert "authorization" not in dict(said["headers"])
        cookie = await door.cookie()
        own = (await door.get("/", headers={"Cookie": cookie, "Authorization": "Bearer of-the-app"})).json()
        assert dict(own["headers"])["authorization"] == "Bearer of-the-app"


async def test_the_access_cookie_and_the_session_reach_no_preview(tmp_path: Path) -> None:
    async with open_door(tmp_path) as door:
        cookie = await door.cookie()
        sent = f"mine=1; {cookie}; preview_session_ab=x; other=2"
        said = (await door.get("/", headers={"Cookie": sent})).json()
        assert dict(said["headers"])["cookie"] == "mine=1; other=2"


async def test_access_is_to_one_preview_and_to_nothing_of_the_service(tmp_path: Path) -> None:
    async with open_door(tmp_path / "a") as door, open_door(tmp_path / "b") as other:
        cookie = await door.cookie()
        assert (await other.get("/", headers={"Cookie": cookie})).status_code == 401
        api = await door.client.get("/api/v1/session", headers={"Host": "localhost", "Cookie": cookie})
        assert api.status_code == 401


async def test_a_cookie_that_was_changed_opens_nothing(tmp_path: Path) -> None:
    async with open_door(tmp_path) as door:
        name, _, value = (await door.cookie()).partition("=")
        for place in (5, 20, len(value) - 1):
            wrong = value[:place] + ("0" if value[place] != "0" else "1") + value[place + 1 :]
            assert (await door.get("/", headers={"Cookie": f"{name}={wrong}"})).status_code == 401, place


async def test_the_service_s_own_routes_are_not_reached_by_a_preview_s_host(tmp_path: Path) -> None:
    async with open_door(tmp_path) as door:
        for path in ("/api/v1/session", "/healthz", "/metrics", "/login/x", "/openapi.json"):
            said = await door.get(path, headers=door.bearer())
            assert said.json()["target"] == path


# Share links, and everybody


async def test_a_share_link_opens_for_anybody_until_it_is_revoked(tmp_path: Path) -> None:
    async with open_door(tmp_path) as door:
        made = await door.api("POST", "share", {"expires_in": 3600})
        assert made.status_code == 201
        shared = v1.ShareShape.model_validate(made.json())
        cookies = []
        for _ in range(2):
            answer = await door.follow(shared.url)
            assert (answer.status_code, answer.headers["location"]) == (303, "/")
            age = re.search(r"Max-Age=(\d+)", answer.headers["set-cookie"])
            assert age is not None
            assert 3590 <= int(age[1]) <= 3600
            cookies.append(answer.headers["set-cookie"].partition(";")[0])
        assert (await door.get("/", headers={"Cookie": cookies[0]})).status_code == 200
        listed = v1.AccessShape.model_validate((await door.api("GET", "access")).json())
        assert [one.url for one in listed.shares] == [shared.url]
        assert (await door.api("DELETE", f"share/{shared.id}")).status_code == 204
        assert (await door.get("/", headers={"Cookie": cookies[1]})).status_code == 401
        assert (await door.follow(shared.url)).status_code == 401
        assert (await door.api("DELETE", f"share/{shared.id}")).json()["code"] == "share_not_found"


async def test_there_are_only_so_many_share_links_for_only_so_long(tmp_path: Path) -> None:
    async with open_door(tmp_path, shares_per_preview=2, share_max_s=100) as door:
        made = [await door.api("POST", "share", {"expires_in": 1000}) for _ in range(3)]
        assert [one.status_code for one in made] == [201, 201, 409]
        assert made[2].json()["code"] == "share_limit_reached"
        times = [datetime.fromisoformat(made[0].json()[name]) for name in ("created_at", "expires_at")]
        assert (times[1] - times[0]).total_seconds() == 100
        assert made[2].json()["details"]["shares"] == [one.json()["id"] for one in made[:2]]


async def test_a_public_preview_is_open_to_everybody_until_it_is_not(tmp_path: Path) -> None:
    async with open_door(tmp_path) as door:
        shown = (await door.api("PUT", "access", {"public": True})).json()
        assert v1.AccessShape.model_validate(shown).public
        assert (await door.get("/")).status_code == 200
        assert (await door.get("/", headers=door.bearer("bob"))).status_code == 200
        await door.api("PUT", "access", {"public": False})
        assert (await door.get("/")).status_code == 401


async def test_all_access_can_be_taken_back_at_once(tmp_path: Path) -> None:
    async with open_door(tmp_path) as door:
        cookies = [await door.cookie(), await door.cookie(share=True)]
        await door.api("PUT", "access", {"public": True})
        assert (await door.api("DELETE", "access")).status_code == 204
        for cookie in cookies:
            assert (await door.get("/", headers={"Cookie": cookie})).status_code == 401
        assert (await door.get("/", headers={"Cookie": await door.cookie()})).status_code == 200


# Pages of other origins


async def test_another_origin_s_page_does_not_act_with_a_browser_s_access(tmp_path: Path) -> None:
    async with open_door(tmp_path) as door:
        cookie = {"Cookie": await door.cookie()}
        others = [{"Origin": "https://evil.example"}, {"Origin": "null"}, {"Sec-Fetch-Site": "same-site"}]
        for said in others:
            refused = await door.get("/", method="POST", headers=cookie | said)
            assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")
        own = {"Origin": f"http://{door.host}", "Sec-Fetch-Site": "same-origin"}
        assert (await door.get("/", method="POST", headers=cookie | own)).status_code == 200
        await door.api("PUT", "access", {"public": True})
        for said in others:
            assert (await door.get("/", method="POST", headers=cookie | said)).status_code == 200


# The path form


async def test_the_path_form_is_for_those_who_come_by_another_name(tmp_path: Path) -> None:
    async with open_door(tmp_path, allowed_hosts=("lan.example",)) as door:
        host = f"lan.example:{door.port}"
        made = (await door.api("POST", "open", {"path": "/a"}, host=host)).json()
        assert made["address"] == f"http://{host}{door.prefix}/"
        answer = await door.follow(made["url"])
        assert answer.headers["location"] == f"{door.prefix}/a"
        assert f"Path={door.prefix}/;" in answer.headers["set-cookie"]
        cookie = answer.headers["set-cookie"].partition(";")[0]
        inside = await door.get(f"{door.prefix}/a?b", host=host, headers={"Cookie": cookie})
        assert inside.json()["target"] == "/a?b"
        assert dict(inside.json()["headers"])["x-forwarded-prefix"] == door.prefix
        policy = inside.headers["content-security-policy"]
        assert policy.startswith("sandbox ")
        assert "allow-same-origin" not in policy


async def test_other_spellings_of_the_path_lead_to_the_one_that_counts(tmp_path: Path) -> None:
    async with open_door(tmp_path) as door:
        label, large = door.preview.id.replace("_", "-"), door.preview.id.upper()
        for path, rest in [
            (door.prefix, "/"),
            (f"{door.prefix}?q", "/?q"),
            (f"/p/{label}/x", "/x"),
            (f"/p/{large}/x?q", "/x?q"),
        ]:
            answer = await door.get(path, host="localhost", headers=door.bearer())
            assert (answer.status_code, answer.headers["location"]) == (308, f"{door.prefix}{rest}")


async def test_the_path_form_is_for_the_service_s_own_hosts(tmp_path: Path) -> None:
    async with open_door(tmp_path) as door:
        answer = await door.get(f"{door.prefix}/", host="rebound.example", headers=door.bearer())
        assert (answer.status_code, answer.json()["code"]) == (421, "host_not_allowed")


async def test_a_host_for_the_path_form_has_nothing_else_and_no_sandbox(tmp_path: Path) -> None:
    async with open_door(tmp_path, path_host="user.example", allowed_hosts=("lan.example",)) as door:
        made = (await door.api("POST", "open", {}, host=f"lan.example:{door.port}")).json()
        assert made["address"] == f"http://user.example:{door.port}{door.prefix}/"
        cookie = (await door.follow(made["url"])).headers["set-cookie"].partition(";")[0]
        inside = await door.get(f"{door.prefix}/a", host="user.example", headers={"Cookie": cookie})
        assert inside.status_code == 200
        assert "content-security-policy" not in inside.headers
        assert (await door.get("/healthz", host="user.example")).status_code == 401


async def test_a_domain_of_previews_has_nothing_else(tmp_path: Path) -> None:
    public = "https://preview.example.com"
    async with open_door(tmp_path, domain="previews.example.com", public_url=public) as door:
        label = door.preview.id.replace("_", "-")
        made = (await door.api("POST", "open", {})).json()
        assert made["address"] == f"https://{label}.previews.example.com/"
        for host in (f"{label}.previews.example.com", f"{label.upper()}.PREVIEWS.example.com:443"):
            assert (await door.get("/", host=host, headers=door.bearer())).status_code == 200
        underscore = f"{door.preview.id}.previews.example.com"
        assert (await door.get("/", host=underscore, headers=door.bearer())).status_code == 200
        for host in ("x.previews.example.com", f"a.{label}.previews.example.com"):
            assert (await door.get("/healthz", host=host, headers=door.bearer())).status_code == 404


# While it starts, and when it is over


async def test_a_person_waits_on_a_page_that_is_told_when_it_is_there(tmp_path: Path) -> None:
    async with open_door(tmp_path, state=State.STARTING) as door:
        cookie = {"Cookie": await door.cookie()}
        page = await door.get("/x", headers=cookie | {"Accept": "text/html", "Sec-Fetch-Mode": "navigate"})
        assert (page.status_code, page.headers["retry-after"]) == (503, "2")
        assert 'data-state="/.preview/state"' in page.text
        async with trio.open_nursery() as nursery:

            async def poll() -> None:
                said.append((await door.get("/.preview/state", headers=cookie)).json())

            said: list[object] = []
            nursery.start_soon(poll)
            await trio.testing.wait_all_tasks_blocked(0.05)
            assert not said
            door.preview.move(State.RUNNING)
        assert said == [{"state": "running"}]
        assert (await door.get("/.preview/state")).status_code == 404


async def test_a_program_waits_for_a_preview_that_starts(tmp_path: Path) -> None:
    async with open_door(tmp_path, state=State.STARTING) as door, trio.open_nursery() as nursery:
        answers = []

        async def ask() -> None:
            answers.append((await door.get("/", headers=door.bearer())).status_code)

        nursery.start_soon(ask)
        await trio.testing.wait_all_tasks_blocked(0.05)
        door.preview.move(State.RUNNING)
    assert answers == [200]


async def test_a_program_does_not_wait_for_ever(tmp_path: Path) -> None:
    async with open_door(tmp_path, state=State.STARTING, browser_wait_s=0.05) as door:
        answer = await door.get("/", headers=door.bearer())
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")
        assert answer.json()["code"] == "preview_unavailable"


async def test_its_owner_learns_why_a_preview_failed_and_nobody_else_does(tmp_path: Path) -> None:
    async with open_door(tmp_path) as door:
        mine, shared = await door.cookie(), await door.cookie(share=True)
        await door.api("PUT", "access", {"public": True})
        door.preview.log.say("the <last> words")
        door.end(reason="the process ended with exit code 3")
        page = await door.get("/", headers={"Cookie": mine, "Accept": "text/html", "Sec-Fetch-Mode": "navigate"})
        assert page.status_code == 502
        assert "exit code 3" in page.text
        assert "the &lt;last&gt; words" in page.text
        said = (await door.get("/", headers=door.bearer())).json()
        assert (said["code"], said["details"]["last_lines"]) == ("upstream_failed", ["the <last> words"])
        for headers, status in [({"Cookie": shared}, 404), ({}, 401), (door.bearer("bob"), 404)]:
            answer = await door.get("/", headers=headers)
            assert answer.status_code == status
            assert "exit code" not in answer.text
            assert "last" not in answer.text.replace("last_lines", "")


async def test_a_preview_that_was_stopped_is_not_found(tmp_path: Path) -> None:
    async with open_door(tmp_path) as door:
        cookie = await door.cookie()
        door.end(State.STOPPED, "stopped on request")
        answer = await door.get("/", headers={"Cookie": cookie})
        assert (answer.status_code, answer.json()["code"]) == (404, "preview_not_found")
        assert "on request" in answer.json()["detail"]


async def test_no_request_meets_the_gap_between_two_processes(tmp_path: Path) -> None:
    async with open_door(tmp_path) as door, trio.open_nursery() as nursery:
        answers = []

        async def ask() -> None:
            answers.append((await door.get("/", headers=door.bearer())).status_code)

        door.preview.is_replaced = True
        nursery.start_soon(ask)
        await trio.sleep(0.05)
        assert not answers
        door.preview.is_replaced = False
    assert answers == [200]
