"""What the service writes itself: headers of every answer, and previews' content that tries to cost time."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from http_raw_kit import open_edge

from preview.http.contracts.content import content_of
from preview.proxy import ProxyResponse


@pytest.mark.timed
@pytest.mark.parametrize("charset", ["punycode", "idna", "unicode_escape", "raw-unicode-escape", "UTF-7", "undefined"])
def test_a_preview_names_no_charset_that_takes_quadratic_time(charset: str) -> None:
    body = b"a" * 300_000 + b"-" + b"b" * 300_000
    begun = time.perf_counter()
    content = content_of(ProxyResponse(200, [("Content-Type", f"text/plain; charset={charset}")], body, 1))
    assert time.perf_counter() - begun < 1
    assert content.encoding == "base64"


@pytest.mark.parametrize(
    "charset", ["", "none", "zlib", "hex", "rot13", "a\0b", "../x", "utf-8" * 1000, "os", "\u00fc"]
)
def test_a_charset_that_is_none_gives_base64(charset: str) -> None:
    content = content_of(ProxyResponse(200, [("Content-Type", f"text/plain; charset={charset}")], b"text", 1))
    assert content.encoding == "base64"


@pytest.mark.parametrize("charset", ["utf-8", '"UTF-8"', "latin-1", "ascii", "windows-1252"])
def test_a_charset_is_read(charset: str) -> None:
    content = content_of(ProxyResponse(200, [("Content-Type", f"text/plain; charset={charset}")], b"text", 1))
    assert (content.encoding, content.text) == (None, "text")


@pytest.mark.parametrize("body", [b"[" * 200_000, b"1" * 100_000, b'{"a":NaN}', b'"\\ud800"', b"{" * 9 + b"}"])
def test_json_that_no_parser_takes_is_text_or_a_value(body: bytes) -> None:
    content = content_of(ProxyResponse(200, [("Content-Type", "application/json")], body, 1))
    assert content.text == body.decode()


async def test_an_answer_ahead_of_the_requests_end_says_that_its_connection_ends(tmp_path: Path) -> None:
    """Else a client would send its next request on a connection that is about to be closed (RFC 9112 section 9.6)."""
    refused = b"POST /api/v1/generations HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\n"
    async with open_edge(tmp_path) as edge:
        (early,) = await edge.send(refused + b"beg")
        last = refused.replace(b"Content-Length", b"Connection: close\r\nContent-Length")
        whole, second = await edge.send(refused + b"whole", last + b"again")
    assert (early.status, early.headers["connection"]) == (401, "close")
    assert (whole.status, whole.headers.get("connection"), second.status) == (401, None, 401)


async def test_every_answer_carries_the_headers_that_protect_whoever_writes_it(tmp_path: Path) -> None:
    websocket = ["Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13",
                 "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="]  # fmt: skip
    cases: list[tuple[str, list[str], int]] = [
        ("GET / HTTP/1.1", [], 200),
        ("GET /nowhere HTTP/1.1", [], 404),
        ("DELETE / HTTP/1.1", [], 405),
        ("OPTIONS /api/v1/previews HTTP/1.1", [], 200),
        ("GET /api/v1/previews HTTP/1.1", [], 401),
        ("GET /login/x HTTP/1.1", ["Accept: text/html"], 303),
        ("GET / HTTP/1.1", ["Host: elsewhere.example"], 421),
        ("GET /assets/none.js HTTP/1.1", [], 404),
    ]
    async with open_edge(tmp_path) as edge:
        for line, fields, status in cases:
            answer = await edge.ask(line, *fields)
            assert answer.status == status, (line, answer.text)
            assert answer.headers["x-content-type-options"] == "nosniff", line
            assert answer.headers["x-frame-options"] == "DENY", line
            assert answer.headers["referrer-policy"] == "no-referrer", line
            assert "frame-ancestors 'none'" in answer.headers["content-security-policy"], line
            assert "unsafe" not in answer.headers["content-security-policy"], line
            assert "server" not in answer.headers, line
        refused = (await edge.send("\r\n".join(["GET /x HTTP/1.1", "Host: localhost", *websocket, "", ""]).encode()))[0]
        assert (refused.status, refused.headers["x-content-type-options"]) == (404, "nosniff")
