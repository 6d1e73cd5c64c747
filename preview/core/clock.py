"""Wall-clock time: aware UTC datetimes in the service, RFC 3339 with milliseconds in its output.

Deadlines in the service use ``trio.current_time()``, which never jumps.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from functools import lru_cache

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)


def utc_now() -> datetime:
    """Return the current time, aware, in UTC, truncated to milliseconds (the precision of database and API)."""
    return from_ms(now_ms())


def now_ms() -> int:
    """Return milliseconds since the epoch."""
    return time.time_ns() // 1_000_000


def from_ms(value: int) -> datetime:
    """Convert milliseconds since the epoch to an aware datetime in UTC."""
    seconds, millis = divmod(value, 1000)
    return datetime.fromtimestamp(seconds, UTC).replace(microsecond=millis * 1000)


def to_ms(value: datetime) -> int:
    """Convert an aware datetime to milliseconds since the epoch, truncated like ``rfc3339``; exact for all times."""
    return (value - _EPOCH) // _MILLISECOND


def rfc3339(value: datetime) -> str:
    """Format a time as ``2025-10-20T12:20:05.123Z`` (RFC 3339 section 5.6)."""
    return value.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def rfc3339_ms(value: int) -> str:
    """Format milliseconds since the epoch like ``rfc3339``."""
    seconds, millis = divmod(value, 1000)
    return f"{_second(seconds)}.{millis:03d}Z"


@lru_cache(maxsize=64)
def _second(seconds: int) -> str:
    """Format a second; cached, as a page of a log has many lines of the same second."""
    return datetime.fromtimestamp(seconds, UTC).isoformat().removesuffix("+00:00")
