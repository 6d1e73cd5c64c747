"""Which fields travel between a browser and a preview, and how they change."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import pytest
from hypothesis import given
from hypothesis import strategies as st

from preview.core.ids import REQUEST_MARK
from preview.proxy.admission import Admitted, RequestHead
from preview.proxy.carriage import answer_fields, carried_fields, trailer_fields
from preview.tracing import parent_field, read_parent

HOST = "preview_x.localhost:8000"
PREFIX = "/p/preview_x"


def hold() -> AbstractContextManager[None]:
    return nullcontext()


ADMITTED = Admitted("preview_x", ("127.0.0.1", 3001), 1, 0, "", hold)
PATH_FORM = ADMITTED._replace(prefix=PREFIX)


def head(*fields: tuple[str, str], **changes: object) -> RequestHead:
    encoded = [(name.lower().encode(), value.encode()) for name, value in (("Host", HOST), *fields)]
    made = RequestHead("GET", b"/", encoded, HOST, "http", "198.51.100.1", "198.51.100.1")
    return made._replace(**changes)  # type: ignore[arg-type]  # any of its fields


def carried(*fields: tuple[str, str], admitted: Admitted = ADMITTED, **changes: object) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name, value in carried_fields(head(*fields, **changes), admitted)[0]:
        found.setdefault(name.decode(), []).append(value.decode("latin-1"))
    return found


def returned(*fields: tuple[str, str], admitted: Admitted = ADMITTED, **changes: object) -> list[tuple[str, str]]:
    encoded = [(name.lower().encode(), value.encode()) for name, value in fields]
    found = answer_fields(encoded, head(**changes), admitted, b"n1")
    return [(name.decode(), value.decode()) for name, value in found if name != b"x-request-id"]


def test_a_preview_is_asked_by_the_host_that_the_browser_sees() -> None:
    assert carried()["host"] == [HOST]


@pytest.mark.parametrize(
    "name",
    ["Connection", "Keep-Alive", "Proxy-Authorization", "Proxy-Connection", "TE", "Trailer", "Transfer-Encoding",
     "Upgrade", "Expect", "X-Preview-Token", "HTTP2-Settings", "Proxy"],
)  # fmt: skip
def test_what_is_for_this_connection_or_for_the_service_does_not_reach_a_preview(name: str) -> None:
    assert name.lower() not in carried((name, "x"))


VALID = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.mark.parametrize("given", ["", "garbage", "00-" + "0" * 32 + "-b7ad6b7169203331-01", VALID.upper()])
@pytest.mark.parametrize(
    "number",
    ["", "of-a-client", f"{REQUEST_MARK}0123456789ABCDEF", f"{REQUEST_MARK}{'0' * 17}"],
    ids=["none", "a client's", "of this service", "like this service's"],
)
def test_a_traced_preview_gets_a_valid_traceparent_whatever_a_client_sends(given: str, number: str) -> None:
    fields = [("traceparent", given), ("X-Request-Id", number)]
    found = carried(*fields, admitted=ADMITTED._replace(is_traced=True))
    (parent,) = found["traceparent"]
    assert read_parent(parent.encode()) is not None
    assert parent != given


def test_a_traceparent_has_the_bits_of_the_request_id_and_a_valid_one_is_passed_on() -> None:
    traced = ADMITTED._replace(is_traced=True)
    found = carried(admitted=traced)
    assert found["traceparent"] == [parent_field(found["x-request-id"][0].encode()).decode()]
    assert carried(("traceparent", VALID), admitted=traced)["traceparent"] == [VALID]
    assert carried(("traceparent", VALID))["traceparent"] == [VALID]
    assert "traceparent" not in carried()


def test_what_connection_names_does_not_reach_a_preview() -> None:
    assert not {"x-mine", "x-other"} & set(carried(("Connection", "close, X-Mine"), ("X-Mine", "1"), ("X-Other", "2"),
                                                   ("Connection", "x-other")))  # fmt: skip


def test_connection_cannot_take_out_what_a_message_is_read_by() -> None:
    found = carried(("Connection", "Host, Content-Length, Cookie"), ("Content-Length", "3"), ("Cookie", "a=1"))
    assert (found["host"], found["content-length"], found["cookie"]) == ([HOST], ["3"], ["a=1"])


def test_connection_cannot_take_out_what_is_said_of_the_client() -> None:
    found = carried(("Connection", "X-Forwarded-For, X-Forwarded-Host, Forwarded, X-Request-Id"))
    assert {"x-forwarded-for", "x-forwarded-host", "forwarded", "x-request-id"} <= set(found)


def test_who_asks_is_said_anew_whatever_the_client_wrote() -> None:
    lies = [(name, "evil") for name in ("X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Forwarded-Port",
                                        "X-Forwarded-Prefix", "X-Real-IP", "X-Forwarded-Server")]  # fmt: skip
    found = carried(*lies, ("Forwarded", "for=evil"))
    assert "evil" not in str(found)
    assert found["x-forwarded-for"] == ["198.51.100.1"]
    assert found["x-forwarded-host"] == [HOST]
    assert (found["x-forwarded-proto"], found["x-forwarded-port"]) == (["http"], ["8000"])
    assert found["forwarded"] == [f'for=198.51.100.1;host="{HOST}";proto=http']
    assert "x-forwarded-prefix" not in found


@pytest.mark.parametrize(
    "name", ["X_Forwarded_For", "x_forwarded-proto", "X_Preview_Token", "X_Request_Id", "Keep_Alive"]
)
def test_a_name_with_underscores_is_no_way_past_the_rules(name: str) -> None:
    assert name.lower() not in carried((name, "evil"))
    assert carried(("X_Mine", "1"))["x_mine"] == ["1"]


def test_the_chain_of_trusted_proxies_is_passed_on() -> None:
    found = carried(via=("2001:db8::1", "10.0.0.2"), scheme="https", host="previews.example")
    assert found["x-forwarded-for"] == ["2001:db8::1, 10.0.0.2"]
    assert found["forwarded"] == ['for="[2001:db8::1]";host="previews.example";proto=https, for=10.0.0.2']
    assert found["x-forwarded-port"] == ["443"]


def test_a_client_on_a_unix_socket_has_no_address() -> None:
    found = carried(client=None, peer=None, host="[::1]")
    assert "x-forwarded-for" not in found
    assert (found["forwarded"], found["x-forwarded-port"]) == (['host="[::1]";proto=http'], ["80"])


def test_the_prefix_of_the_path_form_is_told() -> None:
    assert carried(admitted=PATH_FORM)["x-forwarded-prefix"] == [PREFIX]


def test_the_services_cookies_are_cut_out_and_others_stay() -> None:
    cookie = 'a=1; preview_session_ab=secret; b="x preview_access_1=secret"; c=2; __Host-preview_access=s'
    assert carried(("Cookie", cookie))["cookie"] == ["a=1; c=2"]


def test_a_cookie_field_that_held_nothing_else_is_gone() -> None:
    assert "cookie" not in carried(("Cookie", "preview_session=secret"))


def test_a_bearer_token_is_left_out_only_where_it_was_for_the_service() -> None:
    given = ("Authorization", "Bearer abc")
    assert carried(given)["authorization"] == ["Bearer abc"]
    assert "authorization" not in carried(given, admitted=ADMITTED._replace(hides_authorization=True))


def test_the_way_is_told_and_what_other_proxies_said_of_it_stays() -> None:
    assert carried(("Via", "1.0 front"))["via"] == ["1.0 front", "1.1 preview"]


@pytest.mark.parametrize("number", ["a", "0f" * 32, "req-1.2_3~"])
def test_a_sane_request_number_is_kept(number: str) -> None:
    assert carried(("X-Request-Id", number))["x-request-id"] == [number]


@pytest.mark.parametrize("number", ["", "a b", "x" * 65, "a;b", "\x1b[31m"])
def test_any_other_request_number_is_replaced(number: str) -> None:
    (found,) = carried(("X-Request-Id", number))["x-request-id"]
    assert found != number
    assert len(found) == 24


def test_of_two_request_numbers_one_is_kept() -> None:
    assert carried(("X-Request-Id", "one"), ("X-Request-Id", "two"))["x-request-id"] == ["one"]


def test_repeated_fields_keep_their_order() -> None:
    assert carried(("Accept", "a"), ("X", "1"), ("Accept", "b"))["accept"] == ["a", "b"]


def test_hop_by_hop_fields_of_an_answer_do_not_come_back() -> None:
    fields = [("Connection", "close, X-Mine"), ("X-Mine", "1"), ("Keep-Alive", "x"), ("Transfer-Encoding", "chunked"),
              ("Trailer", "x"), ("Upgrade", "h2c"), ("ETag", '"1"')]  # fmt: skip
    assert returned(*fields) == [("etag", '"1"')]


def test_the_request_number_is_said_unless_the_preview_says_one() -> None:
    assert answer_fields([], head(), ADMITTED, b"n1") == [(b"x-request-id", b"n1")]
    own = [(b"x-request-id", b"its own")]
    assert answer_fields(own, head(), ADMITTED, b"n1") == own


def test_fields_of_the_doorman_are_added() -> None:
    admitted = ADMITTED._replace(answer_fields=((b"content-security-policy", b"sandbox"),))
    assert returned(("Server", "x"), admitted=admitted) == [("server", "x"), ("content-security-policy", "sandbox")]


LOCATIONS = [
    ("http://127.0.0.1:3001/a?b#c", f"http://{HOST}/a?b#c", f"http://{HOST}{PREFIX}/a?b#c"),
    ("http://LOCALHOST:3001", f"http://{HOST}", f"http://{HOST}{PREFIX}/"),
    ("http://0.0.0.0:3001?q", f"http://{HOST}?q", f"http://{HOST}{PREFIX}/?q"),
    ("//127.0.0.1:3001/a", f"http://{HOST}/a", f"http://{HOST}{PREFIX}/a"),
    ("http://127.0.0.1:3002/a", "http://127.0.0.1:3002/a", "http://127.0.0.1:3002/a"),
    ("https://example.com/a", "https://example.com/a", "https://example.com/a"),
    ("http://127.0.0.1:3001@example.com/", "http://127.0.0.1:3001@example.com/", "http://127.0.0.1:3001@example.com/"),
    (f"http://{HOST}/a", f"http://{HOST}/a", f"http://{HOST}{PREFIX}/a"),
    (f"http://{HOST}{PREFIX}/a", f"http://{HOST}{PREFIX}/a", f"http://{HOST}{PREFIX}/a"),
    ("/a", "/a", f"{PREFIX}/a"),
    ("/", "/", f"{PREFIX}/"),
    (f"{PREFIX}/a", f"{PREFIX}/a", f"{PREFIX}/a"),
    (f"{PREFIX}yz/a", f"{PREFIX}yz/a", f"{PREFIX}{PREFIX}yz/a"),
    ("//example.com/a", "//example.com/a", "//example.com/a"),
    ("a/b", "a/b", "a/b"),
    ("?q", "?q", "?q"),
    ("", "", ""),
    ("mailto:a@b", "mailto:a@b", "mailto:a@b"),
]


@pytest.mark.parametrize(("given", "by_host", "by_path"), LOCATIONS)
@pytest.mark.parametrize("name", ["location", "content-location"])
def test_a_previews_own_address_becomes_the_public_one(name: str, given: str, by_host: str, by_path: str) -> None:
    assert returned((name, given)) == [(name, by_host)]
    assert returned((name, given), admitted=PATH_FORM) == [(name, by_path)]


@pytest.mark.parametrize(
    ("given", "by_path"),
    [
        ("5; url=/next", f"5; url={PREFIX}/next"),
        ("0;URL='http://127.0.0.1:3001/a'", f"0;URL='http://{HOST}{PREFIX}/a'"),
        ("5", "5"),
        ("5; url=next", "5; url=next"),
        ("1, /a", f"1, {PREFIX}/a"),
    ],
)
def test_the_address_of_a_refresh_is_changed_as_a_location_is(given: str, by_path: str) -> None:
    assert returned(("refresh", given), admitted=PATH_FORM) == [("refresh", by_path)]


COOKIES = [
    ("a=1", "a=1", "a=1"),
    ("a=1; Path=/; HttpOnly", "a=1; Path=/; HttpOnly", f"a=1; Path={PREFIX}/; HttpOnly"),
    ("a=1; path=/x; Domain=.localhost; Secure", "a=1; path=/x; Secure", f"a=1; path={PREFIX}/x; Secure"),
    ("a=1; DOMAIN = localhost", "a=1", "a=1"),
    ("a=1; Path", "a=1; Path", "a=1"),
    (f"a=1; Path={PREFIX}/x", f"a=1; Path={PREFIX}/x", f"a=1; Path={PREFIX}/x"),
    ("a=1;Path=/;Path=/p/other", "a=1;Path=/;Path=/p/other", f"a=1;Path={PREFIX}/;Path={PREFIX}/p/other"),
]


@pytest.mark.parametrize(("given", "by_host", "by_path"), COOKIES)
def test_a_cookie_is_for_this_host_alone_and_in_the_path_form_for_this_path_alone(
    given: str, by_host: str, by_path: str
) -> None:
    assert returned(("set-cookie", given)) == [("set-cookie", by_host)]
    assert returned(("set-cookie", given), admitted=PATH_FORM) == [("set-cookie", by_path)]


@pytest.mark.parametrize(
    "given",
    ["preview_session=x", "preview_access_1=x", " PREVIEW_SESSION =x", "__Host-preview_access=x; Secure",
     "=preview_session=x", "preview_session", "=preview_access; Path=/"],
)  # fmt: skip
def test_a_preview_cannot_set_the_services_cookies(given: str) -> None:
    assert returned(("set-cookie", given)) == []


@pytest.mark.parametrize("name", ["clear-site-data", "service-worker-allowed", "strict-transport-security", "nel",
                                  "alt-svc", "accept-ch", "set-login"])  # fmt: skip
def test_what_speaks_for_the_whole_origin_comes_back_only_where_the_origin_is_the_previews_own(name: str) -> None:
    assert returned((name, "x")) == [(name, "x")]
    assert returned((name, "x"), admitted=PATH_FORM) == []


@pytest.mark.parametrize(
    ("given", "kept"),
    [('"cookies"', None), ('"storage", "cookies"', '"storage"'), ('"*"', '"cache", "storage"'), ('"cache"', '"cache"')],
)
def test_a_preview_cannot_clear_the_cookies_of_its_neighbours(given: str, kept: str | None) -> None:
    assert returned(("Clear-Site-Data", given)) == ([] if kept is None else [("clear-site-data", kept)])


def test_trailers_that_would_have_meant_something_ahead_of_the_content_are_dropped() -> None:
    fields = [(b"grpc-status", b"0"), (b"set-cookie", b"a=1"), (b"content-length", b"3"), (b"location", b"/")]
    assert trailer_fields(fields) == [(b"grpc-status", b"0")]


@given(st.binary(max_size=60))
def test_any_location_becomes_one_line(value: bytes) -> None:
    clean = bytes(byte for byte in value if byte not in b"\r\n\0")
    for admitted in (ADMITTED, PATH_FORM):
        fields = answer_fields(
            [(b"location", clean), (b"set-cookie", clean), (b"refresh", clean)], head(), admitted, b"n"
        )
        assert not any(set(b"\r\n\0") & set(found) for _, found in fields)
