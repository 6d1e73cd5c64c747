"""What was tried in a newer Python and could not be had there, remembered: it is tried once."""

from __future__ import annotations

from typing import Final

import structlog
import trio

from preview.environments.layout import Layout
from preview.errors import EnvironmentFailed

__all__ = ["PYTHON", "Refusals"]

_log = structlog.get_logger(__name__)

PYTHON: Final = "python"
"""The reason of an error whose message says what speaks against the Python."""
# A network that is down, or a package cache without it, is not the Python's fault: so many seconds until it is tried
# again. The others are tried again when the file is gone (``evict``).
_PASSING: Final = frozenset({"network", "download", "offline"})
_PASSES_S: Final = 60.0
# Another Python would not help.
_NOT_ITS_FAULT: Final = frozenset({"disk", "timeout"})
_MOST_PASSING: Final = 256
_WORDS: Final = {
    "build": "has no wheel for it",
    "denied": "has no wheel for it",
    "hash": "has no wheel with the hash that is written down for it",
    "network": "could not be fetched for it",
    "download": "could not be fetched for it",
    "offline": "is not in the package cache for it",
}


class Refusals:
    """What was tried in a newer Python and did not work there, by the environment's key.

    Args:
        layout: Beside which environments what lasts is written down, for other processes too.
    """

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        # Until when, by trio's clock, and why.
        self._passing: dict[str, tuple[float, str]] = {}

    def why(self, key: str) -> str | None:
        """Why this environment is not to be had; None where it was not tried, or it was long ago."""
        until, why = self._passing.get(key, (0.0, ""))
        if trio.current_time() < until:
            return why
        try:
            return self._layout.refusal(key).read_text("utf-8") or None
        except OSError:
            return None

    def note(self, key: str, error: EnvironmentFailed) -> bool:
        """Remember that this could not be built; False where that is not the Python's fault."""
        reason = str(error.details.get("reason"))
        if reason in _NOT_ITS_FAULT:
            return False
        why = _why(reason, error)
        if reason in _PASSING or not self._write(key, why):
            while len(self._passing) >= _MOST_PASSING:
                del self._passing[next(iter(self._passing))]
            self._passing[key] = (trio.current_time() + _PASSES_S, why)
        return True

    def _write(self, key: str, why: str) -> bool:
        try:
            self._layout.refusal(key).write_text(why, "utf-8")
        except OSError as error:
            _log.warning("not written down why a project needs an older Python", key=key, why=str(error))
            return False
        return True


def _why(reason: str, error: EnvironmentFailed) -> str:
    if reason == PYTHON:
        return error.message
    if reason == "conflict":
        return "what it requires contradicts itself as it is written"
    named, origin = error.details.get("requirement"), error.details.get("origin")
    what = f"{named} ({origin})" if named and origin else str(named or "something that it requires")
    return f"{what} {_WORDS.get(reason, 'cannot be had for it')}"
