"""Errors of the E2B routes, in E2B's words: the code of Connect RPC and the HTTP status."""

from __future__ import annotations

from types import MappingProxyType

# https://connectrpc.com/docs/protocol/#error-codes
_STATUSES = MappingProxyType(
    {
        "invalid_argument": 400,
        "unauthenticated": 401,
        "permission_denied": 403,
        "not_found": 404,
        "already_exists": 409,
        "too_large": 413,
        "resource_exhausted": 429,
        "internal": 500,
        "unimplemented": 501,
        "sandbox_gone": 502,
        "unavailable": 503,
        "deadline_exceeded": 504,
        "disk_full": 507,
    }
)
# Codes of HTTP that Connect RPC lacks.
_IN_RPC = MappingProxyType(
    {"too_large": "resource_exhausted", "sandbox_gone": "unavailable", "disk_full": "resource_exhausted"}
)


class E2bError(Exception):
    """A request that is answered with an error; the message is one sentence.

    Attributes:
        code: One of the codes above.
        message: The sentence.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code if code in _STATUSES else "internal"
        self.message = message

    @property
    def status(self) -> int:
        """HTTP status."""
        return _STATUSES[self.code]

    @property
    def rpc_code(self) -> str:
        """Code of Connect RPC."""
        return _IN_RPC.get(self.code, self.code)


def not_covered(feature: str) -> E2bError:
    """Return the error for a part of E2B that is missing here."""
    return E2bError("unimplemented", f"{feature} is not covered by this service (docs/e2b.md lists what is).")
