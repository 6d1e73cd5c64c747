"""Hints: what in a trace is probably the reason why the request is slow."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from preview.core.quoting import clipped
from preview.tracing.span import Kind, Span

REPEATED: Final = 5
"""The same statement this often in one request is reported."""
SLOW_US: Final = 100_000
"""A statement of this many microseconds is reported."""
MOST_HINTS: Final = 10
"""Hints of one trace; the most costly ones come first."""

_SHOWN = 120
_READ = 500
_SPANS = 50
# Values that were written into a statement: texts, and numbers that are no part of a name.
_VALUES = re.compile(r"'[^']*'|(?<![\w.$:@])\d+(?:\.\d+)?\b")
# ``IN (?, ?, ?)`` with another number of values is the same statement.
_LIST = re.compile(r"\(\s*(?:\?|%s|\$\d+|:\w+)(?:\s*,\s*(?:\?|%s|\$\d+|:\w+))*\s*\)")


class HintKind(StrEnum):
    """Kind of a hint."""

    REPEATED_STATEMENT = "repeated_statement"
    SLOW_STATEMENT = "slow_statement"
    REPEATED_CALL = "repeated_call"


@dataclass(frozen=True, slots=True)
class Hint:
    """A hint.

    Attributes:
        kind: Its kind.
        sentence: One sentence for people.
        statement: The statement, or the address.
        count: Number of the spans that it is about.
        duration_us: Their durations together, in microseconds.
        span_ids: The first of these spans.
    """

    kind: HintKind
    sentence: str
    statement: str
    count: int
    duration_us: int
    span_ids: tuple[str, ...]


def hints_of(spans: Sequence[Span]) -> list[Hint]:
    """Return the hints of one request's spans, the most costly ones first."""
    # The service's own spans and those of the project's OpenTelemetry may tell of the same statement.
    has_own = any(span.kind is Kind.SQL and span.source == "launcher" for span in spans)
    statements: dict[str, list[Span]] = {}
    calls: dict[str, list[Span]] = {}
    for span in spans:
        if span.source != "launcher" and has_own:
            continue
        if span.kind is Kind.SQL and span.detail:
            statements.setdefault(shape_of(span.detail), []).append(span)
        elif span.kind is Kind.CALL and span.name:
            calls.setdefault(span.name, []).append(span)
    found = []
    for shape, same in statements.items():
        is_repeated = len(same) >= REPEATED and _is_work(shape)
        if is_repeated:
            found.append(_repeated(shape, same))
        slow = [span for span in same if span.duration_us >= SLOW_US]
        if slow:
            found.append(_slow(shape, slow))
    found += [_repeated_call(name, same) for name, same in calls.items() if len(same) >= REPEATED]
    found.sort(key=lambda hint: hint.duration_us, reverse=True)
    return found[:MOST_HINTS]


def shape_of(statement: str) -> str:
    """Return the statement with ``?`` in place of values, on one line: equal for statements that differ only in them.

    Only its first characters are read: a page of traces has thousands of statements.
    """
    return _LIST.sub("(?)", _VALUES.sub("?", " ".join(statement[:_READ].split())))


def _is_work(shape: str) -> bool:
    """Return whether the statement does work; drivers repeat the words around transactions."""
    word = shape.partition(" ")[0].rstrip(";").upper()
    return word not in {"BEGIN", "COMMIT", "ROLLBACK", "SAVEPOINT", "RELEASE", "SET", "PRAGMA", "START"}


def _repeated(shape: str, same: list[Span]) -> Hint:
    took, shown = _together(same), clipped(shape, _SHOWN)
    return Hint(
        HintKind.REPEATED_STATEMENT,
        f"The same statement ran {len(same)} times ({_ms(took)}): {shown}. Probably one query per row (N+1): load "
        "the rows together, with a join, an IN list or the ORM's eager loading.",
        shape,
        len(same),
        took,
        _ids(same),
    )


def _slow(shape: str, slow: list[Span]) -> Hint:
    longest = max(span.duration_us for span in slow)
    times = "" if len(slow) == 1 else f", {len(slow)} times"
    return Hint(
        HintKind.SLOW_STATEMENT,
        f"A statement took {_ms(longest)}{times}: {clipped(shape, _SHOWN)}. Look at its plan (EXPLAIN); perhaps an "
        "index is missing.",
        shape,
        len(slow),
        _together(slow),
        _ids(slow),
    )


def _repeated_call(name: str, same: list[Span]) -> Hint:
    took = _together(same)
    return Hint(
        HintKind.REPEATED_CALL,
        f"The same call was made {len(same)} times ({_ms(took)}): {clipped(name, _SHOWN)}. Perhaps one call can "
        "fetch all of it.",
        name,
        len(same),
        took,
        _ids(same),
    )


def _together(spans: list[Span]) -> int:
    return sum(span.duration_us for span in spans)


def _ids(spans: list[Span]) -> tuple[str, ...]:
    return tuple(span.span_id for span in spans[:_SPANS])


def _ms(microseconds: int) -> str:
    return f"{microseconds / 1000:.1f} ms"
