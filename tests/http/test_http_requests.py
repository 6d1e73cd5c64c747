"""Requests to a preview are recorded on every way, shown to the owner only, and stored without secrets."""

from __future__ import annotations

import gzip
import json
import re
from base64 import b64decode, b64encode
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import trio
from asgi_kit import handled
from browser_kit import Door, echo, open_door
from http_kit import open_world

from preview.logs.ingest.masking import MASK
from preview.settings import Settings
from preview.traffic import Capture

Make = Callable[..., Settings]


@asynccontextmanager
async def recording_door(folder: Path, app: Any = echo, **settings: Any) -> AsyncIterator[Door]:
    async with open_door(folder, app, **settings) as door:
        await door.edge.app.backend.previews._context.store.insert(door.preview.record)
        yield door


async def requests_of(door: Door, query: str = "") -> list[dict[str, Any]]:
    answer = await door.api("GET", f"requests{query}")
    assert answer.status_code == 200, answer.text
    items: list[dict[str, Any]] = answer.json()["items"]
    return items


@pytest.mark.parametrize("relay", [True, False])
async def test_a_request_is_recorded_with_who_sent_it(tmp_path: Path, relay: bool) -> None:
    async with recording_door(tmp_path, relay=relay, capture="full") as door:
        owner, guest = await door.cookie(), await door.cookie(share=True)
        for cookie in (owner, guest, guest):
            answer = await door.get("/books?page=2", method="POST", content=b"abc", headers={"Cookie": cookie})
            assert answer.status_code == 200
        await door.get("/agent", headers=door.bearer())
        agent, third, second, first = await requests_of(door)
        assert [first["who"], second["who"], third["who"], agent["who"]] == ["owner", "viewer", "viewer", "agent"]
        assert [one["number"] for one in (first, second, third, agent)] == [1, 2, 3, 4]
        assert (second["method"], second["target"], second["path"]) == ("POST", "/books?page=2", "/books")
        assert (second["status"], second["error"], second["origin"]) == (200, None, "browser")
        assert second["sent_bytes"] == 3
        timing = second["timing"]
        assert 0 <= timing["queued_ms"] <= timing["first_byte_ms"] <= timing["ended_ms"]
        one = (await door.api("GET", "requests/2")).json()
        assert one["request"]["body"] == "abc"
        assert json.loads(one["response"]["body"])["target"] == "/books?page=2"
        assert ["x-request-id", one["request_id"]] in [
            [name.lower(), value] for name, value in one["request"]["headers"]
        ]


async def test_only_the_owner_sees_requests(tmp_path: Path) -> None:
    async with recording_door(tmp_path) as door:
        await door.get("/", headers=door.bearer())
        for method, rest in (
            ("GET", "requests"), ("GET", "requests/1"), ("PUT", "requests/1/pin"), ("DELETE", "requests/1/pin"),
            ("GET", "capture"),
        ):  # fmt: skip
            assert (await door.api(method, rest, user="bob")).status_code == 404, rest
        assert (await door.api("PUT", "capture", {"capture": "full"}, user="bob")).status_code == 404
        assert (await door.api("GET", "requests/1")).json()["request"] is None
        assert (await door.api("GET", "requests/2")).json()["code"] == "request_not_found"
        assert (await door.api("PUT", "requests/1/pin")).status_code == 204
        assert (await door.api("GET", "requests/1")).json()["pinned"] is True
        assert (await door.api("DELETE", "requests/1/pin")).status_code == 204
        assert [one["number"] for one in await requests_of(door, "?filter=status:200")] == [1]
        assert await requests_of(door, "?filter=status:>=500") == []
        assert (await door.api("GET", "requests?filter=status:x")).json()["code"] == "invalid_filter"


async def test_capture_is_set_for_a_preview(tmp_path: Path) -> None:
    async with recording_door(tmp_path) as door:
        assert (await door.api("GET", "capture")).json()["capture"] == "meta"
        assert (await door.api("PUT", "capture", {"capture": "off"})).json()["capture"] == "off"
        await door.get("/unseen", headers=door.bearer())
        assert await requests_of(door) == []
        await door.api("PUT", "capture", {"capture": "full"})
        await door.get("/seen", headers=door.bearer())
        assert [one["path"] for one in await requests_of(door)] == ["/seen"]
        assert (await door.api("PUT", "capture", {"capture": "all"})).status_code == 400


