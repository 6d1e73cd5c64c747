"""Check a token's claims, after its signature was verified. Pure."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from joserfc.errors import ClaimError, ExpiredTokenError, MissingClaimError
from joserfc.jwt import ClaimsOption, JWTClaimsRegistry

from preview.auth.login import Identity
from preview.errors import Unauthenticated
from preview.settings import Settings
from preview.user import User

# Machines with NTP differ by less. The leeway is small, as expired tokens are accepted for this long.
LEEWAY_S = 10
MAX_SUBJECT_CHARS = 128
TIERS = frozenset({"free", "pro", "enterprise"})
# End of the year 9999 minus a day: the latest that a datetime can represent in any time zone.
_LAST_SECOND = 253_402_214_400

_SENTENCES = {
    "aud": ("audience", "The token is for another audience; get one for this service."),
    "iss": ("issuer", "The token comes from another issuer; get one from the issuer that this service requires."),
    "nbf": ("not_yet_valid", "The token is not valid yet; wait, or check that the clocks are in sync."),
    "iat": ("not_yet_valid", "The token's issue time is in the future; wait, or check that the clocks are in sync."),
    "sub": ("subject", "The token's subject ('sub') cannot be a user's id; use 1 to 128 printable characters."),
}


def identity_of(claims: Mapping[str, Any], settings: Settings, *, now_s: float) -> Identity:
    """Return the user whom the claims identify.

    Args:
        claims: Claims of a token with a valid signature.
        settings: Provides the expected audience and issuer.
        now_s: Seconds since the epoch.

    Raises:
        Unauthenticated: A claim is missing or wrong, or the token is not valid now.
    """
    options = {
        "exp": ClaimsOption(essential=True),
        "sub": ClaimsOption(essential=True),
        "aud": ClaimsOption(essential=True, value=settings.jwt_audience),
    }
    if settings.jwt_issuer is not None:
        options["iss"] = ClaimsOption(essential=True, value=settings.jwt_issuer)
    try:
        JWTClaimsRegistry(now=int(now_s), leeway=LEEWAY_S, **options).validate(dict(claims))
    except ExpiredTokenError:
        raise Unauthenticated("The token has expired; get a new one.", reason="expired") from None
    except MissingClaimError as error:
        raise Unauthenticated(f"The token lacks a claim ({error.claim}); get a new one.", reason="claims") from None
    except ClaimError as error:
        reason, sentence = _SENTENCES.get(
            error.claim, ("claims", "A claim in the token has an invalid value; get a new one.")
        )
        raise Unauthenticated(sentence, reason=reason) from None
    subject = claims["sub"]
    if not is_subject(subject):
        reason, sentence = _SENTENCES["sub"]
        raise Unauthenticated(sentence, reason=reason)
    tier = claims.get("tier")
    known = tier if isinstance(tier, str) and tier in TIERS else None
    # A date beyond the calendar is far in the future; otherwise the token would have expired.
    expires_s = min(claims["exp"], _LAST_SECOND)
    return Identity(User(subject, known), datetime.fromtimestamp(expires_s, UTC))


def is_subject(value: str) -> bool:
    """Return whether the value can be a user id: 1 to 128 printable characters, trimmed, in NFC."""
    return (
        0 < len(value) <= MAX_SUBJECT_CHARS
        and value.isprintable()
        and value == value.strip()
        and unicodedata.is_normalized("NFC", value)
    )
