"""What markup that somebody got into the page could load from a public preview, which shares the page's origin."""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
from page_kit import Running, Visit, visit
from playwright.sync_api import Browser, Request, Route

USER = "injection-user"
EVIL = """
from fastapi import FastAPI, Response

app = FastAPI()


@app.get("/evil.js")
def script():
    return Response("document.documentElement.dataset.evil = 'ran'", media_type="text/javascript")


@app.get("/evil.css")
def style():
    return Response("html { --evil: styled }", media_type="text/css")


@app.get("/evil.svg")
def picture():
    return Response('<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>', media_type="image/svg+xml")


@app.api_route("/evil", methods=["GET", "POST"])
def page():
    return Response("<title>evil</title>", media_type="text/html")
"""
# The directive that has to refuse it, and the markup.
MARKUP = {
    "script-src": '<script src="{at}/evil.js"></script><script type="module" src="{at}/evil.js?module"></script>',
    "style-src": '<link rel="stylesheet" href="{at}/evil.css">',
    "img-src": '<img src="{at}/evil.svg">',
    "frame-src": '<iframe src="{at}/evil"></iframe>',
    "object-src": '<object data="{at}/evil" type="text/html"></object>',
    "form-action": '<form action="{at}/evil" method="post"></form>',
}


@pytest.fixture(scope="module")
def at(running: Running) -> Iterator[str]:
    """The path of a public preview below the page's own origin."""
    with running.api(USER) as api:
        made = api.post(
            "/api/v1/generations", json={"files": {"main.py": EVIL, "requirements.txt": "fastapi\nuvicorn\n"}}
        )
        generation = made.raise_for_status().json()["id"]
        launched = api.post(f"/api/v1/generations/{generation}/preview/launch", json={})
        preview = launched.raise_for_status().json()["id"]
        api.put(f"/api/v1/generations/{generation}/preview/access", json={"public": True}).raise_for_status()
        path = f"/p/{preview}"
        # The first answer waits for the start.
        assert api.get(f"{path}/evil.js").raise_for_status().text.startswith("document")
        yield path
        api.delete(f"/api/v1/generations/{generation}/preview").raise_for_status()


def open_with(seen: Visit, running: Running, path: str, markup: str) -> list[str]:
    """Open one of our pages with this markup in it; returns what the browser asked the preview for."""
    asked: list[str] = []

    def inject(route: Route) -> None:
        answer = route.fetch()
        assert "</body>" in answer.text()
        route.fulfill(response=answer, body=answer.text().replace("</body>", f"{markup}</body>"))

    def note(one: Request) -> None:
        if "/evil" in one.url:
            asked.append(urlsplit(one.url).path)

    seen.page.on("requestfinished", note)
    seen.page.route(running.url + path, inject)
    seen.page.goto(running.url + path)
    return asked


@pytest.mark.parametrize("path", ["/", "/docs"])
def test_nothing_that_is_injected_loads_from_a_public_preview(
    running: Running, browser: Browser, at: str, path: str
) -> None:
    with visit(browser) as seen:
        asked = open_with(seen, running, path, "".join(MARKUP.values()).format(at=at))
        if path == "/":
            seen.page.get_by_label("Paste a token").wait_for()
        root = seen.page.locator("html")
        assert root.get_attribute("data-evil") is None
        styled: str = root.evaluate("(one) => getComputedStyle(one).getPropertyValue('--evil')")
        assert styled == ""
        with seen.page.expect_console_message(lambda said: "form-action" in said.text):
            seen.page.evaluate("document.forms[document.forms.length - 1].submit()")
        assert asked == []
        for directive in MARKUP:
            assert any(directive in said for said in seen.violations), (directive, seen.violations)


def test_a_nonce_is_good_for_one_answer_and_cannot_be_read_by_markup(running: Running, browser: Browser) -> None:
    with visit(browser) as seen:
        nonces = set()
        for _ in range(2):
            answer = seen.page.goto(running.url)
            assert answer is not None
            nonces |= set(re.findall(r"'nonce-([^']+)'", answer.headers["content-security-policy"]))
            seen.page.get_by_label("Paste a token").wait_for()
            assert seen.page.locator("script[nonce]").first.get_attribute("nonce") == ""
        assert len(nonces) == 2
        assert all(len(one) >= 22 for one in nonces)
        assert seen.violations == []
