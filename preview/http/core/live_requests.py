"""Open requests by the access that they use, so that a revocation ends them at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from typing import Any, cast

import trio

_SCOPE_KEY = "preview.cancellable"


class _Cancellable:
    """One open request.

    Attributes:
        scope: Cancelled to cut the request off.
        groups: Sets that contain it; it is removed from them at its end.
    """

    __slots__ = ("groups", "scope")

    def __init__(self) -> None:
        self.scope = trio.CancelScope()
        self.groups: list[set[_Cancellable]] = []


@contextmanager
def cancellable(scope: MutableMapping[str, object]) -> Iterator[None]:
    """Let ``LiveRequests`` cut the request with this ASGI scope off while this context is open."""
    made = _Cancellable()
    scope[_SCOPE_KEY] = made
    try:
        with made.scope:
            yield
    finally:
        for group in made.groups:
            group.discard(made)


class LiveRequests:
    """Open requests whose access can be revoked."""

    def __init__(self) -> None:
        self._open: dict[str, set[_Cancellable]] = {}

    def follow(self, scope: Mapping[str, Any], key: str) -> None:
        """Remember an open request under the key of its access."""
        found = cast("_Cancellable | None", scope.get(_SCOPE_KEY))
        if found is not None:
            group = self._open.setdefault(key, set())
            group.add(found)
            found.groups.append(group)
        for other in [other for other, group in self._open.items() if not group]:
            del self._open[other]

    def cut(self, key: str) -> int:
        """Cut the open requests of a revoked access off; return their number."""
        group = self._open.pop(key, set())
        for one in group:
            one.scope.cancel()
        return len(group)
