"""One small log, its requests and failures with their facts by hand, and what each term means for these facts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from preview.logs import Level, LogLine, Source
from preview.logs.failures.model import FailureRecord, Frame, Language, Occurrence, Raised
from preview.logs.failures.text import line_of
from preview.logs.filter import Access, KnownRequests, Resolved
from preview.traffic.record import Message, Origin, RecordedRequest, Timing, Who

NOW = 1_760_000_000_000
MINUTE = 60_000
RELOADS = (1, 5, 9)
NUMBERS = {42: "r-1"}
REQUESTS = {
    "r-1": ("GET", "/books", 200, 12.5),
    "r-2": ("POST", "/books", 500, 300.0),
    "r-3": ("GET", "/health", 404, 1.0),
}
KNOWN = KnownRequests(3, {name: [Access(*facts)] for name, facts in REQUESTS.items()})
FACTS = Resolved(RELOADS, NUMBERS, KNOWN)


@dataclass(frozen=True)
class Entry:
    """A line, request or failure as a person reads it; ``fields`` by name, each with its values."""

    level: Level
    text: str
    at: int
    reload: int
    request_id: str | None = None
    source: Source | None = None
    method: str | None = None
    path: str | None = None
    status: int | None = None
    ms: float | None = None
    fields: Mapping[str, list[object]] = field(default_factory=dict)
    number: int | None = None
    who: str = ""
    origin: str = ""


def of_request(entry: Entry) -> Entry:
    """Add the facts of the request that the entry does not have."""
    if entry.request_id not in REQUESTS:
        return entry
    method, path, status, ms = REQUESTS[entry.request_id]
    return replace(
        entry,
        method=entry.method or method,
        path=entry.path or path,
        status=status if entry.status is None else entry.status,
        ms=ms if entry.ms is None else entry.ms,
    )


def _line(
    seq: int, level: Level, source: Source, message: str, request_id: str | None = None, **facts: object
) -> tuple[LogLine, Entry]:
    reload = sum(seq >= first for first in RELOADS) - 1
    at = NOW - (12 - seq) * MINUTE
    entry = Entry(level, str(facts.pop("text", message)), at, reload, request_id, source)
    return LogLine(seq, at, level, source, message, request_id), of_request(replace(entry, **facts))  # type: ignore[arg-type]  # a test's shorthand


L, S = Level, Source
LINES = [
    _line(1, L.INFO, S.SYSTEM_STARTUP, "Starting Ada's shop"),
    _line(2, L.DEBUG, S.STARTUP, "loading (twice)"),
    _line(3, L.INFO, S.PREVIEW, "hello from books", "r-1"),
    _line(4, L.INFO, S.REQUEST, 'INFO:     127.0.0.1:5 - "GET /books?limit=3 HTTP/1.1" 200 OK', "r-1",
          method="GET", path="/books", status=200),
    _line(5, L.WARNING, S.PREVIEW, '{"event":"paid late","level":"warning","user":{"id":7},"took":12.5}', "r-2",
          fields={"user.id": [7], "took": [12.5], "message": ["paid late"]}),
    _line(6, L.ERROR, S.PREVIEW, "ValueError: no book \x1b[31mred\x1b[0m", "r-2", text="ValueError: no book red"),
    _line(7, L.ERROR, S.REQUEST, "POST /books 500 300.0 ms - 12", "r-2",
          method="POST", path="/books", status=500, ms=300.0),
    _line(8, L.INFO, S.SYSTEM, "restarted: the files changed"),
    _line(9, L.INFO, S.PREVIEW, 'level=info user.id=8 took=2 msg="two words"',
          fields={"user.id": ["8"], "took": ["2"], "message": ["two words"]}),
    _line(10, L.INFO, S.PREVIEW, "of a request without a record", "r-9"),
    _line(11, L.ERROR, S.REQUEST, '127.0.0.1 - - "POST /health HTTP/1.1" 503 - 12.5 ms', "r-3",
          method="POST", path="/health", status=503, ms=12.5),
    _line(12, L.ERROR, S.PREVIEW, '{"user":{"id":9}} and more'),
]  # fmt: skip


def _request(
    number: int, request_id: str, who: Who, origin: Origin, body: bytes = b"", **fields: list[Any]
) -> tuple[RecordedRequest, Entry]:
    method, path, status, ms = REQUESTS[request_id]
    at, reload = NOW - (12 - 3 * number) * MINUTE, min(number - 1, 2)
    record = RecordedRequest(
        "p", number, request_id, at, origin, who, method, f"{path}?q=red", status, None, Timing(0, 1, 2, ms), 0, 10,
        reload, 5, 8, Message((), body, len(body)), None,
    )  # fmt: skip
    level = Level.ERROR if status >= 500 else Level.INFO
    text = f"{method} {path}?q=red {status}"
    entry = Entry(level, text, at, reload, request_id, None, method, path, status, ms, fields, number, who, origin)
    return record, entry


RECORDS = [
    _request(1, "r-1", Who.OWNER, Origin.BROWSER),
    _request(2, "r-2", Who.VIEWER, Origin.CALL, b'{"user":{"id":7},"took":3}', **{"user.id": [7], "took": [3]}),
    _request(3, "r-3", Who.AGENT, Origin.PROBE, b'{"user":{"id":"8"}}', **{"user.id": ["8"]}),
]


def _failure(seq: int, kind: str, said: str, request_id: str | None, **fields: list[object]) -> tuple[LogLine, Entry]:
    """Return the line of a failure, whose facts are those of an error line of its newest occurrence."""
    record = FailureRecord(
        "p", f"f{seq}", "print", Language.PYTHON, (Raised(kind, said),), Frame("main.py", 9, "load"), None, 2,
        [Occurrence(0, 1, 2, "r-1", 0), Occurrence(NOW - (12 - seq) * MINUTE, seq - 1, seq, request_id, 0)],
    )  # fmt: skip
    reload = sum(seq >= first for first in RELOADS) - 1
    text = f"{kind}: {said} main.py:9 load"
    entry = Entry(Level.ERROR, text, NOW - (12 - seq) * MINUTE, reload, request_id, Source.PREVIEW, fields=fields)
    return line_of(record), of_request(entry)


FAILURES = [
    _failure(6, "ValueError", "no book red", "r-2"),
    _failure(3, "KeyError", "'books'", "r-1"),
    _failure(12, "OSError", "(twice) hello", None),
    _failure(10, "Late", "took=8", "r-9", took=["8"]),
]

Meaning = Callable[[Entry], bool]


def _has(text: str) -> Meaning:
    return lambda entry: text.lower() in entry.text.lower()


def _field(name: str, test: Callable[[object], bool]) -> Meaning:
    return lambda entry: any(map(test, entry.fields.get(name, [])))


def _known(name: str, test: Callable[[object], bool]) -> Meaning:
    return lambda entry: getattr(entry, name) is not None and test(getattr(entry, name))


def _number(value: object) -> float:
    return float(str(value))


BOTH: dict[str, Meaning] = {
    "error": lambda entry: entry.level >= Level.ERROR,
    "warn": lambda entry: entry.level >= Level.WARNING,
    "level:=info": lambda entry: entry.level == Level.INFO,
    "level:<warning": lambda entry: entry.level < Level.WARNING,
    "path:/books": _known("path", lambda path: path == "/books"),
    "path:/*e*": _known("path", lambda path: "e" in str(path)),
    "method:POST,PUT": _known("method", lambda method: method == "POST"),
    "status:404": _known("status", lambda status: status == 404),
    "status:5xx": _known("status", lambda status: 500 <= _number(status) < 600),
    "status:<300": _known("status", lambda status: _number(status) < 300),
    "ms:>12": _known("ms", lambda ms: _number(ms) > 12),
    "ms:<=12.5": _known("ms", lambda ms: _number(ms) <= 12.5),
    "req:r-2": lambda entry: entry.request_id == "r-2",
    "since:5m": lambda entry: entry.at >= NOW - 5 * MINUTE,
    "until:6m": lambda entry: entry.at <= NOW - 6 * MINUTE,
    "reload:0": lambda entry: entry.reload == 0,
    "reload:last": lambda entry: entry.reload == 2,
    "@user.id:7": _field("user.id", lambda value: _number(value) == 7),
    "@user.id:>7": _field("user.id", lambda value: _number(value) > 7),
    "@took:*": _field("took", lambda _: True),
    "@took:<3": _field("took", lambda value: _number(value) < 3),
    "red": _has("red"),
    "BOOK": _has("book"),
    '"(twice)"': _has("(twice)"),
    "/^[A-Z]/": lambda entry: entry.text[:1].isalpha() and entry.text[:1].isupper() and entry.text.isascii(),
    "/(h|l)o/i": lambda entry: "ho" in entry.text.lower() or "lo" in entry.text.lower(),
}
"""Terms on lines and on requests."""

ON_LINES: dict[str, Meaning] = {
    **BOTH,
    "req:42": lambda entry: entry.request_id == "r-1",
    "source:request": lambda entry: entry.source is Source.REQUEST,
    "source:system": lambda entry: entry.source in {Source.SYSTEM, Source.SYSTEM_STARTUP},
    "@message:p*": _field("message", lambda value: str(value).startswith("p")),
}
ON_REQUESTS: dict[str, Meaning] = {
    **BOTH,
    "req:2": lambda entry: entry.number == 2,
    "who:owner,agent": lambda entry: entry.who in {"owner", "agent"},
    "origin:call": lambda entry: entry.origin == "call",
}
