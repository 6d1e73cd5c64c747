"""Shapes of values that differ between two runs of the same program: ids, times, tokens, durations."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from enum import StrEnum

from preview.replay.comparing.answer import Json

_MOST_CHARACTERS = 4096
# A clock of an answer may differ from the service's by rounding, or by the time that the answer took.
_NOW_S = 120.0
_DAY_S = 86_400.0

_UUID = re.compile(r"[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}")
_TIME = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d(?:[.,]\d{1,9})?)?(?: ?(?:Z|UTC|[+-]\d\d:?\d\d))?")
_DATE = re.compile(r"\d{4}-\d\d-\d\d")
_HTTP_DATE = re.compile(r"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d (?:[A-Z][a-z]{2}) \d{4} \d\d:\d\d:\d\d GMT")
_JWT = re.compile(r"eyJ[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*")
_HEX = re.compile(r"[0-9a-fA-F]{12,128}")
_NANO = re.compile(r"[A-Za-z0-9_-]{16,512}")
_ADDRESS = re.compile(r"0x[0-9a-fA-F]{6,16}")
_DURATION_NAME = re.compile(
    r"(?:^|[_.\-])(?:ms|secs?|seconds|elapsed|duration|took|latency|uptime)(?:$|[_.\-])|(?:Ms|Elapsed|Duration|Seconds|Uptime)$"
)


class Shape(StrEnum):
    """Form of a value."""

    NULL = "null"
    BOOLEAN = "boolean"
    NUMBER = "number"
    TEXT = "text"
    EMPTY = "empty"
    CONTAINER = "container"
    ID = "id"
    TIME = "time"
    TOKEN = "token"  # noqa: S105  a form, not a secret


VOLATILE = frozenset({Shape.ID, Shape.TIME, Shape.TOKEN})
"""Shapes of values that a program makes new in each run."""


def shape_of(value: Json) -> Shape:
    """Return the form of a value. Linear in its length, which is cut."""
    if value is None:
        return Shape.NULL
    if isinstance(value, bool):
        return Shape.BOOLEAN
    if isinstance(value, int | float):
        return Shape.NUMBER
    if not isinstance(value, str):
        return Shape.CONTAINER
    return _shape_of_text(value[:_MOST_CHARACTERS].strip())


def _shape_of_text(text: str) -> Shape:
    if not text:
        return Shape.EMPTY
    if _TIME.fullmatch(text) or _DATE.fullmatch(text) or _HTTP_DATE.fullmatch(text):
        return Shape.TIME
    if _UUID.fullmatch(text) or _ADDRESS.fullmatch(text):
        return Shape.ID
    if _JWT.fullmatch(text):
        return Shape.TOKEN
    if _HEX.fullmatch(text) and any(one.isdigit() for one in text):
        return Shape.ID
    if _NANO.fullmatch(text) and _is_mixed(text):
        return Shape.TOKEN
    return Shape.TEXT


def _is_mixed(text: str) -> bool:
    """Return whether the text has letters of both cases and digits, as no word has."""
    return any(one.isdigit() for one in text) and any(one.islower() for one in text) and any(map(str.isupper, text))


def is_now(value: Json, at_s: float) -> bool:
    """Return whether a value is the time of its answer: text, or seconds or milliseconds since the epoch.

    Args:
        value: The value.
        at_s: Time of the answer, in seconds since the epoch.
    """
    if isinstance(value, bool) or value is None:
        return False
    if isinstance(value, int | float):
        try:
            return abs(value - at_s) < _NOW_S or abs(value / 1000 - at_s) < _NOW_S
        except OverflowError:
            return False
    if not isinstance(value, str) or len(value) > 64:
        return False
    text = value.strip()
    if text.isascii() and text.replace(".", "", 1).isdigit() and len(text) <= 20:
        return is_now(float(text), at_s)
    if not _TIME.fullmatch(text) and not _DATE.fullmatch(text):
        return False
    try:
        moment = datetime.fromisoformat(text.replace(" UTC", "Z").replace(",", "."))
    except ValueError:
        return False
    near_s = _DAY_S if len(text) == len("2026-01-01") else _NOW_S
    if moment.tzinfo is not None:
        return abs(moment.timestamp() - at_s) < near_s
    # Local time of an unknown zone: a whole number of quarters of an hour away.
    away_s = abs(moment.replace(tzinfo=UTC).timestamp() - at_s)
    return away_s < near_s or (away_s < 14 * 3600 + near_s and min(away_s % 900, 900 - away_s % 900) < 5)


def is_duration(path: str) -> bool:
    """Return whether the name of a number says that it is a duration."""
    return _DURATION_NAME.search(path.rpartition(".")[2]) is not None


_PARTS = re.compile(
    "|".join(
        f"(?:{one.pattern})"
        for one in (
            _TIME,
            _UUID,
            # At the start of a word only: else the time would be quadratic.
            re.compile(r"(?<![A-Za-z0-9_-])eyJ[A-Za-z0-9_-]++\.[A-Za-z0-9_-]++\.[A-Za-z0-9_-]*"),
            _ADDRESS,
            re.compile(r"\b(?=[a-f]*\d)[0-9a-f]{12,128}\b"),
            re.compile(r"\d+"),
        )
    )
)


def template_of(value: Json) -> str:
    """Return a text with marks in place of ids, times, tokens and numbers. Linear in its length, which is cut."""
    return _PARTS.sub("#", str(value)[:_MOST_CHARACTERS])
