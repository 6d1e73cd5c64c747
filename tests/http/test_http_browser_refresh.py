"""The script that loads a preview's page again after a reload: attackers and exceptions first, on both ways."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
import trio
from browser_kit import Door, open_door
from trio.testing import wait_all_tasks_blocked

from preview.core.lifecycle import State
from preview.http.browser import refresh

PAGE = b"<!doctype html><h1>The shop</h1>"
SCRIPT = b'\n<script async src="/.preview/refresh.js"></script>\n'
HTML = (b"content-type", b"text/html; charset=utf-8")
DOCUMENT = {"Sec-Fetch-Dest": "document", "Accept-Encoding": "gzip", "Accept": "text/html"}
WAYS = pytest.mark.parametrize("relay", [True, False], ids=["relay", "ordinary"])
POLICY = (b"content-security-policy", b"default-src *")
AS_THEY_ARE: list[tuple[int, list[tuple[bytes, bytes]]]] = [
    (200, [HTML, POLICY]),
    (200, [HTML, (b"content-security-policy-report-only", b"script-src 'none'")]),
    (200, [HTML, (b"content-encoding", b"br")]),
    (200, [HTML, (b"cache-control", b"public, No-Transform")]),
    (200, [HTML, (b"content-disposition", b"attachment")]),
    (200, [HTML, (b"repr-digest", b"sha-256=:AAAA=:")]),
    (200, [(b"content-type", b"text/html")]),
    (200, [(b"content-type", b"text/html; charset=utf-16")]),
    (200, [(b"content-type", b"text/html; charset=utf-8; charset=utf-16")]),
    (200, [(b"content-type", b"text/html; charset=utf-8, text/plain")]),
    (200, [(b"content-type", b"application/xhtml+xml; charset=utf-8")]),
    (200, [(b"content-type", b"application/json")]),
    (206, [HTML, (b"content-range", b"bytes 0-31/99")]),
    (302, [HTML, (b"location", b"/other")]),
]


class Pages:
    """Answers with the page, as it is told to; keeps what it was asked."""

    def __init__(self) -> None:
        self.status = 200
        self.fields: list[tuple[bytes, bytes]] = [HTML]
        self.pieces: list[bytes] = [PAGE]
        self.has_length = True
        self.asked: list[dict[bytes, bytes]] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            raise NotImplementedError
        del receive
        self.asked.append({**dict(scope["headers"]), b":path": scope["raw_path"]})
        fields = list(self.fields)
        if self.has_length:
            fields.append((b"content-length", str(sum(map(len, self.pieces))).encode()))
        await send({"type": "http.response.start", "status": self.status, "headers": fields})
        for piece in self.pieces if scope["method"] != "HEAD" else ():
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})


@asynccontextmanager
async def _open(folder: Path, pages: Pages, **settings: Any) -> AsyncIterator[tuple[Door, str]]:
    """A preview, and a browser's cookie for it; the client has a connection of its own, as the relay takes them."""
    async with open_door(folder, pages, **settings) as door:
        cookie, old = await door.cookie(), door.client
        async with httpx2.AsyncClient(base_url=old.base_url, trust_env=False, timeout=60) as door.client:
            yield door, cookie


async def _document(door: Door, cookie: str, method: str = "GET", **headers: str) -> Any:
    return await door.get("/", method=method, headers={**DOCUMENT, "Cookie": cookie, **headers})


@WAYS
async def test_what_must_not_change_is_the_same_to_the_byte(tmp_path: Path, relay: bool) -> None:
    pages = Pages()
    async with _open(tmp_path, pages, relay=relay) as (door, cookie):
        for pages.status, pages.fields in AS_THEY_ARE:
            answer = await door.client.send(
                door.client.build_request(
                    "GET", "/", headers={"Host": door.host, "Cookie": cookie, "Sec-Fetch-Dest": "document"}
                ),
                stream=True,
            )
            raw = b"".join([piece async for piece in answer.aiter_raw()])
            await answer.aclose()
            assert raw == PAGE, pages.fields
            assert answer.headers["content-length"] == str(len(PAGE))
        pages.status, pages.fields = 200, [HTML]
        for headers in (
            {"Sec-Fetch-Dest": "empty"},
            {"Sec-Fetch-Dest": "iframe"},
            {"Sec-Fetch-Dest": "image"},
            {"Range": "bytes=0-"},
        ):
            assert (await _document(door, cookie, **headers)).content == PAGE
        assert (await door.get("/", headers={"Cookie": cookie})).content == PAGE
        head = await _document(door, cookie, "HEAD")
        assert (head.content, head.headers["content-length"]) == (b"", str(len(PAGE)))
        pages.pieces = []
        assert (await _document(door, cookie)).content == b""
        pages.status, pages.fields, pages.has_length = 304, [HTML], False
        assert (await _document(door, cookie)).content == b""


