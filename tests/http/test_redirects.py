"""Redirects of API clients to the owner: no secret in the address, and no circle. See ``test_http_nodes``."""

from __future__ import annotations

import pytest

from preview.cluster.routing import Owner
from preview.http.browser.redirects import redirected
from preview.proxy.admission import RequestHead

PATH = b"/api/v1/generations/g/preview/status"
BEARER = (b"authorization", b"Bearer x")
OWNER = Owner("b", "10.0.0.2:7000", 1, "https://b.example.com")


def head(target: bytes = PATH, *fields: tuple[bytes, bytes]) -> RequestHead:
    return RequestHead("GET", target, [(b"host", b"a"), *fields], "a", "https", None, None)


@pytest.mark.parametrize(
    "target",
    [
        PATH + b"?ticket=abc",
        PATH + b"?after=1&access_token=abc",
        PATH + b"?API-KEY=abc",
        PATH + b"?%74icket=abc",
        PATH + b"?a=1&t%69cket=abc",
        # The second time.
        PATH + b"?preview-hop=1",
        PATH + b"?after=1&preview-hop=1",
        b"/p/preview_a/api/",
        b"//evil.example.com/api/v1/generations/g",
    ],
)
def test_such_an_address_is_passed_on(target: bytes) -> None:
    assert redirected(head(target, BEARER), OWNER) is None


@pytest.mark.parametrize(
    "fields",
    [
        (),
        (BEARER, (b"origin", b"https://a")),
        (BEARER, (b"cookie", b"preview=x")),
        (BEARER, (b"sec-fetch-site", b"same-origin")),
        (BEARER, (b"upgrade", b"websocket")),
        (BEARER, (b"content-length", b"2")),
        (BEARER, (b"transfer-encoding", b"chunked")),
    ],
)
def test_browsers_and_content_are_passed_on(fields: tuple[tuple[bytes, bytes], ...]) -> None:
    assert redirected(head(PATH, *fields), OWNER) is None


@pytest.mark.parametrize(
    "url", ["", "ftp://b", "https://user@b", "https://b/path", "https://b\r\nset-cookie: a=b", "https://b?x", "b:8000"]
)
def test_an_owner_without_a_clean_public_address_is_not_named(url: str) -> None:
    assert redirected(head(PATH, BEARER), OWNER._replace(public_url=url)) is None


def test_a_program_is_sent_to_the_same_path_of_the_owner() -> None:
    for query, expected in ((b"", b"?preview-hop=1"), (b"?after=5&level=error", b"?after=5&level=error&preview-hop=1")):
        answer = redirected(head(PATH + query, BEARER, (b"content-length", b"0")), OWNER)
        assert answer is not None
        fields = dict(answer.fields)
        assert (answer.status, fields[b"location"]) == (307, b"https://b.example.com" + PATH + expected)
        assert fields[b"preview-owner"] == b"b"
