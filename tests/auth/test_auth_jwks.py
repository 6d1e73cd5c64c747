from __future__ import annotations

import json
import ssl
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio
import trustme
from auth_provider import NOW, Clock, Provider, claims, key_for, key_set, open_provider, sign, unhurried
from hypothesis import given
from hypothesis import strategies as st
from joserfc.jwk import ECKey, Key, OKPKey
from structlog.testing import capture_logs

from preview.auth import Identity, JwtAuthenticator
from preview.auth import jwks as jwks_module
from preview.auth.algorithms import ALGORITHMS
from preview.auth.jwks import MAX_KEYS, BadKeySet, KeyBook, fetch_url, parse_key_set
from preview.auth.provider import MAX_ANSWER_BYTES
from preview.errors import ConfigurationError, Unauthenticated
from preview.settings import Settings

RSA, RSA_2 = key_for("RS256", "k1"), key_for("RS256", "k2")
EC, ED = key_for("ES256", "k1"), key_for("EdDSA", "k1")
FRESH_S, USABLE_S, PAUSE_S = jwks_module._FRESH_S, jwks_module._USABLE_S, jwks_module._PAUSE_S


def by_url(url: str, algorithm: Any = "RS256") -> JwtAuthenticator:
    settings = Settings(data_dir=Path("/nowhere"), jwt_algorithm=algorithm, jwks_url=url)
    return JwtAuthenticator(settings, None, now=Clock(NOW))


def by_file(path: Path, algorithm: Any = "RS256", **more: Any) -> JwtAuthenticator:
    settings = Settings(data_dir=Path("/nowhere"), jwt_algorithm=algorithm, jwks_file=path, **more)
    return JwtAuthenticator(settings, None, now=Clock(NOW))


def book(provider: Provider, clock: Clock) -> KeyBook:
    source, fetch = fetch_url(provider.url)
    return KeyBook(source, fetch, ALGORITHMS["RS256"], clock=clock)


def token(key: Key = RSA, alg: str = "RS256", **header: Any) -> str:
    return sign(claims(), key, alg, **{"kid": key.kid, **header})


def without_kid(key: Key) -> dict[str, Any]:
    return {name: value for name, value in key.as_dict(private=False).items() if name != "kid"}


async def reason(checks: JwtAuthenticator, value: str) -> object:
    with pytest.raises(Unauthenticated) as caught:
        await checks.authenticate(value)
    return caught.value.details["reason"]


async def reason_of_key(keys: KeyBook, kid: str) -> object:
    with pytest.raises(Unauthenticated) as caught:
        await keys.find(kid)
    return caught.value.details["reason"]


# A provider's server


@pytest.mark.parametrize(
    ("algorithm", "alg", "key"),
    [("RS256", "RS256", RSA), ("ES256", "ES256", EC), ("EdDSA", "EdDSA", ED), ("EdDSA", "Ed25519", ED)],
)
async def test_a_token_signed_with_a_published_key_is_accepted(algorithm: str, alg: str, key: Key) -> None:
    async with open_provider(key) as provider:
        found = await by_url(provider.url, algorithm).authenticate(token(key, alg))
        assert found.user.id == "anna"


async def test_keys_are_asked_for_once_and_kept() -> None:
    async with open_provider(RSA) as provider:
        checks = by_url(provider.url)
        for _ in range(5):
            await checks.authenticate(token())
        assert provider.asked == 1


async def test_many_who_ask_at_once_share_one_fetch() -> None:
    async with open_provider(RSA) as provider:
        checks, found = by_url(provider.url), []

        async def ask() -> None:
            found.append(await checks.authenticate(token()))

        async with trio.open_nursery() as nursery:
            for _ in range(20):
                nursery.start_soon(ask)
        assert (len(found), provider.asked) == (20, 1)


async def test_an_unpublished_key_of_the_same_name_is_refused() -> None:
    async with open_provider(RSA) as provider:
        assert await reason(by_url(provider.url), token(key_for("RS256", "k1"))) == "signature"


async def test_another_algorithm_with_a_published_key_is_refused_without_asking() -> None:
    async with open_provider(RSA) as provider:
        checks = by_url(provider.url)
        assert await reason(checks, token(RSA, "RS512")) == "algorithm"
        assert await reason(checks, token(RSA, "PS256")) == "algorithm"
        assert provider.asked == 0


async def test_a_new_key_is_found_when_its_first_token_comes() -> None:
    async with open_provider(RSA) as provider:
        clock = Clock()
        keys = book(provider, clock)
        await keys.find("k1")
        provider.publish(RSA, RSA_2)
        clock.now += PAUSE_S
        await keys.find("k2")
        assert provider.asked == 2


