"""A dictionary of bounded size, for caches whose entries can be computed again."""

from __future__ import annotations

from collections import UserDict
from typing import TypeVar

K = TypeVar("K")
V = TypeVar("V")


class BoundedDict(UserDict[K, V]):
    """A dictionary that drops its oldest entry when it is full.

    Writing an entry, or reading it with ``use``, makes it the newest; other reads change nothing.

    Args:
        most: Maximum number of entries; at least one.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        super().__init__()

    def __setitem__(self, key: K, value: V) -> None:
        self.data.pop(key, None)
        self.data[key] = value
        if len(self.data) > self._most:
            del self.data[next(iter(self.data))]

    def use(self, key: K) -> V | None:
        """Return the key's value and make the entry the newest; None if the key is missing."""
        if key not in self.data:
            return None
        self[key] = value = self.data[key]
        return value
