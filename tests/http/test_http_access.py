from __future__ import annotations

from pathlib import Path

import pytest
import trio
from http_kit import FILES, NEVER_READY, World, open_events, open_world
from pydantic import BaseModel

from preview.http.contracts import plan, v1
from preview.user import User

# Everything of the seven endpoints, in both documents.
ROUTES = [
    ("POST", "/preview/launch"),
    ("GET", "/preview/status"),
    ("DELETE", "/preview"),
    ("GET", "/endpoints"),
    ("GET", "/preview/endpoints"),
    ("POST", "/preview/request"),
    ("GET", "/preview/config"),
    ("GET", "/preview/logs/stream"),
    ("POST", "/preview/logs/ticket"),
]
ONLY_V1 = [("POST", "/preview/extend"), ("POST", "/preview/restart"), ("GET", ""), ("DELETE", "")]
ALL = [("/api/generations", *route) for route in ROUTES] + [("/api/v1/generations", *one) for one in ROUTES + ONLY_V1]


async def log_in(world: World) -> str:
    """A session cookie, as a browser gets it."""
    code = world.app.login_codes.issue(User("ann"))
    answer = await world.client.get(f"/login/{code}")
    assert answer.status_code == 303
    cookie = answer.headers["set-cookie"].partition(";")[0]
    world.client.cookies.clear()
    return cookie


