from __future__ import annotations

from pathlib import Path

import psutil
import pytest
import trio
from http_kit import CRASHING, FILES, World, open_world
from http_server_kit import connect

from preview.errors import DatabaseUnavailable
from preview.http.contracts import plan, v1
from preview.logs import StatusChange
from preview.storage import Database

PREFIX = {"plan": "/api/generations/{}", "v1": "/api/v1/generations/{}"}


async def fail(world: World) -> str:
    generation = await world.keep(CRASHING)
    path = PREFIX["v1"].format(generation) + "/preview/launch"
    assert (await world.ask("POST", path, headers={"Prefer": "wait=60"})).status_code == 500
    return generation


async def test_the_status_of_a_running_preview(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        generation = await world.keep(FILES)
        launched = await world.launch(generation)
        in_plan = (await world.ask("GET", PREFIX["plan"].format(generation) + "/preview/status")).json()
        in_v1 = (await world.ask("GET", PREFIX["v1"].format(generation) + "/preview/status")).json()
    plan.PlanStatus.model_validate(in_plan)
    v1.Status.model_validate(in_v1)
    assert (in_plan["previewInstanceId"], in_v1["id"]) == (launched["id"], launched["id"])
    assert (in_plan["status"], in_v1["status"]) == ("running", "running")
    assert (in_plan["healthStatus"], in_v1["health"]) == ("healthy", "healthy")
    assert (in_plan["isolation"]["runtime"], in_v1["limits"]["memory_mb"]) == (in_v1["isolation"]["runtime"], 1024)
    assert {"method": "GET", "path": "/health"}.items() <= {
        key: value for one in in_plan["generatedEndpoints"] if one["path"] == "/health" for key, value in one.items()
    }.items()


@pytest.mark.parametrize("contract", ["plan", "v1"])
@pytest.mark.parametrize(("method", "rest"), [("GET", "/preview/status"), ("DELETE", "/preview")])
async def test_without_a_preview_it_is_404(tmp_path: Path, contract: str, method: str, rest: str) -> None:
    async with open_world(tmp_path) as world:
        generation = await world.keep(FILES)
        answer = await world.ask(method, PREFIX[contract].format(generation) + rest)
        assert answer.status_code == 404
        if contract == "plan":
            shown = answer.json()
            plan.PlanError.model_validate(shown)
            assert (shown["status"], shown["error"], shown["message"]) == (
                "not_found",
                "no_active_preview",
                "No active preview for this generation",
            )
        else:
            assert answer.json()["code"] == "no_active_preview"
            assert answer.headers["content-type"] == "application/problem+json"


async def test_a_failed_preview_stays_visible_with_its_reason_and_exit_code(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        generation = await fail(world)
        in_plan = (await world.ask("GET", PREFIX["plan"].format(generation) + "/preview/status")).json()
        in_v1 = (await world.ask("GET", PREFIX["v1"].format(generation) + "/preview/status")).json()
    plan.PlanStatus.model_validate(in_plan)
    v1.Status.model_validate(in_v1)
    assert (in_plan["status"], in_plan["exitCode"]) == ("failed", 3)
    assert (in_v1["status"], in_v1["exit_code"]) == ("failed", 3)
    assert in_v1["reason"]


async def test_plan_stops_with_a_body_and_v1_with_none(tmp_path: Path) -> None:
    async with open_world(tmp_path, max_instances_per_user=2) as world:
        for contract, status in (("plan", 200), ("v1", 204)):
            generation = await world.keep(FILES)
            await world.launch(generation)
            answer = await world.ask("DELETE", PREFIX[contract].format(generation) + "/preview")
            assert answer.status_code == status
            if contract == "plan":
                plan.PlanStopped.model_validate(answer.json())
            else:
                assert answer.content == b""
                assert "content-type" not in answer.headers


async def test_a_stop_answers_when_processes_port_and_files_are_gone(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        generation = await world.keep(FILES)
        await world.launch(generation)
        active = world.service.previews.active(generation)
        assert active is not None
        pid, directory, port = active.record.pid, active.directory, active.record.port
        assert pid is not None
        assert directory is not None
        assert port is not None
        await world.stop_preview(generation)
        assert not psutil.pid_exists(pid)
        assert not directory.exists()
        with pytest.raises(OSError, match="all attempts to connect"):
            await trio.open_tcp_stream("127.0.0.1", port)


async def test_a_client_that_goes_away_during_a_stop_does_not_call_it_off(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        generation = await world.keep(FILES)
        await world.launch(generation)
        active = world.service.previews.active(generation)
        assert active is not None
        async with await connect(world.address) as stream:
            head = f"DELETE {PREFIX['v1'].format(generation)}/preview HTTP/1.1\r\nHost: localhost\r\n"
            await stream.send_all(f"{head}Authorization: Bearer {world.token('ann')}\r\n\r\n".encode())
            # From the first sign of the stop on, the client is of no more use.
            with active.log.subscribe(tail=0) as log:
                while not any(isinstance(one, StatusChange) and one.state == "stopping" for one in await log.receive()):
                    pass
        await active.over.wait()
        assert world.service.previews.active(generation) is None


async def test_config_shows_the_limits_in_both_documents(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        generation = await world.keep(FILES)
        in_plan = (await world.ask("GET", PREFIX["plan"].format(generation) + "/preview/config")).json()
        before = (await world.ask("GET", PREFIX["v1"].format(generation) + "/preview/config")).json()
        launched = await world.launch(generation)
        after = (await world.ask("GET", PREFIX["v1"].format(generation) + "/preview/config")).json()
    plan.PlanConfig.model_validate(in_plan)
    v1.Config.model_validate(before)
    assert in_plan["limitations"]["tier"] == "free"
    assert (before["port"], after["port"]) == (None, launched["port"])


@pytest.mark.parametrize("rest", ["/endpoints", "/preview/endpoints"])
async def test_endpoints_are_known_before_a_launch_and_better_when_it_runs(tmp_path: Path, rest: str) -> None:
    async with open_world(tmp_path) as world:
        generation = await world.keep(FILES)
        before = (await world.ask("GET", PREFIX["plan"].format(generation) + rest)).json()
        await world.launch(generation)
        after = (await world.ask("GET", PREFIX["v1"].format(generation) + rest)).json()
        again = (await world.ask("GET", PREFIX["v1"].format(generation) + rest)).json()
    plan.PlanEndpoints.model_validate(before)
    v1.Endpoints.model_validate(after)
    assert "/health" in {one["path"] for one in before["endpoints"]}
    assert {(one["method"], one["path"]) for one in before["endpoints"]} <= {
        (one["method"], one["path"]) for one in after["endpoints"]
    }
    assert after["count"] == len(after["endpoints"])
    assert again == after


async def test_a_preview_without_openapi_is_shown_by_its_source_and_its_routes(tmp_path: Path) -> None:
    files = FILES | {"main.py": FILES["main.py"].replace("app = FastAPI()", "app = FastAPI(openapi_url=None)")}
    async with open_world(tmp_path) as world:
        generation = await world.keep(files)
        before = (await world.ask("GET", PREFIX["v1"].format(generation) + "/endpoints")).json()
        await world.launch(generation)
        after = (await world.ask("GET", PREFIX["v1"].format(generation) + "/endpoints")).json()
        assert {one["source"] for one in before["endpoints"]} == {"static"}
        assert after["endpoints"] == [one | {"source": "application"} for one in before["endpoints"]]
        assert after["count"] > 5


async def test_endpoints_of_a_preview_that_runs_are_read_from_its_own_folder(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        generation = await world.keep(FILES)
        await world.launch(generation)
        assert (await world.ask("GET", PREFIX["v1"].format(generation) + "/endpoints")).json()["count"] > 5


async def test_a_preview_is_stopped_while_the_database_is_away_and_its_row_follows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def no_answer(*_: object) -> None:
        raise DatabaseUnavailable("away")

    async with open_world(tmp_path) as world:
        generation = await world.keep(FILES)
        launched = await world.launch(generation)
        with monkeypatch.context() as patch:
            patch.setattr(Database, "_run", no_answer)
            path = PREFIX["v1"].format(generation) + "/preview"
            assert (await world.ask("DELETE", path, user="bob")).status_code == 403
            assert (await world.ask("DELETE", path)).status_code == 204
            assert not world.service.previews.all_active
        while world.service.previews._context.pending:  # noqa: ASYNC110  the cleanup's own time
            await trio.sleep(0.05)
        stored = await world.ask("GET", f"/api/v1/previews/{launched['id']}")
    assert stored.json()["status"] == "stopped"
