"""Values behind unguessable codes, for a while: what tickets and login codes have in common."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from preview.core.ids import new_token

T = TypeVar("T")

# A code has 43 characters; whatever is far longer need not be hashed to know that it is none of ours.
_MAX_CODE_CHARS = 128


@dataclass(frozen=True, slots=True)
class _Entry(Generic[T]):
    owner: str
    value: T
    deadline: float


class CodeBox(Generic[T]):
    """Keeps values for ``ttl_s`` seconds, each behind a code of its own.

    Codes are kept as their SHA-256 only: who reads this memory learns no code, and a look-up by hash tells nothing
    about a code by how long it takes.

    Invariant: ``_entries`` is in the order of deadlines, since all live equally long by a clock that never goes back.

    Args:
        ttl_s: Seconds that a value is kept.
        max_per_owner: Values of one owner; one more drops that owner's oldest, so that nobody crowds out others.
        max_total: Values in all, the bound of this memory; one more drops the oldest.
        clock: Seconds, never going back.
    """

    def __init__(
        self, ttl_s: float, *, max_per_owner: int, max_total: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._ttl_s = ttl_s
        self._max_per_owner = max_per_owner
        self._max_total = max_total
        self._clock = clock
        self._entries: dict[str, _Entry[T]] = {}
        # Dicts as ordered sets of hashes, none of them empty.
        self._owned: dict[str, dict[str, None]] = {}

    def __len__(self) -> int:
        """Values kept now."""
        self._drop_expired()
        return len(self._entries)

    def put(self, owner: str, value: T) -> str:
        """Keep a value and give its code, 43 URL-safe characters."""
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
        """Return the code's value, which stays; None if it no longer exists."""
        entry = self._find(code)
        return None if entry is None else entry.value

    def pop(self, code: str) -> T | None:
        """Return the code's value and use it up; None if it no longer exists."""
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