async def test_each_route_wants_a_token_and_keeps_others_out_and_knows_what_is_not_there(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        generation = await world.keep(FILES)
        for prefix, method, rest in ALL:
            path = f"{prefix}/{generation}{rest}"
            nobody = await world.ask(method, path, user=None)
            other = await world.ask(method, path, user="bob")
            unknown = await world.ask(method, f"{prefix}/gen_unknown{rest}")
            odd = await world.ask(method, f"{prefix}/gen%20odd{rest}")
            statuses = [one.status_code for one in (nobody, other, unknown, odd)]
            in_contract = prefix == "/api/generations" or (method, rest) not in ONLY_V1
            assert statuses == [401, 403 if in_contract else 404, 404, 404], (method, path)
            assert nobody.headers["www-authenticate"] == 'Bearer realm="preview"'
            shape: type[BaseModel] = v1.Problem if prefix == "/api/v1/generations" else plan.PlanError
            if prefix == "/api/generations" and rest == "/preview/request":
                shape = plan.PlanProxyError
            for answer in (nobody, other, unknown, odd):
                shape.model_validate(answer.json())
            if in_contract:
                assert generation not in other.text.replace(path, "")
            else:
                # Nothing tells another user's generation from one that does not exist.
                assert other.json()["code"] == unknown.json()["code"] == "generation_not_found"
                assert other.json()["detail"].replace(generation, "gen_unknown") == unknown.json()["detail"]


async def test_the_user_s_lists_want_a_token(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        for method, path in [
            ("GET", "/api/v1/previews"),
            ("GET", "/api/v1/previews/preview_x"),
            ("GET", "/api/v1/generations"),
            ("POST", "/api/v1/generations"),
            ("POST", "/api/v1/logout"),
        ]:
            assert (await world.ask(method, path, user=None)).status_code == 401


@pytest.mark.parametrize("value", ["Basic abc", "Bearer", "Bearer not.a.token", "bearer"])
async def test_a_wrong_authorization_is_401_with_the_reason_in_the_challenge(tmp_path: Path, value: str) -> None:
    async with open_world(tmp_path) as world:
        answer = await world.client.get("/api/v1/previews", headers={"Authorization": value})
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"].startswith('Bearer realm="preview", error="invalid_token"')


async def test_an_expired_token_is_401(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It was good a moment ago; the leeway for clocks that differ is another test's."""
    monkeypatch.setattr("preview.auth.claims.LEEWAY_S", 0)
    async with open_world(tmp_path) as world:
        token = world.token("ann", ttl_s=1)
        with trio.fail_after(60):
            while True:
                answer = await world.client.get("/api/v1/previews", headers={"Authorization": f"Bearer {token}"})
                if answer.status_code == 401:
                    break
                await trio.sleep(0.2)
        assert answer.json()["code"] == "unauthenticated"


async def test_a_login_link_works_once_and_sets_a_strict_cookie(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        code = world.app.login_codes.issue(User("ann"))
        assert (await world.client.head(f"/login/{code}")).status_code == 204
        answer = await world.client.get(f"/login/{code}")
        assert (answer.status_code, answer.headers["location"]) == (303, "/")
        attributes = {part.strip() for part in answer.headers["set-cookie"].split(";")[1:]}
        assert {"HttpOnly", "SameSite=Strict", "Path=/"} <= attributes
        assert (await world.client.get(f"/login/{code}")).status_code == 401


async def test_a_browser_with_a_used_login_link_comes_to_the_page_that_says_so(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        browser = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}
        answer = await world.client.get("/login/used", headers=browser)
        assert (answer.status_code, answer.headers["location"]) == (303, "/?login=login_code")
        assert "set-cookie" not in answer.headers
        answer = await world.client.get("/login/used", headers={"Accept": "application/json"})
        assert (answer.status_code, answer.json()["code"]) == (401, "unauthenticated")


async def test_a_session_has_a_cookie_name_of_its_own_on_each_service(tmp_path: Path) -> None:
    async with open_world(tmp_path / "one") as one, open_world(tmp_path / "other") as other:
        mine, theirs = await log_in(one), await log_in(other)
        assert mine.partition("=")[0] != theirs.partition("=")[0]
        # A browser sends both to both: they are on one host.
        for world in (one, other):
            answer = await world.client.get("/api/v1/session", headers={"Cookie": f"{mine}; {theirs}"})
            assert answer.status_code == 200


async def test_a_session_reads_and_changes_from_our_own_page_only(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        cookie = await log_in(world)
        host = world.url.removeprefix("http://")
        body = {"project_id": "proj_1", "files": FILES}
        cases: list[tuple[dict[str, str], int]] = [
            ({}, 403),
            ({"Sec-Fetch-Site": "cross-site"}, 403),
            ({"Sec-Fetch-Site": "same-site"}, 403),
            ({"Origin": "http://elsewhere"}, 403),
            ({"Origin": "null"}, 403),
            ({"Sec-Fetch-Site": "same-origin"}, 201),
            ({"Sec-Fetch-Site": "none"}, 201),
            ({"Origin": f"http://{host}"}, 201),
        ]
        for headers, status in cases:
            sent = headers | {"Cookie": f"other=1; {cookie}"}
            assert (await world.client.get("/api/v1/previews", headers=sent)).status_code == 200
            answer = await world.client.post("/api/v1/generations", json=body, headers=sent)
            assert answer.status_code == status, headers


async def test_a_session_follows_a_log_without_any_header(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        cookie = await log_in(world)
        generation = await world.keep(NEVER_READY)
        await world.launch(generation, wait_s=None)
        async with open_events(world, generation, user=None, Cookie=cookie) as stream:
            assert stream.status == 200


async def test_logging_out_deletes_the_cookie(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        cookie = await log_in(world)
        headers = {"Cookie": cookie, "Sec-Fetch-Site": "same-origin"}
        answer = await world.client.post("/api/v1/logout", headers=headers)
        assert answer.status_code == 204
        assert "Max-Age=0" in answer.headers["set-cookie"]


@pytest.mark.parametrize("cookie", ["preview_session", 'preview_session="', "a b=c", "preview_session=wrong"])
async def test_an_odd_cookie_is_no_session(tmp_path: Path, cookie: str) -> None:
    async with open_world(tmp_path) as world:
        assert (await world.client.get("/api/v1/previews", headers={"Cookie": cookie})).status_code == 401


async def test_every_answer_carries_the_headers_that_protect(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        for path in ("/", "/docs", "/openapi.json", "/api/v1/previews", "/nowhere", "/healthz"):
            headers = (await world.client.get(path)).headers
            assert headers["x-content-type-options"] == "nosniff"
            assert headers["x-frame-options"] == "DENY"
            assert headers["referrer-policy"] == "no-referrer"
            assert "frame-ancestors 'none'" in headers["content-security-policy"]
            assert "server" not in headers
        assert headers["cache-control"] == "no-store"
