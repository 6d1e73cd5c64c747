"""Sign-in at an identity provider: OpenID Connect with an authorization code and PKCE.

OpenID Connect Core 1.0 section 3.1, OpenID Connect Discovery 1.0, RFC 6749 section 4.1, RFC 7636, RFC 9207.
"""

from __future__ import annotations

import base64
import hmac
import json
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, quote_plus, urlencode, urlsplit

import structlog
import trio
from authlib.oauth2.rfc6749.parameters import prepare_grant_uri
from authlib.oauth2.rfc7636 import create_s256_code_challenge
from authlib.oidc.core import CodeIDToken
from joserfc.errors import JoseError

from preview.auth.algorithms import ALGORITHMS, FixedRegistry
from preview.auth.box import SealedBox
from preview.auth.claims import LEEWAY_S, is_subject
from preview.auth.jwks import KeyBook
from preview.auth.jwt import key_id, read_header, verified_claims
from preview.auth.members import MEMBER_PREFIX
from preview.auth.provider import ANSWER_TIMEOUT_S, NO_ANSWER, AddressTurns, BadAddress, BadStatus, Endpoint
from preview.core.quoting import quoted
from preview.errors import ConfigurationError, Unauthenticated
from preview.settings import Settings
from preview.user import User

# Time to sign in at the provider, a second factor included.
SIGN_IN_S = 600
# Providers change their addresses rarely; their keys have a book of their own.
_FRESH_S = 3600.0
# Everybody who waits for a provider that is away gets the same error.
_PAUSE_S = 5.0
# Anybody may begin to sign in, so this bounds the connections that strangers make to the provider.
_MOST_AT_ONCE = 8
# One stranger, or one office behind an address, leaves connections for others.
_MOST_OF_ADDRESS = 2
_MAX_QUERY_CHARS = 8 * 1024

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Known:
    """The used part of a provider's description of itself.

    Attributes:
        authorization: Address where users sign in.
        token: Address that gives tokens for codes.
        keys: Key books by the name of the algorithm.
        takes_basic: Whether it takes the client's secret in the header, else in the body.
        says_issuer: Whether its answers name the issuer (RFC 9207).
    """

    authorization: str
    token: Endpoint
    keys: Mapping[str, KeyBook]
    takes_basic: bool
    says_issuer: bool