async def test_unknown_keys_make_us_ask_at_most_each_half_minute() -> None:
    async with open_provider(RSA) as provider:
        clock = Clock()
        keys = book(provider, clock)
        await keys.find("k1")
        for number in range(50):
            assert await reason_of_key(keys, f"invented-{number}") == "unknown_key"
        assert provider.asked == 1
        clock.now += PAUSE_S
        for number in range(50):
            assert await reason_of_key(keys, f"invented-{number}") == "unknown_key"
        assert provider.asked == 2


async def test_unknown_keys_do_not_make_us_ask_more_often_while_the_provider_is_down() -> None:
    async with open_provider(RSA) as provider:
        clock = Clock()
        keys = book(provider, clock)
        await keys.find("k1")
        provider.status = "503 Service Unavailable"
        for _ in range(7):
            clock.now += PAUSE_S / 3
            assert await reason_of_key(keys, "invented") == "unknown_key"
        assert provider.asked == 3


async def test_a_withdrawn_key_ends_when_keys_are_asked_for_again() -> None:
    async with open_provider(RSA) as provider:
        clock = Clock()
        keys = book(provider, clock)
        await keys.find("k1")
        provider.publish(RSA_2)
        clock.now += FRESH_S - 1
        await keys.find("k1")
        clock.now += 1
        assert await reason_of_key(keys, "k1") == "unknown_key"


async def test_known_keys_survive_an_outage_but_not_for_ever() -> None:
    async with open_provider(RSA) as provider:
        clock = Clock()
        keys = book(provider, clock)
        await keys.find("k1")
        provider.status = "503 Service Unavailable"
        clock.now += USABLE_S - 1
        await keys.find("k1")
        assert provider.asked == 2
        clock.now += 1
        assert await reason_of_key(keys, "k1") == "keys_unavailable"
        provider.status = "200 OK"
        clock.now += 5
        await keys.find("k1")


async def test_a_hanging_refresh_makes_nobody_else_wait() -> None:
    async with open_provider(RSA) as provider:
        clock = Clock()
        keys = book(provider, clock)
        await keys.find("k1")
        clock.now += FRESH_S
        provider.gate, provider.arrived = trio.Event(), trio.Event()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(keys.find, "k1")
            await provider.arrived.wait()
            with trio.fail_after(60):
                await keys.find("k1")
            provider.gate.set()


async def test_a_client_that_hangs_up_does_not_take_the_fetch_from_the_others() -> None:
    async with open_provider(RSA) as provider:
        keys = book(provider, Clock())
        provider.gate = trio.Event()
        async with trio.open_nursery() as nursery:
            leaving = trio.CancelScope()

            async def leave() -> None:
                with leaving:
                    await keys.find("k1")

            nursery.start_soon(leave)
            await provider.arrived.wait()
            nursery.start_soon(keys.find, "k1")
            leaving.cancel()
            provider.gate.set()
        assert provider.asked == 1


async def test_a_provider_that_hangs_is_given_up_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jwks_module, "ANSWER_TIMEOUT_S", 0.2)
    async with open_provider(RSA) as provider:
        provider.gate = trio.Event()
        with capture_logs() as said, trio.fail_after(60):
            assert await reason(by_url(provider.url), token()) == "keys_unavailable"
        assert [one["event"] for one in said] == ["jwks fetch failed"]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"status": "404 Not Found"}, "answered 404"),
        ({"status": "302 Found", "headers": {"Location": "/other"}}, "answered 302"),
        ({"body": b"<html>"}, "no JSON"),
        ({"body": b"{}"}, "no JSON Web Key Set"),
        ({"body": b'{"keys": []}'}, "no key for RS256"),
        ({"body": b" " * (MAX_ANSWER_BYTES + 1)}, "more than 256 KiB"),
        ({"body": b" " * (8 * MAX_ANSWER_BYTES)}, "more than 256 KiB"),
        ({"body": json.dumps(key_set(EC)).encode()}, "no key for RS256"),
    ],
)
async def test_an_answer_that_is_no_key_set_refuses_the_token_and_is_logged(changes: dict[str, Any], said: str) -> None:
    async with open_provider(RSA) as provider:
        checks, value = by_url(provider.url), token()
        good = (provider.status, provider.body, provider.headers)
        for name, change in changes.items():
            setattr(provider, name, change)
        with capture_logs() as logged:
            assert await reason(checks, value) == "keys_unavailable"
            assert await reason(checks, value) == "keys_unavailable"
        assert (provider.asked, len(logged)) == (1, 1)
        assert said in logged[0]["reason"]
        assert value not in repr(logged)
        provider.status, provider.body, provider.headers = good


