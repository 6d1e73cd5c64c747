from __future__ import annotations

import hashlib
import hmac
import json
import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from auth_provider import NOW, SECRET, Clock, claims, key_for, key_set, segment, sign, unhurried
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st
from joserfc import jwe
from joserfc.errors import UnsupportedAlgorithmError
from joserfc.jwk import OctKey

from preview.auth import Identity, JwtAuthenticator, issue_token
from preview.auth.algorithms import ALGORITHMS, FixedRegistry
from preview.auth.claims import LEEWAY_S, identity_of
from preview.errors import ConfigurationError, InvalidRequest, Unauthenticated
from preview.settings import Settings
from preview.user import User


def settings(**more: Any) -> Settings:
    return Settings(data_dir=Path("/nowhere"), **more)


def authenticator(*, now: float = NOW, **more: Any) -> JwtAuthenticator:
    return JwtAuthenticator(settings(**more), SECRET, now=Clock(now))


async def refusal(token: str, **more: Any) -> Unauthenticated:
    with pytest.raises(Unauthenticated) as caught:
        await authenticator(**more).authenticate(token)
    said = caught.value.message + repr(caught.value.details)
    assert SECRET not in said
    assert not token or token not in said
    assert caught.value.message.endswith(".")
    assert caught.value.__cause__ is None
    return caught.value


async def reason(token: str, **more: Any) -> object:
    return (await refusal(token, **more)).details["reason"]


# What is accepted


async def test_a_good_token_gives_user_tier_and_expiry() -> None:
    found = await authenticator().authenticate(sign(claims(tier="pro")))
    assert found == Identity(User("anna", "pro"), datetime.fromtimestamp(NOW + 60, UTC))


@pytest.mark.parametrize("tier", [None, "platinum", "", "PRO", 3, ["pro"], {"pro": 1}])
async def test_a_tier_that_is_missing_or_unknown_is_none(tier: object) -> None:
    assert (await authenticator().authenticate(sign(claims(tier=tier)))).user.tier is None


async def test_an_audience_in_a_list_is_found() -> None:
    await authenticator().authenticate(sign(claims(aud=["other", "preview"])))


async def test_further_claims_and_header_fields_are_ignored() -> None:
    token = sign(claims(scope="all", exp=NOW + 60.5), typ="at+jwt", kid="any", vendor="field", x5t="abc")
    await authenticator().authenticate(token)


async def test_clocks_may_differ_by_the_leeway_and_no_more() -> None:
    token = sign(claims(nbf=NOW, exp=NOW + 60))
    for now in (NOW - LEEWAY_S, NOW + 60 + LEEWAY_S - 1):
        await authenticator(now=now).authenticate(token)
    assert await reason(token, now=NOW - LEEWAY_S - 1) == "not_yet_valid"
    assert await reason(token, now=NOW + 60 + LEEWAY_S) == "expired"


@pytest.mark.parametrize("expires", [10**18, 10**400, 1e300])
async def test_an_expiry_beyond_the_calendar_is_its_end(expires: float) -> None:
    found = await authenticator().authenticate(sign(claims(exp=expires)))
    assert found.expires_at.year == 9999
    found.expires_at.astimezone(timezone(timedelta(hours=14)))


async def test_the_issuer_is_checked_where_one_is_configured() -> None:
    issuer = "https://id.example"
    await authenticator(jwt_issuer=issuer).authenticate(sign(claims(iss=issuer)))
    assert await reason(sign(claims(iss="https://evil.example")), jwt_issuer=issuer) == "issuer"
    assert await reason(sign(claims()), jwt_issuer=issuer) == "claims"
    await authenticator().authenticate(sign(claims(iss="anybody")))


async def test_a_subject_of_another_script_and_of_128_characters_is_accepted() -> None:
    for subject in ("auth0|5f7c8ec7", "анна", "anna@example.com", "Anna B", "a" * 128):
        assert (await authenticator().authenticate(sign(claims(sub=subject)))).user.id == subject


# What is refused