class SignIn:
    """Signs users in at the provider of the settings.

    No state is kept between the two steps of a sign-in: it is in an encrypted cookie of the user's browser.

    Args:
        settings: Provider, client, and who may sign in.
        secret: From ``load_or_create_secret``; encrypts the cookies.
        now: Returns seconds since the epoch.

    Attributes:
        name: Host of the provider, for people.

    Raises:
        ConfigurationError: The provider's address is not one that can be trusted.
    """

    def __init__(self, settings: Settings, secret: str, *, now: Callable[[], float] = time.time) -> None:
        self._settings = settings
        self._issuer = settings.oidc_issuer or ""
        self._client = settings.oidc_client_id or ""
        self._now = now
        self.name = urlsplit(self._issuer).netloc
        # Nobody who has seen a cookie and a code can redeem the code at the provider: the cookie has the verifier.
        self._cookies = SealedBox(secret, b"sign-in at an identity provider")
        self._discovery = _trusted(f"{self._issuer.rstrip('/')}/.well-known/openid-configuration")
        self._known: _Known | None = None
        self._known_at = self._failed_at = float("-inf")
        self._finding = trio.Lock()
        self._limiter = trio.CapacityLimiter(_MOST_AT_ONCE)
        self._turns = AddressTurns(_MOST_OF_ADDRESS)

    async def begin(self, callback: str) -> tuple[str, str]:
        """Return the provider's address to send a browser to, and the value of the browser's cookie.

        Args:
            callback: This service's address for the provider's answer, registered there.

        Raises:
            Unauthenticated: The provider cannot be used now; ``details["reason"]`` is ``provider``.

        Cancellation: no state changes.
        """
        known = await self._provider()
        state, nonce, verifier = (secrets.token_urlsafe(32) for _ in range(3))
        needs_email = self._settings.oidc_user_claim == "email" or any(
            one.startswith("*@") for one in self._settings.oidc_users or ()
        )
        scopes = ["openid"]
        if self._settings.oidc_user_claim != "sub" or needs_email:
            scopes += ["profile", "email"]
        address = prepare_grant_uri(
            known.authorization,
            self._client,
            "code",
            redirect_uri=callback,
            scope=scopes,
            state=state,
            nonce=nonce,
            code_challenge=create_s256_code_challenge(verifier),  # type: ignore[no-untyped-call]  # missing in its stubs
            code_challenge_method="S256",
        )
        kept = {"state": state, "nonce": nonce, "verifier": verifier, "exp": int(self._now()) + SIGN_IN_S}
        return address, self._cookies.sealed(kept)

    async def finish(self, callback: str, query: str, cookie: str, *, address: str = "") -> User:
        """Return the user who has signed in.

        Args:
            callback: The address that was given to ``begin``.
            query: The query that the provider sent the browser back with. Untrusted.
            cookie: The value of the browser's cookie. Untrusted.
            address: The browser's address, which may have a few requests to the provider at a time.

        Raises:
            Unauthenticated: The sign-in failed. ``details["reason"]``: ``state`` (another browser, or too late),
                ``refused`` (by the provider or the user there), ``user`` (may not use this service) or ``provider``.

        Cancellation: the code may have been used up; the user signs in again.
        """
        kept = self._read_cookie(cookie)
        answer = _single(query)
        if not hmac.compare_digest(answer.get("state", "").encode(), str(kept["state"]).encode()):
            raise _started_elsewhere()
        known = await self._provider()
        if ("iss" in answer or known.says_issuer) and answer.get("iss") != self._issuer:
            raise _unusable("its answer names another issuer")
        if "code" not in answer:
            reason = answer.get("error", "no code")
            _log.info("sign in refused", reason=reason[:100])
            raise Unauthenticated(
                f"The identity provider has refused the sign-in ({quoted(reason)}); try again, or ask its operator.",
                reason="refused",
            )
        async with self._turns.of(address, ANSWER_TIMEOUT_S) as is_free:
            if not is_free:
                raise _unusable("one address has too many requests open")
            tokens = await self._exchange(known, callback, answer["code"], str(kept["verifier"]))
        return self._user(await self._claims(known, tokens, str(kept["nonce"])))

    def _read_cookie(self, cookie: str) -> Mapping[str, Any]:
        kept = self._cookies.opened(cookie)
        if kept is None or kept["exp"] <= self._now():
            raise _started_elsewhere()
        return kept

    async def _provider(self) -> _Known:
        """Return the provider's description of itself, requested at most once an hour."""
        if self._known is not None and self._finding.locked():
            return self._known
        async with self._finding:
            now = trio.current_time()
            if now - self._known_at >= _FRESH_S and now - self._failed_at >= _PAUSE_S:
                try:
                    found = await self._ask(self._discovery)
                    self._known = _read_discovery(found, self._issuer, self._known)
                    self._known_at = now
                except Unauthenticated:
                    self._failed_at = trio.current_time()
            # An outage of the provider's discovery ends no sign-in that can do without.
            if self._known is None:
                raise _away()
            return self._known

    async def _ask(self, endpoint: Endpoint, body: bytes | None = None, **headers: str) -> Mapping[str, Any]:
        """Return the JSON object that an address answers."""
        problem = f"{endpoint.name} gave no answer within {ANSWER_TIMEOUT_S:g} s"
        with trio.move_on_after(ANSWER_TIMEOUT_S):
            try:
                async with self._limiter:
                    content = await endpoint.ask(body, headers)
                found = json.loads(content)
                if isinstance(found, dict):
                    return found
                problem = f"{endpoint.name} answered no JSON object"
            except BadStatus as error:
                problem = f"{endpoint.name} {error}: {quoted(_error_code(error.content))}"
            except (*NO_ANSWER, OSError) as error:
                problem = f"{endpoint.name} cannot be reached ({type(error).__name__})"
            except (ValueError, RecursionError):
                problem = f"{endpoint.name} answered no JSON"
        raise _unusable(problem)

    async def _exchange(self, known: _Known, callback: str, code: str, verifier: str) -> Mapping[str, Any]:
        """Return the tokens for a code (RFC 6749 section 4.1.3)."""
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": callback,
            "code_verifier": verifier,
        }
        headers = {}
        secret = self._settings.oidc_client_secret
        if secret is not None and known.takes_basic:
            # RFC 6749 section 2.3.1: both are encoded as in a form first.
            pair = f"{_form_text(self._client)}:{_form_text(secret.get_secret_value())}"
            headers["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
        else:
            form["client_id"] = self._client
            if secret is not None:
                form["client_secret"] = secret.get_secret_value()
        return await self._ask(known.token, urlencode(form, errors="surrogateescape").encode(), **headers)

    async def _claims(self, known: _Known, tokens: Mapping[str, Any], nonce: str) -> Mapping[str, Any]:
        """Return the claims of the ID token, which is checked (OpenID Connect Core 1.0 section 3.1.3.7)."""
        token, access_token = tokens.get("id_token"), tokens.get("access_token")
        if not isinstance(token, str):
            raise _unusable("its answer has no ID token")
        try:
            header = read_header(token)
            algorithm = str(header.get("alg"))
            if algorithm not in known.keys:
                raise _unusable(f"its ID token is signed with {quoted(algorithm)}")
            key = await known.keys[algorithm].find(key_id(header))
            claims = verified_claims(token, key, FixedRegistry(ALGORITHMS[_FAMILY[algorithm]]))
            checked = CodeIDToken(
                claims,
                # Its newer name has no length, by which the hash of the access token is chosen (RFC 9864).
                header | {"alg": _FAMILY[algorithm]},
                options={
                    "iss": {"essential": True, "value": self._issuer},
                    "aud": {"essential": True, "value": self._client},
                },
                params={"nonce": nonce, "client_id": self._client, "access_token": access_token},
            )
            checked.validate(now=int(self._now()), leeway=LEEWAY_S)
        except Unauthenticated as error:
            raise _unusable(f"its ID token is not valid: {error.message}") from None
        except (JoseError, ValueError, TypeError) as error:
            raise _unusable(f"its ID token is not valid: {type(error).__name__} {error}"[:200]) from None
        if claims.get("nonce") != nonce:
            raise _unusable("its ID token is of another sign-in")
        return claims

    def _user(self, claims: Mapping[str, Any]) -> User:
        """Return the user whom the claims name, if it is one who may use this service."""
        name = self._settings.oidc_user_claim
        user = claims.get(name)
        # Ids of invited people are no provider's to give.
        if not isinstance(user, str) or not is_subject(user) or user.startswith(MEMBER_PREFIX):
            raise Unauthenticated(
                f"Your identity provider sends no {quoted(name)} that can be a user's id; ask the operator to change "
                "PREVIEW_OIDC_USER_CLAIM.",
                reason="user",
            )
        email = claims.get("email") if claims.get("email_verified") is True else None
        if name == "email" and email is None:
            raise Unauthenticated(
                "Your identity provider does not say that your e-mail address is yours (email_verified).",
                reason="user",
            )
        if not self._admits(user, email):
            _log.info("sign in refused", reason="not admitted", user=user)
            raise Unauthenticated(
                f"{quoted(user)} may not use this service; ask its operator to add it to PREVIEW_OIDC_USERS.",
                reason="user",
            )
        return User(user)

    def _admits(self, user: str, email: object) -> bool:
        """Return whether somebody with this id and this verified address may use the service."""
        allowed = self._settings.oidc_users
        if allowed is None:
            return True
        domains = {one[2:].lower() for one in allowed if one.startswith("*@")}
        is_of_domain = isinstance(email, str) and "@" in email and email.rpartition("@")[2].lower() in domains
        # Else somebody who chooses the name "*@example.com" would be admitted by it.
        return is_of_domain or (user in allowed and not user.startswith("*@"))


# The algorithms of an ID token, with public keys only; EdDSA has two names.
_FAMILY = {name: family for family, one in ALGORITHMS.items() if family != "HS256" for name in one.names}


def _error_code(content: bytes) -> str:
    """Return the code in an error (RFC 6749 section 5.2). The rest may repeat what was sent."""
    try:
        return str(json.loads(content)["error"])[:100]
    except (ValueError, RecursionError, KeyError, TypeError):
        return "no error code"


def _form_text(text: str) -> str:
    return quote_plus(text, errors="surrogateescape")


def _trusted(address: str) -> Endpoint:
    try:
        endpoint = Endpoint.at(address)
    except BadAddress:
        endpoint = None
    if endpoint is None or not endpoint.is_private or endpoint.url.query:
        raise ConfigurationError(
            "PREVIEW_OIDC_ISSUER is not an address that decides who may enter; write https://HOST, as the provider "
            "names itself."
        )
    return endpoint


def _read_discovery(found: Mapping[str, Any], issuer: str, before: _Known | None) -> _Known:
    """Read a provider's description of itself (OpenID Connect Discovery 1.0 section 3).

    Args:
        found: The description.
        issuer: The name that the provider must have.
        before: The last description; its keys are used until newer ones are fetched.
    """
    if found.get("issuer") != issuer:
        raise _unusable(f"it calls itself {quoted(str(found.get('issuer')))}, PREVIEW_OIDC_ISSUER is {quoted(issuer)}")
    addresses = {}
    for name in ("authorization_endpoint", "token_endpoint", "jwks_uri"):
        try:
            addresses[name] = Endpoint.at(str(found.get(name, "")))
        except BadAddress:
            raise _unusable(f"its {name} is not an address") from None
        if not addresses[name].is_private:
            raise _unusable(f"its {name} is not encrypted")
    keys = addresses["jwks_uri"]
    methods = found.get("token_endpoint_auth_methods_supported", ["client_secret_basic"])
    return _Known(
        str(found["authorization_endpoint"]),
        addresses["token_endpoint"],
        {
            name: KeyBook(keys.name, keys.ask, ALGORITHMS[family])
            if before is None
            else before.keys[name].at(keys.name, keys.ask)
            for name, family in _FAMILY.items()
        },
        isinstance(methods, list) and "client_secret_basic" in methods,
        found.get("authorization_response_iss_parameter_supported") is True,
    )


def _single(query: str) -> dict[str, str]:
    """Return a query's parameters. One that stands there twice is left out: readers differ in which one they take."""
    try:
        found = parse_qs(query[:_MAX_QUERY_CHARS], keep_blank_values=True, max_num_fields=50)
    except ValueError:
        return {}
    return {name: values[0] for name, values in found.items() if len(values) == 1}


def _started_elsewhere() -> Unauthenticated:
    return Unauthenticated(
        "This sign-in was started in another browser, or more than ten minutes ago; sign in again.", reason="state"
    )


def _unusable(why: str) -> Unauthenticated:
    """Return the error for a provider that breaks the protocol or gives no answer, and log the reason."""
    _log.warning("sign in failed", reason=why)
    return _away()


def _away() -> Unauthenticated:
    return Unauthenticated(
        "The identity provider cannot be used now; try again in a moment. The service's log says why.",
        reason="provider",
    )