async def test_a_provider_that_is_not_there_refuses_the_token_and_is_logged() -> None:
    with trio.socket.socket() as unused:
        await unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        with capture_logs() as logged, trio.fail_after(60):
            checks = by_url(f"http://127.0.0.1:{port}/keys?key=api-key")
            assert await reason(checks, token()) == "keys_unavailable"
    assert logged[0]["source"] == f"http://127.0.0.1:{port}/keys"
    assert "api-key" not in repr(logged)


async def test_a_proxy_of_the_environment_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    async with open_provider(RSA) as provider:
        await by_url(provider.url).authenticate(token())
        assert "accept-encoding: identity" in provider.requests[0].lower()


# A file


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    path = tmp_path / "keys.json"
    path.write_text(json.dumps(key_set(RSA)))
    return path


async def test_a_token_signed_with_a_key_of_the_file_is_accepted(key_file: Path) -> None:
    assert isinstance(await by_file(key_file).authenticate(token()), Identity)


async def test_a_replaced_file_is_read_when_a_token_names_a_new_key(key_file: Path) -> None:
    checks = by_file(key_file)
    await trio.Path(key_file).write_text(json.dumps(key_set(RSA_2)))
    await checks.authenticate(token(RSA_2))
    assert await reason(checks, token()) == "unknown_key"


async def test_a_file_that_vanishes_leaves_the_known_keys(key_file: Path) -> None:
    checks = by_file(key_file)
    await trio.Path(key_file).unlink()
    with capture_logs() as logged:
        assert await reason(checks, token(RSA_2)) == "unknown_key"
        await checks.authenticate(token())
    assert logged[0]["reason"] == "No such file or directory"


