"""What proxies say of a client is believed only from those that the settings name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from http_raw_kit import open_edge
from hypothesis import given, settings
from hypothesis import strategies as st

from preview.errors import ConfigurationError
from preview.proxy.forwarded import TrustedProxies
from preview.settings import load_settings
from preview.user import User

Fields = list[tuple[str, str]]
PROXIES = "10.0.0.0/8, 192.0.2.7, 2001:db8::/32"


def applied(fields: Fields, *, client: Any = ("10.0.0.1", 5), scheme: str = "http", **changes: Any) -> dict[str, Any]:
    chosen = load_settings(**{"trusted_proxies": PROXIES} | changes)
    headers = [(name.lower().encode(), value.encode()) for name, value in fields]
    scope = {"type": "http", "client": client, "scheme": scheme, "headers": headers}
    return TrustedProxies(chosen).applied(scope)


def believed(fields: Fields, **changes: Any) -> tuple[Any, str]:
    scope = applied(fields, **changes)
    return (scope["client"] or [None])[0], scope["scheme"]


HTTPS = ("X-Forwarded-Proto", "https")
USUAL: list[tuple[Fields, str, str]] = [
    ([("X-Forwarded-For", "198.51.100.1"), HTTPS], "198.51.100.1", "https"),
    ([("X-Forwarded-For", "198.51.100.1:4711")], "198.51.100.1", "http"),
    ([("X-Forwarded-For", "2001:db9::1")], "2001:db9::1", "http"),
    ([("X-Forwarded-For", "[2001:db9::1]:80")], "2001:db9::1", "http"),
    # The client wrote the first, our proxy the last.
    ([("X-Forwarded-For", "127.0.0.1, 198.51.100.1")], "198.51.100.1", "http"),
    ([("X-Forwarded-For", "127.0.0.1"), ("X-Forwarded-For", "198.51.100.1")], "198.51.100.1", "http"),
    # Through a chain of proxies that are all ours.
    ([("X-Forwarded-For", "127.0.0.1, 198.51.100.1, 192.0.2.7, 10.9.9.9")], "198.51.100.1", "http"),
    ([("X-Forwarded-For", "10.2.2.2, 10.3.3.3")], "10.2.2.2", "http"),
    ([HTTPS], "10.0.0.1", "https"),
    ([("X-Forwarded-Proto", "http, https")], "10.0.0.1", "https"),
    ([("X-Forwarded-Proto", "javascript")], "10.0.0.1", "http"),
    ([("X-Forwarded-For", "unknown")], "10.0.0.1", "http"),
    ([("X-Forwarded-For", "198.51.100.1, unknown, 10.1.1.1")], "10.1.1.1", "http"),
    ([("X-Forwarded-For", "1.2.3.4.5")], "10.0.0.1", "http"),
    ([("X-Forwarded-For", "")], "10.0.0.1", "http"),
    ([("Forwarded", "for=198.51.100.1;proto=https")], "10.0.0.1", "http"),
    ([("X-Real-IP", "198.51.100.1")], "10.0.0.1", "http"),
]


@pytest.mark.parametrize(("fields", "client", "scheme"), USUAL)
def test_a_trusted_proxy_says_who_the_client_is(fields: Fields, client: str, scheme: str) -> None:
    assert believed(fields) == (client, scheme)


STANDARD: list[tuple[str, str, str]] = [
    ("for=198.51.100.1;proto=https", "198.51.100.1", "https"),
    ("For=198.51.100.1; Proto=HTTPS ;by=10.0.0.1;host=x", "198.51.100.1", "https"),
    ('for="198.51.100.1:4711"', "198.51.100.1", "http"),
    ('for="[2001:db9::1]:80";proto=https', "2001:db9::1", "https"),
    ("for=127.0.0.1;proto=http, for=198.51.100.1;proto=https", "198.51.100.1", "https"),
    ("for=198.51.100.1;proto=https, for=192.0.2.7;proto=http", "198.51.100.1", "https"),
    ("for=_hidden;proto=https", "10.0.0.1", "https"),
    ("for=unknown", "10.0.0.1", "http"),
    ('for="198.51.100.1, for=127.0.0.1', "10.0.0.1", "http"),
    ('for="198.51.100.1";host="a,b;c=\\"d"', "198.51.100.1", "http"),
    ("for", "10.0.0.1", "http"),
    ("", "10.0.0.1", "http"),
]


@pytest.mark.parametrize(("value", "client", "scheme"), STANDARD)
def test_the_standard_header_is_read_where_it_is_asked_for(value: str, client: str, scheme: str) -> None:
    fields = [("Forwarded", value), ("X-Forwarded-For", "203.0.113.9")]
    assert believed(fields, forwarded_header="forwarded") == (client, scheme)


@pytest.mark.parametrize("client", ["198.51.100.200", "127.0.0.1", "::1", "not an address", ""])
def test_nobody_else_is_believed(client: str) -> None:
    fields = [("X-Forwarded-For", "10.0.0.9"), HTTPS, ("Forwarded", "for=10.0.0.9;proto=https")]
    assert believed(fields, client=(client, 1)) == (client, "http")


def test_by_default_nobody_is_believed() -> None:
    for client in (("127.0.0.1", 1), None):
        assert believed([("X-Forwarded-For", "10.0.0.9"), HTTPS], client=client, trusted_proxies="") == (
            client[0] if client else None, "http"
        )  # fmt: skip


def test_a_unix_socket_is_believed_where_the_settings_say_so() -> None:
    fields = [("X-Forwarded-For", "198.51.100.1"), HTTPS]
    assert believed(fields, client=None, trusted_proxies="unix") == ("198.51.100.1", "https")
    assert believed(fields, client=None) == (None, "http")


def test_an_ipv4_proxy_on_a_socket_for_both_is_known() -> None:
    assert believed([("X-Forwarded-For", "198.51.100.1")], client=("::ffff:10.0.0.1", 1))[0] == "198.51.100.1"


def test_a_websocket_stays_one() -> None:
    assert believed([HTTPS], scheme="ws")[1] == "wss"


@pytest.mark.parametrize("trusted", ["10.0.0.0/8", ""])
def test_such_headers_reach_nothing_behind(trusted: str) -> None:
    fields = [("Forwarded", "for=x"), ("X-Forwarded-Host", "x"), ("X-Real-IP", "x"), HTTPS, ("Accept", "*/*")]
    assert applied(fields, trusted_proxies=trusted)["headers"] == [(b"accept", b"*/*")]


@settings(deadline=None)
@given(st.text(), st.sampled_from(["x-forwarded", "forwarded"]))
def test_any_text_is_an_address_or_nothing(value: str, header: str) -> None:
    names = ["Forwarded", "X-Forwarded-For", "X-Forwarded-Proto"]
    try:
        fields = [(name, value.encode("utf-8").decode("latin-1")) for name in names]
    except UnicodeEncodeError:
        return
    client, scheme = believed(fields, forwarded_header=header)
    assert set(client) <= set("0123456789abcdef.:")
    assert scheme in {"http", "https"}


@pytest.mark.parametrize("value", ["10.0.0.1/8", "proxy.example", "10.0.0", "10.0.0.0/33"])
def test_a_setting_that_names_no_network_is_told(value: str) -> None:
    with pytest.raises(ConfigurationError, match="PREVIEW_TRUSTED_PROXIES"):
        load_settings(trusted_proxies=value)


async def test_a_session_s_cookie_is_secure_where_a_trusted_proxy_says_https(tmp_path: Path) -> None:
    fields = ("X-Forwarded-Proto: https", "X-Forwarded-For: 198.51.100.1")
    for trusted, is_secure in (("127.0.0.0/8", True), ("", False), ("192.0.2.1", False)):
        async with open_edge(tmp_path / f"trusted-{trusted[:3]}", trusted_proxies=trusted) as edge:
            code = edge.app.login_codes.issue(User("ann"))
            answer = await edge.ask(f"GET /login/{code} HTTP/1.1", *fields)
            assert ("Secure" in answer.headers["set-cookie"]) is is_secure
