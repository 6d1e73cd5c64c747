"""Previews in a real browser: each on an address of its own, and none of them beside the page's session."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import asgi_kit
import pytest
from page_kit import Running, run_service, visit
from playwright.sync_api import Browser, Page, expect

# Speaks HTTP and WebSocket with nothing but uvicorn's own: no environment of many packages has to be built.
APP = """
import json
import time

from asgi_kit import handled

PAGE = '''<!doctype html><title>{title}</title><link rel="stylesheet" href="style.css"><h1>{title}</h1>
<p id="fetched"></p><p id="socket"></p><p id="api"></p><script src="app.js"></script>'''
SCRIPT = '''
const say = (id, text) => { document.getElementById(id).textContent = text; };
fetch("data.json").then((one) => one.json()).then((one) => say("fetched", one.hello), (e) => say("fetched", "refused"));
try {
  const socket = new WebSocket(new URL("socket", location.href.replace(/^http/, "ws")));
  socket.onopen = () => socket.send("over the wire");
  socket.onmessage = (event) => say("socket", event.data);
  socket.onerror = () => say("socket", "refused");
} catch (error) { say("socket", "refused"); }
fetch(new URL("/api/v1/session", location.href), {credentials: "include"}).then(
  (one) => one.text()).then((text) => say("api", text), () => say("api", "refused"));
'''
time.sleep(float(open("slow.txt").read()))


async def app(scope, receive, send):
    if await handled(scope, receive, send):
        return
    headers = dict(scope["headers"])
    kind, body = b"text/plain", scope["path"].encode()
    more = []
    if scope["path"] == "/":
        kind, body = b"text/html", PAGE.format(title=open("title.txt").read()).encode()
        more = [(b"set-cookie", b"mine=" + open("title.txt").read().encode() + b"; Path=/")]
    elif scope["path"] == "/app.js":
        kind, body = b"text/javascript", SCRIPT.encode()
    elif scope["path"] == "/style.css":
        kind, body = b"text/css", b"h1 { color: rgb(1, 2, 3) }"
    elif scope["path"] == "/data.json":
        kind, body = b"application/json", json.dumps({"hello": "it works"}).encode()
    elif scope["path"] == "/cookies":
        body = headers.get(b"cookie", b"none")
    elif scope["path"] == "/api/v1/session":
        body = b"only the preview's own"
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", kind), *more]})
    await send({"type": "http.response.body", "body": body})
"""


def files(title: str, slow: float = 0) -> dict[str, str]:
    start = {"preview.toml": '[start]\napp = "main:app"\n', "requirements.txt": "uvicorn\nwebsockets\n"}
    return start | {
        "main.py": APP,
        "asgi_kit.py": inspect.getsource(asgi_kit),
        "title.txt": title,
        "slow.txt": str(slow),
    }


@pytest.fixture(scope="module")
def served(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    del browser
    folder = tmp_path_factory.mktemp("previews")
    with run_service(folder, PREVIEW_ALLOWED_HOSTS="lan.localtest", PREVIEW_MAX_INSTANCES_PER_USER="4") as running:
        yield running


def launched(running: Running, user: str, title: str, *, slow: float = 0, wait: bool = True) -> str:
    """The generation's id."""
    with running.api(user) as api:
        kept = api.post("/api/v1/generations", json={"project_id": title, "files": files(title, slow)})
        assert kept.status_code == 201, kept.text
        generation: str = kept.json()["id"]
        headers = {"Prefer": "wait=80"} if wait else {}
        answer = api.post(f"/api/v1/generations/{generation}/preview/launch", json={}, headers=headers)
        assert answer.status_code == 201, answer.text
    return generation


def link(running: Running, user: str, generation: str, host: str = "127.0.0.1") -> dict[str, Any]:
    with running.api(user) as api:
        headers = {"Host": f"{host}:{urlsplit(running.url).port}"}
        made = api.post(f"/api/v1/generations/{generation}/preview/open", json={}, headers=headers)
        assert made.status_code == 200, made.text
        found: dict[str, Any] = made.json()
        return found


@contextmanager
def tab(browser: Browser) -> Iterator[Page]:
    with browser.new_context() as context:
        context.set_default_timeout(20_000)
        yield context.new_page()