def test_a_file_that_cannot_be_used_is_a_mistake_of_the_configuration(tmp_path: Path, key_file: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot be read"):
        by_file(tmp_path / "missing.json")
    with pytest.raises(ConfigurationError, match="no key for ES256"):
        by_file(key_file, "ES256")
    with pytest.raises(ConfigurationError, match="keep one"):
        by_file(key_file, jwks_url="https://id.example/keys")


@pytest.mark.parametrize(
    "url",
    [
        "keys.json",
        "ftp://id.example/keys",
        "https://",
        "http://[::1",
        "https://user:hunter2@id.example/keys",
        "file:///etc/keys",
    ],
)
def test_an_address_that_is_none_is_a_mistake_of_the_configuration(url: str) -> None:
    with pytest.raises(ConfigurationError, match="PREVIEW_JWKS_URL"):
        by_url(url)


async def test_an_answer_that_is_not_http_refuses_the_token() -> None:
    async def greet(stream: trio.SocketStream) -> None:
        async with stream:
            await stream.send_all(b"220 mail.example ESMTP\r\n")

    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(partial(trio.serve_tcp, greet, 0, host="127.0.0.1"))
        port = listeners[0].socket.getsockname()[1]
        with capture_logs() as logged, trio.fail_after(60):
            assert await reason(by_url(f"http://127.0.0.1:{port}/"), token()) == "keys_unavailable"
        assert logged[0]["reason"].startswith(("RemoteProtocolError", "ReadError", "WriteError"))
        nursery.cancel_scope.cancel()


async def test_a_server_with_an_unknown_certificate_is_not_believed() -> None:
    certificate = trustme.CA().issue_cert("127.0.0.1")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    certificate.configure_cert(context)
    asked = []

    async def answer(stream: trio.SSLStream[trio.SocketStream]) -> None:
        with suppress(trio.BrokenResourceError):
            asked.append(await stream.receive_some())

    async with trio.open_nursery() as nursery:
        serve = partial(trio.serve_ssl_over_tcp, answer, 0, context, host="127.0.0.1")
        listeners = await nursery.start(serve)
        port = listeners[0].transport_listener.socket.getsockname()[1]
        with capture_logs() as logged, trio.fail_after(60):
            assert await reason(by_url(f"https://127.0.0.1:{port}/"), token()) == "keys_unavailable"
        assert logged[0]["reason"].startswith("ConnectError")
        assert asked == []
        nursery.cancel_scope.cancel()


def test_keys_over_an_open_network_are_warned_of() -> None:
    with capture_logs() as logged:
        by_url("https://id.example/keys")
        by_url("http://localhost/keys")
        assert logged == []
        by_url("http://id.example:8080/keys")
    assert logged == [{"event": "jwks not encrypted", "log_level": "warning", "source": "http://id.example:8080/keys"}]


# Which key


def parsed(*keys: object, algorithm: str = "RS256") -> Any:
    return parse_key_set(json.dumps({"keys": keys}).encode(), ALGORITHMS[algorithm])


RSA_DATA, RSA_2_DATA = dict(RSA.as_dict(private=False)), dict(RSA_2.as_dict(private=False))


def test_keys_are_found_by_name_and_a_lone_key_without_one() -> None:
    both = parsed(RSA_DATA, RSA_2_DATA)
    assert both.find("k1") is both.named["k1"]
    assert both.find("k3") is None
    assert both.find(None) is None
    assert parsed(RSA_DATA).find(None) is not None
    assert parsed(RSA_DATA).find("k3") is None


def test_a_lone_nameless_key_is_meant_by_any_name_that_no_other_has() -> None:
    lone = parsed(without_kid(RSA))
    assert lone.find("any") is lone.find(None) is lone.nameless[0]
    mixed = parsed(without_kid(RSA), RSA_2_DATA)
    assert mixed.find("k2") is mixed.named["k2"]
    assert mixed.find("any") is mixed.nameless[0]
    assert mixed.find(None) is None
    assert parsed(without_kid(RSA), without_kid(RSA_2)).find("any") is None


@pytest.mark.parametrize(
    "change",
    [
        {"use": "enc"},
        {"use": 1},
        {"alg": "RS512"},
        {"alg": ["RS256"]},
        {"key_ops": ["encrypt"]},
        {"key_ops": "verify"},
        {"kty": "oct", "k": "c2VjcmV0"},
        {"kty": ["RSA"]},
        {"n": None},
        {"n": "!"},
        {"n": ""},
        {"e": 65537},
    ],
)
def test_a_key_that_is_for_something_else_or_cannot_be_read_is_passed_over(change: dict[str, Any]) -> None:
    with capture_logs():
        left = parsed({**RSA_2_DATA, **change}, "no key", None, RSA_DATA)
    assert list(left.named) == ["k1"]
    assert list(left.nameless) == []


@pytest.mark.parametrize("about", [{"use": "sig"}, {"alg": "RS256"}, {"key_ops": ["verify"]}, {"x5t": "abc"}])
def test_a_key_that_says_what_it_is_for_is_used(about: dict[str, Any]) -> None:
    assert list(parsed({**RSA_DATA, **about}).named) == ["k1"]


def test_keys_of_another_curve_are_passed_over() -> None:
    other_curve = dict(ECKey.generate_key("P-384").as_dict(private=False))
    for_exchange = dict(OKPKey.generate_key("X25519").as_dict(private=False))
    with pytest.raises(BadKeySet):
        parsed(other_curve, algorithm="ES256")
    with pytest.raises(BadKeySet):
        parsed(for_exchange, algorithm="EdDSA")


def test_the_first_of_two_keys_with_one_name_counts() -> None:
    first = parsed(RSA_DATA, {**RSA_2_DATA, "kid": "k1"}).named["k1"]
    assert first.thumbprint() == RSA.thumbprint()


def test_too_many_keys_are_no_key_set() -> None:
    with pytest.raises(BadKeySet, match=f"at most {MAX_KEYS}"):
        parsed(*[RSA_DATA] * (MAX_KEYS + 1))


async def test_an_eddsa_key_that_names_its_algorithm_checks_both_spellings() -> None:
    async with open_provider() as provider:
        provider.body = json.dumps({"keys": [{**ED.as_dict(private=False), "alg": "EdDSA"}]}).encode()
        checks = by_url(provider.url, "EdDSA")
        await checks.authenticate(token(ED, "Ed25519"))
        await checks.authenticate(token(ED, "EdDSA"))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


@unhurried
@given(st.binary() | JSON.map(lambda value: json.dumps({"keys": value}).encode()))
def test_any_bytes_are_a_key_set_or_refused(content: bytes) -> None:
    with pytest.raises(BadKeySet):
        parse_key_set(content, ALGORITHMS["RS256"])


@unhurried
@given(
    st.sampled_from([("RS256", dict(RSA_DATA)), ("ES256", dict(EC.as_dict())), ("EdDSA", dict(ED.as_dict()))]),
    st.dictionaries(st.sampled_from(["n", "e", "d", "x", "y", "crv", "kid", "use", "x5c", "x5t"]), JSON, max_size=2),
)
def test_a_damaged_key_is_used_or_passed_over(good: tuple[str, dict[str, Any]], damage: dict[str, Any]) -> None:
    algorithm, data = good
    with capture_logs(), suppress(BadKeySet):
        parsed({**data, **damage}, algorithm=algorithm)
