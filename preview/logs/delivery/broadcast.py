"""Who watches one preview now."""

from __future__ import annotations

from typing import Protocol

from preview.logs.model.encode import Received


class Listener(Protocol):
    """Is told each event as it happens; must not wait and must not raise."""

    @property
    def watchers(self) -> int:
        """For how many readers it listens."""

    def offer(self, event: Received) -> None:
        """Take the event, or note that it was missed."""


class Broadcast:
    """Passes each event to all listeners, in the order in which they came."""

    def __init__(self) -> None:
        self._listeners: dict[Listener, None] = {}

    @property
    def watchers(self) -> int:
        """How many readers there are."""
        return sum(listener.watchers for listener in self._listeners)

    def add(self, listener: Listener) -> None:
        """From now on ``listener`` is told."""
        self._listeners[listener] = None

    def remove(self, listener: Listener) -> None:
        """``listener`` is told nothing more."""
        self._listeners.pop(listener, None)

    def send(self, event: Received) -> None:
        """Tell all listeners."""
        for listener in self._listeners:
            listener.offer(event)
