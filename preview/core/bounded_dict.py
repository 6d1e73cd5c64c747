"""A dictionary of bounded size, for what is remembered and can be found again."""

from __future__ import annotations

from collections import UserDict
from typing import TypeVar

K = TypeVar("K")
V = TypeVar("V")


class BoundedDict(UserDict[K, V]):
    """A dictionary that drops its oldest entry when a new one would be too many.

    Writing an entry, or reading it by ``use``, makes it the newest; any other read changes nothing.

    Args:
        most: How many entries it keeps; at least one.
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
        """Return the key's value, now the newest; None without one."""
        if key not in self.data:
            return None
        self[key] = value = self.data[key]
        return value