async def test_no_token_is_missing() -> None:
    assert await reason("") == "missing"


@pytest.mark.parametrize(
    "changes",
    [{"exp": None}, {"sub": None}, {"aud": None}, {"exp": "soon"}, {"exp": True}, {"exp": [NOW + 60]}, {"nbf": "x"}],
)
async def test_a_claim_that_is_missing_or_of_a_wrong_type_is_refused(changes: dict[str, Any]) -> None:
    assert await reason(sign(claims(**changes))) in {"claims", "not_yet_valid"}


@pytest.mark.parametrize("text", ["NaN", "Infinity", "-Infinity"])
async def test_an_expiry_that_is_no_number_is_refused(text: str) -> None:
    payload = f'{{"sub": "anna", "aud": "preview", "exp": {text}}}'.encode()
    assert await reason(sign(payload)) == "claims"


@pytest.mark.parametrize(
    "audience", ["other", "preview ", "Preview", ["other"], ["previews"], [], "", 7, {"preview": 1}]
)
async def test_another_audience_is_refused(audience: object) -> None:
    assert await reason(sign(claims(aud=audience))) == "audience"


@pytest.mark.parametrize(
    "subject", ["", " ", "anna ", "a" * 129, "an\nna", "an\x00na", "\u202eanna", "e\u0301", 42, ["anna"], {"id": 1}]
)
async def test_a_subject_that_cannot_be_a_user_is_refused(subject: object) -> None:
    assert await reason(sign(claims(sub=subject))) == "subject"


async def test_an_expired_token_is_refused() -> None:
    assert await reason(sign(claims(exp=NOW - LEEWAY_S))) == "expired"


@pytest.mark.parametrize("claim", ["nbf", "iat"])
async def test_a_token_from_the_future_is_refused(claim: str) -> None:
    assert await reason(sign(claims(**{claim: NOW + LEEWAY_S + 1}))) == "not_yet_valid"


async def test_another_secret_is_refused() -> None:
    assert await reason(sign(claims(), OctKey.import_key("x" * 43))) == "signature"


async def test_a_changed_payload_is_refused() -> None:
    head, _, signature = sign(claims()).split(".")
    assert await reason(f"{head}.{segment(claims(sub='root'))}.{signature}") == "signature"


@pytest.mark.parametrize("name", ["none", "None", "NONE", "nOnE"])
async def test_an_unsigned_token_is_refused(name: str) -> None:
    assert await reason(f"{segment({'alg': name})}.{segment(claims())}.") == "algorithm"


async def test_the_allowed_algorithm_without_a_signature_is_refused() -> None:
    assert await reason(f"{segment({'alg': 'HS256'})}.{segment(claims())}.") == "signature"


@pytest.mark.parametrize("name", ["HS384", "HS512", "hs256", "HS256 ", "", None, 256, ["HS256"], {"HS256": 1}])
async def test_any_other_algorithm_is_refused(name: object) -> None:
    _, payload, signature = sign(claims()).split(".")
    assert await reason(f"{segment({'alg': name})}.{payload}.{signature}") == "algorithm"


async def test_hs384_with_the_right_secret_is_refused() -> None:
    assert await reason(sign(claims(), alg="HS384")) == "algorithm"


@pytest.mark.parametrize("algorithm", ["RS256", "ES256", "EdDSA"])
async def test_an_hmac_made_with_the_public_key_is_refused(algorithm: str, tmp_path: Path) -> None:
    key: Any = key_for(algorithm)
    path = tmp_path / "keys.json"
    path.write_text(json.dumps(key_set(key)))
    checks = authenticator(jwt_algorithm=algorithm, jwks_file=path)
    # Made by hand: joserfc refuses to sign with such a key.
    for public in (key.as_pem(private=False), key.as_der(private=False), path.read_bytes()):
        token = forge(claims(), public)
        with pytest.raises(Unauthenticated) as caught:
            await checks.authenticate(token)
        assert caught.value.details["reason"] == "algorithm"


