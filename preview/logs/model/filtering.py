"""Filters of lines by level, source, text, request and terms; ``searching`` implements the same filters in SQL."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple, Protocol

from preview.core.escapes import without_colours
from preview.core.ids import CHECK_SUFFIX
from preview.logs.model.events import MARKS, Level, LogLine, Requests, Source

_ALL_MARKS = len(MARKS)
# Cache size: one entry per filter in use; evicted entries are computed again.
_KEPT_FILTERS = 256


class Columns(NamedTuple):
    """Lines as columns, like a batch.

    Attributes:
        first_seq: Number of the first line; the others follow.
        timestamps: Milliseconds since the epoch.
        marks: Level and source, see ``events``.
        messages: Texts.
        requests: Request ids by position; None if no line has one.
        seqs: Numbers of the lines, if they do not follow each other; then ``first_seq`` means nothing.
    """

    first_seq: int
    timestamps: Sequence[int]
    marks: bytes
    messages: Sequence[str]
    requests: Requests | None = None
    seqs: Sequence[int] | None = None


def columns_of(line: LogLine) -> Columns:
    """Return one line as columns."""
    requests = None if line.request_id is None else {0: line.request_id}
    return Columns(line.seq, (line.timestamp_ms,), bytes([line.mark]), (line.message,), requests)


class LineTerms(Protocol):
    """Terms of the filter language; ``filter.Filter`` implements this. Immutable, and equal if its terms are."""

    def narrow(self, lines: Columns, found: Sequence[int]) -> Sequence[int]:
        """Return those of the positions ``found`` whose lines match all terms."""

    @property
    def fault(self) -> str | None:
        """One sentence if a term was given up; None otherwise."""

    def __hash__(self) -> int: ...


@dataclass(frozen=True, slots=True)
class LineFilter:
    """A filter: lines pass if they match all its conditions. Filtering does not change line numbers.

    Attributes:
        level: Lines at least this severe.
        sources: Lines from one of these; None means any.
        q: Lines whose message contains this text. Colours are ignored, unless the text has an ESC. Case is ignored for
            the letters A to Z only, like in SQLite and PostgreSQL's "C" collation, so that memory and database agree.
            Other characters must be the same code points, without normalisation.
        request_id: Lines printed for this request; empty means any.
        terms: Lines that match these terms too; None means any.
        checks: False leaves out lines below ERROR that were printed for the service's own requests.
    """

    level: Level = Level.DEBUG
    sources: frozenset[Source] | None = None
    q: str = ""
    request_id: str = ""
    terms: LineTerms | None = None
    checks: bool = True

    @property
    def is_open(self) -> bool:
        """True if all lines pass."""
        return (
            not self.q
            and not self.request_id
            and self.terms is None
            and self.checks
            and len(_passing(self.level, self.sources)) == _ALL_MARKS
        )

    @property
    def fault(self) -> str | None:
        """One sentence if a term was given up for the time it needs; then no line passes. None otherwise."""
        return None if self.terms is None else self.terms.fault

    def positions(self, lines: Columns) -> Sequence[int]:
        """Return the positions of the lines that pass, oldest first."""
        marks, messages, requests = lines.marks, lines.messages, lines.requests
        passing = _passing(self.level, self.sources)
        if not marks.translate(None, passing):
            found: Sequence[int] = range(len(marks))
        else:
            found = [index for index, mark in enumerate(marks) if mark in passing]
        if self.request_id:
            found = [index for index in found if requests is not None and requests.get(index) == self.request_id]
        if not self.checks and requests is not None:
            hidden = {at for at, one in requests.items() if one.endswith(CHECK_SUFFIX) and not _is_error(marks[at])}
            found = [index for index in found if index not in hidden] if hidden else found
        if self.q:
            has_text = text_finder(self.q)
            found = [index for index in found if has_text(messages[index])]
        return found if self.terms is None else self.terms.narrow(lines, found)

    def passes(self, line: LogLine) -> bool:
        """Return True if the line passes."""
        return bool(self.positions(columns_of(line)))


def _is_error(mark: int) -> bool:
    return MARKS[mark][0] is Level.ERROR


EVERYTHING = LineFilter()
"""The filter that every line passes."""


@lru_cache(_KEPT_FILTERS)
def _passing(level: Level, sources: frozenset[Source] | None) -> bytes:
    """Return the passing marks."""
    return bytes(
        mark
        for mark, (has_level, source) in enumerate(MARKS)
        if has_level >= level and (sources is None or source in sources)
    )


def ascii_lower(text: str) -> str:
    """Return the text with the letters A to Z in lower case; other letters, such as the Kelvin sign, stay."""
    return text.lower() if text.isascii() else _lower_bytes(text).decode("utf-8", "surrogatepass")


def _lower_bytes(text: str) -> bytes:
    """Return the text as UTF-8, with the letters A to Z in lower case: ``bytes.lower`` changes no others."""
    return text.encode("utf-8", "surrogatepass").lower()


@lru_cache(_KEPT_FILTERS)
def text_finder(q: str) -> Callable[[str], bool]:
    """Return a test whether a message contains the text, see ``LineFilter.q``."""
    wanted, wanted_bytes = ascii_lower(q), _lower_bytes(q)
    if "\x1b" in q:
        return lambda message: wanted in ascii_lower(message)

    def found(message: str) -> bool:
        if "\x1b" in message:
            message = without_colours(message)
        # Inlined, as a call costs as much as the search; nearly all messages are ASCII.
        if message.isascii():
            return wanted in message.lower()
        # A text is found in another one exactly if it is found in UTF-8; this is ten times as fast as ``translate``.
        return wanted_bytes in _lower_bytes(message)

    return found