@pytest.mark.parametrize("relay", [True, False])
async def test_a_handshake_is_recorded_when_it_is_answered(tmp_path: Path, relay: bool) -> None:
    async with recording_door(tmp_path, relay=relay) as door:
        head = [f"GET /ws HTTP/1.1\r\nHost: {door.host}", "Connection: Upgrade", "Upgrade: websocket"]
        head += ["Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="]
        head += [f"{name}: {value}" for name, value in door.bearer().items()]
        socket = await door.connect()
        await socket.send_all("\r\n".join([*head, "", ""]).encode())
        with trio.fail_after(20):
            assert (await socket.receive_some()).startswith(b"HTTP/1.1 101")
        # The socket is still open.
        [shaken] = await requests_of(door)
        assert (shaken["origin"], shaken["path"], shaken["status"], shaken["error"]) == ("socket", "/ws", 101, None)


async def _upset(scope: Any, receive: Any, send: Any) -> None:
    """Answers with much, with a stream, compressed, or breaks off."""
    if await handled(scope, receive, send):
        return
    while (await receive()).get("more_body"):
        pass
    kind, body = b"text/plain", b"x" * 100_000
    extra: list[tuple[bytes, bytes]] = []
    if scope["path"] == "/stream":
        kind, body = scope["query_string"] or b"text/event-stream", b"data: secretly long\n\n"
    elif scope["path"] == "/zip":
        kind, body = b"application/json", gzip.compress(b'{"token": "tok-in-gzip", "n": 1}')
        extra = [(b"content-encoding", b"gzip")]
    headers = [(b"content-type", kind), *extra]
    if scope["path"] == "/broken":
        headers.append((b"content-length", b"200000"))
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": False})


@pytest.mark.parametrize("relay", [True, False])
async def test_bodies_are_cut_streams_have_none_and_errors_are_named(tmp_path: Path, relay: bool) -> None:
    async with recording_door(tmp_path, _upset, relay=relay, capture="full") as door:
        for path in ("/long", "/stream", "/zip"):
            assert (await door.get(path, headers=door.bearer())).status_code == 200
        long, stream, packed = [(await door.api("GET", f"requests/{number}")).json() for number in (1, 2, 3)]
        assert (len(long["response"]["body"]), long["response"]["note"]) == (65_536, "cut at 65536 of 100000")
        assert long["received_bytes"] == 100_000
        assert (stream["response"]["body"], stream["received_bytes"]) == ("", 21)
        assert stream["response"]["is_cut"]
        assert packed["response"]["body"].startswith('{"token": "[redacted:')
        for kind in ("application/x-ndjson", "multipart/x-mixed-replace;boundary=b"):
            await door.get(f"/stream?{kind}", headers=door.bearer())
            [streamed] = await requests_of(door, "?limit=1")
            shown = (await door.api("GET", f"requests/{streamed['number']}")).json()["response"]
            assert (shown["body"], shown["is_cut"], streamed["received_bytes"]) == ("", True, 21)
        door.preview.record = door.preview.record.__class__(
            **{name: getattr(door.preview.record, name) for name in door.preview.record.__dataclass_fields__}
            | {"port": 1}
        )
        assert (await door.get("/nobody", headers=door.bearer())).status_code in {502, 503}
        failed = (await requests_of(door))[0]
        assert (failed["path"], failed["status"]) == ("/nobody", None)
        assert failed["error"] == "preview_unavailable"


async def test_new_requests_are_streamed_after_they_are_stored(tmp_path: Path) -> None:
    async with recording_door(tmp_path) as door:
        await door.get("/first", headers=door.bearer())
        headers = door.bearer() | {"Host": f"localhost:{door.port}", "Accept": "text/event-stream"}
        path = f"/api/v1/generations/{door.generation}/preview/requests?after=0&filter=-path:/hidden"
        async with door.client.stream("GET", path, headers=headers) as answer:
            assert answer.headers["content-type"].startswith("text/event-stream")
            lines = answer.aiter_lines()
            found: list[dict[str, Any]] = []
            with trio.fail_after(20):
                async for line in lines:
                    if line.startswith("data: "):
                        found.append(json.loads(line[6:]))
                        if len(found) == 1:
                            await door.get("/hidden", headers=door.bearer())
                            await door.get("/second", headers=door.bearer())
                        elif len(found) == 2:
                            # The preview ends, and so does the stream.
                            door.preview.traffic.close()
        assert [(one["number"], one["path"]) for one in found[:2]] == [(1, "/first"), (3, "/second")]
        assert found[2] == {"preview_id": door.preview.id}
        stored = await door.edge.app.backend.service.traffic.get(door.preview.id, 3)
        assert stored.path == "/second"


JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhbm4iLCJuIjoxfQ.c2lnbmF0dXJlLXNlY3JldC0yOQ"
# What is sent, by its form; ``S`` in it is replaced by a word that must not be found afterwards.
HEADERS = {
    "Authorization": "Bearer S", "Proxy-X-Api-Key": "S", "X-Api-Key": "S", "X-Auth-Token": "S", "X-CSRF-Token": "S",
    "Cookie": "sid=S; theme=S", "Api-Key": "S", "X-Amz-Security-Token": "S", "X-Client-Secret": "S",
    "Referer": "https://h/p?access_token=S", "X-Note": "sent with Bearer S1234567",
    "X-Database": "postgres://ann:S@db/x", "X-Session": "S", "X-Access-Code": "S",
}  # fmt: skip
QUERIES = [
    "token=S", "access_token=S&x=1", "api_key=S", "pass%77ord=S", "user[password]=S", "url=" + quote("mysql://u:S@h/d"),
    "sig=S", "q=" + quote('{"secret":"S"}'), "client_secret=S%20S", "session_id=S",
    "session=S", "state=1&code=S",
]  # fmt: skip
BODIES = [
    ("application/json", '{"password":"S"}'), ("application/json", '{"user":{"profile":{"api_key":"S"}}}'),
    ("application/json", '{"tokens":["S","S"]}'), ("application/json", '{"credentials":{"id":"x","value":"S"}}'),
    ("application/json", '{"pass\\u0077ord":"S"}'), ("application/json", '{"pin":  "S",\n "b":1}'),
    ("application/json", '{"query":"mutation{login(password:\\"S\\")}"}'),
    ("application/json", '{"raw":"{\\"secret\\":\\"S\\"}"}'), ("application/json", '{"refresh_token":"S, and S"}'),
    ("application/json", '{"password":"a\\"S"}'), ("text/plain", '{"secret":"S'), ("text/plain", "API_KEY=S"),
    ("text/plain", "password: S"), ("text/plain", "{'passwd': 'S'}"), ("text/plain", "redis://:S@cache:6379"),
    ("text/plain", "-----BEGIN RSA PRIVATE KEY-----\nMIIS\nS\n-----END RSA PRIVATE KEY-----"),
    ("text/plain", "key sk_live_S1234567890 and ghp_S123456789012"), ("text/html", '<a href="?token=S">x</a>'),
    ("application/x-www-form-urlencoded", "user=ann&password=S;,S&x=1"),
    ("application/xml", "<a><password>S</password></a>"), ("application/json", '[{"name":"password","value":"S"}]'),
    ("application/xml", '<s:Body xmlns:s="x"><w:Password Type="t">S</w:Password></s:Body>'),
    ("text/html", '<input type="hidden" name="csrf_token" value="S">'), ("text/html", "<meta name='csrf' content='S'>"),
    ("multipart/form-data; boundary=b", '--b\r\nContent-Disposition: form-data; name=pin\r\n\r\nS\r\n--b--\r\n'),
    ("multipart/form-data; boundary=b", '--b\r\nContent-Disposition: form-data; name="password"\r\n\r\nS\r\n--b--\r\n'),
]  # fmt: skip


# Encoded, a name and ``S`` are found by neither their text nor their code.
BASIC = ("Authorization", "Proxy-Authorization", "X-Note")
COOKIES = ("sid=S; Path=/; HttpOnly", "theme=S")


def test_there_are_forty_forms() -> None:
    assert len(HEADERS) + len(QUERIES) + len(BODIES) + len(BASIC) + len(COOKIES) >= 40


def _setting(cookies: list[str]) -> Any:
    """Return an application that sets cookies, and repeats their values and Basic passwords in its answer."""

    async def answer(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] != "/set":
            await echo(scope, receive, send)
            return
        given = dict(scope["headers"]).get(b"x-note", b"") + dict(scope["headers"]).get(b"authorization", b"")
        plain = [b64decode(word).decode() for word in re.findall(rb"Basic ([\w+/=]+)", given)]
        said = json.dumps({"now": [one.partition(";")[0] for one in cookies], "for": plain}).encode()
        fields = [(b"set-cookie", one.encode()) for one in cookies] + [(b"content-type", b"text/plain")]
        await send({"type": "http.response.start", "status": 200, "headers": fields})
        await send({"type": "http.response.body", "body": said, "more_body": False})

    return answer


