"""The seven endpoints in both contracts: status, exact keys, types and headers of each answer."""

from __future__ import annotations

import pytest
from document_shapes import SHAPES
from documents_kit import PREFIXES, DocumentsClient, Live, differences, further_keys

CONTRACTS = ["plan", "v1"]


def launch_body(contract: str, generation: str) -> dict[str, object]:
    if contract == "plan":
        return {"generationId": generation, "projectId": "proj_launcher"}
    return {"project_id": "proj_launcher", "timeout": 30}


@pytest.fixture(scope="module")
def stopped_generation(service: DocumentsClient) -> str:
    return service.keep("launcher")


@pytest.mark.parametrize(("contract", "launch_status", "stop_status"), [("plan", 200, 200), ("v1", 201, 204)])
def test_a_launch_and_a_stop(
    service: DocumentsClient, stopped_generation: str, contract: str, launch_status: int, stop_status: int
) -> None:
    prefix = f"{PREFIXES[contract]}/{stopped_generation}/preview"
    launched = service.ask("POST", f"{prefix}/launch", launch_body(contract, stopped_generation), user="launcher")
    assert launched.status_code == launch_status, launched.text
    assert differences(f"{contract} launch", launched.json()) == []
    if contract == "v1":
        assert launched.headers["Location"] == f"/api/v1/previews/{launched.json()['id']}"
        shown = service.ask("GET", launched.headers["Location"], user="launcher")
        assert (shown.status_code, differences("v1 preview", shown.json())) == (200, [])
    else:
        assert "Location" not in launched.headers
    stopped = service.ask("DELETE", prefix, user="launcher")
    assert stopped.status_code == stop_status
    if contract == "plan":
        assert differences("plan stop", stopped.json()) == []
    else:
        assert stopped.content == b""
    assert service.ask("DELETE", prefix, user="launcher").status_code == 404


@pytest.mark.parametrize("contract", CONTRACTS)
def test_the_status_of_a_running_preview(service: DocumentsClient, live: Live, contract: str) -> None:
    answer = service.ask("GET", live.path(contract, "/preview/status"), user=live.user)
    assert (answer.status_code, differences(f"{contract} status", answer.json())) == (200, [])
    assert answer.json()["status"] == "running"
    assert answer.headers["Content-Type"] == "application/json"


@pytest.mark.parametrize("contract", CONTRACTS)
def test_a_failed_preview_stays_visible_with_its_exit_code(service: DocumentsClient, contract: str) -> None:
    user = f"failing-{contract}"
    failing = {"main.py": "from fastapi import FastAPI\napp = FastAPI()\nraise SystemExit(3)\n"}
    generation = service.keep(user, failing | {"requirements.txt": "fastapi\n"})
    prefix = f"{PREFIXES[contract]}/{generation}/preview"
    refused = service.ask("POST", f"{prefix}/launch", user=user, headers={"Prefer": "wait=60"})
    assert refused.status_code == 500
    answer = service.ask("GET", f"{prefix}/status", user=user)
    assert (answer.status_code, differences(f"{contract} failed status", answer.json())) == (200, [])


@pytest.mark.parametrize(
    ("contract", "rest"), [("plan", "/endpoints"), ("v1", "/preview/endpoints"), ("v1", "/endpoints")]
)
def test_the_endpoints(service: DocumentsClient, live: Live, contract: str, rest: str) -> None:
    answer = service.ask("GET", live.path(contract, rest), user=live.user)
    assert (answer.status_code, differences(f"{contract} endpoints", answer.json())) == (200, [])
    found = answer.json()["endpoints"]
    if contract == "v1":
        assert [each for one in found for each in differences("v1 endpoint", one)] == []
    assert {(one["method"], one["path"]) for one in found} >= {("GET", "/books"), ("POST", "/books")}
    assert contract == "plan" or answer.json()["count"] == len(found)


def test_the_endpoints_are_known_before_a_launch(service: DocumentsClient) -> None:
    generation = service.keep("unlaunched")
    answer = service.ask("GET", f"{PREFIXES['plan']}/{generation}/endpoints", user="unlaunched")
    assert ("GET", "/books") in {(one["method"], one["path"]) for one in answer.json()["endpoints"]}


@pytest.mark.parametrize(("contract", "token_in"), [("plan", "header"), ("plan", "body"), ("v1", "header")])
def test_a_request(service: DocumentsClient, live: Live, contract: str, token_in: str) -> None:
    sent = {"method": "GET", "path": "/books", "query": {"page": "2"}, "body": None, "headers": {}}
    token = {"X-Preview-Token": live.token}
    if token_in == "body":
        sent["headers"] = token
    path = live.path(contract, "/preview/request")
    answer = service.ask("POST", path, sent, user=live.user, headers=token if token_in == "header" else {})
    assert (answer.status_code, differences(f"{contract} request", answer.json())) == (200, [])


@pytest.mark.parametrize("contract", CONTRACTS)
def test_the_status_of_a_preview_s_answer_is_inside(service: DocumentsClient, live: Live, contract: str) -> None:
    path, token = live.path(contract, "/preview/request"), {"X-Preview-Token": live.token}
    answer = service.ask("POST", path, {"method": "GET", "path": "/nothing"}, user=live.user, headers=token)
    assert answer.status_code == 200
    assert answer.json()["statusCode" if contract == "plan" else "status_code"] == 404


def test_a_preview_has_the_variables_of_the_documents_and_none_of_the_service(
    service: DocumentsClient, live: Live
) -> None:
    path, token = live.path("plan", "/preview/request"), {"X-Preview-Token": live.token}
    answer = service.ask("POST", path, {"method": "GET", "path": "/environment"}, user=live.user, headers=token)
    found = answer.json()["data"]
    assert found.items() >= {"PYTHONUNBUFFERED": "1", "LOG_LEVEL": "ERROR", "NODE_ENV": "development"}.items()
    assert found["DATABASE_URL"].startswith("sqlite:///")
    assert found["PORT"].isdecimal()
    # The service was started with these.
    assert {"PREVIEW_JWT_SECRET", "PREVIEW_DATA_DIR", "PREVIEW_PORT_MIN"} & found.keys() == set()


@pytest.mark.parametrize("contract", CONTRACTS)
def test_the_config(service: DocumentsClient, live: Live, contract: str) -> None:
    answer = service.ask("GET", live.path(contract, "/preview/config"), user=live.user)
    assert (answer.status_code, differences(f"{contract} config", answer.json())) == (200, [])


@pytest.mark.parametrize("contract", CONTRACTS)
def test_a_stream_ticket(service: DocumentsClient, live: Live, contract: str) -> None:
    answer = service.ask("POST", live.path(contract, "/preview/logs/ticket"), user=live.user)
    assert (answer.status_code, differences("ticket", answer.json())) == (200, [])


def test_each_answer_of_the_page_of_differences_is_one_of_the_fixtures() -> None:
    assert further_keys()
    assert further_keys().keys() <= SHAPES.keys()
