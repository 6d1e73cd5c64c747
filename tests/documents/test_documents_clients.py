"""The documents' client code as it stands there: ``curl`` commands, and what their pages do in a real browser."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from documents_kit import DocumentsClient, Live, differences
from playwright.sync_api import Browser, Page

# "Testing with cURL" of document v1; the address, the ids and the tokens are put in.
LAUNCH = """curl -X POST "http://localhost:8000/api/v1/generations/gen_123/preview/launch" \\
  -H "Authorization: Bearer YOUR_TOKEN" \\
  -H "Content-Type: application/json" \\
  -d '{"project_id": "proj_123"}'"""
STREAM = """curl -N "http://localhost:8000/api/v1/generations/gen_123/preview/logs/stream" \\
  -H "Authorization: Bearer YOUR_TOKEN" """
REQUEST = """curl -X POST "http://localhost:8000/api/v1/generations/gen_123/preview/request" \\
  -H "Authorization: Bearer YOUR_TOKEN" \\
  -H "X-Preview-Token: SESSION_TOKEN" \\
  -H "Content-Type: application/json" \\
  -d '{
    "method": "GET",
    "path": "/api/users",
    "query": {"limit": "10"}
  }'"""
STOP = """curl -X DELETE "http://localhost:8000/api/v1/generations/gen_123/preview" \\
  -H "Authorization: Bearer YOUR_TOKEN" """
# "Common Commands" of document v1, with the credentials that it leaves out.
TEST_ENDPOINT = """curl -X POST http://localhost:8000/api/v1/generations/gen_123/preview/request \\
  -d '{"method":"GET","path":"/health","query":{}}'"""
CREDENTIALS = """ -H "Authorization: Bearer YOUR_TOKEN" -H "X-Preview-Token: SESSION_TOKEN" """

# Of the plan's page; ``terminalUI`` is the page's own.
PLAN_PAGE = """({ generationId, query }) => new Promise((resolve) => {
    const added = []
    const terminalUI = { addLog: (log) => { added.push(log); if (added.length === 3) resolve(added) } }
    const eventSource = new EventSource(
        `/api/generations/${generationId}/preview/logs/stream` + query
    )

    eventSource.onmessage = (event) => {
        const log = JSON.parse(event.data)
        terminalUI.addLog(log)
    }

    eventSource.onerror = () => {
        console.error("Stream disconnected")
        eventSource.close()
        resolve("disconnected")
    }
})"""
# Of document v1: the hook without React around it.
V1_PAGE = """({ generationId, token }) => new Promise(async (resolve) => {
    const seen = { port: null, messages: [] }
    const streamLogs = (previewId) => {
        const eventSource = new EventSource(
            `/api/v1/generations/${generationId}/preview/logs/stream`
        );
        eventSource.onmessage = (event) => {
            const log = JSON.parse(event.data);
            seen.messages.push(log.message);
            if (log.message.startsWith("ready in")) { eventSource.close(); resolve(seen); }
        };
    };
    const response = await fetch(`/api/v1/generations/${generationId}/preview/launch`, {
        method: 'POST',
        headers: { 'Authorization': `Bearer ${token}` }
    });
    const data = await response.json();
    seen.port = data.port;
    seen.id = data.id;
    streamLogs(data.id);
})"""


def curl(service: DocumentsClient, live: Live, command: str, *, until: str = "") -> str:
    """Run a command of the documents by a shell; with ``until``, no longer than to the line that has it."""
    for theirs, ours in {
        "http://localhost:8000": service.url,
        "gen_123": live.generation,
        "proj_123": f"proj_{live.user}",
        "YOUR_TOKEN": service.token(live.user),
        "SESSION_TOKEN": live.token,
    }.items():
        command = command.replace(theirs, ours)
    quiet = f"exec {command} --silent --show-error --fail-with-body --max-time 60"
    with subprocess.Popen(["sh", "-c", quiet], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        said = ""
        for line in process.stdout:
            said += line
            if until and until in line:
                process.terminate()
                return said
        assert process.wait(70) == 0, said
    return said


def test_the_commands_of_the_documents(service: DocumentsClient) -> None:
    generation = service.keep("curl")
    live = Live("curl", generation, "", "")
    launched = json.loads(curl(service, live, LAUNCH))
    assert differences("v1 launch", launched) == []
    live = Live("curl", generation, launched["id"], launched["session_token"])
    streamed = curl(service, live, STREAM, until="(GET /health -> 200)")
    assert streamed.startswith("retry: 2000\n\n")
    assert '"message": "started"' in streamed
    answered = json.loads(curl(service, live, REQUEST))
    assert (answered["status_code"], json.loads(answered["body"])) == (200, {"limit": 10})
    # Without ``Content-Type``: curl calls the body a form.
    answered = json.loads(curl(service, live, TEST_ENDPOINT + CREDENTIALS))
    assert (answered["status_code"], json.loads(answered["body"])) == (200, {"ok": True})
    assert curl(service, live, STOP) == ""
    assert service.ask("GET", live.path("v1", "/preview/status"), user="curl").status_code == 404


@pytest.fixture
def page(browser: Browser, service: DocumentsClient) -> Any:
    context = browser.new_context()
    context.set_default_timeout(60_000)
    page = context.new_page()
    page.goto(f"{service.url}/")
    yield page
    context.close()


def sign_in(page: Page, service: DocumentsClient, user: str) -> None:
    page.get_by_label("Paste a token").fill(service.token(user))
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("button", name="Sign out").wait_for()


def test_the_plan_s_event_source_works_with_a_ticket_or_the_cookie(
    service: DocumentsClient, live: Live, page: Page
) -> None:
    where = {"generationId": live.generation, "query": ""}
    assert page.evaluate(PLAN_PAGE, where) == "disconnected"
    ticket = service.ask("POST", live.path("plan", "/preview/logs/ticket"), user=live.user).json()["ticket"]
    by_ticket = page.evaluate(PLAN_PAGE, where | {"query": f"?ticket={ticket}"})
    assert [one for line in by_ticket for one in differences("plan line", line)] == []
    sign_in(page, service, live.user)
    assert page.evaluate(PLAN_PAGE, where) == by_ticket


def test_the_v1_page_launches_and_streams(service: DocumentsClient, page: Page) -> None:
    generation = service.keep("tab")
    sign_in(page, service, "tab")
    seen = page.evaluate(V1_PAGE, {"generationId": generation, "token": service.token("tab")})
    assert seen["id"].startswith("preview_")
    assert isinstance(seen["port"], int)
    assert "started" in seen["messages"]
    service.stop("tab", generation)


def test_the_documents_own_terminal_is_compiled_and_run_with_the_library() -> None:
    """By the page's tests (``npm test``); here only that it is still what the document says."""
    folder = Path(__file__).resolve().parents[2] / "frontend" / "tests" / "documents"
    text = (folder / "PreviewTerminal.tsx").read_text()
    assert "import { usePreviewLogs, PreviewLog } from '@preview/react'" in text
    assert "const { logs, isConnected } = usePreviewLogs(generationId)" in text
    assert "PreviewTerminal" in (folder / "documents.test.tsx").read_text()
