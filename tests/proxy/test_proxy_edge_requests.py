"""Whatever a caller writes into an envelope: what arrives is one request, for this preview, or nothing."""

from __future__ import annotations

import socket
from collections.abc import Iterable

import h11
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from proxy_kit import answers, client, ok, upstream

from preview.errors import InvalidPath, InvalidRequest
from preview.proxy import forwarded_headers, make_request
from preview.proxy.headers import SERVICE_COOKIE, TOKEN_HEADER

PATHS = [
    "/",
    "/a",
    "/a?b=c",
    "/a%2Fb",
    "/a%2fb%2f..%2f",
    "/%2e%2e/",
    "/%252e%252e/",
    "/%25252e",
    "/..%2f",
    "/.%2e/",
    "/..;/x",
    "/..%3bx/",
    "/...",
    "/a/./b",
    "/.",
    "//elsewhere",
    "/%2felsewhere",
    "/%2f%2felsewhere",
    "/%5celsewhere",
    "/\\elsewhere",
    "\\\\elsewhere",
    "/\t/elsewhere",
    "http://elsewhere/",
    "HTTP://ELSEWHERE",
    "https:elsewhere",
    "//u:p@elsewhere/",
    "http://u:p@127.0.0.1:1/",
    "/@elsewhere",
    "@elsewhere",
    ":1/",
    ":1@elsewhere/",
    "/:1",
    "//[::1]:1/",
    "http://[::1]/",
    "[::1]:1",
    "//127.0.0.1:1/",
    "127.0.0.1:1",
    "file:///etc/passwd",
    "javascript:alert(1)",
    "*",
    "",
    "?x",
    "#x",
    "/#x",
    "/a b",
    " /a",
    "/a ",
    "/a HTTP/1.1",
    "/a HTTP/1.1\r\nHost: elsewhere\r\n\r\nGET /b",
    "/a\r\n",
    "/a\n",
    "/a\r",
    "/a\0",
    "/a%0d%0aX:%201",
    "/a%00",
    "/a%0",
    "/a%",
    "/a%zz",
    "/ü",
    "/%C3%BC",
    "/%ff",
    "/%c0%ae%c0%ae/",
    "/\uff0e\uff0e/",
    "/\u2215x",
    "/\u2028",
    "/\ufeff",
    "/a\x85b",
    "/\u202e",
    "/\U0001f4a9",
    "/\ud800",
    "/a?b#c",
    "/a?\r\nX: 1",
    "/a?b=%0d%0a",
    "/a?b=\u00fc",
    "/a?http://elsewhere",
    "/a??",
    "/a?%",
    "/http://elsewhere/",
    "/a/http:%2f%2felsewhere",
    "/" + "a" * 16_000,
    "/" + "a" * 17_000,
    "/" + "%2e" * 4000,
    "/a/" * 3000,
    "/" + "\u00fc" * 6000,
]

FIELDS: list[list[tuple[str, str]]] = [
    [("X", "a\r\nY: b")],
    [("X", "a\nY: b")],
    [("X", "a\rY: b")],
    [("X", "a\0b")],
    [("X\r\nY", "b")],
    [("X: Y", "b")],
    [("X ", "b")],
    [("", "b")],
    [("X", "\x1b[2K")],
    [("X", "\x7f")],
    [("X", "\u2028")],
    [("X", "\u00fc")],
    [("X", "\U0001f4a9")],
    [("X", "")],
    [("X", "a\tb")],
    [("X", " a ")],
    [("X", "a" * 60_000)],
    [("Host", "elsewhere")],
    [("host", "elsewhere")],
    [("Content-Length", "100")],
    [("Content-Length", "0"), ("Transfer-Encoding", "chunked")],
    [("Transfer-Encoding", "x")],
    [("Expect", "100-continue")],
    [("Upgrade", "h2c"), ("Connection", "Upgrade, HTTP2-Settings"), ("HTTP2-Settings", "x")],
    [("Connection", "close, X-A"), ("X-A", "1")],
    [("Connection", "X-A"), ("connection", "x-b"), ("X-B", "1")],
    [
        ("Proxy-Connection", "x"),
        ("Proxy-Authorization", "x"),
        ("TE", "trailers"),
        ("Trailer", "X"),
        ("Keep-Alive", "1"),
    ],
    [("X-Preview-Token", "sesame")],
    [("x-PREVIEW-token", "sesame")],
    [("Cookie", f"{SERVICE_COOKIE}_0123abcd=sesame")],
    [("Cookie", f"a=1;{SERVICE_COOKIE}=sesame;b=2")],
    [("cookie", f" {SERVICE_COOKIE}_x=sesame")],
    [(":authority", "elsewhere")],
    [("Cookie", f'"{SERVICE_COOKIE}=sesame')],
    [("Cookie", f"\t{SERVICE_COOKIE}=sesame")],
]


