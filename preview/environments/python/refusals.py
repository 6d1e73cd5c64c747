"""What was tried in a newer Python and could not be had there, remembered: it is tried once."""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from typing import Final

import structlog
import trio

from preview.core.descriptors import raise_want
from preview.environments.folders.layout import Layout
from preview.errors import EnvironmentFailed

_log = structlog.get_logger(__name__)

PYTHON: Final = "python"
"""The reason of an error whose message says what speaks against the Python."""
# These are said of the packages, and stay so; all else may be better in a moment.
_LASTING: Final = frozenset({PYTHON, "denied", "no_version", "conflict", "hash"})
_PASSES_S: Final = 60.0
# Another Python would not help.
_FINAL: Final = frozenset({"disk", "timeout"})
_MOST_PASSING: Final = 256
# A sentence; nobody else writes there, but what is there is not trusted to be one.
_MOST_BYTES: Final = 1024
_WORDS: Final = {
    "build": "has no wheel for it",
    "denied": "has no wheel for it",
    "hash": "has no wheel with the hash that is written down for it",
    "network": "could not be fetched for it",
    "download": "could not be fetched for it",
    "offline": "or what it needs is not in the package cache for it",
}


def is_final(error: EnvironmentFailed) -> bool:
    """Whether another Python would not help."""
    return error.details.get("reason") in _FINAL


class Refusals:
    """By the environment's key.

    Args:
        layout: Beside which environments what lasts is written down, for other processes too.
    """

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        # Until when, by trio's clock, and why.
        self._passing: dict[str, tuple[float, str]] = {}

    def why(self, key: str) -> str | None:
        """Why this environment is not to be had; None where it was not tried, or it was long ago.

        Raises:
            OSError: No descriptor is free to look with.
        """
        until, why = self._passing.get(key, (0.0, ""))
        if trio.current_time() < until:
            return why
        try:
            return _read(self._layout.refusal(key))
        except OSError as error:
            raise_want(error)
            return None

    def note(self, key: str, error: EnvironmentFailed) -> bool:
        """Remember that this could not be built; False where another Python would not help.

        ``why`` gives the reason from now on, for a minute at least.
        """
        if is_final(error):
            return False
        reason = str(error.details.get("reason"))
        why = _why(reason, error)[:_MOST_BYTES]
        if reason in _LASTING:
            self._write(key, why)
        while len(self._passing) >= _MOST_PASSING:
            del self._passing[next(iter(self._passing))]
        self._passing[key] = (trio.current_time() + _PASSES_S, why)
        return True

    def _write(self, key: str, why: str) -> None:
        place = self._layout.refusal(key)
        new = place.with_name(f".refused-{secrets.token_hex(8)}")
        try:
            new.write_text(why, "utf-8")
            new.rename(place)
        except OSError as error:
            new.unlink(missing_ok=True)
            _log.warning("not written down why a project needs an older Python", key=key, why=str(error))


def _read(path: Path) -> str | None:
    """What is written there, as one line; None where it is nothing that was written here."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        found = os.read(descriptor, _MOST_BYTES)
    finally:
        os.close(descriptor)
    line = " ".join(found.decode("utf-8", "replace").split())
    return line if line.isprintable() and line else None


def _why(reason: str, error: EnvironmentFailed) -> str:
    if reason in {PYTHON, "slow"}:
        return error.message
    if reason == "conflict":
        return "what it requires contradicts itself as it is written"
    named, origin = error.details.get("requirement"), error.details.get("origin")
    what = f"{named} ({origin})" if named and origin else str(named or "something that it requires")
    return f"{what} {_WORDS.get(reason, 'cannot be had for it')}"
