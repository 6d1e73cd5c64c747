"""Flags over HTTP: nobody but operators, nothing out of bounds; then the kill switch, the arms and the contract."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from http_kit import FILES, World, open_world

from preview.people_errors import LaunchesStopped
from preview.supervisor.manager.trials import TrialRequest
from preview.user import User

FLAGS = "/api/v1/operator/flags"


async def put(world: World, name: str, content: dict[str, Any], user: str = "root") -> Any:
    return await world.ask("PUT", f"{FLAGS}/{name}", {"version": 0} | content, user=user)


async def test_only_operators_and_only_what_is_allowed(tmp_path: Path) -> None:
    async with open_world(tmp_path, operators="root") as world:
        off = {"value": "off", "version": 0}
        token = (await world.ask("POST", "/api/v1/tokens", {"name": "t"}, user="root")).json()["token"]
        for method, path, body in (
            ("GET", "", None), ("PUT", "/launches", off), ("DELETE", "/launches", None),
            ("POST", "/launches/dry-run", {"value": "off"}), ("GET", "/launches/arms", None),
        ):  # fmt: skip
            assert (await world.ask(method, FLAGS + path, body)).status_code == 403
            assert (await world.ask(method, FLAGS + path, body, user=None)).status_code == 401
            headers = {"Authorization": f"Bearer {token}"}
            assert (await world.client.request(method, FLAGS + path, json=body, headers=headers)).status_code == 403
        wrong: list[dict[str, Any]] = [
            {"value": "warm"}, {"value": "off", "extra": 1}, {"rules": [{"value": "off", "percent": -1}]},
            {"rules": [{"value": "off", "percent": 100.5}]}, {"rules": [{"value": "off"}] * 51}, {"version": -1},
            {"rules": [{"value": "off", "users": ["a\x1b"]}]}, {"rules": [{"value": "off", "users": []}]},
            {"rules": [{"value": "off", "evil": 1}]},
        ]  # fmt: skip
        for body in wrong:
            assert (await put(world, "launches", body)).status_code == 400, body
        headers = world.headers("root") | {"Content-Type": "application/json"}
        for text in ('{"version": 0, "rules": [{"value": "off", "percent": NaN}]}', '{"version": 1e999}', "[" * 10_000):
            answer = await world.client.put(f"{FLAGS}/launches", content=text, headers=headers)
            assert answer.status_code == 400, answer.text
        huge = await world.client.put(f"{FLAGS}/launches", content="x" * 300_000, headers=headers)
        assert huge.status_code == 413
        for name in ("no", "launches%00", "%1b[31m", "a" * 500):
            answer = await put(world, name, {"value": "off"})
            assert answer.status_code == 404
            assert "\x1b" not in answer.text
        # Below the minimum: whatever this machine has, ``plain`` is not among the values of an untrusting service.
        (isolation,) = [
            one for one in (await world.ask("GET", FLAGS, user="root")).json()["items"] if one["name"] == "isolation"
        ]
        if "plain" in isolation["not_offered"]:
            refused = await put(world, "isolation", {"rules": [{"value": "plain", "users": ["ann"]}]})
            assert refused.status_code == 400
            assert "demands at least" in refused.json()["detail"]


async def test_the_kill_switch_refuses_launches_and_nothing_else(tmp_path: Path) -> None:
    async with open_world(tmp_path, operators="root") as world:
        generation, other = await world.keep(FILES), await world.keep(FILES, user="bob")
        await world.launch(generation)
        reason = "The disk is\x1b[31m changed\n until noon."
        stopped = (await put(world, "launches", {"value": "off", "reason": reason})).json()
        assert (stopped["version"], stopped["updated_by"]) == (1, "root")
        for prefix in ("/api/v1", "/api"):
            body = {} if prefix == "/api/v1" else {"generationId": other, "projectId": "proj_1"}
            path = f"{prefix}/generations/{other}/preview/launch"
            refused = await world.ask("POST", path, body, user="bob")
            assert refused.status_code == 503
            assert "launches_stopped" in refused.text
            assert "The operator has stopped launches: The disk is[31m changed until noon." in refused.text
        base = f"/api/v1/generations/{generation}/preview"
        kept = await world.service.generations.get(generation)
        with pytest.raises(LaunchesStopped):
            async with world.service.previews.trials.open(TrialRequest(User("ann"), kept)):
                pass
        assert (await world.ask("GET", f"{base}/status")).json()["status"] == "running"
        assert (await world.ask("POST", f"{base}/restart", {})).status_code in {200, 201}
        change = await world.ask("PATCH", f"/api/v1/generations/{generation}/files", {"files": {"note.txt": "x"}})
        assert change.status_code < 300, change.text
        await world.stop_preview(generation)
        # Of two operators, the second one has to look first.
        conflict = await put(world, "launches", {"value": "on"})
        assert (conflict.status_code, conflict.json()["code"]) == (409, "flag_changed")
        assert (await world.ask("DELETE", f"{FLAGS}/launches?version=7", user="root")).status_code == 409
        assert (await world.ask("DELETE", f"{FLAGS}/launches?version=1", user="root")).status_code == 200
        await world.launch(other, user="bob")
        audit = (await world.ask("GET", "/api/v1/operator/audit", user="root")).json()["items"]
        wanted = "/api/v1/operator/audit?action=operator: flag changed"
        assert (await world.ask("GET", wanted, user="root")).json()["items"] == [
            one for one in audit if one["action"] == "operator: flag changed"
        ]
        assert (await world.ask("GET", "/api/v1/operator/audit?action=%00", user="root")).json()["items"] == []
        found = [one["detail"] for one in audit if one["action"] == "operator: flag changed" and one["outcome"] == "ok"]
        assert [one.partition(": ")[2] for one in found] == ["off to default", "default to off"]


async def test_a_launch_keeps_its_arm_and_the_arms_are_compared(tmp_path: Path) -> None:
    async with open_world(tmp_path, operators="root") as world:
        generation = await world.keep(FILES)
        (warm,) = [one for one in (await world.ask("GET", FLAGS, user="root")).json()["items"] if one["name"] == "warm"]
        rules = {"rules": [{"value": "off", "users": ["ann"]}]}
        dry = await world.ask("POST", f"{FLAGS}/capture/dry-run", rules, user="root")
        assert dry.json()["by_value"]["off"] == 1
        assert (await put(world, "capture", rules)).status_code == 200
        assert (await put(world, "tracing", {"value": "on"})).status_code == 200
        if warm["default"] != "cold":
            assert (await put(world, "warm", {"value": "cold"})).status_code == 200
        made = await world.launch(generation)
        base = f"/api/v1/generations/{generation}"
        launch = (await world.ask("GET", f"{base}/launches/{made['id']}")).json()
        assert launch["flags"] | {"isolation": ""} == {
            "isolation": "", "warm": "cold", "tracing": "on", "capture": "off",
        }  # fmt: skip
        assert {"name": "flag.capture", "value": "off"} in launch["settings"]
        assert (await world.ask("GET", f"{base}/preview/capture")).json()["capture"] == "off"
        assert (await world.ask("GET", f"{base}/preview/traces")).json()["tracing"] is True
        arms = (await world.ask("GET", f"{FLAGS}/capture/arms", user="root")).json()
        assert [(one["value"], one["launches"], one["failed"]) for one in arms["items"]] == [("off", 1, 0)]
        assert arms["items"][0]["median_ms"] > 0


@pytest.mark.parametrize("contract", ["v1"])
async def test_a_user_may_get_one_contract_only(tmp_path: Path, contract: str) -> None:
    async with open_world(tmp_path, operators="root") as world:
        generation = await world.keep(FILES)
        plan = f"/api/generations/{generation}"
        assert (await world.ask("GET", f"{plan}/preview/config")).status_code == 200
        await put(world, "contract", {"rules": [{"value": contract, "users": ["ann"]}]})
        for method, path in (("GET", "/preview/config"), ("POST", "/preview/launch"), ("GET", "/preview/logs")):
            refused = await world.ask(method, plan + path, {} if method == "POST" else None)
            assert refused.status_code == 403, path
            assert "/api/v1" in refused.text
        # A stop is always possible; there is nothing to stop.
        assert (await world.ask("DELETE", f"{plan}/preview")).status_code == 404
        assert (await world.ask("GET", f"/api/v1/generations/{generation}/preview/config")).status_code == 200
        stranger = await world.ask("GET", f"{plan}/preview/config", user="bob")
        assert (stranger.status_code, "/api/v1" in stranger.text) == (403, False)
