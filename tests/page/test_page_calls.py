"""Responses that come in pieces, the size of the form, and the way from a failed call to its cause."""

from __future__ import annotations

import re

import pytest
from page_kit import Running, visit
from playwright.sync_api import Browser, expect
from test_page_request import check, shoot

API = """
import asyncio

from fastapi import FastAPI
from fastapi.responses import StreamingResponse

app = FastAPI()


@app.get("/ticks")
async def ticks():
    async def pieces():
        for number in range(100_000):
            yield f"data: tick {number}\\n\\n"
            await asyncio.sleep(0.2)

    return StreamingResponse(pieces(), media_type="text/event-stream")


@app.get("/broken")
def broken():
    raise ValueError("no such shelf")
"""
FILES = {"main.py": API, "requirements.txt": "fastapi\nuvicorn\n"}


@pytest.mark.long
def test_a_response_grows_is_stopped_and_a_failed_call_leads_to_its_cause(running: Running, browser: Browser) -> None:
    with visit(browser, width=1440, height=900) as seen:
        page = seen.page
        seen.sign_in(running, "request-calls")
        seen.drop_zip("calls", FILES)
        seen.launch()
        seen.pick("GET", "/ticks")
        seen.send()
        growing = page.get_by_label("The response so far")
        expect(growing).to_contain_text("tick 3")
        expect(page.get_by_text("Receiving…")).to_be_visible()
        check(page)
        shoot(page, "calls-growing")
        page.get_by_role("form", name="Request").get_by_role("button", name="Stop").click()
        answer = page.get_by_role("region", name="Response")
        expect(answer).to_contain_text("Stopped. This is the beginning of the response.")
        expect(answer).to_contain_text("tick 3")
        # The form's size is chosen by the keyboard, and kept.
        bar = page.get_by_role("separator", name="Size of the form")
        form = page.get_by_role("group", name="Query")
        before = answer.bounding_box()
        bar.focus()
        for _ in range(4):
            bar.press("ArrowUp")
        after = answer.bounding_box()
        assert before is not None
        assert after is not None
        assert after["height"] > before["height"]
        expect(form).to_be_attached()
        share = bar.get_attribute("aria-valuenow")
        page.reload()
        seen.pick("GET", "/ticks")
        page.get_by_text("Saved and earlier requests").click()
        expect(page.get_by_role("region", name="Earlier requests")).to_contain_text("200")
        page.get_by_label("Name of the saved request").fill("my ticks")
        page.get_by_role("button", name="Save", exact=True).click()
        expect(page.get_by_role("region", name="Saved requests")).to_contain_text("my ticks")
        check(page)
        for width in (1440, 768, 390):
            page.set_viewport_size({"width": width, "height": 844})
            shoot(page, f"calls-{width}")
        page.set_viewport_size({"width": 1440, "height": 900})
        seen.pick("GET", "/broken")
        seen.send()
        expect(answer).to_contain_text("500 Internal Server Error")
        assert bar.get_attribute("aria-valuenow") == share
        shoot(page, "calls-500")
        page.get_by_role("button", name="Why?").click()
        expect(page).to_have_url(re.compile("show=failures"))
        expect(page.get_by_text("no such shelf").last).to_be_visible()
        page.get_by_role("button", name="Memory: show the metrics").click()
        expect(page).to_have_url(re.compile("show=metrics"))
