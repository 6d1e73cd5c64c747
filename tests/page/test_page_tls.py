"""The service's own TLS in a real browser: one HTTP/2 connection for the page, its streams and a preview."""

from __future__ import annotations

import base64
import hashlib
import inspect
from collections.abc import Iterator
from urllib.parse import urlsplit

import asgi_kit
import psutil
import pytest
import trustme
from browser import BROWSER_FLAGS
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from page_kit import Running, run_service, visit
from playwright.sync_api import Browser, expect

STREAMS = 30
LINES = 200
APP = '''
from asgi_kit import handled

PAGE = """<!doctype html><title>h2</title><link rel="stylesheet" href="style.css"><h1>h2</h1>
<p id="fetched"></p><p id="events"></p><p id="socket"></p><script src="app.js"></script>"""
SCRIPT = """
const say = (id, text) => { document.getElementById(id).textContent = text; };
fetch("data", {method: "POST", body: "x".repeat(300000)}).then((one) => one.text()).then((one) => say("fetched", one));
const events = new EventSource("events");
events.onmessage = (event) => { events.close(); say("events", event.data); };
const socket = new WebSocket(new URL("socket", location.href.replace(/^http/, "ws")));
socket.onopen = () => socket.send("over the wire");
socket.onmessage = (event) => { say("socket", event.data); };
"""
ANSWERS = {
    "/": ("text/html", PAGE),
    "/app.js": ("text/javascript", SCRIPT),
    "/style.css": ("text/css", "h1 { color: rgb(1, 2, 3) }"),
    "/events": ("text/event-stream", "data: an event\\n\\n"),
}


async def app(scope, receive, send):
    if await handled(scope, receive, send):
        return
    count, more = 0, True
    while more:
        message = await receive()
        count, more = count + len(message.get("body", b"")), message.get("more_body", False)
    kind, text = ANSWERS.get(scope["path"], ("text/plain", str(count)))
    if scope["path"] == "/say":
        print("\\n".join(f"line {number}" for number in range(200)), flush=True)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", kind.encode())]})
    await send({"type": "http.response.body", "body": text.encode()})
'''
FILES = {
    "preview.toml": '[start]\napp = "main:app"\n',
    "requirements.txt": "uvicorn\nwebsockets\n",
    "main.py": APP,
    "asgi_kit.py": inspect.getsource(asgi_kit),
}
# All are open before anything is said; what each of them reads is waited for later.
OPEN_ALL = """async ([path, count]) => {
    let opened = 0, allOpen;
    const open = new Promise((done) => { allOpen = done; });
    const read = async () => {
        const answer = await fetch(path, {headers: {Accept: "text/event-stream"}});
        const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
        opened += 1;
        if (opened === count) allOpen();
        let text = "";
        while (!text.includes('"line 199"')) {
            const {value, done} = await reader.read();
            if (done) break;
            text += value;
        }
        await reader.cancel();
        return [...text.matchAll(/"message": "line (\\d+)"/g)].map((one) => Number(one[1]));
    };
    window.streams = Promise.all(Array.from({length: count}, read));
    await open;
}"""
ASK = """async (count) => {
    const seen = [];
    for (let number = 0; number < count; number += 1) seen.push((await fetch("/api/v1/session")).status);
    return seen;
}"""
PROTOCOLS = """() => [...new Set(["navigation", "resource"].flatMap((kind) => performance.getEntriesByType(kind))
    .map((one) => one.nextHopProtocol).filter((one) => one))]"""


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("tls")
    authority = trustme.CA()
    issued = authority.issue_cert("localhost", "*.localhost", "127.0.0.1", common_name="localhost")
    authority.cert_pem.write_to_path(folder / "ca.pem")
    (folder / "cert.pem").write_bytes(b"".join(one.bytes() for one in issued.cert_chain_pems))
    issued.private_key_pem.write_to_path(folder / "key.pem")
    with run_service(
        folder,
        PREVIEW_TLS_CERT=str(folder / "cert.pem"),
        PREVIEW_TLS_KEY=str(folder / "key.pem"),
        PREVIEW_CA=str(folder / "ca.pem"),
        PREVIEW_MAX_STREAMS_PER_USER="40",
    ) as running:
        yield running


@pytest.fixture(scope="module")
def trusting(browser: Browser, chromium: str, served: Running) -> Iterator[Browser]:
    """A browser that trusts the certificate by its key: it reads no authority from a file."""
    made = x509.load_pem_x509_certificate((served.folder / "cert.pem").read_bytes())
    key = made.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    pin = base64.b64encode(hashlib.sha256(key).digest()).decode()
    flags = [*BROWSER_FLAGS, f"--ignore-certificate-errors-spki-list={pin}"]
    trusting = browser.browser_type.launch(executable_path=chromium, args=flags)
    yield trusting
    trusting.close()


def launched(running: Running, user: str) -> tuple[str, str]:
    """The generation's id, and a token of its preview."""
    with running.api(user) as api:
        kept = api.post("/api/v1/generations", json={"project_id": f"tls-{user}", "files": FILES})
        assert kept.status_code == 201, kept.text
        generation: str = kept.json()["id"]
        wait = {"Prefer": "wait=80"}
        answer = api.post(f"/api/v1/generations/{generation}/preview/launch", json={}, headers=wait)
        assert answer.status_code == 201, answer.text
        return generation, answer.json()["session_token"]


@pytest.mark.long
def test_the_page_its_api_and_thirty_log_streams_share_one_connection(served: Running, trusting: Browser) -> None:
    generation, token = launched(served, "ann")
    preview = f"/api/v1/generations/{generation}/preview"
    with visit(trusting) as seen, served.api("ann") as api:
        seen.sign_in(served, "ann")
        page = seen.page
        page.evaluate(OPEN_ALL, [f"{preview}/logs/stream", STREAMS])
        assert page.evaluate(ASK, 10) == [200] * 10
        asked = {"method": "GET", "path": "/say"}
        said = api.post(f"{preview}/request", json=asked, headers={"X-Preview-Token": token})
        assert said.status_code == 200, said.text
        assert page.evaluate("window.streams") == [list(range(LINES))] * STREAMS
        assert page.evaluate(PROTOCOLS) == ["h2"]
        port = urlsplit(served.url).port
        open_ = [one for one in psutil.net_connections("tcp") if one.status == psutil.CONN_ESTABLISHED]
        assert (
            len([one for one in open_ if one.raddr and one.raddr.port == port and one.pid != psutil.Process().pid]) == 1
        )
        assert all(cookie["secure"] for cookie in page.context.cookies())
        assert seen.violations == []


@pytest.mark.long
def test_a_preview_opens_over_http_2_with_all_that_its_page_does(served: Running, trusting: Browser) -> None:
    generation, _ = launched(served, "bea")
    with served.api("bea") as api:
        made = api.post(f"/api/v1/generations/{generation}/preview/open", json={}).json()
    assert made["address"].startswith("https://preview-")
    with visit(trusting) as seen:
        page = seen.page
        page.goto(made["url"])
        expect(page).to_have_url(made["address"])
        expect(page.locator("#fetched")).to_have_text("300000")
        expect(page.locator("#events")).to_have_text("an event")
        expect(page.locator("#socket")).to_have_text("over the wire")
        assert page.locator("h1").evaluate("one => getComputedStyle(one).color") == "rgb(1, 2, 3)"
        assert page.evaluate(PROTOCOLS) == ["h2"]
        (cookie,) = page.context.cookies()
        assert (cookie.get("name"), cookie.get("secure"), cookie.get("httpOnly")) == (
            "__Host-preview_access",
            True,
            True,
        )
