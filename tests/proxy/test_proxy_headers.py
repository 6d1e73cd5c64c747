from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from preview.errors import InvalidRequest
from preview.proxy import HOP_BY_HOP, forwarded_headers, returned_headers
from preview.proxy.headers import SERVICE_COOKIE


@pytest.mark.parametrize("name", sorted(HOP_BY_HOP))
def test_hop_by_hop_fields_are_dropped_both_ways(name: str) -> None:
    fields = [(name.title(), "x"), ("Accept", "*/*")]
    assert forwarded_headers(fields) == [("Accept", "*/*")]
    assert returned_headers(fields) == [("Accept", "*/*")]


def test_fields_named_by_connection_are_dropped_both_ways() -> None:
    fields = [("Connection", "close, X-Internal"), ("connection", " X-Other ,"), ("X-Internal", "1"), ("x-other", "2")]
    assert forwarded_headers(fields) == []
    assert returned_headers(fields) == []


@pytest.mark.parametrize("name", ["Host", "Content-Length", "Expect", "X-Preview-Token", "x-preview-token"])
def test_what_the_service_computes_or_keeps_is_never_forwarded(name: str) -> None:
    assert forwarded_headers([(name, "1")]) == []


def test_the_preview_s_own_authorization_is_forwarded() -> None:
    assert forwarded_headers([("Authorization", "Bearer of-the-preview")]) == [
        ("Authorization", "Bearer of-the-preview")
    ]


def test_the_service_s_cookie_is_cut_out_and_others_stay() -> None:
    assert forwarded_headers([("Cookie", f"a=1; {SERVICE_COOKIE}=secret; b=2")]) == [("Cookie", "a=1; b=2")]
    assert forwarded_headers([("Cookie", f"{SERVICE_COOKIE}=secret")]) == []


def test_session_cookies_of_all_services_on_the_host_are_cut_out() -> None:
    sent = f"{SERVICE_COOKIE}_0badcafe=one; a=1; {SERVICE_COOKIE}_12345678=other"
    assert forwarded_headers([("Cookie", sent)]) == [("Cookie", "a=1")]


@pytest.mark.parametrize("name", ["", "a b", "a:b", "a\r\nb", "ü", "a\x00"])
def test_a_name_that_is_no_token_is_refused(name: str) -> None:
    with pytest.raises(InvalidRequest, match="header name"):
        forwarded_headers([(name, "x")])


@pytest.mark.parametrize("value", ["a\r\nX-Evil: 1", "a\nb", "a\x00", "\x7f"])
def test_a_value_with_a_control_character_is_refused(value: str) -> None:
    with pytest.raises(InvalidRequest, match="control character"):
        forwarded_headers([("X-Any", value)])


def test_the_answer_keeps_repeated_fields_and_loses_the_undone_coding() -> None:
    fields = [("Set-Cookie", "a=1"), ("Set-Cookie", "b=2"), ("Content-Encoding", "gzip"), ("Content-Length", "9")]
    assert returned_headers(fields) == [("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")]


@given(st.lists(st.tuples(st.text(max_size=12), st.text(max_size=12)), max_size=6))
def test_whatever_is_forwarded_has_no_line_break_and_no_hop_by_hop_name(fields: list[tuple[str, str]]) -> None:
    try:
        kept = forwarded_headers(fields)
    except InvalidRequest:
        return
    for name, value in kept:
        assert name.lower() not in HOP_BY_HOP
        assert not set("\r\n\x00") & set(name + value)
