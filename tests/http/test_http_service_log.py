"""The service's own log has one line for each call that was carried to a preview, without what it carried."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import trio
from http_kit import FILES, World, open_world
from structlog.testing import capture_logs

from preview.supervisor import EVENTS

CALL = "/api/v1/generations/{}/preview/request"


async def call(world: World, launched: dict[str, Any], generation: str, **envelope: Any) -> Any:
    headers = {"X-Preview-Token": launched["session_token"]}
    return await world.ask("POST", CALL.format(generation), envelope, headers=headers)


async def test_each_call_has_one_line_without_query_token_header_and_body(tmp_path: Path) -> None:
    async with open_world(tmp_path, proxy_timeout_s=0.5) as world:
        generation = await world.keep(FILES)
        launched = await world.launch(generation)
        with capture_logs() as lines:
            for method, path in (("POST", "/echo?x=sesame"), ("GET", "/missing"), ("GET", "/slow")):
                body = {"a": "sesame"} if method == "POST" else None
                headers = {"Authorization": "Bearer sesame", "X-Request-Id": "r1"}
                await call(
                    world,
                    launched,
                    generation,
                    method=method.lower(),
                    path=path,
                    query={"q": "sesame"},
                    body=body,
                    headers=headers,
                )
    calls = [one for one in lines if one["event"] == "call carried"]
    assert [(one["method"], one["path"], one["status"], one["code"]) for one in calls] == [
        ("POST", "/echo", 200, None),
        ("GET", "/missing", 404, None),
        ("GET", "/slow", None, "upstream_timeout"),
    ]
    for one in calls:
        assert set(one) == {*EVENTS["call carried"], "event", "log_level"}
        assert (one["preview_id"], one["generation_id"], one["user_id"]) == (launched["id"], generation, "ann")
        assert (one["log_level"], one["request_id"]) == ("info", "r1")
        assert one["elapsed_ms"] > 0
    assert calls[2]["elapsed_ms"] >= 500
    assert "sesame" not in str(lines)
    assert launched["session_token"] not in str(lines)


async def test_a_call_that_is_refused_is_not_one_that_was_carried(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        generation = await world.keep(FILES)
        launched = await world.launch(generation)
        with capture_logs() as lines:
            refused = await call(world, {"session_token": "wrong"}, generation, method="GET", path="/echo")
            invalid = await call(world, launched, generation, method="GET", path="http://elsewhere/")
    assert (refused.status_code, invalid.status_code) == (403, 400)
    assert [one for one in lines if one["event"] == "call carried"] == []


SLOW = """
import asyncio
from fastapi import FastAPI
app = FastAPI()
@app.get("/slow")
async def slow():
    print("asked", flush=True)
    await asyncio.sleep(60)
"""


async def test_a_call_whose_client_has_gone_is_logged_all_the_same(tmp_path: Path) -> None:
    with capture_logs() as lines:
        async with open_world(tmp_path, proxy_timeout_s=60) as world:
            generation = await world.keep({"main.py": SLOW, "requirements.txt": "fastapi\n"})
            launched = await world.launch(generation)
            preview = world.service.previews.require(generation)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(partial(call, world, launched, generation, method="GET", path="/slow"))
                with preview.log.subscribe() as events:
                    while "asked" not in preview.last_lines():
                        await events.receive()
                nursery.cancel_scope.cancel()
    calls = [one for one in lines if one["event"] == "call carried"]
    assert [(one["path"], one["status"], one["code"]) for one in calls] == [("/slow", None, "cancelled")]
