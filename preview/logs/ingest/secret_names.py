"""Names of fields, parameters, cookies and headers whose values are secrets."""

from __future__ import annotations

import re
from enum import Enum
from functools import lru_cache
from urllib.parse import unquote_plus


class Secrecy(Enum):
    """Treatment of a named value."""

    PLAIN = 0
    TEXT = 1  # text is a secret, a number is not: ``max_tokens: 100``
    ALL = 2


_ALL = (
    "password", "passwd", "passwort", "passphrase", "passcode", "secret", "apikey", "accesskey", "privatekey",
    "signingkey", "encryptionkey", "credential", "sessionid", "sessionkey", "csrf", "xsrf", "jwt", "authorization",
    "signature", "securitycode", "accesscode", "cardnumber", "creditcard", "connectionstring",
)  # fmt: skip
_EXACT = frozenset(
    {"pwd", "pass", "pw", "pin", "otp", "totp", "session", "cvv", "cvc", "ssn", "sid", "auth", "sig", "iban"}
)
_HARMLESS = frozenset({"tokentype", "tokenizer", "tokenlimit", "tokenusage", "signaturealgorithm"})
_SEPARATORS = re.compile(r"[^a-z0-9]+")
_ESCAPE = re.compile(r"(?<!\\)\\+u([0-9a-fA-F]{4})")
# Longer names are not names of fields. They are checked all the same, but not cached.
_CACHED_CHARACTERS = 64

WORDS = ("pass", "pwd", "pw", "pin", "otp", "cvv", "cvc", "ssn", "sid", "auth", "sig", "iban", "secret", "key",
         "credential", "session", "csrf", "xsrf", "jwt", "securitycode", "security_code", "card", "connection",
         "token", "\\u", "%")  # fmt: skip
"""One of these is in any text with a secret name, in lower case: a cheap first check."""


def secrecy_of(name: str) -> Secrecy:
    """Return how values with this name are treated. The name may be percent-encoded or have JSON escapes."""
    return _cached(name) if len(name) <= _CACHED_CHARACTERS else _secrecy(name)


@lru_cache(maxsize=4096)
def _cached(name: str) -> Secrecy:
    return _secrecy(name)


def _secrecy(name: str) -> Secrecy:
    if "\\" in name:
        name = _ESCAPE.sub(lambda found: chr(int(found[1], 16)), name)
    if "%" in name or "+" in name:
        name = unquote_plus(name)
    lowered = name.lower()
    parts = _SEPARATORS.split(lowered)
    joined = "".join(parts)
    if joined in _HARMLESS:
        return Secrecy.PLAIN
    if any(word in joined for word in _ALL) or not _EXACT.isdisjoint(parts) or joined in _EXACT:
        return Secrecy.ALL
    if joined.endswith(("pwd", "passwd")):
        return Secrecy.ALL
    return Secrecy.TEXT if "token" in joined or "bearer" in joined else Secrecy.PLAIN
