"""The page's WebSocket client, the state that all parts of the page agree on, and places that open marked."""

from __future__ import annotations

import re

import pytest
from page_kit import Running, visit
from playwright.sync_api import Browser, Response, expect
from test_page_request import check, shoot

API = """
from fastapi import FastAPI, WebSocket

app = FastAPI()


@app.get("/health")
def health():
    return {}


@app.get("/broken")
def broken():
    shelf = {}
    return shelf["tea"]


@app.get("/many")
def many():
    print("\\n".join(f"drop {number}" for number in range(20_000)), flush=True)
    return 1


@app.websocket("/echo")
async def echo(socket: WebSocket):
    await socket.accept()
    while True:
        text = await socket.receive_text()
        if text == "flood":
            for number in range(2_000):
                await socket.send_text(f"drop {number}")
        elif text == "leave":
            await socket.close(4001, "enough")
            return
        else:
            await socket.send_text(text.upper())
"""
FILES = {"main.py": API, "requirements.txt": "fastapi\nuvicorn\nwebsockets\n"}

# Each frame in which the sidebar and the header show different states.
WATCH = """
    window.disagreed = [];
    const look = () => {
        const row = document.querySelector('nav [aria-current="page"] > :last-child');
        const head = document.querySelector('section[aria-label="Preview"] h2 + span');
        const [one, other] = [row?.textContent.toLowerCase(), head?.textContent.toLowerCase()];
        if (row && head && one !== other) window.disagreed.push(`${one} / ${other}`);
        requestAnimationFrame(look);
    };
    look();
"""


@pytest.mark.long
def test_a_person_talks_to_a_websocket_and_sees_one_state(running: Running, browser: Browser) -> None:
    with visit(browser, width=1440, height=900) as seen:
        page = seen.page
        seen.sign_in(running, "sockets")
        seen.drop_zip("sockets", FILES)
        failed: list[str] = []

        def note(answer: Response) -> None:
            if answer.status >= 400:
                failed.append(f"{answer.status} {answer.url}")

        page.on("response", note)
        seen.launch()
        page.get_by_role("button", name="/echo").click()
        expect(page.get_by_label("Path of the WebSocket")).to_have_value("/echo")
        page.get_by_role("button", name="Connect", exact=True).click()
        messages = page.get_by_role("list", name="Messages")
        expect(messages).to_contain_text("Connected in")
        box = page.get_by_role("textbox", name="Message")
        box.fill("hello")
        box.press("Enter")
        expect(messages).to_contain_text("HELLO")
        check(page)
        for width in (1440, 768, 390):
            page.set_viewport_size({"width": width, "height": 844})
            if width == 390:
                seen.show_pane("Requests")
                check(page)
            shoot(page, f"socket-{width}")
            assert page.evaluate("() => document.documentElement.scrollWidth") <= width
        page.set_viewport_size({"width": 1440, "height": 900})
        # A flood is bounded, and said to be.
        box.fill("flood")
        box.press("Enter")
        expect(messages).to_contain_text("drop 1999")
        expect(page.get_by_text("are no longer kept")).to_be_visible()
        assert messages.get_by_role("listitem").count() <= 500
        box.fill("leave")
        box.press("Enter")
        expect(messages).to_contain_text("The preview closed the connection: 4001")
        page.get_by_label("Path of the WebSocket").fill("/nothing")
        page.get_by_role("button", name="Connect", exact=True).click()
        expect(messages).to_contain_text("refused the WebSocket with status 403")
        # A restart and a stop are the same everywhere, and no request fails.
        page.evaluate(WATCH)
        page.get_by_role("button", name="Restart").click()
        seen.wait_for_state("Running")
        page.get_by_role("button", name="Stop", exact=True).click()
        seen.wait_for_state("Stopped")
        assert page.evaluate("() => window.disagreed") == []
        assert failed == []
        assert seen.violations == []


@pytest.mark.long
def test_a_place_of_a_traceback_is_marked_and_a_limit_is_freed(running: Running, browser: Browser) -> None:
    with visit(browser, width=1440, height=900) as seen:
        page = seen.page
        seen.sign_in(running, "places")
        seen.drop_zip("places", FILES)
        seen.launch()
        # After a flood, the count of a request's lines is right once they are here.
        seen.pick("GET", "/many")
        seen.send()
        expect(page.get_by_role("button", name=re.compile("20,00[01] log lines$"))).to_be_visible(timeout=60_000)
        seen.pick("GET", "/broken")
        seen.send()
        page.get_by_role("button", name="Why?").click()
        page.get_by_role("button", name="main.py:15").first.click()
        place = page.locator(".cm-place")
        expect(place).to_have_text('    return shelf["tea"]')
        expect(page.locator(".cm-editor.cm-focused")).to_be_visible()
        shoot(page, "editor-place")
        # What a save says stands below the text, which stays where it is.
        before = page.locator(".cm-editor").bounding_box()
        page.keyboard.type("#")
        page.keyboard.press("Control+s")
        page.get_by_text(re.compile("^Saved, reloaded in")).wait_for()
        after = page.locator(".cm-editor").bounding_box()
        assert before is not None
        assert after is not None
        assert after["y"] == before["y"]
        expect(place).to_have_count(0)
        page.get_by_role("button", name="Account of").click()
        dialog = page.get_by_role("dialog", name="Account")
        shoot(page, "account-running")
        dialog.get_by_role("button", name="Stop places").click()
        expect(dialog.get_by_text("“places” was stopped.")).to_be_visible()
        check(page)
