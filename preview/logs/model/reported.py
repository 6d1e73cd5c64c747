"""Lines that a program reports by itself, besides its output: log records of its OpenTelemetry. Nothing is verified."""

from __future__ import annotations

from typing import Final, NamedTuple

from preview.logs.model.events import Level

MOST_REPORTED_BYTES: Final = 1024
"""Limit of a reported line; the rest is cut."""

# A time further in the past is that of the arrival. The lines of one batch are stored with times of a small range.
_MOST_AGE_MS = 30_000


class ReportedLine(NamedTuple):
    """A line that a program reports.

    Attributes:
        time_ms: Milliseconds since 1970, by the program; 0 if unknown.
        level: Severity.
        text: Untrusted; line ends become spaces.
        request_id: The request that it is about; None if unknown.
    """

    time_ms: int
    level: Level
    text: str
    request_id: str | None


def plausible_ms(time_ms: int, now_ms: int) -> int:
    """Return the time that a program has reported, or ``now_ms`` if it is not of the last half minute."""
    return time_ms if now_ms - _MOST_AGE_MS <= time_ms <= now_ms else now_ms
