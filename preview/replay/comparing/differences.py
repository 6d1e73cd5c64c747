"""Differences between two values, each with its path. Iterative and bounded: values are a stranger's."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

from preview.replay.comparing.answer import Json

MOST_DIFFERENCES = 200
_MOST_VALUES = 100_000
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,63}")
_INDEX = re.compile(r"\[\d+\]")


class Kind(StrEnum):
    """Kind of a difference."""

    ADDED = "added"
    REMOVED = "removed"
    CHANGED = "changed"


@dataclass(frozen=True, slots=True)
class Difference:
    """A value that differs.

    Attributes:
        path: ``$.items[0].title``, ``header.location`` or ``text[3]``.
        kind: See there.
        before: The first value; None if it was added.
        after: The second value; None if it was removed.
    """

    path: str
    kind: Kind
    before: Json = None
    after: Json = None

    @property
    def pattern(self) -> str:
        """The path with ``[*]`` for each index."""
        return pattern_of(self.path)


def pattern_of(path: str) -> str:
    """Return a path with ``[*]`` for each index."""
    return _INDEX.sub("[*]", path)


def differences(before: Json, after: Json, root: str) -> list[Difference]:
    """Return the differences of two values, in the order of the second, at most ``MOST_DIFFERENCES``.

    Args:
        before: The first value.
        after: The second value.
        root: Path of both.
    """
    found: list[Difference] = []
    open_pairs: list[tuple[str, Json, Json]] = [(root, before, after)]
    visited = 0
    while open_pairs and len(found) < MOST_DIFFERENCES and visited < _MOST_VALUES:
        path, first, second = open_pairs.pop()
        visited += 1
        if isinstance(first, dict) and isinstance(second, dict):
            names = [*second, *(name for name in first if name not in second)]
            pairs = [(_child(path, name), _get(first, name), _get(second, name)) for name in names]
        elif isinstance(first, list) and isinstance(second, list):
            longest = min(max(len(first), len(second)), _MOST_VALUES)
            pairs = [(f"{path}[{at}]", _at(first, at), _at(second, at)) for at in range(longest)]
        else:
            if not _is_same(first, second):
                found.append(_difference(path, first, second))
            continue
        open_pairs.extend(reversed(pairs))
    return found


class _Missing:
    """Stands for a value that is not there; ``null`` is one."""


_MISSING = _Missing()


def _get(values: dict[str, Json], name: str) -> Json:
    return values.get(name, _MISSING)


def _at(values: list[Json], at: int) -> Json:
    return values[at] if at < len(values) else _MISSING


def _child(path: str, name: str) -> str:
    return f"{path}.{name}" if _NAME.fullmatch(name) else f"{path}[{name[:64]!r}]"


def _is_same(first: Json, second: Json) -> bool:
    # In Python, True equals 1.
    if isinstance(first, bool) is not isinstance(second, bool):
        return False
    if isinstance(first, dict | list) or isinstance(second, dict | list):
        return False  # of two kinds, or one is missing
    return first == second


def _difference(path: str, first: Json, second: Json) -> Difference:
    if isinstance(first, _Missing):
        return Difference(path, Kind.ADDED, None, second)
    if isinstance(second, _Missing):
        return Difference(path, Kind.REMOVED, first, None)
    return Difference(path, Kind.CHANGED, first, second)
