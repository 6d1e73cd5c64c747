"""Authenticate users by JSON Web Tokens (RFC 7519, RFC 8725)."""

from __future__ import annotations

import base64
import json
import re
import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from joserfc import jwt
from joserfc.errors import BadSignatureError, JoseError
from joserfc.jwk import Key, OctKey

from preview.auth.algorithms import ALGORITHMS, MAX_TOKEN_BYTES, Algorithm, FixedRegistry
from preview.auth.claims import identity_of
from preview.auth.jwks import KeyBook, fetch_file, fetch_url, read_key_file
from preview.auth.login import Identity
from preview.auth.tokens import signing_key
from preview.errors import ConfigurationError, Unauthenticated
from preview.settings import Settings

# RFC 7515 section 7.1: header, payload and signature, and nothing around them.
_TOKEN = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*")
_MAX_KID_CHARS = 256


class _Keys(Protocol):
    async def find(self, kid: str | None) -> Key: ...


class _OneSecret:
    """The only key, for any ``kid``."""

    def __init__(self, key: OctKey) -> None:
        self._key = key

    async def find(self, kid: str | None) -> Key:  # noqa: ARG002  the interface of ``KeyBook``
        return self._key


class JwtAuthenticator:
    """Checks tokens against the one algorithm of the settings.

    Args:
        settings: Algorithm, audience, issuer, and the source of public keys.
        secret: For HS256, from ``load_or_create_secret``; otherwise unused.
        now: Returns seconds since the epoch.

    Raises:
        ConfigurationError: No secret or key source is configured.
    """

    def __init__(self, settings: Settings, secret: str | None, *, now: Callable[[], float] = time.time) -> None:
        self._settings = settings
        self._now = now
        self._algorithm = ALGORITHMS[settings.jwt_algorithm]
        self._registry = FixedRegistry(self._algorithm)
        self._keys = _open_keys(settings, secret, self._algorithm)

    async def authenticate(self, token: str) -> Identity:
        """Return the identity that the token proves.

        Args:
            token: Untrusted text of any content and length.

        Raises:
            Unauthenticated: The token is not valid. ``details["reason"]``: ``missing``, ``malformed``, ``too_large``,
                ``algorithm``, ``signature``, ``unknown_key``, ``keys_unavailable``, ``expired``, ``not_yet_valid``,
                ``audience``, ``issuer``, ``subject`` or ``claims``.

        Cancellation: no state changes; a started fetch of keys is finished first, within 5 s.
        """
        kid = self._named_key(token)
        key = await self._keys.find(kid)
        return identity_of(self._verified(token, key), self._settings, now_s=self._now())

    def _named_key(self, token: str) -> str | None:
        """Return the ``kid`` of a token whose header is acceptable."""
        header = read_header(token)
        if header.get("alg") not in list(self._algorithm.names):
            raise Unauthenticated(
                f"The token is not signed with {self._settings.jwt_algorithm}, which this service requires.",
                reason="algorithm",
            )
        return key_id(header)

    def _verified(self, token: str, key: Key) -> dict[str, Any]:
        """Return the claims if the signature matches the key."""
        return verified_claims(token, key, self._registry)


def read_header(token: str) -> dict[str, Any]:
    """Return the header of a token, whose signature is not checked.

    Raises:
        Unauthenticated: The token is missing, too large or malformed.
    """
    if not token:
        raise Unauthenticated("Send a token: 'Authorization: Bearer TOKEN'.", reason="missing")
    if len(token) > MAX_TOKEN_BYTES:
        raise Unauthenticated(f"The token is longer than {MAX_TOKEN_BYTES // 1024} KiB.", reason="too_large")
    if _TOKEN.fullmatch(token) is None:
        raise _malformed()
    return _read_object(token.partition(".")[0])


def key_id(header: Mapping[str, Any]) -> str | None:
    """Return the ``kid`` of a header, or None if it has none.

    Raises:
        Unauthenticated: It is no id, or the header has extensions (``crit``).
    """
    kid = header.get("kid")
    # RFC 7515 section 4.1.11: extensions that ``crit`` names must be understood; this service supports none.
    if "crit" in header or not (kid is None or (isinstance(kid, str) and len(kid) <= _MAX_KID_CHARS)):
        raise _malformed()
    return kid


def verified_claims(token: str, key: Key, registry: FixedRegistry) -> dict[str, Any]:
    """Return the claims of a token if its signature matches the key.

    Raises:
        Unauthenticated: The signature does not match, or the token is malformed.
    """
    try:
        claims = jwt.decode(token, key, registry=registry).claims
    except BadSignatureError:
        raise Unauthenticated("The token's signature does not match; get a new one.", reason="signature") from None
    except (JoseError, ValueError, TypeError, RecursionError):
        raise _malformed() from None
    _read_object(token.split(".")[1])
    return claims


def _open_keys(settings: Settings, secret: str | None, algorithm: Algorithm) -> _Keys:
    if settings.jwt_algorithm == "HS256":
        if secret is None:
            raise ConfigurationError("HS256 needs a secret; set PREVIEW_JWT_SECRET.")
        return _OneSecret(signing_key(secret))
    url, path = settings.jwks_url, settings.jwks_file
    if url and path:
        raise ConfigurationError("PREVIEW_JWKS_URL and PREVIEW_JWKS_FILE are both set; keep one.")
    if path is not None:
        return KeyBook(str(path), fetch_file(path), algorithm, known=read_key_file(path, algorithm))
    source, fetch = fetch_url(url or "")
    return KeyBook(source, fetch, algorithm)


def _read_object(segment: str) -> dict[str, Any]:
    """Return the JSON object in a segment. Repeated names are an error: other readers might use the other value.

    RFC 7515 section 4, RFC 7519 section 4.
    """
    try:
        content = base64.urlsafe_b64decode(segment + "=" * (-len(segment) % 4))
        found = json.loads(content, object_pairs_hook=_without_repeats)
    except (ValueError, RecursionError):
        raise _malformed() from None
    if not isinstance(found, dict):
        raise _malformed()
    return found


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        raise ValueError("a name is repeated")
    return made


def _malformed() -> Unauthenticated:
    return Unauthenticated("Invalid token (not a JSON Web Token); get a new one.", reason="malformed")
