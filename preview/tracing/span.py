"""One span: a piece of work within a request, with its time."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Final, NamedTuple

from preview.core.quoting import visible

MOST_NAME: Final = 200
"""Limit of a span's name in characters."""
MOST_DETAIL: Final = 2000
"""Limit of a span's detail in characters."""
MOST_ERROR: Final = 300
"""Limit of a span's error in characters."""
MOST_DURATION_US: Final = 24 * 3600 * 1_000_000
"""A longer span is not one."""

_TRACE_ID = re.compile(r"[0-9a-f]{32}")
_SPAN_ID = re.compile(r"[0-9a-f]{16}")
_ZEROS = "0" * 32
# Memory of a span besides its texts, measured with ``sys.getsizeof``: the tuple, its numbers and its places in lists.
_BASE_BYTES = 600


class Kind(StrEnum):
    """Kind of work."""

    REQUEST = "request"
    SQL = "sql"
    CALL = "call"
    CACHE = "cache"
    OTHER = "other"


class Span(NamedTuple):
    """A span. A tuple, because there may be thousands in a second.

    Attributes:
        trace_id: 32 hexadecimal digits; spans of one request have the same.
        span_id: 16 hexadecimal digits.
        parent_id: Span in which this one happened; empty if it is the first.
        kind: Kind of work.
        name: Short name, such as ``GET /books`` or ``SELECT books``.
        start_us: Start in microseconds since 1970, by the process's clock.
        duration_us: Duration in microseconds.
        detail: Statement without its values, or address without query; empty if there is none.
        status: HTTP status, or 0.
        error: Why the work failed; empty if it did not.
        request_id: ``X-Request-Id`` of the request, in its first span; empty otherwise.
        source: ``launcher`` for spans of the service's own instrumentation, ``otlp`` for the project's.
    """

    trace_id: str
    span_id: str
    parent_id: str
    kind: Kind
    name: str
    start_us: int
    duration_us: int
    detail: str = ""
    status: int = 0
    error: str = ""
    request_id: str = ""
    source: str = "launcher"

    @property
    def end_us(self) -> int:
        """End in microseconds since 1970."""
        return self.start_us + self.duration_us

    @property
    def size_bytes(self) -> int:
        """Memory that the span takes, roughly: a character is counted as four bytes."""
        return _BASE_BYTES + 4 * (len(self.name) + len(self.detail) + len(self.error))


def is_trace_id(text: str) -> bool:
    """Return whether the text is a trace's id (W3C Trace Context, 3.2.2.3)."""
    return _TRACE_ID.fullmatch(text) is not None and text != _ZEROS


def is_span_id(text: str) -> bool:
    """Return whether the text is a span's id (W3C Trace Context, 3.2.2.4)."""
    return _SPAN_ID.fullmatch(text) is not None and text != _ZEROS[:16]


def clean(text: str, most: int) -> str:
    """Return untrusted text, of bounded length, in which each invisible character is escaped."""
    shown = visible(text[:most])
    return shown[:most]


def clean_line(text: str, most: int) -> str:
    """Return untrusted text as one line, like ``clean``."""
    return clean(" ".join(text[: 4 * most].split()), most)
