"""Differences between two values, each with its path. Iterative and bounded: values are a stranger's."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from preview.replay.comparing.answer import Json

MOST_DIFFERENCES = 200
_MOST_VALUES = 100_000
# At a longer path, values are compared as a whole. Rules of ignored paths are no longer either.
_MOST_PATH = 300
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,63}")
_INDEX = re.compile(r"\[\d+\]")

_Pair = tuple[str, Json, Json]


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
    # Pairs are made when they are read: all paths of wide and deep values would fill the memory.
    open_pairs: list[Iterator[_Pair]] = [iter([(root, before, after)])]
    visited = 0
    while open_pairs and len(found) < MOST_DIFFERENCES and visited < _MOST_VALUES:
        pair = next(open_pairs[-1], None)
        if pair is None:
            open_pairs.pop()
            continue
        visited += 1
        path, first, second = pair
        below = _below(path, first, second) if len(path) < _MOST_PATH else None
        if below is not None:
            open_pairs.append(below)
        elif not _is_same(first, second):
            found.append(_difference(path, first, second))
    return found


def _below(path: str, first: Json, second: Json) -> Iterator[_Pair] | None:
    """Return the pairs of two objects or two lists, each with its path; None for other values."""
    if isinstance(first, dict) and isinstance(second, dict):
        names = [*second, *(name for name in first if name not in second)]
        return ((_child(path, name), _get(first, name), _get(second, name)) for name in names)
    if isinstance(first, list) and isinstance(second, list):
        longest = max(len(first), len(second))
        return ((f"{path}[{at}]"[:_MOST_PATH], _at(first, at), _at(second, at)) for at in range(longest))
    return None


class _Missing:
    """Stands for a value that is not there; ``null`` is one."""


_MISSING = _Missing()


def _get(values: dict[str, Json], name: str) -> Json:
    return values.get(name, _MISSING)


def _at(values: list[Json], at: int) -> Json:
    return values[at] if at < len(values) else _MISSING


def _child(path: str, name: str) -> str:
    child = f"{path}.{name}" if _NAME.fullmatch(name) else f"{path}[{name[:64]!r}]"
    return child[:_MOST_PATH]


def _is_same(first: Json, second: Json) -> bool:
    # In Python, True equals 1.
    if isinstance(first, bool) is not isinstance(second, bool):
        return False
    try:
        return first == second
    except RecursionError:
        return False


def _difference(path: str, first: Json, second: Json) -> Difference:
    if isinstance(first, _Missing):
        return Difference(path, Kind.ADDED, None, second)
    if isinstance(second, _Missing):
        return Difference(path, Kind.REMOVED, first, None)
    return Difference(path, Kind.CHANGED, first, second)
