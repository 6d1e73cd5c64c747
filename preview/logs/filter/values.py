"""Values in terms: comparisons, wildcards, durations and times."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime
from functools import lru_cache

from preview.core.clock import now_ms
from preview.logs.model.filtering import ascii_lower

COMPARE: dict[str, Callable[[float, float], bool]] = {
    "=": lambda left, right: left == right,
    ">": lambda left, right: left > right,
    ">=": lambda left, right: left >= right,
    "<": lambda left, right: left < right,
    "<=": lambda left, right: left <= right,
}
"""Comparisons by operator."""

NUMBER = re.compile(r"[+-]?\d{1,18}(?:\.\d{1,18})?(?:[eE][+-]?\d{1,2})?", re.ASCII)
"""A number with bounded digits."""

_DURATION = re.compile(r"(\d{1,9}(?:\.\d{1,9})?)([A-Za-zµ]{0,12})", re.ASCII)
UNITS_MS = {"ms": 1.0, "s": 1000.0, "m": 60_000.0, "h": 3_600_000.0, "d": 86_400_000.0}
"""Milliseconds of each unit."""

_TIME = re.compile(r"\d{4}-\d\d-\d\d(?:[Tt_]\d\d:\d\d(?::\d\d(?:\.\d{1,9})?)?(?:[Zz]|[+-]\d\d:?\d\d)?)?", re.ASCII)
# Longest ago that a duration may reach: ten years.
_MOST_MS = 10 * 366 * 86_400_000.0


def duration_ms(word: str, default: str) -> float | str:
    """Return a duration in milliseconds, or one sentence about the mistake.

    Args:
        word: Number and unit, for instance ``1.5s``.
        default: Unit of a number without one; empty if a unit is required.
    """
    match = _DURATION.fullmatch(word)
    units = ", ".join(UNITS_MS)
    if match is None:
        return f"is not a duration such as 5m; the units are {units}"
    unit = match[2] or default
    if not unit:
        return f"has no unit; add one of {units}"
    if unit not in UNITS_MS:
        return f"has the unknown unit {unit!r}; the units are {units}"
    return float(match[1]) * UNITS_MS[unit]


def moment_ms(word: str, now: int | None = None) -> int | str:
    """Return a moment in milliseconds since the epoch, or one sentence about the mistake.

    Args:
        word: A duration before now (``5m``), or a date or time as in RFC 3339; without an offset it is UTC.
        now: The current time, in milliseconds since the epoch.
    """
    if _TIME.fullmatch(word) is not None:
        try:
            moment = datetime.fromisoformat(word.replace("_", "T").upper())
        except ValueError:
            return "is not a valid date and time"
        aware = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
        try:
            return int(aware.timestamp() * 1000)
        except (OverflowError, ValueError):
            return "is not a valid date and time"
    before = duration_ms(word, "")
    if isinstance(before, str):
        return f"{before}; or give a time such as 2026-01-31T12:00:00Z"
    if before > _MOST_MS:
        return "is more than ten years ago"
    return int((now_ms() if now is None else now) - before)


@lru_cache(256)
def glob(pattern: str, *, ignores_case: bool) -> Callable[[str], bool]:
    """Return a test for a pattern in which ``*`` stands for any characters. Its time is linear in text and pattern."""
    parts = (ascii_lower(pattern) if ignores_case else pattern).split("*")

    def matches(text: str) -> bool:
        if ignores_case:
            text = ascii_lower(text)
        if len(parts) == 1:
            return text == parts[0]
        first, *middle, last = parts
        if len(text) < len(first) + len(last) or not (text.startswith(first) and text.endswith(last)):
            return False
        at, end = len(first), len(text) - len(last)
        # The leftmost place of each part leaves most text for the next.
        for part in middle:
            found = text.find(part, at, end)
            if found < 0:
                return False
            at = found + len(part)
        return True

    return matches
