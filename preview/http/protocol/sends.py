"""How long a reader may take for what it is sent."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import trio

# A reader that does not take one piece in this time has stalled: a suspended laptop, a client that stopped reading.
_STALLED_S = 30.0
# At a shutdown the last pieces are for readers that are there.
_STALLED_AT_SHUTDOWN_S = 1.0


class Sends:
    """The writes that are under way, so that a shutdown can shorten the time they have."""

    def __init__(self, stalled_s: float = _STALLED_S) -> None:
        self._limit_s = stalled_s
        self._open: set[trio.CancelScope] = set()

    @contextmanager
    def bounded(self, *, shield: bool) -> Iterator[trio.CancelScope]:
        """A scope for one write, with a deadline; ``renew`` it before each piece."""
        with trio.CancelScope(shield=shield) as scope:
            self._open.add(scope)
            try:
                self.renew(scope)
                yield scope
            finally:
                self._open.discard(scope)

    def renew(self, scope: trio.CancelScope) -> None:
        """Give the write its time again."""
        scope.deadline = trio.current_time() + self._limit_s

    def hurry(self) -> None:
        """From now on readers have little time, those that are being written to also."""
        self._limit_s = min(self._limit_s, _STALLED_AT_SHUTDOWN_S)
        latest = trio.current_time() + self._limit_s
        for scope in self._open:
            scope.deadline = min(scope.deadline, latest)
