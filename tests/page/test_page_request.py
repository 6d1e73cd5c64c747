"""The request builder and the metrics, as a person uses them."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from page_kit import ROOT, Running, visit
from playwright.sync_api import Browser, Page, expect

API = """
from enum import Enum
from typing import Annotated

from fastapi import Depends, FastAPI, File, Form, Header, UploadFile
from fastapi.security import HTTPBearer
from pydantic import BaseModel, Field

app = FastAPI()


class Size(str, Enum):
    small = "small"
    large = "large"


class Item(BaseModel):
    name: str = Field(min_length=3, examples=["Teapot"])
    price: float = Field(gt=0)
    size: Size
    code: str = Field(pattern="^[A-Z]{2}-[0-9]{3}$")


@app.post("/items", status_code=201)
def create_item(item: Item):
    return item


@app.get("/items")
def list_items(size: Size = Size.large, limit: int = 10, x_trace: Annotated[str | None, Header()] = None):
    return {"size": size, "limit": limit, "trace": x_trace}


@app.post("/upload")
async def upload(file: UploadFile, title: Annotated[str, Form()]):
    return {"title": title, "bytes": len(await file.read()), "name": file.filename}


@app.post("/login")
def login():
    return {"access_token": "issued-12345"}


@app.get("/secret")
def secret(credentials=Depends(HTTPBearer())):
    return {"token": credentials.credentials}
"""
FILES = {"main.py": API, "requirements.txt": "fastapi\nuvicorn\npython-multipart\n"}


AXE = ROOT / "frontend" / "node_modules" / "axe-core" / "axe.min.js"


def check(page: Page) -> None:
    """The page is readable for all, in both themes, and nothing is wider than the screen."""
    if not AXE.is_file():
        return
    page.evaluate(AXE.read_text())
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme="light" if scheme == "light" else "dark")
        page.evaluate("() => Promise.allSettled(document.getAnimations().map((one) => one.finished))")
        found = page.evaluate("() => axe.run().then((result) => result.violations)")
        serious = [(one["id"], one["nodes"][0]["html"]) for one in found if one["impact"] in {"serious", "critical"}]
        assert not serious, (scheme, serious)
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


def shoot(page: Page, name: str) -> None:
    if folder := os.environ.get("PREVIEW_TEST_SHOTS"):
        page.screenshot(path=Path(folder) / f"{name}.png")


@pytest.mark.long
def test_a_fresh_request_is_valid_and_forms_tokens_and_broken_bodies_are_sent(
    running: Running, browser: Browser
) -> None:
    with visit(browser, width=1440, height=900) as seen:
        page = seen.page
        seen.sign_in(running, "request-builder")
        seen.drop_zip("api", FILES)
        seen.launch()
        seen.pick("POST", "/items")
        expect(page.get_by_role("textbox", name="Body", exact=True)).to_have_value(re.compile("Teapot"))
        seen.send()
        seen.wait_for_answer("201 Created")
        shoot(page, "post")

        page.get_by_role("textbox", name="Body", exact=True).fill('{"name": ')
        expect(page.get_by_text("It is sent as it is.")).to_be_visible()
        seen.send()
        seen.wait_for_answer("422 Unprocessable Content")

        seen.pick("GET", "/items")
        expect(page.get_by_label("Query: size")).to_contain_text("default: large")
        page.get_by_label("Query: size").select_option("small")
        page.get_by_label("Headers: x-trace").fill("abc")
        page.get_by_role("button", name="Add a header").click()
        page.keyboard.type("X-Own")
        expect(page.get_by_label("Headers: name 2")).to_have_value("X-Own")
        seen.send()
        seen.wait_for_answer()
        expect(page.get_by_role("region", name="Response as JSON")).to_contain_text('"abc"')

        seen.pick("POST", "/upload")
        page.get_by_label("Form: file 1").or_(page.get_by_label("Form: file 2")).set_input_files(
            {"name": "cup.bin", "mimeType": "application/octet-stream", "buffer": b"\x00\xff\x01"}
        )
        seen.send()
        seen.wait_for_answer()
        expect(page.get_by_role("region", name="Response as JSON")).to_contain_text("cup.bin")
        shoot(page, "upload")
        check(page)

        seen.pick("POST", "/login")
        seen.send()
        seen.wait_for_answer()
        page.get_by_role("button", name="Use this token").click()
        seen.pick("GET", "/secret")
        expect(page.get_by_label("Authentication: HTTPBearer")).to_have_value("issued-12345")
        page.get_by_label("Authentication: HTTPBearer").fill("s3cret")
        seen.send()
        seen.wait_for_answer()
        assert "s3cret" not in page.evaluate("JSON.stringify({...sessionStorage, ...localStorage})")

        page.get_by_role("button", name=re.compile(r"^main\.py:\d+$")).click()
        expect(page.get_by_role("button", name="Files", exact=True)).to_have_attribute("aria-pressed", "true")

        page.get_by_role("button", name="Metrics", exact=True).click()
        expect(page.get_by_label("Findings")).to_contain_text("Most called")
        endpoints = page.get_by_role("region", name="Endpoints")
        expect(endpoints).to_contain_text("POST /items")
        expect(endpoints).not_to_contain_text("openapi.json")
        expect(page.get_by_role("figure").filter(has_text="Memory")).to_contain_text(re.compile(r"\d now"))
        shoot(page, "metrics")
        check(page)
        for width in (768, 390):
            page.set_viewport_size({"width": width, "height": 844})
            shoot(page, f"metrics-{width}")
            if width == 390:
                page.get_by_role("button", name="Requests").click()
                shoot(page, "request-390")
                check(page)
        assert not seen.violations
