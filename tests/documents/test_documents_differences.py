"""Each row of the table in ``docs/differences.md``: what the service does where it differs from the documents."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import httpx2
import pytest
from documents_kit import DOCS, PREFIXES, DocumentsClient, Live

from preview.settings import Settings

CONTRACTS = ["plan", "v1"]
ROUTES = [
    ("POST", "/preview/launch"),
    ("GET", "/preview/status"),
    ("DELETE", "/preview"),
    ("GET", "/endpoints"),
    ("POST", "/preview/request"),
    ("GET", "/preview/config"),
    ("GET", "/preview/logs/stream"),
]


def test_the_table_and_these_tests_name_each_other() -> None:
    table = (DOCS / "differences.md").read_text().partition("## Further keys")[0]
    rows = [line for line in table.splitlines() if line.startswith("| ")][2:]
    named = [re.findall(r"`(test_\w+)` \|$", row) for row in rows]
    assert all(len(one) == 1 for one in named), rows
    here = set(re.findall(r"^def (test_\w+)", Path(__file__).read_text(), re.MULTILINE))
    shown = here - {"test_the_table_and_these_tests_name_each_other"}
    assert sorted(name for one in named for name in one) == sorted(shown)


@pytest.mark.parametrize("contract", CONTRACTS)
def test_a_stream_closes_its_connection(service: DocumentsClient, live: Live, contract: str) -> None:
    headers = {"Authorization": f"Bearer {service.token(live.user)}"}
    with service.client.stream("GET", live.path(contract, "/preview/logs/stream"), headers=headers) as answer:
        assert answer.status_code == 200
        assert answer.headers["Connection"] == "close"


@pytest.mark.parametrize("contract", CONTRACTS)
@pytest.mark.parametrize(("method", "rest"), ROUTES)
def test_an_unknown_generation_is_a_404(service: DocumentsClient, contract: str, method: str, rest: str) -> None:
    body = {"method": "GET", "path": "/"} if rest == "/preview/request" else None
    answer = service.ask(method, f"{PREFIXES[contract]}/gen_unknown{rest}", body, user="nobody")
    assert (answer.status_code, answer.json().get("code", answer.json().get("error"))) == (404, "generation_not_found")


def test_a_docstring_is_the_description(service: DocumentsClient, live: Live) -> None:
    found = service.ask("GET", live.path("v1", "/preview/endpoints"), user=live.user).json()["endpoints"]
    described = {(one["method"], one["path"]): (one["summary"], one["description"]) for one in found}
    assert described["GET", "/books"] == ("Books", "List all books.")
    assert described["POST", "/books"] == ("Add", "")
    in_plan = service.ask("GET", live.path("plan", "/endpoints"), user=live.user).json()["endpoints"]
    assert {one["description"] for one in in_plan if one["path"] == "/books"} == {"List all books.", "Add"}


@pytest.mark.parametrize("contract", CONTRACTS)
def test_an_event_source_needs_a_ticket_or_a_cookie(service: DocumentsClient, live: Live, contract: str) -> None:
    """As a browser sends it; ``test_documents_clients`` has a real one."""
    path = live.path(contract, "/preview/logs/stream")
    assert service.ask("GET", path, user=None).status_code == 401
    ticket = service.ask("POST", live.path(contract, "/preview/logs/ticket"), user=live.user).json()["ticket"]
    with service.client.stream("GET", path, params={"ticket": ticket}) as answer:
        assert (answer.status_code, answer.headers["Content-Type"]) == (200, "text/event-stream")


@pytest.mark.parametrize("rest", ["/preview/status", "/preview/logs/stream"])
def test_a_command_without_a_token_is_refused(service: DocumentsClient, live: Live, rest: str) -> None:
    """The documents' common commands, as they stand there."""
    said = subprocess.run(
        ["curl", "-s", "-o", "-", "-w", "%{http_code}", f"{service.url}{live.path('v1', rest)}"],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert '"code": "unauthenticated"' in said.stdout
    assert said.stdout.endswith("401")


def test_the_databases_are_below_the_data_folder(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path)
    assert str(settings.db_path) == "storage/previews"
    assert settings.resolved_db_path == tmp_path / "storage" / "previews"


def test_a_preview_gets_a_core(service: DocumentsClient, live: Live) -> None:
    assert Settings().cpu_limit == 1.0
    assert Settings(cpu_limit=0.5).cpu_limit == 0.5
    limits = service.ask("GET", live.path("v1", "/preview/status"), user=live.user).json()["limits"]
    # Null where the machine limits no processor time.
    assert limits["cpu_cores"] in (1.0, None)


def test_the_list_of_previews_has_its_own_keys(service: DocumentsClient, live: Live) -> None:
    answer: httpx2.Response = service.ask("GET", "/api/v1/previews", user=live.user)
    assert answer.json().keys() == {"previews", "next_cursor"}
    assert [one["id"] for one in answer.json()["previews"]] == [live.preview]
