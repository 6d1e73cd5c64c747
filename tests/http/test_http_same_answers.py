"""Every request of both contracts gets the same answer, however the preview is isolated and started."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import trio
from engine_kit import IN_CONTAINERS, engine_or_skip, use_engine
from http_kit import World, open_world

from preview.rollout import FlagName

# Without packages: launching it takes a moment.
_BACKEND = """
import json

ANSWERS = {"/binary": ("image/png", b"\\x89PNG\\x00"), "/text": ("text/plain; charset=utf-8", "plain \u00fc".encode())}


def app(environ, start_response):
    path = environ["PATH_INFO"]
    content = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    said = {"method": environ["REQUEST_METHOD"], "query": environ["QUERY_STRING"], "body": content.decode()}
    said |= {"own": environ.get("HTTP_X_OWN"), "kind": environ.get("CONTENT_TYPE")}
    kind, body = ANSWERS.get(path, ("application/json", json.dumps(said).encode()))
    status = "404 Not Found" if path == "/missing" else "200 OK"
    start_response(status, [("Content-Type", kind), ("Content-Length", str(len(body))), ("X-Hop", "1")])
    return [body]
"""
_FILES = {
    "main.py": _BACKEND,
    "preview.toml": '[start]\nframework = "flask"\nserver = "wsgi"\napp = "main:app"\n',
}
# Values that differ between any two launches; their names and types are compared.
_VARYING = frozenset(
    {
        "id", "previewinstanceid", "previewtoken", "session_token", "port", "base_url", "baseurl", "healthcheckurl",
        "created_at", "createdat", "started_at", "startedat", "expires_at", "expiresat", "stoppedat", "uptime",
        "uptime_seconds", "memory_usage_mb", "cpu_usage_percent", "lasthealthcheck", "elapsed_ms", "ticket", "date",
        "preview_id", "request_id", "requestid", "x-request-id", "timestamp", "first_seq", "last_seq",
        "firstseq", "lastseq",
    }
)  # fmt: skip
# How the preview is isolated, started and limited is what the arms differ in.
_OF_ARM = frozenset({"isolation", "limits", "steps", "lines"})
_IDS = re.compile(r"(preview|gen|req)_[a-z0-9]{8,}|localhost:\d+|127\.0\.0\.1:\d+|\b23\d{3}\b")


def shape(value: Any, *, name: str = "") -> Any:
    """The value without ids and times; what an arm may change is compared by its names and types."""
    if name == "log":
        # Null until the call's line has arrived.
        return name
    if name in _OF_ARM:
        return type(value).__name__
    if isinstance(value, dict):
        return {key: shape(one, name=key.lower() if key.lower() in _VARYING else key) for key, one in value.items()}
    if name in _VARYING:
        return "varies" if value is not None else None
    if isinstance(value, list):
        return [shape(one) for one in value]
    if isinstance(value, str) and value.startswith("{"):
        # The body of a preview's response, as text.
        return shape(json.loads(value))
    return _IDS.sub("ID", value) if isinstance(value, str) else value


def _requests() -> list[tuple[str, str, Any]]:
    """Requests of both contracts, but for the launch and the stop."""

    def call(method: str, path: str, **more: Any) -> tuple[str, str, Any]:
        return ("POST", "/preview/request", {"method": method, "path": path, **more})

    return [
        ("GET", "/preview/status", None),
        ("GET", "/preview/config", None),
        ("GET", "/endpoints", None),
        ("GET", "/preview/endpoints", None),
        ("POST", "/preview/logs/ticket", {}),
        ("GET", "/preview/logs?limit=1", None),
        ("POST", "/preview/launch", {}),
        call("GET", "/health"),
        call("POST", "/echo", query={"page": "2"}, body={"a": [1, None, "\u00fc"]}, headers={"X-Own": "1"}),
        call("DELETE", "/echo", body="text"),
        call("GET", "/binary"),
        call("GET", "/text"),
        call("GET", "/missing"),
        call("GET", "http://elsewhere/"),
        call("BREW", "/health"),
        call("GET", "/../etc/passwd"),
    ]


async def answers_of(world: World, generation: str, arm: dict[str, str]) -> dict[str, Any]:
    """Launch with these flags, in either contract, and return what each request of both contracts was answered."""
    flags = (await world.ask("GET", "/api/v1/operator/flags", user="root")).json()["items"]
    versions = {one["name"]: one["version"] for one in flags}
    for name, value in arm.items():
        body = {"value": value, "version": versions[name]}
        answer = await world.ask("PUT", f"/api/v1/operator/flags/{name}", body, user="root")
        assert answer.status_code == 200, answer.text
    found: dict[str, Any] = {}

    async def ask(prefix: str, method: str, path: str, body: Any, token: str) -> Any:
        url = f"{prefix}/generations/{generation}{path}"
        answer = await world.ask(method, url, body, headers={"X-Preview-Token": token})
        kind = answer.headers.get("content-type", "").partition(";")[0]
        content = answer.json() if answer.content and "json" in kind else answer.text
        label = f"{len(found)}: {method} {url} {json.dumps(body)}"
        found[_IDS.sub("ID", label)] = (answer.status_code, kind, shape(content))
        return content

    for prefix, first in (("/api/v1", {}), ("/api", {"generationId": generation, "projectId": "proj_1"})):
        launched = await ask(prefix, "POST", "/preview/launch", first, "")
        token = launched.get("session_token") or launched["previewToken"]
        made = launched.get("id") or launched["previewInstanceId"]
        record = await world.service.previews.wait_ready(made, 60)
        assert record.runtime == arm["isolation"]
        for method, path, body in _requests():
            await ask(prefix, method, path, first if path == "/preview/launch" else body, token)
        await ask(prefix, *_requests()[7], "wrong")
        await ask(prefix, "DELETE", "/preview", None, "")
        await ask(prefix, "GET", "/preview/status", None, "")
        await ask(prefix, *_requests()[7], token)
    return found


async def _answers(world: World, arms: list[dict[str, str]]) -> list[dict[str, Any]]:
    generation = await world.keep(_FILES)
    return [await answers_of(world, generation, arm) for arm in arms]


def _compare(answers: list[dict[str, Any]]) -> None:
    first = answers[0]
    assert len(first) == 2 * (1 + len(_requests()) + 4)
    assert {status for status, _, _ in first.values()} >= {200, 201, 204, 400, 403, 404, 409, 503}
    for found in answers[1:]:
        pairs = {label: (first.get(label), found.get(label)) for label in {*first, *found}}
        assert {label: pair for label, pair in pairs.items() if pair[0] != pair[1]} == {}


async def test_plain_sandboxed_and_warm_previews_give_the_same_answers(tmp_path: Path) -> None:
    async with open_world(tmp_path, operators="root", isolation="trusted", warm_templates=1, spares=0) as world:
        if world.service.runtime.name == "plain":
            pytest.skip("no sandbox on this machine")
        arms = [("plain", "cold"), ("sandbox", "cold"), ("sandbox", "warm")]
        found = await _answers(world, [{"isolation": level, "warm": warm} for level, warm in arms])
        document = (await world.ask("GET", "/openapi.json")).json()
    _compare(found)
    # The paths of the first contract; the second one has the same, and more that this test is not about.
    asked = {(method, path.partition("?")[0]) for method, path, _ in _requests()} | {("DELETE", "/preview")}
    # Lines of a log tell how the preview is isolated; their frames have tests of their own.
    asked |= {("GET", "/preview/logs/stream"), ("GET", "/preview/logs/ws")}
    offered = {
        (method.upper(), path.partition("}")[2])
        for path, operations in document["paths"].items()
        for method in operations
        if path.startswith("/api/generations/") and method != "parameters"
    }
    assert offered <= asked, offered - asked


@pytest.mark.parametrize("engine_name", IN_CONTAINERS)
async def test_previews_in_containers_give_the_same_answers(
    engine_name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_engine(engine_name, monkeypatch)
    engine = await trio.to_thread.run_sync(engine_or_skip)
    changes: dict[str, Any] = {"operators": "root", "isolation": "trusted", "warm_templates": 1, "spares": 0}
    async with open_world(tmp_path, container_engine=f"unix://{engine}", **changes) as world:
        if "container" not in world.service.rollout.offers[FlagName.ISOLATION].values:
            pytest.skip("no containers on this machine")
        found = await _answers(world, [{"isolation": level, "warm": "cold"} for level in ("plain", "container")])
    _compare(found)
