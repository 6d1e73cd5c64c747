"""Memory of recent failures with one Python where another may do, so that it is not tried again and again."""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from typing import Final

import structlog
import trio

from preview.core.bounded_dict import BoundedDict
from preview.core.descriptors import raise_want
from preview.environments.folders.layout import Layout
from preview.errors import EnvironmentFailed

_log = structlog.get_logger(__name__)

PYTHON: Final = "python"
"""``reason`` of an error whose message is an objection to the Python version."""
# Reasons that depend on the packages and persist; other failures may be gone after a minute.
_LASTING: Final = frozenset({PYTHON, "denied", "no_version", "conflict", "hash"})
_PASSES_S: Final = 60.0
# Reasons that apply to every Python.
_FINAL: Final = frozenset({"disk", "timeout"})
_MOST_PASSING: Final = 256
# Maximum size of a refusal file. Only the service writes it, but its content is checked anyway.
_MOST_BYTES: Final = 1024
_WORDS: Final = {
    "build": "has no wheel for it",
    "denied": "has no wheel for it",
    "hash": "has no wheel with the recorded hash for it",
    "network": "could not be fetched for it",
    "download": "could not be fetched for it",
    "offline": "or one of its dependencies is not in the package cache for it",
}


def is_final(error: EnvironmentFailed) -> bool:
    """Return whether the build would fail with every Python."""
    return error.details.get("reason") in _FINAL


class Refusals:
    """Recent failures with one Python where another may do, by the environment's key.

    Args:
        layout: Lasting failures are stored next to its environments, for other processes too.
    """

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        # Temporary failures: until when (trio's clock), and the reason.
        self._passing: BoundedDict[str, tuple[float, str]] = BoundedDict(_MOST_PASSING)

    def why(self, key: str) -> str | None:
        """Return why this environment cannot be built; None if not tried, or if the failure has expired.

        Raises:
            OSError: No file descriptor is free.
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
        """Remember that the build failed; return False, and remember nothing, if every Python would fail.

        ``why`` returns the reason from now on, for at least a minute.
        """
        if is_final(error):
            return False
        reason = str(error.details.get("reason"))
        why = _why(reason, error)[:_MOST_BYTES]
        if reason in _LASTING:
            self._write(key, why)
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
            _log.warning("refusal not written", key=key, why=str(error))


def _read(path: Path) -> str | None:
    """Read the stored reason as one line; None if the file has unprintable content or none."""
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
        return "its requirements contradict each other"
    named, origin = error.details.get("requirement"), error.details.get("origin")
    what = f"{named} ({origin})" if named and origin else str(named or "something that it requires")
    return f"{what} {_WORDS.get(reason, 'is not available for it')}"