@WAYS
async def test_the_preview_sees_nothing_of_it_and_strangers_learn_nothing(tmp_path: Path, relay: bool) -> None:
    pages = Pages()
    async with _open(tmp_path, pages, relay=relay) as (door, cookie):
        mine = {"Cookie": cookie}
        assert (await door.get("/.preview/refresh", headers=mine)).json() == {"version": 0}
        # Neither another person, nor another site's page, nor a preview that does not exist, tells more than before.
        for headers in ({}, {"Cookie": cookie, "Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"}):
            answer = await door.get("/.preview/refresh", headers=headers)
            assert answer.status_code in {401, 403, 404}, headers
            assert "access-control-allow-origin" not in answer.headers
        none = await door.get("/.preview/refresh.js", host=f"preview-none.localhost:{door.port}")
        some = await door.get("/.preview/refresh.js")
        assert (none.status_code, none.content) == (some.status_code, some.content)
        for method, path in (("POST", "refresh"), ("GET", "refresh/x"), ("GET", "refreshing"), ("PUT", "refresh.js")):
            assert (await door.get(f"/.preview/{path}", method=method, headers=mine)).status_code == 404
        for query in ("after=-1", "after=9999999999", "after=0&after=1", "after=x", "x" * 2_000):
            assert (await door.get(f"/.preview/refresh?{query}", headers=mine)).json() == {"version": 0}
        assert pages.asked == []
        door.end(State.STOPPED, "stopped")
        assert (await door.get("/.preview/refresh?after=0", headers=mine)).status_code == 404


@WAYS
async def test_waiting_tabs_are_bounded_and_are_no_activity(
    tmp_path: Path, relay: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(refresh, "MAX_PER_PREVIEW", 3)
    async with _open(tmp_path, Pages(), relay=relay) as (door, cookie), trio.open_nursery() as nursery:
        found: list[tuple[int, Any]] = []

        async def wait() -> None:
            answer = await door.get("/.preview/refresh?after=0", headers={"Cookie": cookie})
            found.append((answer.status_code, answer.json().get("version")))

        gate, deadlines = door.edge.app.access_gate, door.preview.deadlines
        quiet_since = deadlines._active_at
        for _ in range(3):
            nursery.start_soon(wait)
        while gate._refresh._waiting[door.preview.id] < 3:
            await trio.lowlevel.checkpoint()
        await wait()
        assert found == [(429, None)]
        assert (deadlines._held, deadlines._active_at) == (0, quiet_since)
        door.preview.note_restart()
        while len(found) < 4:
            await trio.lowlevel.checkpoint()
        assert found[1:] == [(200, 1)] * 3
        if not relay:
            return
        # One that leaves frees its place; on the other way, within 20 s.
        with trio.move_on_after(5), trio.CancelScope() as scope:
            nursery.start_soon(_leave_when_waiting, gate, door, scope)
            await door.get("/.preview/refresh?after=1", headers={"Cookie": cookie})
        while gate._refresh._waiting[door.preview.id]:
            await trio.lowlevel.checkpoint()
        await wait_all_tasks_blocked()


async def _leave_when_waiting(gate: Any, door: Door, scope: trio.CancelScope) -> None:
    while not gate._refresh._waiting[door.preview.id]:
        await trio.lowlevel.checkpoint()
    scope.cancel()


@WAYS
async def test_without_the_setting_and_in_the_path_form_there_is_no_script(tmp_path: Path, relay: bool) -> None:
    pages = Pages()
    async with open_door(tmp_path / "on", pages, relay=relay) as door:
        headers = {**DOCUMENT, **door.bearer()}
        answer = await door.get(f"{door.prefix}/", host=f"localhost:{door.port}", headers=headers)
        assert answer.content == PAGE
        assert pages.asked[-1][b"accept-encoding"] == b"gzip"
    async with _open(tmp_path / "off", pages, relay=relay, browser_reload=False) as (door, cookie):
        assert (await _document(door, cookie)).content == PAGE
        assert pages.asked[-1][b"accept-encoding"] == b"gzip"
        for path in ("refresh", "refresh.js"):
            assert (await door.get(f"/.preview/{path}", headers={"Cookie": cookie})).status_code == 404


@WAYS
async def test_documents_get_the_script_at_their_end(tmp_path: Path, relay: bool) -> None:
    pages = Pages()
    pages.fields = [HTML, (b"accept-ranges", b"bytes"), (b"etag", b'"x"')]
    async with _open(tmp_path, pages, relay=relay) as (door, cookie):
        for pages.pieces in ([PAGE], [PAGE[:9], PAGE[9:]], [PAGE * 20_000, b"</html>"]):
            for pages.has_length in (True, False):
                # The second one takes the relay's fast path.
                for pages.status in (200, 200, 404, 500):
                    answer = await _document(door, cookie)
                    assert answer.status_code == pages.status
                    assert answer.content == b"".join(pages.pieces) + SCRIPT
                    assert "accept-ranges" not in answer.headers
                    assert answer.headers["etag"] == '"x"'
                    assert pages.asked[-1][b"accept-encoding"] == b"identity"


async def test_a_client_of_http_1_0_gets_the_script_before_the_end_of_the_connection(tmp_path: Path) -> None:
    pages = Pages()
    pages.has_length = False
    async with _open(tmp_path, pages) as (door, cookie):
        stream = await door.connect()
        await stream.send_all(
            f"GET / HTTP/1.0\r\nHost: {door.host}\r\nCookie: {cookie}\r\nSec-Fetch-Dest: document\r\n\r\n".encode()
        )
        raw = b"".join([piece async for piece in stream])
        assert raw.partition(b"\r\n\r\n")[2] == PAGE + SCRIPT
