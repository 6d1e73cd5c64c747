"""Spans as a preview's process reports them over its control channel. Nothing in a report is verified.

A report is one line: ``span DROPPED [KIND, TRACE, SPAN, PARENT, START_US, DURATION_US, NAME, DETAIL, STATUS, ERROR,
REQUEST_ID]``. DROPPED is the number of spans that the process could not send since the last report.
"""

from __future__ import annotations

import json
import re
from typing import Any, Final

from preview.core.ids import REQUEST_ID
from preview.tracing.span import (
    MOST_DETAIL,
    MOST_DURATION_US,
    MOST_ERROR,
    MOST_NAME,
    Kind,
    Span,
    clean,
    clean_line,
    is_span_id,
    is_trace_id,
)

REPORT: Final = b"span "
"""Start of each report."""
MOST_LINE: Final = 8192
"""Limit of a report in bytes, without its end."""

_HEAD = re.compile(rb"span ([0-9]{1,7}) (?=\[)")
_REQUEST_ID = re.compile(REQUEST_ID)
_KINDS = {str(kind): kind for kind in Kind}
_STATUSES = range(1000)
# The year 2200.
_MOST_TIME_US = 7_258_118_400_000_000
_TEXTS = (0, 1, 2, 3, 6, 7, 9, 10)
_NUMBERS = (4, 5, 8)
_FIELDS = len(_TEXTS) + len(_NUMBERS)


def read_report(line: bytes) -> tuple[int, Span | None]:
    """Return the number of spans that the process has dropped, and the span; None if it is not one.

    Args:
        line: The report, without its end. Untrusted, at most ``MOST_LINE`` bytes.
    """
    found = _HEAD.match(line)
    if found is None or len(line) > MOST_LINE:
        return 0, None
    dropped = int(found[1])
    try:
        given: Any = json.loads(line[found.end() :])
    except (ValueError, RecursionError):
        return dropped, None
    return dropped, _span(given)


def _span(given: Any) -> Span | None:
    if not isinstance(given, list) or len(given) != _FIELDS:
        return None
    # ``True`` is an int in Python.
    if any(type(given[at]) is not str for at in _TEXTS) or any(type(given[at]) is not int for at in _NUMBERS):
        return None
    kind, trace_id, span_id, parent_id, start_us, duration_us, name, detail, status, error, request_id = given
    return make_span(
        kind=_KINDS.get(kind, Kind.OTHER),
        trace_id=trace_id,
        span_id=span_id,
        parent_id=parent_id,
        start_us=start_us,
        duration_us=duration_us,
        name=name,
        detail=detail,
        status=status,
        error=error,
        request_id=request_id,
    )


def make_span(
    *,
    kind: Kind,
    trace_id: str,
    span_id: str,
    parent_id: str,
    start_us: int,
    duration_us: int,
    name: str,
    detail: str = "",
    status: int = 0,
    error: str = "",
    request_id: str = "",
    source: str = "launcher",
) -> Span | None:
    """Return a span of untrusted values: texts are cut and cleaned. None if an id or a time is none."""
    if not (is_trace_id(trace_id) and is_span_id(span_id) and (not parent_id or is_span_id(parent_id))):
        return None
    if not (0 <= start_us <= _MOST_TIME_US and 0 <= duration_us <= MOST_DURATION_US):
        return None
    return Span(
        trace_id,
        span_id,
        parent_id,
        kind,
        clean_line(name, MOST_NAME) or str(kind),
        start_us,
        duration_us,
        clean(detail, MOST_DETAIL),
        status if status in _STATUSES else 0,
        clean_line(error, MOST_ERROR),
        request_id if _REQUEST_ID.fullmatch(request_id) else "",
        source,
    )
