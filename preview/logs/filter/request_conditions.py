"""Conditions on time, reload and request; on the facts of access lines and of recorded requests."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from preview.logs.filter.access import Access
from preview.logs.filter.conditions import Condition, FactCondition, Positions
from preview.logs.filter.facts import Facts
from preview.logs.filter.subjects import Record
from preview.logs.filter.values import COMPARE, glob
from preview.logs.model.events import MARKS, Source
from preview.logs.model.filtering import Columns

REQUEST_MARKS = bytes(mark for mark, (_, source) in enumerate(MARKS) if source is Source.REQUEST)
"""Marks of access lines."""


@dataclass(frozen=True, slots=True)
class TimeCondition(Condition):
    """Lines and requests at or after a moment, or at or before it.

    Attributes:
        operator: ``>=`` or ``<=``.
        moment_ms: Milliseconds since the epoch.
    """

    operator: str
    moment_ms: int

    def keep(self, lines: Columns, found: Positions, *, negated: bool) -> Positions:
        """Compare times."""
        passes, stamps, moment = COMPARE[self.operator], lines.timestamps, self.moment_ms
        return [at for at in found if passes(stamps[at], moment) is not negated]

    def holds_for(self, record: Record) -> bool:
        """Compare the arrival."""
        return COMPARE[self.operator](record.started_ms, self.moment_ms)


@dataclass(frozen=True, slots=True)
class ReloadCondition(Condition):
    """Lines and requests of one process of a preview.

    Attributes:
        word: ``last``, or a number; 0 is the first process.
        number: The number; None for ``last`` until it is resolved.
        first_seq: First line; None until the term is resolved, then no line passes.
        last_seq: Last line; None if the process is the last one so far.
    """

    word: str
    number: int | None
    first_seq: int | None = None
    last_seq: int | None = None

    def keep(self, lines: Columns, found: Positions, *, negated: bool) -> Positions:
        """Compare line numbers."""
        if self.first_seq is None:
            return found if negated else []
        if (seqs := lines.seqs) is not None:
            low, high = self.first_seq, self.last_seq
            return [at for at in found if (low <= seqs[at] and (high is None or seqs[at] <= high)) is not negated]
        first = self.first_seq - lines.first_seq
        last = len(lines.marks) if self.last_seq is None else self.last_seq - lines.first_seq
        return [at for at in found if (first <= at <= last) is not negated]

    def holds_for(self, record: Record) -> bool:
        """Compare the number of reloads."""
        return record.reload == self.number


@dataclass(frozen=True, slots=True)
class RequestCondition(Condition):
    """Lines of one request, and its record.

    Attributes:
        word: Number of the record, or request id.
        request_id: Id of the request with this number; empty until the term is resolved.
    """

    word: str
    request_id: str = ""

    def keep(self, lines: Columns, found: Positions, *, negated: bool) -> Positions:
        """Compare request ids."""
        requests, ids = lines.requests or {}, self.ids
        return [at for at in found if (requests.get(at) in ids) is not negated]

    @property
    def ids(self) -> tuple[str, ...]:
        """Request ids that pass."""
        return (self.word, self.request_id) if self.request_id else (self.word,)

    def holds_for(self, record: Record) -> bool:
        """Compare number and id."""
        return self.word == str(record.number) or self.word == record.request_id


@dataclass(frozen=True, slots=True)
class WordCondition(Condition):
    """Requests from one of these senders, or on one of these ways; nothing in a line reports them."""

    on_lines: ClassVar[bool] = False

    key: str
    words: frozenset[str]

    def keep(self, lines: Columns, found: Positions, *, negated: bool) -> Positions:  # noqa: ARG002  no line has them
        """Return the positions of no line; with ``negated`` of all."""
        return found if negated else []

    def holds_for(self, record: Record) -> bool:
        """Compare the word."""
        return (record.who if self.key == "who" else record.origin) in self.words


@dataclass(frozen=True, slots=True)
class AccessCondition(FactCondition):
    """Access lines, requests and their lines by method, path, status or duration. Other lines have none of these.

    Attributes:
        key: ``method``, ``path``, ``status`` or ``ms``.
        operator: See ``COMPARE``.
        words: Accepted words: methods, patterns of paths, or patterns of statuses (``5*``).
        number: Number of a comparison.
    """

    cost: ClassVar[int] = 2

    key: str
    operator: str
    words: frozenset[str]
    number: float = 0.0

    def keep(self, lines: Columns, found: Positions, *, negated: bool) -> Positions:
        """Leave out lines that are neither access lines nor those of a request."""
        marks, requests = lines.marks, lines.requests or {}
        return found if negated else [at for at in found if marks[at] in REQUEST_MARKS or at in requests]

    def test(self) -> Callable[[Facts], bool]:
        """Return the comparison."""
        at, passes = Access._fields.index(self.key), self._passes()
        return lambda facts: any(map(passes, facts.reported(at)))

    def _passes(self) -> Callable[[object], bool]:
        number = self.number
        if self.operator and not self.words:
            compare = COMPARE[self.operator]
            return lambda value: isinstance(value, int | float) and compare(float(value), number)
        tests = [glob(word, ignores_case=False) for word in self.words]
        return lambda value: value is not None and any(test(str(value)) for test in tests)
