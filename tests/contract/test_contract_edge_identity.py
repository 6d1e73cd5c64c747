"""Whatever claims to be a token: it proves who is asking, or it is refused; nothing else ever happens."""

from __future__ import annotations

import base64
import json
from typing import Any

from contract_cases import bounded
from contract_edges import JSON, NASTY, TEXT, judge
from contract_world import SECRET
from hypothesis import given
from hypothesis import strategies as st
from joserfc import jwt
from joserfc.jwk import OctKey

from preview.auth import Identity, JwtAuthenticator, LoginCodes, TicketBox, issue_token
from preview.errors import PreviewError
from preview.http.identity import TokenAuthenticate
from preview.proxy.headers import SERVICE_COOKIE
from preview.settings import load_settings

SETTINGS = load_settings()
AUTHENTICATE = TokenAuthenticate(JwtAuthenticator(SETTINGS, SECRET), SERVICE_COOKIE)
GOOD = issue_token(SETTINGS, SECRET, "ann", tier=None, ttl_s=3600)
BYTES = st.binary(max_size=60) | NASTY.map(lambda one: one.encode("utf-8", "surrogatepass"))
ALGORITHMS: list[Any] = ["HS256", "HS512", "none", "None", "RS256", "ES256", "EdDSA", "", None, 1, ["HS256"], {}]
CLAIMS = st.dictionaries(
    st.sampled_from(["sub", "aud", "iss", "exp", "nbf", "iat", "tier", "jti"]) | TEXT,
    st.sampled_from(["ann", "preview", 2**40, 10**400, 1e300, -1, 0, [], ["preview"], "9" * 30, "\0", "pro"]) | JSON,
    max_size=8,
)


def encoded(value: Any) -> str:
    try:
        raw = json.dumps(value).encode()
    except ValueError:
        raw = b"{"
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def signed(claims: dict[str, Any]) -> str:
    try:
        return jwt.encode({"alg": "HS256"}, claims, OctKey.import_key(SECRET))
    except Exception:  # noqa: BLE001  claims that cannot be signed are sent unsigned
        return f"{encoded({'alg': 'HS256'})}.{encoded(claims)}.x"


TOKENS = st.one_of(
    CLAIMS.map(signed),
    st.fixed_dictionaries({"sub": TEXT, "aud": st.just("preview"), "exp": st.integers(0, 2**50)}).map(signed),
    st.builds(
        lambda head, claims, end: f"{encoded(head)}.{encoded(claims)}.{end}",
        st.dictionaries(st.sampled_from(["alg", "kid", "crit", "typ", "jwk", "b64"]), st.sampled_from(ALGORITHMS))
        | JSON,
        CLAIMS | JSON,
        st.sampled_from(["", "x", GOOD.rpartition(".")[2]]),
    ),
    st.tuples(st.integers(0, len(GOOD) - 1), st.sampled_from(".=_-Aa\xe9")).map(
        lambda change: GOOD[: change[0]] + change[1] + GOOD[change[0] + 1 :]
    ),
    st.sampled_from([GOOD * 100, "." * 5, "a.b", "a.b.c.d.e", f"{GOOD}=", f" {GOOD}"]),
    TEXT,
)


async def identity_or_refusal(headers: list[tuple[bytes, bytes]], method: str = "GET") -> Identity | None:
    try:
        return await AUTHENTICATE({"type": "http", "method": method, "headers": headers})
    except PreviewError as error:
        refusal = error
    judge(refusal)
    assert refusal.code in {"unauthenticated", "forbidden"}
    return None


@bounded(100)
@given(TOKENS)
async def test_any_bearer_token_is_an_identity_or_refused(token: str) -> None:
    field = f"Bearer {token}".encode("latin-1", "replace")
    found = await identity_or_refusal([(b"authorization", field)])
    if found is not None:
        assert found.user.id.isprintable()
        assert found.user.tier in {None, "free", "pro", "enterprise"}


@bounded(100)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(
                [b"authorization", b"Authorization", b"cookie", b"origin", b"host", b"sec-fetch-site", b"x"]
            ),
            BYTES
            | st.sampled_from([b"Bearer " + GOOD.encode(), f"{SERVICE_COOKIE}={GOOD}".encode(), b"http://[", b"//["])
            | BYTES.map(f"{SERVICE_COOKIE}=".encode().__add__)
            | BYTES.map(b"http://".__add__),
        ),
        max_size=5,
    ),
    st.sampled_from(["GET", "POST", "DELETE"]),
)
async def test_any_head_of_a_request_tells_who_is_asking_or_is_refused(
    headers: list[tuple[bytes, bytes]], method: str
) -> None:
    found = await identity_or_refusal(headers, method)
    assert found is None or found.user.id == "ann"


@bounded(100)
@given(
    BYTES | BYTES.map(b"http://".__add__) | st.sampled_from([b"http://[", b"//]", b"http://[::1", b"null"]),
    BYTES.filter(len),
)
async def test_any_origin_of_a_browser_s_request_is_our_own_page_s_or_refused(origin: bytes, host: bytes) -> None:
    session = f"{SERVICE_COOKIE}={GOOD}".encode()
    found = await identity_or_refusal([(b"cookie", session), (b"host", host), (b"origin", origin)], "POST")
    assert found is None or origin.lower().endswith(host.lower())


@bounded(100)
@given(TEXT | st.text(alphabet="abcXYZ019-_", min_size=43, max_size=43) | st.just("x" * 10**6))
def test_any_ticket_or_login_code_that_nobody_issued_is_refused(code: str) -> None:
    for redeem in (TicketBox(60).redeem, LoginCodes().redeem):
        refusal = None
        try:
            redeem(code)
        except PreviewError as error:
            refusal = error
        assert refusal is not None
        judge(refusal)
