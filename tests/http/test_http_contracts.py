from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from preview.core.isolation import Network
from preview.core.lifecycle import Health, State
from preview.endpoints import Endpoint, Listing
from preview.http.contracts import Facts, plan, v1
from preview.http.contracts.content import content_of, folded
from preview.http.contracts.shared import Ticket
from preview.http.core.answers import Answer, camel, json_answer, whole
from preview.proxy import ProxyResponse
from preview.runtime import Held, Limits, Usage
from preview.settings import load_settings
from preview.storage.tables import PreviewRecord
from preview.supervisor import Confinement
from preview.supervisor.preview.confinement import Reached
from preview.supervisor.preview.control import Launched

AT = datetime(2025, 10, 20, 12, 30, 0, 123000, UTC)
LATER = datetime(2025, 10, 20, 13, 30, tzinfo=UTC)


def shown_as(answer: Answer) -> Any:
    """What a client reads."""
    return json.loads(json_answer(answer).response.data)  # type: ignore[attr-defined]  # a body in memory


def record(**changes: Any) -> PreviewRecord:
    values: dict[str, Any] = {
        "id": "preview_789abc",
        "generation_id": "gen_1",
        "project_id": "proj_1",
        "user_id": "ann",
        "state": State.RUNNING,
        "health": Health.HEALTHY,
        "created_at": AT,
        "expires_at": LATER,
        "token_hash": "not shown",
        "token_expires_at": LATER,
        "log_level": "ERROR",
        "port": 3001,
        "base_url": "http://localhost:3001",
        "health_path": "/health",
        "started_at": AT,
        "last_health_check": AT,
    }
    return PreviewRecord(**values | changes)


def endpoint(**changes: Any) -> Endpoint:
    values: dict[str, Any] = {
        "method": "GET",
        "path": "/books",
        "summary": "Books",
        "description": "All books.",
        "tags": ("books",),
        "query": {},
        "request_body": None,
        "response_schema": None,
        "file": "main.py",
        "line": 1,
    }
    return Endpoint(**values | changes)


def test_plan_launch() -> None:
    shown = shown_as(plan.PlanLaunched.of(Launched(record(state=State.STARTING), "secret")))
    assert shown == {
        "status": "launched",
        "previewInstanceId": "preview_789abc",
        "generationId": "gen_1",
        "baseUrl": "http://localhost:3001",
        "previewToken": "secret",
        "expiresAt": "2025-10-20T13:30:00.000Z",
        "healthCheckUrl": "http://localhost:3001/health",
    }


def test_v1_launch() -> None:
    shown = shown_as(v1.Launched.of(Launched(record(state=State.STARTING), "secret")))
    assert shown == {
        "id": "preview_789abc",
        "generation_id": "gen_1",
        "user_id": "ann",
        "project_id": "proj_1",
        "status": "starting",
        "port": 3001,
        "base_url": "http://localhost:3001",
        "session_token": "secret",
        "created_at": "2025-10-20T12:30:00.123Z",
    }


def test_plan_status() -> None:
    shown = shown_as(plan.PlanStatus.of(Facts(record(), None, 12.9, [endpoint()])))
    assert shown == {
        "previewInstanceId": "preview_789abc",
        "status": "running",
        "baseUrl": "http://localhost:3001",
        "uptime": 12,
        "lastHealthCheck": "2025-10-20T12:30:00.123Z",
        "healthStatus": "healthy",
        "createdAt": "2025-10-20T12:30:00.123Z",
        "expiresAt": "2025-10-20T13:30:00.000Z",
        "generatedEndpoints": [{"method": "GET", "path": "/books", "description": "All books."}],
        "steps": [],
        "isolation": None,
        "limits": None,
        "reached": [],
        "crash": None,
    }


def test_v1_status() -> None:
    shown = shown_as(v1.Status.of(Facts(record(), Usage(50 * 1024 * 1024, 12.34, 3), 12.9)))
    assert shown == {
        "id": "preview_789abc",
        "status": "running",
        "port": 3001,
        "base_url": "http://localhost:3001",
        "uptime_seconds": 12,
        "memory_usage_mb": 50.0,
        "cpu_usage_percent": 12.3,
        "health": "healthy",
        "started_at": "2025-10-20T12:30:00.123Z",
        "steps": [],
        "isolation": None,
        "limits": None,
        "reached": [],
        "crash": None,
        "checks": None,
    }


def confinement() -> Confinement:
    limits = Limits(512 * 2**20, 1024, 256, 2**30, cpu_cores=0.5, temp_bytes=64 * 2**20)
    held: frozenset[Held] = frozenset({"memory", "cpu"})
    made = Confinement("sandbox", Network.NONE, ("files: its own",), held, limits, 2**30, 1000)
    made.reached.append(Reached("cpu", "limited to 0.5 cores"))
    return made