def one_request(raw: bytes) -> h11.Request:
    """The request in these bytes; there must be just one."""
    parser = h11.Connection(h11.SERVER)
    parser.receive_data(raw)
    request = parser.next_event()
    assert isinstance(request, h11.Request), raw
    while not isinstance(event := parser.next_event(), h11.EndOfMessage):
        assert isinstance(event, h11.Data), raw
    assert parser.trailing_data == (b"", False), raw
    return request


def values(request: h11.Request, name: bytes) -> list[bytes]:
    return [value for found, value in request.headers if found == name]


async def test_no_path_makes_another_request_or_reaches_another_server() -> None:
    async with upstream(answers(ok(b""))) as server, client() as preview:
        for path in PATHS:
            before = len(server.requests)
            try:
                made = make_request("GET", path, body_limit_bytes=1000)
            except (InvalidPath, InvalidRequest):
                continue
            assert (await preview.send(server.address, made)).status == 200
            assert len(server.requests) == before + 1, path
            request = one_request(server.requests[-1])
            assert values(request, b"host") == [f"127.0.0.1:{server.address[1]}".encode()]
            assert request.target.startswith(b"/")
            assert not request.target.startswith(b"//")


async def test_no_field_makes_another_field_or_request() -> None:
    async with upstream(answers(ok(b""))) as server, client() as preview:
        for fields in FIELDS:
            try:
                made = make_request("POST", "/", headers=fields, body="content", body_limit_bytes=1000)
            except InvalidRequest:
                continue
            await preview.send(server.address, made)
            raw = server.requests[-1]
            request = one_request(raw)
            assert b"sesame" not in raw, fields
            assert values(request, b"host") == [f"127.0.0.1:{server.address[1]}".encode()]
            assert values(request, b"content-length") == [b"7"]
            for name in (b"transfer-encoding", b"upgrade", b"connection", b"te", b"expect", b"x-a", b"x-b", b"y"):
                assert values(request, name) == [], fields


async def test_only_the_address_of_the_preview_is_connected_to(monkeypatch: pytest.MonkeyPatch) -> None:
    connected: list[object] = []
    real = socket.socket.connect_ex

    def spy(made: socket.socket, address: tuple[str, int]) -> int:
        connected.append(address)
        return real(made, address)

    monkeypatch.setattr(socket.socket, "connect_ex", spy)
    async with upstream(answers(ok(b""))) as server, client() as preview:
        for path in ("/@elsewhere:1", "/:1", "/http://elsewhere:1/", "/a?http://elsewhere:1"):
            fields = [("Host", "elsewhere:1"), ("X-Forwarded-Host", "elsewhere:1")]
            await preview.send(server.address, make_request("GET", path, headers=fields, body_limit_bytes=1))
        assert set(connected) == {server.address}


COOKIES = [
    "a=1",
    " ",
    "",
    "b=",
    '"',
    f"{SERVICE_COOKIE}=sesame",
    f"{SERVICE_COOKIE}_1=sesame",
    f"a={SERVICE_COOKIE}=sesame",
]
NAMES = st.sampled_from(["Cookie", "COOKIE", "cookie"])


@settings(deadline=None)
@given(st.lists(st.tuples(NAMES, st.lists(st.sampled_from(COOKIES)).map(";".join))))
def test_a_session_cookie_never_travels_however_cookies_are_mixed(fields: Iterable[tuple[str, str]]) -> None:
    assert "sesame" not in str(forwarded_headers(fields))


@settings(deadline=None)
@given(st.sampled_from([TOKEN_HEADER, "Connection", "Host"]).flatmap(lambda name: st.tuples(*(
    st.sampled_from([one.lower(), one.upper()]) for one in name))))  # fmt: skip
def test_names_are_compared_whatever_their_case(letters: tuple[str, ...]) -> None:
    assert forwarded_headers([("".join(letters), "sesame")]) == []