def test_a_link_opens_a_preview_with_all_that_its_page_does(served: Running, browser: Browser) -> None:
    generation = launched(served, "ann", "shop")
    made = link(served, "ann", generation)
    with tab(browser) as page:
        page.goto(made["url"])
        expect(page).to_have_url(made["address"])
        assert re.fullmatch(rf"http://preview-[a-z0-9]+\.localhost:{urlsplit(served.url).port}/", made["address"])
        expect(page.locator("#fetched")).to_have_text("it works")
        expect(page.locator("#socket")).to_have_text("over the wire")
        expect(page.locator("#api")).to_have_text("only the preview's own")
        assert page.locator("h1").evaluate("one => getComputedStyle(one).color") == "rgb(1, 2, 3)"
        cookies = {one["name"]: one for one in page.context.cookies()}
        assert cookies["preview_access"]["httpOnly"]
        assert page.evaluate("document.cookie") == "mine=shop"
        page.goto(f"{made['address']}cookies")
        expect(page.locator("body")).to_have_text("mine=shop")


def test_two_previews_are_apart_in_one_browser(served: Running, browser: Browser) -> None:
    first, second = launched(served, "bea", "one"), launched(served, "bea", "two")
    addresses = []
    with tab(browser) as page:
        for generation in (first, second):
            made = link(served, "bea", generation)
            addresses.append(made["address"])
            page.goto(made["url"])
            expect(page.locator("#fetched")).to_have_text("it works")
        for address, cookie in zip(addresses, ("mine=one", "mine=two"), strict=True):
            page.goto(f"{address}cookies")
            expect(page.locator("body")).to_have_text(cookie)
        read = "address => fetch(address, {credentials: 'include'}).then(() => 'read', () => 'refused')"
        assert page.evaluate(read, addresses[0]) == "refused"


def test_a_preview_in_the_path_form_cannot_act_with_the_page_s_session(served: Running, browser: Browser) -> None:
    generation = launched(served, "cid", "path")
    with visit(browser) as seen:
        seen.sign_in(served, "cid")
        page, port = seen.page, urlsplit(served.url).port
        # The page's own host: by its address there would be a host form as well.
        made = link(served, "cid", generation, "lan.localtest")
        path = made["url"].partition(f"lan.localtest:{port}")[2]
        page.goto(f"{served.url}{path}")
        expect(page.locator("h1")).to_have_text("path")
        assert page.evaluate("window.origin") == "null"
        ask = "method => fetch('/api/v1/session', {method, credentials: 'include'}).then(() => 'read', () => 'refused')"
        assert [page.evaluate(ask, method) for method in ("GET", "POST")] == ["refused", "refused"]
        with pytest.raises(Exception, match="sandboxed"):
            page.evaluate("document.cookie")
        page.goto(served.url)
        expect(page.get_by_role("button", name="Sign out")).to_be_visible()


@pytest.mark.long
def test_a_page_waits_while_the_preview_starts_and_opens_by_itself(served: Running, browser: Browser) -> None:
    # A busy machine takes seconds for a new tab, and some for its first page.
    with tab(browser) as page:
        generation = launched(served, "dee", "later", slow=5, wait=False)
        made = link(served, "dee", generation)
        first = page.goto(made["url"])
        assert first is not None
        assert first.status == 503
        expect(page.get_by_text("open it automatically")).to_be_visible()
        expect(page.locator("#fetched")).to_have_text("it works", timeout=60_000)
        expect(page).to_have_url(made["address"])


@pytest.mark.long
def test_the_page_opens_and_shares_what_runs(served: Running, browser: Browser) -> None:
    launched(served, "eve", "shared")
    with visit(browser) as seen:
        seen.sign_in(served, "eve")
        page = seen.page
        with page.context.expect_page() as opened:
            page.get_by_role("button", name="Open", exact=True).click()
        expect(opened.value.locator("#socket")).to_have_text("over the wire")
        page.get_by_role("button", name="Share", exact=True).click()
        dialog = page.get_by_role("dialog", name="Share the preview")
        dialog.get_by_role("button", name="New link").click()
        shared = dialog.get_by_role("textbox", name="Share link").input_value()
        expect(dialog.get_by_role("note")).to_contain_text("only on this machine")
        with tab(browser) as other:
            other.goto(shared)
            expect(other.locator("#fetched")).to_have_text("it works")
            dialog.get_by_role("button", name="Revoke the link").click()
            expect(dialog.get_by_role("textbox", name="Share link")).to_have_count(0)
            other.reload()
            expect(other.get_by_role("heading", name="This preview is not open to you")).to_be_visible()
            dialog.get_by_role("checkbox").click()
            expect(dialog.get_by_role("checkbox")).to_be_checked()
            other.reload()
            expect(other.locator("#fetched")).to_have_text("it works")
        assert not seen.violations
