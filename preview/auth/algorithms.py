"""The one algorithm that the configuration allows: which names a token may give it, and which keys it takes.

The token's own word is only ever compared with it. So ``none``, and an HMAC made with a public key as its secret,
fail before any key is looked at (RFC 8725 section 3.1).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from joserfc.errors import UnsupportedAlgorithmError
from joserfc.jws import JWSRegistry

# Below what HTTP servers take as one header line; the claims that we read need a hundredth of it.
MAX_TOKEN_BYTES = 8 * 1024


@dataclass(frozen=True, slots=True)
class Algorithm:
    """A value of the setting ``jwt_algorithm``.

    Attributes:
        names: Values of ``alg`` that stand for it.
        key_type: ``kty`` of its keys (RFC 7517 section 4.1).
        curves: ``crv`` of its keys; empty where there is none.
    """

    names: frozenset[str]
    key_type: str
    curves: frozenset[str] = frozenset()


ALGORITHMS: Mapping[str, Algorithm] = {
    "HS256": Algorithm(frozenset({"HS256"}), "oct"),
    "RS256": Algorithm(frozenset({"RS256"}), "RSA"),
    "ES256": Algorithm(frozenset({"ES256"}), "EC", frozenset({"P-256"})),
    # RFC 9864 gives the same signature, on the same keys, a name of its own.
    "EdDSA": Algorithm(frozenset({"EdDSA", "Ed25519"}), "OKP", frozenset({"Ed25519"})),
}


class FixedRegistry(JWSRegistry):
    """joserfc's registry with nothing in it but one algorithm.

    joserfc warns about the name EdDSA (RFC 9864), though not about what it does; identity providers go on using it.
    """

    # Certificates and identity providers' own fields are in some headers; the whole token is bounded.
    max_header_length = MAX_TOKEN_BYTES
    max_payload_length = MAX_TOKEN_BYTES

    def __init__(self, algorithm: Algorithm) -> None:
        # RFC 7515 section 4: a header field that is not understood is ignored, unless ``crit`` names it.
        super().__init__(algorithms=algorithm.names, strict_check_header=False)
        self._names = algorithm.names

    def get_alg(self, name: str) -> Any:
        """Return the algorithm (of a class that joserfc does not export), if the name stands for the allowed one.

        Raises:
            UnsupportedAlgorithmError: It does not.
        """
        if name not in self._names:
            raise UnsupportedAlgorithmError(f"{name!r} is not allowed here")
        return self.algorithms[name]
