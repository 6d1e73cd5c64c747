from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
import trio
from http_kit import CRASHING, FILES, NEVER_READY, World, open_world

from preview.core.lifecycle import State
from preview.errors import NoPortFree
from preview.http.contracts import plan, v1

LAUNCH = {"plan": "/api/generations/{}/preview/launch", "v1": "/api/v1/generations/{}/preview/launch"}


async def running(world: World, preview_id: str) -> None:
    await world.service.previews.wait_ready(preview_id, 60)


async def test_plan_launches_at_once_with_its_own_shape(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        generation = await world.keep(FILES)
        body = {"generationId": generation, "projectId": "proj_1"}
        answer = await world.ask("POST", LAUNCH["plan"].format(generation), body)
        shown = answer.json()
        plan.PlanLaunched.model_validate(shown)
        assert answer.status_code == 200
        assert (shown["status"], shown["generationId"]) == ("launched", generation)
        assert shown["healthCheckUrl"].startswith(shown["baseUrl"] + "/")
        status = await world.ask("GET", f"/api/generations/{generation}/preview/status")
        assert status.json()["status"] in {"launching", "running"}


async def test_v1_launches_at_once_with_201_and_its_location(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        generation = await world.keep(FILES)
        answer = await world.ask("POST", LAUNCH["v1"].format(generation), {"project_id": "proj_1", "timeout": 30})
        shown = answer.json()
        v1.Launched.model_validate(shown)
        assert (answer.status_code, shown["status"]) == (201, "starting")
        assert answer.headers["location"] == f"/api/v1/previews/{shown['id']}"
        assert "preference-applied" not in answer.headers
        found = await world.ask("GET", answer.headers["location"])
        v1.WatchedInstance.model_validate(found.json())
        assert found.json()["id"] == shown["id"]


@pytest.mark.parametrize("contract", ["plan", "v1"])
async def test_prefer_wait_answers_when_the_preview_is_healthy(tmp_path: Path, contract: str) -> None:
    async with open_world(tmp_path) as world:
        generation = await world.keep(FILES)
        answer = await world.ask("POST", LAUNCH[contract].format(generation), headers={"Prefer": "wait=60"})
        assert answer.headers["preference-applied"] == "wait=60"
        active = world.service.previews.active(generation)
        assert active is not None
        assert active.record.state is State.RUNNING
        if contract == "v1":
            assert answer.json()["status"] == "running"


async def test_prefer_wait_says_504_with_the_last_lines_where_it_is_not_healthy_in_time(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        generation = await world.keep(NEVER_READY)
        answer = await world.ask("POST", LAUNCH["v1"].format(generation), headers={"Prefer": "wait=1"})
        v1.Problem.model_validate(answer.json())
        assert (answer.status_code, answer.json()["code"]) == (504, "startup_timeout")
        assert "last_lines" in answer.json()["details"]


@pytest.mark.parametrize("contract", ["plan", "v1"])
async def test_prefer_wait_says_the_failure_where_the_process_has_ended(tmp_path: Path, contract: str) -> None:
    async with open_world(tmp_path) as world:
        generation = await world.keep(CRASHING)
        answer = await world.ask("POST", LAUNCH[contract].format(generation), headers={"Prefer": "wait=60"})
        shown = answer.json()
        assert answer.status_code == 500
        if contract == "plan":
            plan.PlanError.model_validate(shown)
            assert (shown["status"], shown["error"]) == ("failed", "launch_failed")
            lines = shown["details"]["lastLines"]
        else:
            v1.Problem.model_validate(shown)
            assert shown["code"] == "launch_failed"
            lines = shown["details"]["last_lines"]
        assert any("about to fail" in line for line in lines)


async def test_missing_files_are_said_as_each_document_does(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        generation = await world.keep({"README.md": "nothing to run"})
        in_plan = await world.ask("POST", LAUNCH["plan"].format(generation), {})
        in_v1 = await world.ask("POST", LAUNCH["v1"].format(generation), {})
        assert (in_plan.status_code, in_v1.status_code) == (400, 400)
        shown = in_plan.json()
        assert (shown["status"], shown["error"]) == ("failed", "launch_failed")
        assert shown["message"].startswith("Cannot launch: ")
        assert shown["details"] == {"reason": "invalid_generation", "missingFiles": ["main.py"]}
        assert in_v1.json()["details"] == {"missing_files": ["main.py"]}
        assert in_v1.json()["code"] == "invalid_generation"
        assert in_v1.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    ("contract", "body", "code"),
    [
        ("plan", {"generationId": "gen_other"}, "invalid_request"),
        ("plan", {"projectId": "proj_other"}, "project_mismatch"),
        ("v1", {"project_id": "proj_other"}, "project_mismatch"),
        ("v1", {"timeout": "soon"}, "invalid_request"),
    ],
)
async def test_a_launch_that_does_not_agree_is_400(
    tmp_path: Path, contract: str, body: dict[str, str], code: str
) -> None:
    async with open_world(tmp_path) as world:
        generation = await world.keep(FILES)
        answer = await world.ask("POST", LAUNCH[contract].format(generation), body)
        assert answer.status_code == 400
        assert answer.json()["error" if contract == "plan" else "code"] == code


@pytest.mark.parametrize("contract", ["plan", "v1"])
async def test_a_second_launch_is_409_and_names_the_preview_that_runs(tmp_path: Path, contract: str) -> None:
    async with open_world(tmp_path) as world:
        generation = await world.keep(FILES)
        first = await world.launch(generation, wait_s=None)
        answer = await world.ask("POST", LAUNCH[contract].format(generation), {})
        assert answer.status_code == 409
        if contract == "plan":
            assert answer.json()["details"]["previewId"] == first["id"]
            assert answer.json()["error"] == "already_running"
        else:
            assert answer.json()["details"]["preview_id"] == first["id"]
            assert answer.json()["code"] == "already_running"


@pytest.mark.parametrize("contract", ["plan", "v1"])
async def test_a_tier_without_a_preview_left_is_409_and_says_what_frees_the_way(tmp_path: Path, contract: str) -> None:
    async with open_world(tmp_path) as world:
        confinement, wanted = await world.keep(FILES), await world.keep(FILES)
        first = await world.launch(confinement, wait_s=None)
        answer = await world.ask("POST", LAUNCH[contract].format(wanted), {})
        assert answer.status_code == 409
        held = answer.json()["details"]["previews"]
        if contract == "plan":
            assert held == [{"previewId": first["id"], "generationId": confinement}]
        else:
            assert held == [{"preview_id": first["id"], "generation_id": confinement}]
            assert answer.json()["code"] == "preview_limit_reached"


@pytest.mark.parametrize(("contract", "status"), [("plan", 500), ("v1", 503)])
async def test_no_port_free_is_said_as_each_document_does(tmp_path: Path, contract: str, status: int) -> None:
    async with open_world(tmp_path, port_min=23900, port_max=23900) as world:
        confinement = await world.keep(FILES, user="bob", project="proj_bob")
        await world.launch(confinement, user="bob", wait_s=None)
        generation = await world.keep(FILES)
        answer = await world.ask("POST", LAUNCH[contract].format(generation), {})
        assert answer.status_code == status
        assert answer.json()["error" if contract == "plan" else "code"] == NoPortFree.code


async def test_two_launches_at_once_make_one_preview(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        generation = await world.keep(FILES)
        statuses: list[int] = []

        async def launch() -> None:
            statuses.append((await world.ask("POST", LAUNCH["v1"].format(generation), {})).status_code)

        async with trio.open_nursery() as nursery:
            for _ in range(5):
                nursery.start_soon(launch)
        assert sorted(statuses) == [201, 409, 409, 409, 409]


async def test_a_launch_whose_client_goes_away_lives_on(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        generation = await world.keep(NEVER_READY)
        async with trio.open_nursery() as nursery:
            waits = {"Prefer": "wait=60"}
            nursery.start_soon(partial(world.ask, "POST", LAUNCH["v1"].format(generation), headers=waits))
            while (preview := world.service.previews.active(generation)) is None:  # noqa: ASYNC110  nothing tells
                await trio.sleep(0.01)
            nursery.cancel_scope.cancel()
        with trio.fail_after(60):
            while not any(line.message == "sleeping" for line in preview.log.last_lines(10)):  # noqa: ASYNC110
                await trio.sleep(0.01)
        assert world.service.previews.active(generation) is preview


async def test_two_users_do_not_see_each_other(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        hers, his = await world.keep(FILES), await world.keep(FILES, user="bob", project="proj_bob")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(world.launch, hers)
            nursery.start_soon(lambda: world.launch(his, user="bob"))
        for user, own, other in (("ann", hers, his), ("bob", his, hers)):
            listed = (await world.ask("GET", "/api/v1/previews", user=user)).json()["previews"]
            assert [one["generation_id"] for one in listed] == [own]
            for prefix in ("/api/generations", "/api/v1/generations"):
                answer = await world.ask("GET", f"{prefix}/{other}/preview/status", user=user)
                assert answer.status_code == 403


@pytest.mark.parametrize("contract", ["plan", "v1"])
async def test_launching_too_often_is_429_with_the_time_to_wait(tmp_path: Path, contract: str) -> None:
    prefix = {"plan": "/api/generations/", "v1": "/api/v1/generations/"}[contract]
    async with open_world(tmp_path, launches_per_minute=1, max_instances_per_user=5) as world:
        await world.launch(await world.keep(FILES), wait_s=None)
        path = f"{prefix}{await world.keep(FILES)}/preview/launch"
        refused = await world.ask("POST", path)
    shown = refused.json()
    assert refused.status_code == 429
    assert 0 < int(refused.headers["retry-after"]) <= 60
    assert shown["details"]["retryAfterS" if contract == "plan" else "retry_after_s"] > 0
    assert (shown["error"] if contract == "plan" else shown["code"]) == "too_many_launches"
