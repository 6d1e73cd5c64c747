"""Facts of access lines: method, path, status and duration, from the formats that ``ingest.line_marks`` recognises."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from preview.core.escapes import without_colours

_METHODS = "GET|POST|PUT|PATCH|DELETE|HEAD|OPTIONS|TRACE|CONNECT|WebSocket"
# Combined and common formats, uvicorn, hypercorn, werkzeug, Django, daphne.
_QUOTED = re.compile(rf'"({_METHODS}) ([^"\s]{{1,8192}}+)[^"]{{0,16}}+" (?:(\d{{3}})\b|\[accepted\])')
# morgan's dev and tiny formats.
_MORGAN = re.compile(
    rf"({_METHODS}) (/\S{{0,8192}}+) (\d{{3}}) (?:([\d.]{{1,20}}) ms|[\d.]{{1,20}} - ([\d.]{{1,20}}) ms)"
)
_QUOTED_MS = re.compile(r"\b(\d{1,9}(?:\.\d{1,9})?) ?ms\b")


class Access(NamedTuple):
    """Facts of one request, as an access line reports them; None for what it does not report."""

    method: str | None
    path: str | None
    status: int | None
    ms: float | None


@dataclass(frozen=True, slots=True)
class KnownRequests:
    """Facts of recorded requests of one preview, which the lines of the requests have too.

    Attributes:
        newest: Number of the newest record at the start. Of one preview, equal numbers mean equal facts.
        by_id: Facts by request id; clients may use an id twice. The owner may add facts of newer requests.
        owner: What keeps the facts; it lives as long as this object.
    """

    newest: int = 0
    by_id: Mapping[str, Sequence[Access]] = field(default_factory=dict, compare=False, repr=False)
    owner: object = field(default=None, compare=False, repr=False)


NO_REQUESTS = KnownRequests()
"""No recorded request is known."""

NOTHING = Access(None, None, None, None)
"""The facts of a line that reports none."""


def access_of(message: str, json_of: Callable[[], Mapping[str, object] | None]) -> Access:
    """Return the facts of an access line.

    Args:
        message: A line with source ``request``, with or without colours.
        json_of: Returns the JSON object that the line consists of.
    """
    text = without_colours(message) if "\x1b" in message else message
    quoted = _QUOTED.search(text)
    if quoted is not None:
        method, target, status = quoted.groups()
        ms = _QUOTED_MS.search(text, quoted.end(), quoted.end() + 400)
        is_socket = method == "WebSocket"
        return Access(
            "GET" if is_socket else method,
            _path(target),
            101 if status is None else int(status),
            float(ms[1]) if ms else None,
        )
    if text.startswith("{"):
        return _pino(json_of())
    morgan = _MORGAN.match(text)
    if morgan is None:
        return NOTHING
    return Access(morgan[1], _path(morgan[2]), int(morgan[3]), _number(morgan[4] or morgan[5]))


def _path(target: str) -> str:
    return target.partition("?")[0]


def _number(word: str) -> float | None:
    try:
        return float(word)
    except ValueError:
        return None


def _pino(found: Mapping[str, object] | None) -> Access:
    """Return the facts of a line of pino-http."""
    if found is None:
        return NOTHING
    request, response, ms = found.get("req"), found.get("res"), found.get("responseTime")
    if not (isinstance(request, Mapping) and isinstance(response, Mapping)):
        return NOTHING
    method, url, status = request.get("method"), request.get("url"), response.get("statusCode")
    return Access(
        method.upper() if isinstance(method, str) else None,
        _path(url) if isinstance(url, str) else None,
        status if isinstance(status, int) else None,
        float(ms) if isinstance(ms, int | float) and abs(ms) < 1e15 else None,
    )