def test_both_contracts_name_what_holds_a_preview_in_and_to() -> None:
    in_v1 = shown_as(v1.Status.of(Facts(record(), confinement=confinement())))
    assert in_v1["isolation"] == {"runtime": "sandbox", "network": "none", "holds": ["files: its own"]}
    assert in_v1["limits"] == {
        "memory_mb": 512,
        "cpu_cores": 0.5,
        "processes": None,
        "open_files": 1024,
        "disk_mb": 1024,
        "file_bytes": 2**30,
        "temp_bytes": 64 * 2**20,
        "output_bytes_per_s": 1000,
    }
    assert in_v1["reached"] == [{"limit": "cpu", "message": "limited to 0.5 cores"}]
    watched = shown_as(v1.WatchedInstance.of(record(), confinement(), 3))
    assert (watched["limits"], watched["watchers"]) == (in_v1["limits"], 3)
    in_plan = shown_as(plan.PlanStatus.of(Facts(record(), confinement=confinement())))
    assert {camel(name): value for name, value in in_v1["limits"].items()} == in_plan["limits"]
    assert in_plan["reached"] == in_v1["reached"]


@pytest.mark.parametrize(
    ("state", "in_plan", "in_v1"),
    [
        (State.STARTING, "launching", "starting"),
        (State.RUNNING, "running", "running"),
        (State.STOPPING, "stopping", "stopping"),
        (State.STOPPED, "stopped", "stopped"),
        (State.FAILED, "failed", "failed"),
    ],
)
def test_each_contract_has_its_words_for_states(state: State, in_plan: str, in_v1: str) -> None:
    assert shown_as(plan.PlanStatus.of(Facts(record(state=state))))["status"] == in_plan
    assert shown_as(v1.Status.of(Facts(record(state=state))))["status"] == in_v1


def test_a_failed_preview_shows_its_reason_and_exit_code_in_both_contracts() -> None:
    failed = Facts(record(state=State.FAILED, reason="it crashed", exit_code=3))
    in_plan, in_v1 = shown_as(plan.PlanStatus.of(failed)), shown_as(v1.Status.of(failed))
    assert (in_plan["reason"], in_plan["exitCode"], in_plan["exitSignal"]) == ("it crashed", 3, None)
    assert (in_v1["reason"], in_v1["exit_code"], in_v1["exit_signal"]) == ("it crashed", 3, None)


def test_stop() -> None:
    shown = shown_as(plan.PlanStopped.of(record(state=State.STOPPED, stopped_at=LATER)))
    assert shown == {
        "status": "stopped",
        "message": "Preview instance stopped successfully",
        "stoppedAt": "2025-10-20T13:30:00.000Z",
    }


def test_plan_endpoints_have_a_schema_key_only_where_one_is_known() -> None:
    known = endpoint(
        method="POST",
        description="",
        query={"page": "integer"},
        request_body={"name": "string"},
        response_schema={"id": "integer"},
    )
    shown = shown_as(plan.PlanEndpoints.of(Listing((endpoint(), known), ("app.js:3: \ud800",))))
    assert shown == {
        "endpoints": [
            {"method": "GET", "path": "/books", "description": "All books.", "source": "static"},
            {
                "method": "POST",
                "path": "/books",
                "description": "Books",
                "source": "static",
                "requestSchema": {"query": {"page": "integer"}},
                "requestBody": {"name": "string"},
                "responseSchema": {"id": "integer"},
            },
        ],
        "complete": False,
        "unread": ["app.js:3: ?"],
    }


def test_v1_endpoints_are_counted() -> None:
    shown = shown_as(v1.Endpoints.of(Listing((endpoint(),))))
    assert shown == {
        "endpoints": [
            {
                "path": "/books",
                "method": "GET",
                "summary": "Books",
                "description": "All books.",
                "tags": ["books"],
                "source": "static",
                "file": endpoint().file,
                "line": endpoint().line,
                "parameters": [],
                "bodies": [],
                "credentials": [],
            }
        ],
        "count": 1,
        "complete": True,
        "unread": [],
        "sockets": [],
    }


def test_plan_config_is_the_document_s_example_with_the_default_settings() -> None:
    settings = load_settings()
    shown = shown_as(plan.PlanConfig.of(settings, settings.tier("free"), None))
    assert shown == {
        "previewTimeout": 3600,
        "maxInstances": 1,
        "sessionExpiry": 1800,
        "autoStopInactiveAfter": 1800,
        "environment": {"NODE_ENV": "development", "LOG_LEVEL": "ERROR"},
        "limitations": {
            "tier": "free",
            "maxConcurrentPreviews": 1,
            "maxSessionDuration": 3600,
            "features": {"websocketLogs": True, "advancedMetrics": False},
        },
    }


