"""Bodies by their Content-Type: JSON sent as a form (``curl -d``) is read, but never for a browser's cookie."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import trio
from http_kit import PATIENCE_S, World, make_settings, open_world

from preview.auth import Identity
from preview.http import create_app
from preview.service import open_service
from preview.user import User

PATH = "/api/v1/generations"
FORM = "application/x-www-form-urlencoded"
BODY = b'{"files": {"main.py": "x"}}'
PREFIXES = {"v1": "/api/v1/generations", "plan": "/api/generations"}


async def log_in(world: World) -> str:
    answer = await world.client.get(f"/login/{world.app.login_codes.issue(User('ann'))}")
    cookie = answer.headers["set-cookie"].partition(";")[0]
    world.client.cookies.clear()
    return cookie


async def post(world: World, path: str, content: bytes, kind: str | None, **headers: str) -> Any:
    fields = {name.replace("_", "-"): value for name, value in headers.items()}
    return await world.client.post(path, content=content, headers=fields | ({"Content-Type": kind} if kind else {}))


async def test_curl_sends_json_without_saying_so(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        command = ["curl", "-sS", "-w", " %{http_code}", "-d", BODY.decode(), f"{world.url}{PATH}"]
        command += ["-H", f"Authorization: Bearer {world.token('ann')}"]
        done = await trio.run_process(command, capture_stdout=True)
        assert done.stdout.endswith(b" 201"), done.stdout


async def test_json_sent_as_a_form_is_json_for_a_bearer_token(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        for kind in (FORM, f"{FORM}; charset=UTF-8", FORM.upper()):
            answer = await post(world, PATH, BODY, kind, **world.headers("ann"))
            assert answer.status_code == 201, (kind, answer.text)
            wrong = await post(world, PATH, b'{"files": 3}', kind, **world.headers("ann"))
            assert (wrong.status_code, wrong.json()["code"]) == (400, "invalid_request"), kind
            assert "files" in wrong.json()["detail"]


NOT_JSON = [(FORM, b"files=main.py"), (FORM, b'{"files": '), ("text/plain", BODY), ("a/'b", BODY)]


async def test_what_is_not_json_is_told_what_to_send(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        generation = await world.keep({"main.py": "x"})
        for path, key, sentence in (
            (PATH, "code", "detail"),
            (f"{PREFIXES['v1']}/{generation}/preview/launch", "code", "detail"),
            (f"{PREFIXES['plan']}/{generation}/preview/launch", "error", "message"),
            (f"{PREFIXES['plan']}/{generation}/preview/request", "error", "message"),
        ):
            for kind, content in NOT_JSON:
                answer = await post(world, path, content, kind, **world.headers("ann"))
                assert (answer.status_code, answer.json()[key]) == (415, "unsupported_media_type"), (path, kind)
                assert "'Content-Type: application/json'" in answer.json()[sentence], (path, kind)


CROSS_SITE = [
    {"Sec_Fetch_Site": "cross-site", "Origin": "https://evil.example"},
    {"Origin": "https://evil.example"},
    {},
]


@pytest.mark.parametrize("fields", CROSS_SITE)
async def test_another_site_s_form_changes_nothing_with_the_session(tmp_path: Path, fields: Mapping[str, str]) -> None:
    async with open_world(tmp_path) as world:
        for kind in (FORM, "text/plain", "application/json", None):
            answer = await post(world, PATH, BODY, kind, Cookie=await log_in(world), **fields)
            assert (answer.status_code, answer.json()["details"]["reason"]) == (403, "cross_origin"), kind
        assert (await world.ask("GET", PATH)).json()["generations"] == []


async def test_our_own_page_sends_json_and_says_so(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        own = {"Cookie": await log_in(world), "Sec_Fetch_Site": "same-origin"}
        refused = await post(world, PATH, BODY, FORM, **own)
        assert (refused.status_code, refused.json()["code"]) == (415, "unsupported_media_type")
        assert (await post(world, PATH, BODY, "application/json", **own)).status_code == 201


@pytest.mark.parametrize("fields", [{}, {"Authorization": "Basic YW5uOng="}])
async def test_a_host_that_knows_its_users_by_a_cookie_is_not_open_to_forms(
    tmp_path: Path, fields: Mapping[str, str]
) -> None:
    """A browser sends cookies and stored passwords with another site's form; it cannot make it send a bearer token."""

    async def everybody_is_ann(_scope: Mapping[str, Any]) -> Identity:
        return Identity(User("ann"), datetime.now(UTC) + timedelta(hours=1))

    with trio.fail_after(PATIENCE_S):
        async with open_service(make_settings(tmp_path)) as service:
            app = create_app(service=service, authenticate=everybody_is_ann)
            async with app.attached(service):
                sent = dict(fields) | {"Content-Type": FORM}
                answer = await app.test_client().post(PATH, data=BODY, headers=sent)
                assert answer.status_code == 415
                sent["Content-Type"] = "application/json"
                assert (await app.test_client().post(PATH, data=BODY, headers=sent)).status_code == 201
