"""Values under unguessable codes for a limited time (tickets, login codes), and sealed values that clients keep."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from preview.core.ids import new_token

T = TypeVar("T")

# A code has 43 characters; far longer input is rejected without hashing.
_MAX_CODE_CHARS = 128
# NIST SP 800-38D section 8.2.2: random ones of 96 bits, for up to 2^32 values.
_NONCE_BYTES = 12


@dataclass(frozen=True, slots=True)
class _Entry(Generic[T]):
    owner: str
    value: T
    deadline: float


class CodeBox(Generic[T]):
    """Keeps values for ``ttl_s`` seconds, each under a code of its own.

    Only the SHA-256 of a code is kept: reading this memory reveals no code, and the time of a look-up reveals nothing
    about a code.

    Invariant: ``_entries`` is in the order of deadlines, since all have the same lifetime on a monotonic clock.

    Args:
        ttl_s: Seconds that a value is kept.
        max_per_owner: Most values of one owner; one more drops that owner's oldest and affects no other owner.
        max_total: Most values in total, which bounds the memory; one more drops the oldest.
        clock: Returns monotonic seconds.
    """

    def __init__(
        self, ttl_s: float, *, max_per_owner: int, max_total: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._ttl_s = ttl_s
        self._max_per_owner = max_per_owner
        self._max_total = max_total
        self._clock = clock
        self._entries: dict[str, _Entry[T]] = {}
        # Hashes by owner, as ordered sets; no set is empty.
        self._owned: dict[str, dict[str, None]] = {}

    def __len__(self) -> int:
        """Return the number of current values."""
        self._drop_expired()
        return len(self._entries)

    def put(self, owner: str, value: T) -> str:
        """Store a value and return its code, 43 URL-safe characters."""
        self._drop_expired()
        owned = self._owned.get(owner, {})
        if len(owned) >= self._max_per_owner:
            self._drop(next(iter(owned)))
        if len(self._entries) >= self._max_total:
            self._drop(next(iter(self._entries)))
        code = new_token()
        hashed = _hash(code)
        self._entries[hashed] = _Entry(owner, value, self._clock() + self._ttl_s)
        self._owned.setdefault(owner, {})[hashed] = None
        return code

    def get(self, code: str) -> T | None:
        """Return the code's value and keep it; None if it no longer exists."""
        entry = self._find(code)
        return None if entry is None else entry.value

    def pop(self, code: str) -> T | None:
        """Return the code's value and remove it; None if it no longer exists."""
        entry = self._find(code)
        if entry is None:
            return None
        self._drop(_hash(code))
        return entry.value

    def _find(self, code: str) -> _Entry[T] | None:
        if len(code) > _MAX_CODE_CHARS or not code.isascii():
            return None
        self._drop_expired()
        return self._entries.get(_hash(code))

    def _drop_expired(self) -> None:
        now = self._clock()
        while self._entries:
            oldest = next(iter(self._entries))
            if self._entries[oldest].deadline > now:
                return
            self._drop(oldest)

    def _drop(self, hashed: str) -> None:
        owner = self._entries.pop(hashed).owner
        owned = self._owned[owner]
        del owned[hashed]
        if not owned:
            del self._owned[owner]


def _hash(code: str) -> str:
    return hashlib.sha256(code.encode("ascii")).hexdigest()


class SealedBox:
    """Small values that a client keeps for this service, encrypted and authenticated (AES-256-GCM).

    Args:
        secret: Source of the key.
        purpose: What the values are for; those of another purpose are not opened.
    """

    def __init__(self, secret: str, purpose: bytes) -> None:
        self._purpose = purpose
        self._cipher = AESGCM(hmac.digest(secret.encode("utf-8", "surrogateescape"), purpose, "sha256"))

    def sealed(self, value: Mapping[str, object]) -> str:
        """Return a value as URL-safe text."""
        nonce = os.urandom(_NONCE_BYTES)
        content = self._cipher.encrypt(nonce, json.dumps(value).encode(), self._purpose)
        return urlsafe_b64encode(nonce + content).decode()

    def opened(self, text: str) -> dict[str, Any] | None:
        """Return the value; None if the text, which is untrusted, was not sealed here for this purpose."""
        try:
            content = urlsafe_b64decode(text.encode("ascii"))
            opened = self._cipher.decrypt(content[:_NONCE_BYTES], content[_NONCE_BYTES:], self._purpose)
        except (ValueError, InvalidTag):
            return None
        found: dict[str, Any] = json.loads(opened)
        return found
