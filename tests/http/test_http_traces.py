"""Traces by the API: nobody reads or forges another's, filters and pages; then the spans of a real request."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import trio
from http_kit import World, open_world

START = '[start]\nframework = "flask"\nserver = "wsgi"\napp = "main:app"\ntrace = true\n'
# One statement for each book; and a program that reports spans of a stranger's trace, by both ways.
MAIN = """\
import json, os, sqlite3, urllib.request
db = sqlite3.connect(":memory:", check_same_thread=False)
def report(trace):
    span = {"traceId": trace, "spanId": "1" * 16, "name": "forged", "startTimeUnixNano": "1700000000000000000",
            "endTimeUnixNano": "1700000000002000000"}
    body = json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]}).encode()
    address = os.environ["OTEL_EXPORTER_OTLP_ENDPOINT"] + "/v1/traces"
    urllib.request.urlopen(urllib.request.Request(address, body, {"Content-Type": "application/json"})).read()
def app(environ, start_response):
    path = environ["PATH_INFO"]
    if path == "/books":
        for one in range(12):
            db.execute("select ? as book", (one,)).fetchone()
    if path.startswith("/forge/"):
        report(path.removeprefix("/forge/"))
    start_response("500 Wrong" if path == "/wrong" else "200 OK", [("Content-Type", "text/plain")])
    return [b"ok"]
"""
# Its name in a manifest is enough to get the address of the receiver.
FILES = {"preview.toml": START, "main.py": MAIN, "requirements.txt": "# opentelemetry-proto\n"}


async def send(world: World, generation: str, token: str, path: str, user: str = "ann") -> None:
    answer = await world.ask(
        "POST",
        f"/api/v1/generations/{generation}/preview/request",
        {"method": "GET", "path": path},
        user=user,
        headers={"X-Preview-Token": token},
    )
    assert answer.json()["status_code"] == (500 if path == "/wrong" else 200), answer.text


async def found(world: World, base: str, query: str = "", user: str = "ann") -> list[dict[str, Any]]:
    answer = await world.ask("GET", f"{base}?{query}", user=user)
    assert answer.status_code == 200, answer.text
    items: list[dict[str, Any]] = answer.json()["items"]
    return items


async def arrived(world: World, base: str, count: int) -> dict[str, Any]:
    """Return the list once it has so many traces: spans come some milliseconds after their response."""
    with trio.fail_after(60):
        while len((page := (await world.ask("GET", base)).json())["items"]) < count:
            await trio.lowlevel.checkpoint()
    whole: dict[str, Any] = page
    return whole


async def test_traces_are_for_their_owner_are_filtered_and_nobody_adds_to_anothers(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        generation, theirs = await world.keep(FILES), await world.keep(FILES, user="bob", project="proj_2")
        base, their_base = (f"/api/v1/generations/{one}/preview/traces" for one in (generation, theirs))
        assert (await world.ask("GET", base)).status_code == 404
        launched, other = await world.launch(generation), await world.launch(theirs, user="bob")
        for path in ("/books", "/wrong", "/plain"):
            await send(world, generation, launched["session_token"], path)
        whole = await arrived(world, base, 3)
        assert (whole["preview_id"], whole["tracing"], whole["dropped"]) == (launched["id"], True, 0)
        items = {one["name"]: one for one in whole["items"]}
        assert set(items) == {"GET /books", "GET /wrong", "GET /plain"}
        books = items["GET /books"]
        one_trace = f"{base}/{books['trace_id']}"
        foreign = (base, one_trace, f"{their_base}/{books['trace_id']}", f"{their_base}?preview_id={launched['id']}")
        for path in foreign:
            assert (await world.ask("GET", path, user="bob")).status_code == 404, path
        for path in (base, one_trace):
            assert (await world.ask("GET", path, user=None)).status_code == 401
        for unknown in ("0" * 32, "%00", "..%2F..", "x" * 3000):
            assert (await world.ask("GET", f"{base}/{unknown}")).status_code == 404, unknown
        for wrong in ("min_ms=-1", "limit=0", "limit=9999", "before=x", f"contains={'x' * 201}"):
            assert (await world.ask("GET", f"{base}?{wrong}")).status_code == 400, wrong

        # A program that reports a span of a known trace adds it to its own preview's traces alone.
        await send(world, theirs, other["session_token"], f"/forge/{books['trace_id']}", user="bob")
        (forged,) = await found(world, their_base, "contains=forged", user="bob")
        assert forged["trace_id"] == books["trace_id"]
        assert (await world.ask("GET", one_trace)).json()["span_count"] == 13
        assert await found(world, base, "contains=forged") == []

        named = {one: [item["name"] for item in await found(world, base, one)] for one in (
            "contains=BOOKS", "failed=true", "hinted=true", f"request_id={books['request_id']}", "min_ms=1e9",
        )}  # fmt: skip
        assert named == {
            "contains=BOOKS": ["GET /books"],
            "failed=true": ["GET /wrong"],
            "hinted=true": ["GET /books"],
            f"request_id={books['request_id']}": ["GET /books"],
            "min_ms=1e9": [],
        }
        first = (await world.ask("GET", f"{base}?limit=2")).json()
        rest = (await world.ask("GET", f"{base}?limit=2&before={first['next']}")).json()
        numbers = [one["number"] for one in first["items"] + rest["items"]]
        assert (numbers, rest["next"]) == (sorted(numbers, reverse=True), None)
        assert len(numbers) == 3

        spans = (await world.ask("GET", one_trace)).json()["spans"]
        assert [(one["kind"], one["parent_id"] is None) for one in spans[:2]] == [("request", True), ("sql", False)]
        assert {one["detail"] for one in spans[1:]} == {"select ? as book"}
        assert books["hints"][0]["count"] == books["sql_count"] == 12
        # They stay when the preview has ended.
        await world.stop_preview(generation)
        assert (await world.ask("GET", one_trace)).json()["spans"] == spans
