"""Tokens that this service signs itself: for the command line, browser sessions, and tests of a host."""

from __future__ import annotations

import math
import time
from pathlib import Path

from joserfc import jwt
from joserfc.jwk import OctKey

from preview.auth.algorithms import ALGORITHMS, FixedRegistry
from preview.auth.claims import TIERS, is_subject
from preview.core.key_file import KeyFileUnusable, read_or_create
from preview.core.quoting import quoted
from preview.errors import ConfigurationError, InvalidRequest
from preview.settings import Settings

# RFC 7518 section 3.2: an HS256 key is at least as long as the hash.
MIN_SECRET_BYTES = 32
SECRET_FILE = "secret"  # noqa: S105  a file's name


def load_or_create_secret(settings: Settings) -> str:
    """Return the signing secret: ``PREVIEW_JWT_SECRET``, or the data folder's file, created (mode 0600) if missing.

    The nodes of a cluster have one that follows from ``PREVIEW_CLUSTER_SECRET``, in place of the file.

    Any number of processes may call this at the same time; all get the same secret.

    Raises:
        ConfigurationError: The setting is too short, or the file cannot be read, created or used.
    """
    if settings.jwt_secret is not None:
        return _checked_setting(settings.jwt_secret.get_secret_value())
    shared = settings.secret_for("tokens of users")
    if shared is not None:
        return shared
    path = settings.data_dir / SECRET_FILE
    try:
        secret = read_or_create(path)
    except KeyFileUnusable as error:
        raise _unusable(path, str(error)) from None
    except OSError as error:
        raise ConfigurationError(
            f"The secret {path} cannot be read or made ({error.strerror}); "
            "make the folder writable for this user, or set PREVIEW_JWT_SECRET.",
            path=str(path),
        ) from error
    if len(secret.encode()) < MIN_SECRET_BYTES:
        raise _unusable(path, f"is empty or shorter than {MIN_SECRET_BYTES} bytes")
    return secret


def _checked_setting(secret: str) -> str:
    size = len(secret.encode("utf-8", "surrogateescape"))
    if size < MIN_SECRET_BYTES:
        raise ConfigurationError(
            f"PREVIEW_JWT_SECRET has {size} bytes, HS256 needs at least {MIN_SECRET_BYTES}; "
            "make one with `openssl rand -base64 48`.",
            min_bytes=MIN_SECRET_BYTES,
        )
    return secret


def _unusable(path: Path, what: str) -> ConfigurationError:
    return ConfigurationError(
        f"The secret {path} {what}; delete it and restart (a new one is created, and existing tokens become "
        "invalid), or set PREVIEW_JWT_SECRET.",
        path=str(path),
    )


# Ten years: a longer one is a mistake in the unit.
MAX_TTL_S = 10 * 365 * 24 * 3600.0


def issue_token(settings: Settings, secret: str, user_id: str, *, tier: str | None, ttl_s: float) -> str:
    """Return a bearer token for this user, valid for a ``JwtAuthenticator`` with the same settings and secret.

    Args:
        settings: Audience and issuer.
        secret: From ``load_or_create_secret``.
        user_id: 1 to 128 printable characters.
        tier: ``free``, ``pro``, ``enterprise``, or None to use the tier in the users table.
        ttl_s: Seconds from now until the token expires, ten years at most.

    Raises:
        ConfigurationError: The algorithm is not HS256 (tokens come from elsewhere), or the secret is unusable.
        InvalidRequest: The user, the tier or the lifetime is not valid.
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
    # Whole seconds, for readers without support for fractions; rounded up.
    claims["exp"] = math.ceil(now_s + ttl_s)
    if tier is not None:
        claims["tier"] = tier
    if settings.jwt_issuer is not None:
        claims["iss"] = settings.jwt_issuer
    registry = FixedRegistry(ALGORITHMS["HS256"])
    return jwt.encode({"alg": "HS256"}, claims, signing_key(secret), registry=registry)


def signing_key(secret: str) -> OctKey:
    """Return the secret as a key.

    Raises:
        ConfigurationError: The secret is too short, or is a public or private key (a public one is no secret).
    """
    content = secret.encode("utf-8", "surrogateescape")
    if len(content) < MIN_SECRET_BYTES:
        raise ConfigurationError(
            f"A secret for HS256 must have at least {MIN_SECRET_BYTES} bytes; this one has {len(content)}."
        )
    try:
        if "---- BEGIN " not in secret and "-----BEGIN " not in secret:
            # joserfc rejects a public key in any other form.
            return OctKey.import_key(content)
    except ValueError:
        pass
    raise ConfigurationError(
        "The secret for HS256 is a public or private key; set PREVIEW_JWT_SECRET to random characters, "
        "or PREVIEW_JWT_ALGORITHM and PREVIEW_JWKS_FILE for public keys."
    )