@pytest.mark.parametrize("relay", [True, False])
async def test_no_secret_is_found_in_the_database(tmp_path: Path, relay: bool) -> None:
    words = [f"zq{number}hidden{number}" for number in range(120)]
    fresh = iter(words)

    def filled(text: str) -> str:
        return re.sub("S(?!A )", lambda _: next(fresh), text)

    cookies = [filled(one) for one in COOKIES]
    basic = [f"ann:{filled('S')}" for _ in BASIC]
    encoded = [b64encode(one.encode()).decode() for one in basic]
    async with recording_door(tmp_path, _setting(cookies), relay=relay, capture="full") as door:
        access = await door.cookie(share=True)
        headers = {"Cookie": access}
        count = 0
        for name, code in zip(BASIC, encoded, strict=True):
            answer = await door.get("/set", headers=headers | {name: f"Basic {code}"})
            assert answer.headers.get_list("set-cookie") == cookies
            count += 1
        for name, value in HEADERS.items():
            cookie = f"{access}; {filled(value)}" if name == "Cookie" else access
            given = {"Cookie": cookie} if name == "Cookie" else {"Cookie": cookie, name: filled(value)}
            assert (await door.get("/", headers=given)).status_code == 200
            count += 1
        for query in QUERIES:
            assert (await door.get(f"/x?{filled(query)}", headers=headers)).status_code == 200
            count += 1
        for kind, body in BODIES:
            given = headers | {"Content-Type": kind}
            content = filled(body).encode()
            answer = await door.get("/", method="POST", content=content, headers=given)
            assert answer.status_code == 200
            call = {"method": "POST", "path": "/", "headers": {"Content-Type": kind}, "body": filled(body)}
            assert await _call(door, call)
            count += 2
        for path in (filled("/a;jsessionid=S"), filled("/password=S/x")):
            await door.get(path, headers=headers)
            count += 1
        for text in (JWT, f"a={JWT}"):
            await door.get(f"/p/{JWT}", method="POST", content=text.encode(), headers=headers)
            count += 1
        listed = await requests_of(door, "?limit=500")
        assert len(listed) == count
        shown = [(await door.api("GET", f"requests/{one['number']}")).text for one in listed]
    used = [word for word in words if word not in set(fresh)]
    assert len(used) >= 70
    stored = _database(tmp_path)
    assert b"[redacted:" in stored
    for secret in (*used, *encoded, *basic, "c2lnbmF0dXJlLXNlY3JldC0yOQ", access.partition("=")[2]):
        assert secret.encode() not in stored, secret
        assert not any(secret in one for one in shown), secret


def _database(folder: Path) -> bytes:
    files = [path for path in folder.rglob("*") if "preview.db" in path.name]
    return b"".join(path.read_bytes() for path in files)


async def _call(door: Door, call: dict[str, Any]) -> bool:
    token = door.preview.further_token()
    path = f"/api/v1/generations/{door.generation}/preview/request"
    headers = door.bearer() | {"Host": f"localhost:{door.port}", "X-Preview-Token": token}
    return (await door.client.post(path, json=call, headers=headers)).status_code == 200


def test_capture_words_are_those_of_the_setting() -> None:
    assert [one.value for one in Capture] == ["off", "meta", "full"]


PRINTING = """
from fastapi import FastAPI
app = FastAPI()


@app.get("/books")
def books(token: str = "", page: int = 1):
    return page
"""


async def test_the_access_lines_of_a_real_server_have_no_secret_in_the_database(tmp_path: Path) -> None:
    words = [f"zq{number}hidden" for number in range(4)]
    async with open_world(tmp_path) as world:
        generation = await world.keep({"main.py": PRINTING, "requirements.txt": "fastapi\n"})
        token = (await world.launch(generation))["session_token"]
        headers = world.headers("ann") | {"X-Preview-Token": token}
        for query in (f"token={words[0]}", f"page=2&api_key={words[1]}", f"pass%77ord={words[2]}", f"sid={words[3]}"):
            path = f"/api/v1/generations/{generation}/preview/request"
            call = {"method": "GET", "path": f"/books?{query}"}
            assert (await world.client.post(path, json=call, headers=headers)).json()["status_code"] == 200
        live = world.service.previews.active(generation)
        assert live is not None
        with live.log.subscribe() as events:
            while sum("GET /books?" in line for line in live.last_lines(1000)) < len(words):
                await events.receive()
    shown = "\n".join(live.last_lines(1000))
    assert shown.count(MASK) >= len(words)
    assert "/books?page=2&api_key=" in shown
    stored = _database(tmp_path)
    assert b"GET /books?" in stored
    for word in words:
        assert word not in shown
        assert word.encode() not in stored
