"""Tokens that this service signs itself: for the command line, a browser's session, and tests of a host."""

from __future__ import annotations

import math
import time

from joserfc import jwt
from joserfc.jwk import OctKey

from preview.auth.algorithms import ALGORITHMS, FixedRegistry
from preview.auth.claims import TIERS, is_subject
from preview.auth.secret import MIN_SECRET_BYTES
from preview.core.quoting import quoted
from preview.errors import ConfigurationError, InvalidRequest
from preview.settings import Settings

# Ten years: a longer one is a mistake in the unit.
MAX_TTL_S = 10 * 365 * 24 * 3600.0


def issue_token(settings: Settings, secret: str, user_id: str, *, tier: str | None, ttl_s: float) -> str:
    """A bearer token for this user, such as ``JwtAuthenticator`` with the same settings and secret accepts.

    Args:
        settings: Audience and issuer.
        secret: As ``load_or_create_secret`` gives it.
        user_id: 1 to 128 printable characters.
        tier: ``free``, ``pro``, ``enterprise``, or None: then the users table says.
        ttl_s: Seconds from now until it expires, ten years at most.

    Raises:
        ConfigurationError: Tokens come from elsewhere (the algorithm is not HS256), or the secret cannot be one.
        InvalidRequest: The user, the tier or the time cannot be.
    """
    if settings.jwt_algorithm != "HS256":
        raise ConfigurationError(
            f"PREVIEW_JWT_ALGORITHM is {settings.jwt_algorithm}: tokens come from your identity provider, not here."
        )
    if not is_subject(user_id):
        raise InvalidRequest(f"{quoted(user_id)} cannot be a user's id; use 1 to 128 printable characters.")
    if tier is not None and tier not in TIERS:
        raise InvalidRequest(f"There is no tier {quoted(tier)}; use free, pro or enterprise.")
    if not 0 < ttl_s <= MAX_TTL_S:
        raise InvalidRequest(f"A token cannot be valid for {ttl_s:g} s; use up to {MAX_TTL_S:g} s (ten years).")
    now_s = time.time()
    claims: dict[str, object] = {"sub": user_id, "aud": settings.jwt_audience, "iat": int(now_s)}
    # Whole seconds, for readers that know no others; rather a moment longer than shorter than asked for.
    claims["exp"] = math.ceil(now_s + ttl_s)
    if tier is not None:
        claims["tier"] = tier
    if settings.jwt_issuer is not None:
        claims["iss"] = settings.jwt_issuer
    registry = FixedRegistry(ALGORITHMS["HS256"])
    return jwt.encode({"alg": "HS256"}, claims, signing_key(secret), registry=registry)


def signing_key(secret: str) -> OctKey:
    """The secret as a key.

    Raises:
        ConfigurationError: It is too short, or it is a key of another kind (a public one is known to everybody).
    """
    content = secret.encode("utf-8", "surrogateescape")
    if len(content) < MIN_SECRET_BYTES:
        raise ConfigurationError(f"A secret for HS256 has at least {MIN_SECRET_BYTES} bytes; this one {len(content)}.")
    try:
        if "---- BEGIN " not in secret and "-----BEGIN " not in secret:
            # joserfc refuses what can be read as a public key in any form.
            return OctKey.import_key(content)
    except ValueError:
        pass
    raise ConfigurationError(
        "The secret for HS256 is a public or private key; set PREVIEW_JWT_SECRET to random characters, "
        "or PREVIEW_JWT_ALGORITHM and PREVIEW_JWKS_FILE for public keys."
    )
