from __future__ import annotations

import json
from urllib.parse import parse_qsl, unquote_to_bytes

import pytest
from hypothesis import given
from hypothesis import strategies as st

from preview.errors import BodyTooLarge, InvalidPath, InvalidRequest
from preview.proxy import METHODS, ProxyRequest, check_path, encode_query, make_request

LIMIT = 1024


def make(method: str = "GET", path: str = "/", **rest: object) -> ProxyRequest:
    return make_request(method, path, body_limit_bytes=LIMIT, **rest)  # type: ignore[arg-type]  # values under test


@pytest.mark.parametrize(
    "path",
    [
        "",
        "items",
        "http://elsewhere/",
        "//elsewhere/items",
        "/%2felsewhere",
        "/%2Felsewhere",
        "/..",
        "/../etc",
        "/a/../b",
        "/a/%2e%2e/b",
        "/a/.%2E/b",
        "/a%2f..%2fb",
        "/a/..;x=1/b",
        "/a\\b",
        "/a%5cb",
        "\\\\elsewhere",
        "/a\r\nHost: elsewhere",
        "/a%0d%0ab",
        "/a%00",
        "/a\x7f",
        "/a#b",
        "/a%zz",
        "/a%2",
        "/\ud800",
        " /a",
        "*",
        "elsewhere:80",
    ],
)
def test_a_path_that_is_not_an_absolute_path_on_the_preview_is_refused(path: str) -> None:
    with pytest.raises(InvalidPath):
        make(path=path)


@pytest.mark.parametrize(
    ("path", "sent"),
    [
        ("/", b"/"),
        ("/items/1", b"/items/1"),
        ("/a b", b"/a%20b"),
        ("/a%20b", b"/a%20b"),
        ("/ü", b"/%C3%BC"),
        ("/a..b/...", b"/a..b/..."),
        ("/files/a%2Fb", b"/files/a%2Fb"),
        ("/%252e%252e", b"/%252e%252e"),
        ("/v1/items:search;a=1", b"/v1/items:search;a=1"),
        ("/a?b=1&c=ü", b"/a?b=1&c=%C3%BC"),
        ("/a?", b"/a"),
        ("/a//b", b"/a//b"),
    ],
)
def test_a_good_path_is_sent_as_it_is_and_encoded_only_where_needed(path: str, sent: bytes) -> None:
    assert make(path=path).target == sent


@pytest.mark.parametrize("query", ["?a=%z", "?a=\r", "?a=#", "?\ud800"])
def test_a_query_in_the_path_is_checked_too(query: str) -> None:
    with pytest.raises(InvalidPath):
        make(path="/a" + query)


def test_a_target_longer_than_servers_take_is_refused() -> None:
    with pytest.raises(InvalidPath, match="longer"):
        make(path="/" + "a" * 20_000)


@given(st.text(max_size=40))
def test_whatever_passes_is_ascii_begins_with_one_slash_and_does_not_climb(path: str) -> None:
    try:
        sent = check_path(path)
    except InvalidPath:
        return
    assert sent.isascii()
    assert sent.isprintable()
    assert " " not in sent
    assert sent.startswith("/")
    meant = unquote_to_bytes(sent)
    assert not meant.startswith(b"//")
    assert b".." not in meant.split(b"/")
    assert b"\\" not in meant


@given(st.lists(st.sampled_from(["/", ".", "..", "%2e", "%2E", "%2f", "%5c", "\\", "a", ";", "%", "?", "#"])))
def test_no_mixture_of_dots_slashes_and_escapes_climbs(pieces: list[str]) -> None:
    try:
        request = make(path="".join(pieces))
    except InvalidPath:
        return
    segments = unquote_to_bytes(request.path).replace(b"\\", b"/").split(b"/")
    assert b".." not in [segment.partition(b";")[0] for segment in segments]


@pytest.mark.parametrize("method", sorted(METHODS))
def test_known_methods_pass_in_any_case(method: str) -> None:
    assert make(method.lower()).method == method


@pytest.mark.parametrize("method", ["", "TRACE", "CONNECT", "FETCH", "GET\r\n", "G ET"])
def test_an_unknown_method_is_refused(method: str) -> None:
    with pytest.raises(InvalidRequest, match="Unknown method"):
        make(method)


def test_query_values_become_form_pairs() -> None:
    query = {"a": "x y", "n": 3, "f": 1.5, "yes": True, "no": False, "none": None, "list": ["1", 2, None], "&": "="}
    assert encode_query(query) == "a=x+y&n=3&f=1.5&yes=true&no=false&list=1&list=2&%26=%3D"


def test_the_path_s_query_and_the_query_are_joined() -> None:
    assert make(path="/a?b=1", query={"c": 2}).target == b"/a?b=1&c=2"


@pytest.mark.parametrize("value", [{"nested": 1}, [[1]]])
def test_a_query_value_of_another_type_is_refused_with_its_name(value: object) -> None:
    with pytest.raises(InvalidRequest, match="'deep'"):
        encode_query({"deep": value})


def test_a_query_that_cannot_be_encoded_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="surrogate"):
        encode_query({"a": "\ud800"})


@given(st.dictionaries(st.text(max_size=8), st.text(max_size=8), max_size=4))
def test_any_text_query_comes_out_as_it_went_in(query: dict[str, str]) -> None:
    try:
        encoded = encode_query(query)
    except InvalidRequest:
        return
    assert dict(parse_qsl(encoded, keep_blank_values=True)) == query


def test_no_body_is_no_content() -> None:
    request = make("POST", body=None)
    assert (request.body, list(request.headers)) == (None, [])


def test_text_goes_as_it_is() -> None:
    request = make("POST", body="ü")
    assert (request.body, list(request.headers)) == ("ü".encode(), [("Content-Type", "text/plain; charset=utf-8")])


@pytest.mark.parametrize("body", [{"a": "ü"}, [1, 2], 3, False])
def test_anything_else_goes_as_json(body: object) -> None:
    request = make("POST", body=body)
    assert request.body is not None
    assert json.loads(request.body) == body
    assert list(request.headers) == [("Content-Type", "application/json")]


def test_a_content_type_of_the_caller_stays() -> None:
    request = make("POST", body='{"a":1}', headers=[("content-type", "application/merge-patch+json")])
    assert list(request.headers) == [("content-type", "application/merge-patch+json")]


def test_a_body_over_the_limit_is_refused_with_the_limit() -> None:
    with pytest.raises(BodyTooLarge) as caught:
        make("POST", body="ü" * LIMIT)
    assert caught.value.details == {"limit_bytes": LIMIT}


def test_a_body_that_cannot_be_encoded_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="surrogate"):
        make("POST", body="\ud800")