def forge(payload: object, public: bytes) -> str:

    signed = f"{segment({'alg': 'HS256', 'kid': 'k1'})}.{segment(payload)}"
    return f"{signed}.{segment(hmac.new(public, signed.encode(), hashlib.sha256).digest())}"


async def test_a_public_key_token_is_refused_where_a_secret_is_configured() -> None:
    assert await reason(sign(claims(), key_for("RS256"), "RS256")) == "algorithm"


async def test_a_key_that_the_token_brings_along_is_not_used() -> None:
    own = OctKey.import_key("y" * 43)
    token = sign(claims(), own, jwk={"kty": "oct", "k": segment(b"y" * 43)}, jku="http://127.0.0.1:1/keys")
    assert await reason(token) == "signature"


@pytest.mark.parametrize("header", [{"crit": ["exp"]}, {"crit": ["b64"], "b64": True}, {"crit": []}])
async def test_an_extension_that_must_be_understood_is_refused(header: dict[str, Any]) -> None:
    head = segment({"alg": "HS256", **header})
    assert await reason(f"{head}.{segment(claims())}.{segment(b's' * 32)}") == "malformed"


async def test_an_unencoded_payload_is_refused() -> None:
    head = segment({"alg": "HS256", "b64": False})
    assert await reason(f"{head}.{segment(claims())}.{segment(b's' * 32)}") == "malformed"


@pytest.mark.parametrize("kid", [7, ["k"], {"k": 1}, "k" * 257])
async def test_a_key_id_that_cannot_be_one_is_refused(kid: object) -> None:
    head = segment({"alg": "HS256", "kid": kid})
    assert await reason(f"{head}.{segment(claims())}.{segment(b's' * 32)}") == "malformed"


async def test_an_encrypted_token_is_refused() -> None:
    key = OctKey.import_key(b"s" * 32)
    token = jwe.encrypt_compact({"alg": "dir", "enc": "A256GCM"}, b"{}", key, algorithms=["dir", "A256GCM"])
    assert await reason(token) == "malformed"


@pytest.mark.parametrize("payload", [b"[]", b"1", b"null", b'"sub"', b"{", b"", b"\xff\xfe", b"[" * 3000, b"9" * 5000])
async def test_a_signed_payload_that_is_no_object_is_refused(payload: bytes) -> None:
    assert await reason(sign(payload)) == "malformed"


@pytest.mark.parametrize("header", [b"[]", b'["alg"]', b"1", b"null", b"{", b"\xff", b"[" * 3000, b'{"":' * 1200])
async def test_a_header_that_is_no_object_is_refused(header: bytes) -> None:
    assert await reason(f"{segment(header)}.{segment(claims())}.{segment(b's')}") == "malformed"


@pytest.mark.parametrize(
    "change",
    [
        lambda token: token + " ",
        lambda token: " " + token,
        lambda token: token + "\n",
        lambda token: token + "=",
        lambda token: token + ".",
        lambda token: token.replace(".", "..", 1),
        lambda token: token.rpartition(".")[0],
        lambda token: token.replace("e", "\u0435", 1),
        lambda token: f"Bearer {token}",
    ],
)
async def test_anything_around_or_within_a_token_is_refused(change: Any) -> None:
    assert await reason(change(sign(claims()))) == "malformed"


@pytest.mark.timed
async def test_a_huge_token_is_refused_before_it_is_read() -> None:
    assert await reason(sign(claims(filler="x" * 9000))) == "too_large"
    begun = time.perf_counter()
    assert await reason("." * 50_000_000) == "too_large"
    assert time.perf_counter() - begun < 1


async def test_a_token_below_the_bound_is_accepted() -> None:
    await authenticator().authenticate(sign(claims(filler="x" * 4000), vendor="y" * 1000))


# Anything at all

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
CLAIM_NAMES = st.sampled_from(["sub", "aud", "exp", "nbf", "iat", "iss", "tier", "jti"])


@unhurried
@given(st.text() | st.from_regex(r"[A-Za-z0-9_-]*\.[A-Za-z0-9_-]*\.[A-Za-z0-9_-]*", fullmatch=True))
async def test_garbage_is_always_refused(token: str) -> None:
    with pytest.raises(Unauthenticated):
        await authenticator().authenticate(token)


