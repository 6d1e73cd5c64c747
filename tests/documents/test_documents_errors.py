"""The documents' error rows: status, words and shape in both contracts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest
from documents_kit import PREFIXES, DocumentsClient, Live, differences, launch_live, open_documents_service

CONTRACTS = ["plan", "v1"]
NEVER_READY = {
    "main.py": "import time\nfrom fastapi import FastAPI\napp = FastAPI()\ntime.sleep(60)\n",
    "requirements.txt": "fastapi\n",
}
CRASHING = {
    "main.py": "from fastapi import FastAPI\napp = FastAPI()\nraise SystemExit(3)\n",
    "requirements.txt": "fastapi\n",
}
SEVEN = [
    ("POST", "/preview/launch"),
    ("GET", "/preview/status"),
    ("DELETE", "/preview"),
    ("GET", "/endpoints"),
    ("GET", "/preview/endpoints"),
    ("POST", "/preview/request"),
    ("GET", "/preview/config"),
    ("GET", "/preview/logs/stream"),
    ("POST", "/preview/logs/ticket"),
]


@dataclass(frozen=True)
class Row:
    """An error of the documents: the status in ``plan`` and in ``v1``, and the code."""

    plan: int
    v1: int
    code: str

    def check(self, contract: str, answer: httpx2.Response, route: str = "") -> Any:
        """The answer's ``details``, once all else is as documented."""
        assert answer.status_code == (self.plan if contract == "plan" else self.v1), answer.text
        body = answer.json()
        if contract == "v1":
            assert answer.headers["Content-Type"] == "application/problem+json"
            assert differences("v1 error", body) == []
            assert (body["code"], body["status"]) == (self.code, answer.status_code)
            assert body["instance"] == answer.request.url.path
            return body["details"]
        assert answer.headers["Content-Type"] == "application/json"
        details = body.get("details", {})
        if route == "launch error":
            assert differences("plan launch error", body) == []
            return details
        bare = {key: value for key, value in body.items() if key != "details"}
        assert differences(f"plan {route or 'error'}", bare) == []
        assert body["error"] == self.code
        if route == "request error":
            assert body["statusCode"] == self.v1
        elif answer.status_code == 404:
            assert body["status"] == "not_found"
        return details


UNAUTHENTICATED = Row(401, 401, "unauthenticated")
FORBIDDEN = Row(403, 403, "forbidden")
NO_PREVIEW = Row(404, 404, "no_active_preview")


def route_of(rest: str) -> str:
    return "request error" if rest == "/preview/request" else "error"


@pytest.mark.parametrize("contract", CONTRACTS)
@pytest.mark.parametrize(("method", "rest"), SEVEN)
def test_no_token_and_somebody_else_s_token(
    service: DocumentsClient, live: Live, contract: str, method: str, rest: str
) -> None:
    body = {"method": "GET", "path": "/"} if rest == "/preview/request" else None
    nobody = service.ask(method, live.path(contract, rest), body, user=None)
    UNAUTHENTICATED.check(contract, nobody, route_of(rest))
    assert nobody.headers["WWW-Authenticate"] == 'Bearer realm="preview"'
    wrong = service.ask(method, live.path(contract, rest), body, user=None, headers={"Authorization": "Bearer x.y.z"})
    UNAUTHENTICATED.check(contract, wrong, route_of(rest))
    assert wrong.headers["WWW-Authenticate"].startswith('Bearer realm="preview", error="invalid_token"')
    stranger = service.ask(method, live.path(contract, rest), body, user="stranger")
    FORBIDDEN.check(contract, stranger, route_of(rest))
    # Nothing about the preview.
    assert live.preview not in stranger.text


@pytest.mark.parametrize("contract", CONTRACTS)
@pytest.mark.parametrize(
    ("method", "rest"), [("GET", "/preview/status"), ("DELETE", "/preview"), ("GET", "/preview/logs/stream")]
)
def test_no_preview(service: DocumentsClient, contract: str, method: str, rest: str) -> None:
    generation = service.keep("idle", {"main.py": ""})
    answer = service.ask(method, f"{PREFIXES[contract]}/{generation}{rest}", user="idle")
    details = NO_PREVIEW.check(contract, answer)
    if contract == "plan":
        assert answer.json() == {
            "details": details,
            "status": "not_found",
            "error": "no_active_preview",
            "message": "No active preview for this generation",
        }


