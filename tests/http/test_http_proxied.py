from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import httpx2
import pytest
from http_kit import FILES, NEVER_READY, World, open_events, open_world

from preview.core.ids import REQUEST_ID
from preview.http.contracts import plan, v1

PREFIX = {"plan": "/api/generations/{}", "v1": "/api/v1/generations/{}"}


class Preview:
    """A running preview, asked through the service."""

    def __init__(self, world: World, generation: str, token: str) -> None:
        self.world, self.generation, self.token = world, generation, token

    async def ask(self, contract: str, envelope: dict[str, Any], token: str | None = None) -> httpx2.Response:
        path = PREFIX[contract].format(self.generation) + "/preview/request"
        return await self.world.ask("POST", path, envelope, headers={"X-Preview-Token": token or self.token})


async def launched(world: World) -> Preview:
    generation = await world.keep(FILES)
    return Preview(world, generation, (await world.launch(generation))["session_token"])


async def test_a_request_travels_and_its_answer_comes_back_in_both_documents(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        preview = await launched(world)
        envelope = {
            "method": "POST",
            "path": "/echo?page=2",
            "query": {"q": "ü", "n": 1},
            "body": {"a": 1},
            "headers": {
                "Authorization": "Bearer of-the-preview",
                "X-Preview-Token": "x",
                "Connection": "x-one",
                "X-One": "1",
            },
        }
        in_plan = (await preview.ask("plan", envelope)).json()
        in_v1 = (await preview.ask("v1", envelope)).json()
    plan.PlanProxied.model_validate(in_plan)
    v1.Proxied.model_validate(in_v1)
    assert in_plan["statusCode"] == in_v1["status_code"] == 200
    said = in_plan["data"]
    assert (said["method"], said["query"], said["body"]) == ("POST", {"page": "2", "q": "ü", "n": "1"}, '{"a":1}')
    # The preview's own authorization travels; the service's, the token and hop-by-hop fields do not.
    assert said["headers"]["authorization"] == "Bearer of-the-preview"
    assert said["headers"].pop("x-request-id") == in_plan["requestId"] != in_v1["request_id"]
    assert set(said["headers"]) == {"host", "authorization", "accept-encoding", "content-type", "content-length"}
    assert in_v1["headers"]["content-type"] == "application/json"


async def test_a_status_of_the_preview_is_inside_a_200(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        preview = await launched(world)
        answer = await preview.ask("v1", {"method": "GET", "path": "/missing"})
        assert (answer.status_code, answer.json()["status_code"], answer.json()["body"]) == (200, 404, "none")
        binary = (await preview.ask("plan", {"method": "GET", "path": "/binary"})).json()
        assert (binary["encoding"], binary["data"]) == ("base64", "iVBORwA=")
        text = (await preview.ask("plan", {"method": "GET", "path": "/text"})).json()
        assert text["data"] == "plain ü"
        assert "x-hop" not in text["headers"]


async def test_plan_takes_the_token_inside_the_body_too_and_v1_does_not(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        preview = await launched(world)
        envelope = {"method": "GET", "path": "/echo", "headers": {"x-preview-token": preview.token}}
        in_plan = await world.ask("POST", PREFIX["plan"].format(preview.generation) + "/preview/request", envelope)
        in_v1 = await world.ask("POST", PREFIX["v1"].format(preview.generation) + "/preview/request", envelope)
    assert in_plan.status_code == 200
    assert "x-preview-token" not in in_plan.json()["data"]["headers"]
    assert in_v1.status_code == 403


async def test_what_cannot_be_sent_is_refused_in_each_document_s_shape(tmp_path: Path) -> None:
    cases: list[tuple[dict[str, Any], int, str]] = [
        ({"method": "GET", "path": "http://elsewhere/"}, 400, "invalid_path"),
        ({"method": "GET", "path": "//elsewhere/"}, 400, "invalid_path"),
        ({"method": "GET", "path": "/a/%2e%2e/b"}, 400, "invalid_path"),
        ({"method": "GET", "path": "/a\r\nb"}, 400, "invalid_path"),
        ({"method": "FETCH", "path": "/"}, 400, "invalid_request"),
        ({"method": "GET"}, 400, "invalid_request"),
        ({"method": "GET", "path": "/", "headers": {"a b": "c"}}, 400, "invalid_request"),
        ({"method": "POST", "path": "/echo", "body": "x" * 2000}, 413, "body_too_large"),
        ({"method": "POST", "path": "/echo", "body": "x" * 90_000}, 413, "body_too_large"),
        ({"method": "GET", "path": "/slow"}, 504, "upstream_timeout"),
        ({"method": "GET", "path": "/large"}, 502, "upstream_failed"),
    ]
    async with open_world(tmp_path, proxy_body_bytes=1000, proxy_response_bytes=1_000_000, proxy_timeout_s=1) as world:
        preview = await launched(world)
        for envelope, status, code in cases:
            in_plan, in_v1 = await preview.ask("plan", envelope), await preview.ask("v1", envelope)
            assert (in_plan.status_code, in_v1.status_code) == (status, status), envelope
            plan.PlanProxyError.model_validate(in_plan.json())
            v1.Problem.model_validate(in_v1.json())
            assert (in_plan.json()["error"], in_v1.json()["code"]) == (code, code)
            assert in_plan.json()["statusCode"] == status


@pytest.mark.parametrize("contract", ["plan", "v1"])
async def test_a_wrong_or_missing_preview_token_is_403(tmp_path: Path, contract: str) -> None:
    async with open_world(tmp_path) as world:
        preview = await launched(world)
        wrong = await preview.ask(contract, {"method": "GET", "path": "/echo"}, token="wrong")
        path = PREFIX[contract].format(preview.generation) + "/preview/request"
        missing = await world.ask("POST", path, {"method": "GET", "path": "/echo"})
    for answer in (wrong, missing):
        assert answer.status_code == 403
        assert answer.json()["error" if contract == "plan" else "code"] == "invalid_preview_token"


@pytest.mark.parametrize("is_starting", [False, True])
async def test_a_preview_that_does_not_run_is_503(tmp_path: Path, is_starting: bool) -> None:
    async with open_world(tmp_path) as world:
        generation = await world.keep(NEVER_READY)
        if is_starting:
            await world.launch(generation, wait_s=None)
        preview = Preview(world, generation, "any")
        in_plan = await preview.ask("plan", {"method": "GET", "path": "/"})
        in_v1 = await preview.ask("v1", {"method": "GET", "path": "/"})
    assert (in_plan.status_code, in_v1.status_code) == (503, 503)
    shown = in_plan.json()
    assert (shown["statusCode"], shown["error"]) == (503, "preview_unavailable")
    assert in_v1.json()["code"] == "preview_unavailable"


async def test_a_preview_that_dies_of_a_request_is_an_upstream_failure(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        preview = await launched(world)
        answer = await preview.ask("v1", {"method": "POST", "path": "/crash"})
        assert answer.json()["status_code"] == 405
        answer = await preview.ask("v1", {"method": "GET", "path": "/crash"})
        assert (answer.status_code, answer.json()["code"]) in {(502, "upstream_failed"), (503, "preview_unavailable")}
        assert "The process ended with" in answer.json()["detail"]


async def test_a_request_after_the_end_is_told_why_the_preview_ended(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        preview = await launched(world)
        await preview.ask("v1", {"method": "GET", "path": "/crash"})
        active = world.service.previews.active(preview.generation)
        if active is not None:
            await active.over.wait()
        in_v1 = (await preview.ask("v1", {"method": "GET", "path": "/"})).json()
        in_plan = (await preview.ask("plan", {"method": "GET", "path": "/"})).json()
    said = "The preview is not running any more: The process ended with "
    assert (in_v1["detail"][: len(said)], in_plan["message"][: len(said)]) == (said, said)
    assert in_v1["detail"].endswith(". Launch it again.")


async def test_lines_are_tied_to_the_call_that_they_were_printed_for(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        preview = await launched(world)
        envelope = {"method": "GET", "path": "/say/2", "headers": {"x-request-id": "my~own.1"}}
        mine = (await preview.ask("v1", envelope)).json()
        envelope["headers"] = {"X-Request-ID": "not sane"}
        made = (await preview.ask("plan", envelope)).json()
        async with open_events(world, preview.generation) as stream:
            events = await stream.until_message("said 1")
    assert mine["request_id"] == "my~own.1"
    assert re.fullmatch(REQUEST_ID, made["requestId"])
    tied = [event for event in events if event.data.get("request_id") == "my~own.1"]
    assert [event.data["message"] for event in tied] == ["said 0", "said 1"]
    # All that was printed ahead of the answer was read by then.
    seqs = [int(event.id or 0) for event in tied]
    assert (mine["log"]["first_seq"], seqs[-1]) == (seqs[0], seqs[0] + 1)
    assert mine["log"]["last_seq"] >= seqs[-1]
    # A server writes of an access behind its answer: between the two calls there may be such a line.
    assert made["log"]["firstSeq"] in {mine["log"]["last_seq"] + 1, mine["log"]["last_seq"] + 2}


async def test_a_call_that_fails_names_its_request(tmp_path: Path) -> None:
    async with open_world(tmp_path, proxy_timeout_s=0.3) as world:
        preview = await launched(world)
        envelope = {"method": "GET", "path": "/slow", "headers": {"X-Request-Id": "r1"}}
        for contract, key in (("v1", "request_id"), ("plan", "requestId")):
            answer = await preview.ask(contract, envelope)
            assert (answer.status_code, answer.json()["details"][key]) == (504, "r1")