@pytest.mark.parametrize(("active", "port", "url"), [(None, None, None), (record(), 3001, "http://localhost:3001")])
def test_v1_config(active: PreviewRecord | None, port: int | None, url: str | None) -> None:
    settings = load_settings()
    shown = shown_as(v1.Config.of(settings, settings.tier("pro"), active))
    assert shown == {
        "port": port,
        "base_url": url,
        "session_timeout": 1800,
        "max_uptime": 3600,
        "memory_limit_mb": 1024,
        "timeout_seconds": 30,
    }


def answer(body: bytes, kind: str | None = None, status: int = 200) -> ProxyResponse:
    return ProxyResponse(status, [("Content-Type", kind)] if kind else [], body, 3.4)


def test_a_json_answer_is_parsed_in_plan_and_text_in_v1() -> None:
    came = answer(b'{"a": 1}', "application/json", 404)
    assert shown_as(plan.PlanProxied.of(came, "r1", range(7, 9))) == {
        "requestId": "r1",
        "log": {"firstSeq": 7, "lastSeq": 8},
        "statusCode": 404,
        "data": {"a": 1},
        "headers": {"content-type": "application/json"},
    }
    assert shown_as(v1.Proxied.of(came, "r1", range(7, 9))) == {
        "request_id": "r1",
        "log": {"first_seq": 7, "last_seq": 8},
        "status_code": 404,
        "headers": {"content-type": "application/json"},
        "body": '{"a": 1}',
        "elapsed_ms": 3.4,
    }


def in_plan(came: ProxyResponse) -> Any:
    return shown_as(plan.PlanProxied.of(came, "r1", range(0)))


def in_v1(came: ProxyResponse) -> Any:
    return shown_as(v1.Proxied.of(came, "r1", range(0)))


def test_a_json_answer_of_any_depth_is_passed_on() -> None:
    deep = json.loads("[" * 400 + "]" * 400)
    assert in_plan(answer(json.dumps(deep).encode(), "application/json"))["data"] == deep


def test_text_that_is_no_unicode_is_passed_on_as_far_as_it_can_be() -> None:
    assert in_plan(answer(b'"\\ud800"', "application/json"))["data"] == "?"
    assert shown_as(v1.Endpoints.of(Listing((endpoint(summary="\ud800"),))))["endpoints"][0]["summary"] == "?"


def test_json_null_is_a_parsed_value_too() -> None:
    assert in_plan(answer(b"null", "application/json"))["data"] is None


@pytest.mark.parametrize("body", [b"{broken", b"NaN", b"[Infinity]", b"[" * 100_000, b"9" * 5000])
def test_an_answer_that_only_says_it_is_json_stays_text(body: bytes) -> None:
    assert in_plan(answer(body, "application/json"))["data"] == body.decode()


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"\x89PNG", "image/png"),
        (b"\xff", "text/plain"),
        (b"a\0b", "text/plain"),
        (b"x", "text/plain; charset=klingon"),
    ],
)
def test_an_answer_that_is_not_text_comes_as_base64_with_an_encoding(body: bytes, kind: str) -> None:
    assert in_plan(answer(body, kind))["encoding"] == "base64"
    assert in_v1(answer(body, kind))["encoding"] == "base64"


@pytest.mark.parametrize(
    ("body", "kind", "text"),
    [
        (b"caf\xe9", "text/html; charset=ISO-8859-1", "café"),
        ("ü".encode(), None, "ü"),
        (b"<a/>", "application/atom+xml", "<a/>"),
        (b'{"a":1}', "application/problem+json; charset=utf-8", '{"a":1}'),
        (b"a=1", "application/x-www-form-urlencoded", "a=1"),
        (b"x", 'text/plain; format=flowed; charset="utf-8"', "x"),
    ],
)
def test_text_is_decoded_by_its_charset(body: bytes, kind: str | None, text: str) -> None:
    assert content_of(answer(body, kind)).text == text
    assert content_of(answer(body, kind)).encoding is None


@given(st.binary(max_size=50), st.sampled_from(["", "text/plain", "application/json", "x/y", "text/a; charset=utf-16"]))
def test_any_answer_can_be_shown(body: bytes, kind: str) -> None:
    plan.PlanProxied.model_validate(in_plan(answer(body, kind)))
    v1.Proxied.model_validate(in_v1(answer(body, kind)))


def test_repeated_headers_are_joined_and_repeated_cookies_are_listed() -> None:
    assert folded([("Vary", "a"), ("vary", "b"), ("Set-Cookie", "c"), ("set-cookie", "d")]) == {
        "vary": "a, b",
        "set-cookie": ["c", "d"],
    }
    assert folded([("Set-Cookie", "c")]) == {"set-cookie": "c"}


def test_small_forms() -> None:
    assert camel("last_lines") == "lastLines"
    assert (whole(3600.0), whole(0.5)) == (3600, 0.5)
    assert shown_as(Ticket(ticket="t", expires_in=60.0)) == {"ticket": "t", "expires_in": 60}