@pytest.mark.parametrize("contract", CONTRACTS)
def test_files_that_cannot_be_run(service: DocumentsClient, contract: str) -> None:
    generation = service.keep("broken", {"notes.txt": "nothing to run"})
    answer = service.ask("POST", f"{PREFIXES[contract]}/{generation}/preview/launch", user="broken")
    details = Row(400, 400, "invalid_generation").check(contract, answer, "launch error")
    if contract == "plan":
        assert details["reason"] == "invalid_generation"
        assert answer.json()["message"].startswith("Cannot launch: Missing required files (")
    missing = details["missingFiles" if contract == "plan" else "missing_files"]
    assert missing
    assert all(isinstance(one, str) and " " not in one for one in missing)


@pytest.mark.parametrize(
    ("contract", "body"),
    [
        ("plan", {"generationId": "gen_other", "projectId": "proj_reader"}),
        ("plan", {"projectId": "proj_other"}),
        ("v1", {"project_id": "proj_other"}),
    ],
)
def test_a_launch_of_another_project_or_generation(
    service: DocumentsClient, live: Live, contract: str, body: dict[str, str]
) -> None:
    answer = service.ask("POST", live.path(contract, "/preview/launch"), body, user=live.user)
    code = "invalid_request" if "generationId" in body else "project_mismatch"
    Row(400, 400, code).check(contract, answer)


@pytest.mark.parametrize("contract", CONTRACTS)
def test_a_second_launch_says_what_would_free_the_way(service: DocumentsClient, live: Live, contract: str) -> None:
    same = service.ask("POST", live.path(contract, "/preview/launch"), user=live.user)
    details = Row(409, 409, "already_running").check(contract, same)
    assert details["previewId" if contract == "plan" else "preview_id"] == live.preview
    other = service.keep(live.user)
    refused = service.ask("POST", f"{PREFIXES[contract]}/{other}/preview/launch", user=live.user)
    details = Row(409, 409, "preview_limit_reached").check(contract, refused)
    assert live.preview in str(details["previews"])


@pytest.fixture(scope="module")
def hasty(tmp_path_factory: pytest.TempPathFactory, cache: Path) -> Iterator[DocumentsClient]:
    """A service that gives a start half the usual time: in the plan a launch cannot say how long its own may take."""
    with open_documents_service(tmp_path_factory.mktemp("hasty"), cache, PREVIEW_STARTUP_TIMEOUT="15") as client:
        yield client


@pytest.mark.parametrize("contract", CONTRACTS)
def test_a_start_that_takes_too_long(request: pytest.FixtureRequest, contract: str) -> None:
    service: DocumentsClient = request.getfixturevalue("hasty" if contract == "plan" else "service")
    user = f"late-{contract}"
    generation = service.keep(user, NEVER_READY)
    prefix = f"{PREFIXES[contract]}/{generation}/preview"
    limit = None if contract == "plan" else {"timeout": 2}
    answer = service.ask("POST", f"{prefix}/launch", limit, user=user, headers={"Prefer": "wait=60"})
    details = Row(504, 504, "startup_timeout").check(contract, answer, "launch error")
    assert contract == "v1" or details["reason"] == "startup_timeout"
    assert details["lastLines" if contract == "plan" else "last_lines"]


@pytest.mark.parametrize("contract", CONTRACTS)
def test_a_start_that_ends(service: DocumentsClient, contract: str) -> None:
    user = f"crash-{contract}"
    generation = service.keep(user, CRASHING)
    path = f"{PREFIXES[contract]}/{generation}/preview/launch"
    answer = service.ask("POST", path, user=user, headers={"Prefer": "wait=60"})
    details = Row(500, 500, "launch_failed").check(contract, answer, "launch error")
    assert details["exitCode" if contract == "plan" else "exit_code"] == 3


