"""Open requests by the access that they use, so that a revocation ends them at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from typing import Any, cast

import trio

from preview.core.bounded_dict import BoundedDict

_SCOPE_KEY = "preview.cancellable"
# A request that was admitted before a revocation is watched within seconds.
_MOST_CUT = 1_000


class _Cancellable:
    """One open request.

    Attributes:
        cancel: Cuts the request off.
        groups: Sets that contain it; it is removed from them at its end.
    """

    __slots__ = ("cancel", "groups")

    def __init__(self, cancel: Callable[[], object]) -> None:
        self.cancel = cancel
        self.groups: list[set[_Cancellable]] = []

    def leave(self) -> None:
        """Leave all groups: the request has ended."""
        for group in self.groups:
            group.discard(self)


@contextmanager
def cancellable(scope: MutableMapping[str, object]) -> Iterator[None]:
    """Let ``LiveRequests`` cut the request with this ASGI scope off while this context is open."""
    cancel_scope = trio.CancelScope()
    made = _Cancellable(cancel_scope.cancel)
    scope[_SCOPE_KEY] = made
    try:
        with cancel_scope:
            yield
    finally:
        made.leave()


class LiveRequests:
    """Open requests whose access can be revoked."""

    def __init__(self) -> None:
        self._open: dict[str, set[_Cancellable]] = {}
        self._cut: BoundedDict[str, None] = BoundedDict(_MOST_CUT)

    def follow(self, scope: Mapping[str, Any], key: str) -> None:
        """Remember an open request under the key of its access."""
        found = cast("_Cancellable | None", scope.get(_SCOPE_KEY))
        if found is not None:
            self._add(found, key)

    def watch(self, key: str, cancel: Callable[[], object]) -> Callable[[], None]:
        """Remember an exchange with a preview under the key of its access; call the result when it has ended.

        Args:
            key: Key of the access. If it was revoked a moment ago, the exchange is cut off now.
            cancel: Cuts it off.
        """
        made = _Cancellable(cancel)
        if key in self._cut:
            cancel()
        else:
            self._add(made, key)
        return made.leave

    def _add(self, one: _Cancellable, key: str) -> None:
        group = self._open.setdefault(key, set())
        group.add(one)
        one.groups.append(group)
        for other in [other for other, group in self._open.items() if not group]:
            del self._open[other]

    def keys(self) -> list[str]:
        """Return the keys of accesses that have open requests."""
        return [key for key, group in self._open.items() if group]

    def cut(self, key: str) -> int:
        """Cut the open requests of a revoked access off; return their number."""
        self._cut[key] = None
        group = self._open.pop(key, set())
        for one in list(group):
            one.cancel()
        return len(group)
