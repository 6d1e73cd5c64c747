from __future__ import annotations

from pathlib import Path

import pytest
import trio
from http_kit import FILES, NEVER_READY, open_events, open_world

from preview.http.contracts import shared, v1
from preview.supervisor.preview.live_preview import MAX_FURTHER_TOKENS

ECHO = {"method": "GET", "path": "/echo"}


async def test_a_token_is_traded_for_a_cookie_that_no_script_reads(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        answer = await world.client.post("/api/v1/session", headers=world.headers("ann"))
        assert answer.status_code == 200
        assert v1.Session.model_validate(answer.json()).user_id == "ann"
        cookie = answer.headers["set-cookie"]
        assert "HttpOnly" in cookie
        assert "SameSite=Strict" in cookie
        asked = await world.client.get("/api/v1/session", headers={"Cookie": cookie.partition(";")[0]})
        assert asked.json()["user_id"] == "ann"


async def test_a_session_ends_no_later_than_the_token_it_was_traded_for(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        headers = {"Authorization": f"Bearer {world.token('ann', ttl_s=60)}"}
        answer = await world.client.post("/api/v1/session", headers=headers)
        (age,) = [part for part in answer.headers["set-cookie"].split("; ") if part.startswith("Max-Age=")]
        assert 0 < int(age.removeprefix("Max-Age=")) <= 61


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_nobody_is_told_to_log_in(tmp_path: Path, method: str) -> None:
    async with open_world(tmp_path) as world:
        assert (await world.client.request(method, "/api/v1/session")).status_code == 401


async def test_a_further_preview_token_is_as_good_as_that_of_the_launch(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        generation = await world.keep(FILES)
        launched = await world.launch(generation)
        path = f"/api/v1/generations/{generation}/preview"
        made = await world.client.post(f"{path}/token", headers=world.headers("ann"))
        assert made.status_code == 201
        token = v1.PreviewToken.model_validate(made.json()).session_token
        for one in (token, launched["session_token"]):
            headers = world.headers("ann") | {"X-Preview-Token": one}
            answer = await world.client.post(f"{path}/request", json=ECHO, headers=headers)
            assert answer.json()["status_code"] == 200


async def test_the_oldest_of_too_many_further_tokens_is_forgotten(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        generation = await world.keep(FILES)
        await world.launch(generation)
        active = world.service.previews.active(generation)
        assert active is not None
        first = active.further_token()
        assert active.accept_token(first)
        for _ in range(MAX_FURTHER_TOKENS):
            active.further_token()
        assert not active.accept_token(first)


async def test_there_is_no_token_where_nothing_runs_and_none_for_a_stranger(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        generation = await world.keep(FILES)
        path = f"/api/v1/generations/{generation}/preview/token"
        assert (await world.client.post(path, headers=world.headers("ann"))).json()["code"] == "no_active_preview"
        assert (await world.client.post(path, headers=world.headers("eve"))).status_code == 404


async def test_pages_of_history_give_the_lines_before_a_number_as_the_stream_does(tmp_path: Path) -> None:
    talking = "for number in range(300):\n    print(f'line {number}', flush=True)\nraise SystemExit(3)\n"
    async with open_world(tmp_path) as world:
        generation = await world.keep(
            {"main.py": "from fastapi import FastAPI\napp = FastAPI()\n" + talking, "requirements.txt": "fastapi\n"}
        )
        launched = await world.launch(generation, wait_s=None)
        async with open_events(world, generation) as stream:
            events = await stream.events()
        streamed = [one.data | {"seq": int(one.id or 0)} for one in events if one.kind == "message"]
        path = f"/api/v1/generations/{generation}/preview/logs"
        headers = world.headers("ann")
        query = {"before": "200", "limit": "50", "preview_id": launched["id"]}
        answer = await world.client.get(path, params=query, headers=headers)
        page = shared.LogPage.model_validate(answer.json())
        assert [line.seq for line in page.lines] == list(range(150, 200))
        assert page.first_kept == 1
        assert answer.json()["lines"] == [line for line in streamed if 150 <= line["seq"] < 200]
        newest = (await world.client.get(path, params={"after": "10", "limit": "5"}, headers=headers)).json()
        assert [line["seq"] for line in newest["lines"]] == [11, 12, 13, 14, 15]


async def test_history_is_only_of_this_generation_and_only_for_its_owner(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        mine, other = await world.keep(FILES), await world.keep(FILES)
        preview = (await world.launch(mine, wait_s=None))["id"]
        headers = world.headers("ann")
        path = f"/api/v1/generations/{other}/preview/logs"
        answer = await world.client.get(path, params={"preview_id": preview}, headers=headers)
        assert answer.json()["code"] == "preview_not_found"
        path = f"/api/v1/generations/{mine}/preview/logs"
        assert (await world.client.get(path, headers=world.headers("eve"))).status_code == 403


async def test_a_preview_says_how_many_watch_it(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        generation = await world.keep(NEVER_READY)
        preview = (await world.launch(generation, wait_s=None))["id"]

        async def watchers() -> int:
            answer = await world.client.get(f"/api/v1/previews/{preview}", headers=world.headers("ann"))
            return v1.WatchedInstance.model_validate(answer.json()).watchers

        assert await watchers() == 0
        with trio.fail_after(60):
            async with open_events(world, generation) as stream:
                await stream.event()
                assert await watchers() == 1
