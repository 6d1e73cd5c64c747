"""The single allowed signature algorithm: the names that a token may use for it, and its key types.

A token's ``alg`` is only compared with these names. So ``none``, and an HMAC that uses a public key as its secret, fail
before any key is used (RFC 8725 section 3.1).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from joserfc.errors import UnsupportedAlgorithmError
from joserfc.jws import JWSRegistry

# Below the usual limit of HTTP servers for one header line, and about 100 times the size of the claims read here.
MAX_TOKEN_BYTES = 8 * 1024


@dataclass(frozen=True, slots=True)
class Algorithm:
    """A value of the setting ``jwt_algorithm``.

    Attributes:
        names: Accepted values of ``alg``.
        key_type: ``kty`` of matching keys (RFC 7517 section 4.1).
        curves: ``crv`` of matching keys; empty if the key type has no curves.
    """

    names: frozenset[str]
    key_type: str
    curves: frozenset[str] = frozenset()


ALGORITHMS: Mapping[str, Algorithm] = {
    "HS256": Algorithm(frozenset({"HS256"}), "oct"),
    "RS256": Algorithm(frozenset({"RS256"}), "RSA"),
    "ES256": Algorithm(frozenset({"ES256"}), "EC", frozenset({"P-256"})),
    # RFC 9864 gives the same signature with the same keys a second name.
    "EdDSA": Algorithm(frozenset({"EdDSA", "Ed25519"}), "OKP", frozenset({"Ed25519"})),
}


class FixedRegistry(JWSRegistry):
    """A joserfc registry with a single algorithm.

    joserfc warns about the name EdDSA (RFC 9864), although the algorithm is sound and identity providers still use it.
    """

    # Some headers contain certificates or identity providers' own fields; the size of the whole token is bounded.
    max_header_length = MAX_TOKEN_BYTES
    max_payload_length = MAX_TOKEN_BYTES

    def __init__(self, algorithm: Algorithm) -> None:
        # RFC 7515 section 4: unknown header fields are ignored, unless ``crit`` names them.
        super().__init__(algorithms=algorithm.names, strict_check_header=False)
        self._names = algorithm.names

    def get_alg(self, name: str) -> Any:
        """Return the algorithm (of a class that joserfc does not export) if the name is allowed.

        Raises:
            UnsupportedAlgorithmError: The name is not allowed.
        """
        if name not in self._names:
            raise UnsupportedAlgorithmError(f"{name!r} is not allowed here")
        return self.algorithms[name]