@pytest.fixture(scope="module")
def only(narrow: DocumentsClient) -> Iterator[Live]:
    """The one preview that the narrow service has a port for."""
    live = launch_live(narrow, "only")
    yield live
    narrow.stop("only", live.generation)


@pytest.mark.parametrize("contract", CONTRACTS)
def test_no_port_is_500_in_plan_and_503_in_v1(narrow: DocumentsClient, only: Live, contract: str) -> None:
    del only
    generation = narrow.keep("second")
    answer = narrow.ask("POST", f"{PREFIXES[contract]}/{generation}/preview/launch", user="second")
    Row(500, 503, "no_port_available").check(contract, answer)


def send(client: DocumentsClient, live: Live, contract: str, body: dict[str, Any], token: str) -> httpx2.Response:
    path = live.path(contract, "/preview/request")
    return client.ask("POST", path, body, user=live.user, headers={"X-Preview-Token": token})


@pytest.mark.parametrize("contract", CONTRACTS)
@pytest.mark.parametrize("token", ["", "wrong"])
def test_a_request_with_a_wrong_preview_token(service: DocumentsClient, live: Live, contract: str, token: str) -> None:
    answer = send(service, live, contract, {"method": "GET", "path": "/"}, token)
    Row(403, 403, "invalid_preview_token").check(contract, answer, "request error")


@pytest.mark.parametrize("contract", CONTRACTS)
@pytest.mark.parametrize(
    "path", ["books", "http://example.org/", "//example.org/", "/../books", "/a/../../b", "/a\nb", "/a\x00b"]
)
def test_a_path_that_is_not_on_the_preview(service: DocumentsClient, live: Live, contract: str, path: str) -> None:
    answer = send(service, live, contract, {"method": "GET", "path": path}, live.token)
    Row(400, 400, "invalid_path").check(contract, answer, "request error")


@pytest.mark.parametrize("contract", CONTRACTS)
def test_an_unknown_method(service: DocumentsClient, live: Live, contract: str) -> None:
    answer = send(service, live, contract, {"method": "BREW", "path": "/"}, live.token)
    Row(400, 400, "invalid_request").check(contract, answer, "request error")


@pytest.mark.parametrize("contract", CONTRACTS)
def test_a_preview_that_does_not_answer_in_time(narrow: DocumentsClient, only: Live, contract: str) -> None:
    answer = send(narrow, only, contract, {"method": "GET", "path": "/slow"}, only.token)
    Row(504, 504, "upstream_timeout").check(contract, answer, "request error")


@pytest.mark.parametrize("contract", CONTRACTS)
def test_a_body_over_the_limit(narrow: DocumentsClient, only: Live, contract: str) -> None:
    answer = send(narrow, only, contract, {"method": "POST", "path": "/books", "body": "x" * 2000}, only.token)
    Row(413, 413, "body_too_large").check(contract, answer, "request error")


@pytest.mark.parametrize("contract", CONTRACTS)
def test_a_preview_that_does_not_run(service: DocumentsClient, contract: str) -> None:
    user = f"gone-{contract}"
    gone = launch_live(service, user)
    service.stop(user, gone.generation)
    answer = send(service, gone, contract, {"method": "GET", "path": "/books"}, gone.token)
    Row(503, 503, "preview_unavailable").check(contract, answer, "request error")


@contextmanager
def stream(client: DocumentsClient, live: Live, contract: str) -> Iterator[httpx2.Response]:
    headers = {"Authorization": f"Bearer {client.token(live.user)}"}
    with client.client.stream("GET", live.path(contract, "/preview/logs/stream"), headers=headers) as answer:
        yield answer


@pytest.mark.parametrize("contract", CONTRACTS)
def test_too_many_streams(narrow: DocumentsClient, only: Live, contract: str) -> None:
    with stream(narrow, only, contract) as first:
        assert first.status_code == 200
        refused = narrow.ask("GET", only.path(contract, "/preview/logs/stream"), user=only.user)
        Row(429, 429, "too_many_streams").check(contract, refused)
        assert refused.headers["Retry-After"] == "2"
