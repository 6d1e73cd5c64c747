"""A JSON Web Key Set (RFC 7517 section 5) as the keys in it that can check a signature of one algorithm. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import structlog
from joserfc.errors import JoseError
from joserfc.jwk import JWKRegistry, Key

from preview.auth.algorithms import Algorithm

# Identity providers publish two to ten keys of a few KB, certificates included.
MAX_SET_BYTES = 256 * 1024
MAX_KEYS = 100

# What is said about a key, not the key. Checked here once, so that joserfc need not at each signature.
_ABOUT = frozenset({"use", "alg", "key_ops", "kid"})

_log = structlog.get_logger(__name__)


class BadKeySet(ValueError):
    """This is not a key set, or it has no key for the algorithm. The message is half a sentence: '... holds no key'."""


@dataclass(frozen=True, slots=True)
class PublicKeys:
    """Keys by id.

    Attributes:
        named: By ``kid``.
        nameless: Those without one.
    """

    named: Mapping[str, Key]
    nameless: Sequence[Key]

    def find(self, kid: str | None) -> Key | None:
        """The one key that a token with this ``kid``, or without one, can mean; None where that is not clear."""
        if kid is not None and kid in self.named:
            return self.named[kid]
        if kid is None and len(self.named) == 1 and not self.nameless:
            return next(iter(self.named.values()))
        return self.nameless[0] if len(self.nameless) == 1 and (kid is not None or not self.named) else None


def parse_key_set(content: bytes, algorithm: Algorithm) -> PublicKeys:
    """The set's keys for ``algorithm``. Others, and those that cannot be read, are passed over.

    Args:
        content: JSON, ``{"keys": [...]}``.
        algorithm: What the keys must be for.

    Raises:
        BadKeySet: No key is left, or it is not a key set.
    """
    if len(content) > MAX_SET_BYTES:
        raise BadKeySet(f"holds more than {MAX_SET_BYTES // 1024} KiB")
    try:
        document = json.loads(content)
    except (ValueError, RecursionError):
        raise BadKeySet("holds no JSON") from None
    found = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(found, list) or len(found) > MAX_KEYS:
        raise BadKeySet(f"holds no JSON Web Key Set of at most {MAX_KEYS} keys")
    named: dict[str, Key] = {}
    nameless: list[Key] = []
    for data in found:
        if not isinstance(data, dict) or not _is_for(data, algorithm):
            continue
        key = _import(data)
        if key is None:
            continue
        kid = data.get("kid")
        if isinstance(kid, str):
            named.setdefault(kid, key)
        else:
            nameless.append(key)
    if not named and not nameless:
        raise BadKeySet(f"holds no key for {' or '.join(sorted(algorithm.names))}")
    return PublicKeys(named, nameless)


def _is_for(data: Mapping[str, Any], algorithm: Algorithm) -> bool:
    """Whether type, curve, use, algorithm and operations of a key fit (RFC 7517 sections 4.1 to 4.4)."""
    operations = data.get("key_ops")
    return (
        data.get("kty") == algorithm.key_type
        and (not algorithm.curves or data.get("crv") in list(algorithm.curves))
        and data.get("use") in (None, "sig")
        and (data.get("alg") is None or data.get("alg") in list(algorithm.names))
        and (operations is None or (isinstance(operations, list) and "verify" in operations))
    )


def _import(data: Mapping[str, Any]) -> Key | None:
    try:
        return JWKRegistry.import_key({name: value for name, value in data.items() if name not in _ABOUT})
    except (JoseError, ValueError, TypeError, KeyError) as error:
        _log.warning("jwks.key_skipped", kid=repr(data.get("kid"))[:100], reason=type(error).__name__)
        return None
