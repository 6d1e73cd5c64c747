"""The last lines of the service's own log, and its last slow operations, in memory: for a support bundle."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Mapping, MutableMapping
from typing import Any

from preview.core.clock import now_ms, rfc3339_ms

_MOST_LINES = 500
_MOST_CHARACTERS = 2_000
_MOST_SLOW = 100
SLOW_S = 1.0
"""Database calls that take longer are noted; requests to the service after five times as long."""
_SLOW_REQUEST_S = 5 * SLOW_S


class RecentLog:
    """The last log lines of this process. A processor of structlog; it changes nothing.

    Attributes:
        count: Number of lines so far.
    """

    def __init__(self) -> None:
        self._lines: deque[str] = deque(maxlen=_MOST_LINES)
        self.count = 0

    def __call__(self, _logger: object, _method: str, event: MutableMapping[str, Any]) -> Mapping[str, Any]:
        """Remember an event."""
        self.count += 1
        self._lines.append(json.dumps(dict(event), default=str)[:_MOST_CHARACTERS])
        return event

    def lines(self) -> list[str]:
        """Return the lines, the oldest first; each is JSON, if it is not cut."""
        return list(self._lines)

    def since(self, count: int) -> list[str]:
        """Return the lines after the first ``count`` ones, as far as they are kept."""
        return list(self._lines)[-(self.count - count) :] if self.count > count else []


RECENT_LOG = RecentLog()
"""One for the process, as structlog's configuration is."""


class SlowOperations:
    """The last database calls and requests that took long."""

    def __init__(self) -> None:
        self._found: deque[dict[str, str | float]] = deque(maxlen=_MOST_SLOW)

    def call(self, kind: str, seconds: float) -> None:
        """Note a database call, if it took long."""
        if seconds >= SLOW_S:
            self._note(f"database {kind}", seconds)

    def request(self, route: str, method: str, status: int, seconds: float) -> None:
        """Note a request, if it took long. The path is not kept: it may have a secret."""
        if seconds >= _SLOW_REQUEST_S:
            self._note(f"{method} {route} {status}", seconds)

    def list(self) -> list[dict[str, str | float]]:
        """Return them, the oldest first."""
        return list(self._found)

    def _note(self, what: str, seconds: float) -> None:
        self._found.append({"at": rfc3339_ms(now_ms()), "operation": what[:200], "seconds": round(seconds, 3)})