@unhurried
@given(
    st.dictionaries(st.sampled_from(["alg", "kid", "crit", "b64", "typ", "enc", "zip"]), JSON, max_size=4), st.binary()
)
async def test_any_header_is_refused_without_the_secret(header: dict[str, Any], signature: bytes) -> None:
    for head in (header, {**header, "alg": "HS256"}):
        with pytest.raises(Unauthenticated):
            await authenticator().authenticate(f"{segment(head)}.{segment(claims())}.{segment(signature)}")


@unhurried
@given(st.dictionaries(CLAIM_NAMES, JSON, max_size=4))
def test_any_signed_claims_give_an_identity_or_a_refusal(changes: dict[str, Any]) -> None:
    with suppress(Unauthenticated):
        found = identity_of({**claims(), **changes}, settings(), now_s=NOW)
        assert 1 <= len(found.user.id) <= 128
        assert found.expires_at.tzinfo is UTC
        assert found.user.tier in {None, "free", "pro", "enterprise"}


def test_the_registry_gives_no_algorithm_but_the_one() -> None:
    registry = FixedRegistry(ALGORITHMS["HS256"])
    assert registry.get_alg("HS256").name == "HS256"
    for name in ("none", "HS512", "RS256"):
        with pytest.raises(UnsupportedAlgorithmError):
            registry.get_alg(name)


# What this service signs itself


async def test_an_issued_token_is_accepted_with_the_same_settings() -> None:
    with_issuer = settings(jwt_issuer="https://id.example", jwt_audience="mine")
    token = issue_token(with_issuer, SECRET, "анна", tier="enterprise", ttl_s=0.5)
    found = await JwtAuthenticator(with_issuer, SECRET).authenticate(token)
    assert found.user == User("анна", "enterprise")
    assert 0 < found.expires_at.timestamp() - time.time() <= 2
    without_tier = issue_token(settings(), SECRET, "anna", tier=None, ttl_s=60)
    assert (await JwtAuthenticator(settings(), SECRET).authenticate(without_tier)).user.tier is None


@pytest.mark.parametrize("ttl_s", [0, -1, float("nan"), float("inf"), 1e12])
def test_no_token_is_issued_for_a_time_that_cannot_be(ttl_s: float) -> None:
    with pytest.raises(InvalidRequest, match="valid for"):
        issue_token(settings(), SECRET, "anna", tier=None, ttl_s=ttl_s)


def test_no_token_is_issued_for_a_user_or_tier_that_cannot_be() -> None:
    with pytest.raises(InvalidRequest, match="user's id"):
        issue_token(settings(), SECRET, "an\nna", tier=None, ttl_s=60)
    with pytest.raises(InvalidRequest, match="no tier"):
        issue_token(settings(), SECRET, "anna", tier="gold", ttl_s=60)


def test_no_token_is_issued_where_tokens_come_from_elsewhere() -> None:
    with pytest.raises(ConfigurationError, match="RS256"):
        issue_token(settings(jwt_algorithm="RS256", jwks_url="http://x/"), SECRET, "anna", tier=None, ttl_s=60)


# What cannot be configured


def test_hs256_without_a_secret_is_a_mistake_of_the_configuration() -> None:
    with pytest.raises(ConfigurationError, match="PREVIEW_JWT_SECRET"):
        JwtAuthenticator(settings(), None)


def test_a_short_secret_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="at least 32"):
        JwtAuthenticator(settings(), "short")


def test_a_public_or_private_key_as_the_secret_is_refused_and_not_repeated() -> None:
    key: Any = key_for("RS256")
    ssh = key.public_key.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
    for secret in (key.as_pem(private=False).decode(), key.as_pem(private=True).decode(), ssh):
        with pytest.raises(ConfigurationError, match="public or private key") as caught:
            JwtAuthenticator(settings(), secret)
        assert secret not in caught.value.message
