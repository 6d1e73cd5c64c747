"""What was found out not long ago, kept for whoever asks the same again."""

from __future__ import annotations

from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class Memo(Generic[K, V]):
    """Keeps so many values, and each for one or two ages behind its last use; then nothing of it is left here.

    Args:
        limit: The most that are kept.
    """

    __slots__ = ("_half", "_old", "_young")

    def __init__(self, limit: int) -> None:
        self._half = max(1, limit // 2)
        self._young: dict[K, V] = {}
        self._old: dict[K, V] = {}

    def __len__(self) -> int:
        """How many are kept."""
        return len(self._young) + len(self._old)

    def get(self, key: K) -> V | None:
        """The value; None where there is none (any more)."""
        found = self._young.get(key)
        if found is None and self._old:
            found = self._old.pop(key, None)
            if found is not None:
                self.put(key, found)
        return found

    def put(self, key: K, value: V) -> None:
        """Keep it; where there are too many, those that were not used for the longest time go."""
        if len(self._young) >= self._half:
            self.age()
        self._young[key] = value

    def drop(self, key: K) -> None:
        """Forget it."""
        self._young.pop(key, None)
        self._old.pop(key, None)

    def age(self) -> None:
        """An age has passed: forget what was not used in it."""
        self._old, self._young = self._young, {}
