"""A parsed filter: terms that a line or a recorded request must all match."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from preview.errors import InvalidFilter
from preview.logs.filter.access import NO_REQUESTS, KnownRequests
from preview.logs.filter.conditions import Condition, Positions
from preview.logs.filter.fact_terms import FactTerms, fact_terms
from preview.logs.filter.request_conditions import AccessCondition, ReloadCondition, RequestCondition
from preview.logs.filter.subjects import Record
from preview.logs.filter.terms import Group, Term, in_order, leaves, replaced
from preview.logs.model.batch import Batch
from preview.logs.model.events import LogLine
from preview.logs.model.filtering import Columns, columns_of

_MOST_DIGITS = 18


@dataclass(frozen=True, slots=True)
class Resolved:
    """Facts of a preview that terms refer to.

    Attributes:
        reloads: First line of each process, in order: the first process, then each reload; None if unknown.
        requests: Request ids by number of the record.
        known: Facts of recorded requests, for terms on requests.
    """

    reloads: Sequence[int | None] = (1,)
    requests: Mapping[int, str] = field(default_factory=dict)
    known: KnownRequests = NO_REQUESTS


@dataclass(frozen=True, slots=True)
class Filter:
    """A filter; lines and requests pass if they match all terms, and everything passes a filter without a term.

    ``since:5m`` counts from the moment of parsing. ``reload:`` and a ``req:`` with a number match no line until they
    are resolved. Time is linear in the size of lines and requests.

    Attributes:
        terms: The terms, in order; some may be groups.
        known: Facts of recorded requests, for the lines of these requests.
    """

    terms: tuple[Term, ...] = ()
    known: KnownRequests = NO_REQUESTS
    # Conditions of low cost first.
    _ordered: tuple[Term, ...] = field(init=False, repr=False, compare=False, default=())
    # Terms that share what is read from a line or request, and an allowance of time.
    _facts: FactTerms = field(init=False, repr=False, compare=False)
    _has_groups: bool = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_ordered", tuple(in_order(self.terms)))
        on_facts = [one for one in self._ordered if one.condition.needs_facts]
        pairs = tuple((one.condition, one.negated) for one in on_facts)
        object.__setattr__(self, "_facts", fact_terms(pairs, sum(1 for _ in leaves(on_facts))))
        object.__setattr__(self, "_has_groups", any(isinstance(one.condition, Group) for one in self.terms))

    def __str__(self) -> str:
        """Return the filter as text; parsing it gives an equal filter."""
        return " ".join(one.info.text for one in self.terms)

    @property
    def all_terms(self) -> Sequence[Term]:
        """Terms with those in groups, in order, without the groups."""
        return tuple(leaves(self.terms))

    @property
    def is_empty(self) -> bool:
        """True if everything passes."""
        return not self.terms

    @property
    def fault(self) -> str | None:
        """One sentence if a term was given up for the time it needs; then no line passes. None otherwise."""
        if (fault := self._facts.fault) is not None:
            return fault
        return next((fault for term in self._ordered if (fault := term.condition.fault) is not None), None)

    def matches_line(self, line: LogLine) -> bool:
        """Return True if the line passes; for many lines ``positions`` is faster."""
        return bool(self.narrow(columns_of(line), (0,)))

    def positions(self, batch: Batch) -> Positions:
        """Return the positions of the batch's lines that pass, oldest first."""
        return self.narrow(batch.columns, range(len(batch)))

    def narrow(self, lines: Columns, found: Positions) -> Positions:
        """Return those of the positions ``found`` whose lines pass."""
        for term in self._ordered:
            if not found:
                break
            found = term.condition.keep(lines, found, negated=term.negated)
        if found:
            found = self._facts.keep(lines, found, self.known)
        # A term that is given up passes no line, so a group that excludes it would pass all.
        return [] if found and self._has_groups and self.fault is not None else found

    def matches_request(self, record: Record) -> bool:
        """Return True if the recorded request passes."""
        return all(
            term.condition.holds_for(record) is not term.negated
            for term in self._ordered
            if not term.condition.needs_facts
        ) and self._facts.hold_for(record)

    def check_lines(self) -> None:
        """Check that all terms apply to log lines.

        Raises:
            InvalidFilter: A term does not.
        """
        for term in self.all_terms:
            if not term.condition.on_lines:
                raise InvalidFilter(
                    f"{term.info.text!r} applies to recorded requests only, as log lines do not report it; "
                    "remove the term.",
                    term.info.start,
                )

    def check_requests(self) -> None:
        """Check that all terms apply to recorded requests.

        Raises:
            InvalidFilter: A term does not.
        """
        for term in self.all_terms:
            if not term.info.on_requests:
                raise InvalidFilter(
                    f"{term.info.text!r} applies to log lines only, as recorded requests have no source; "
                    "remove the term, or use origin.",
                    term.info.start,
                )

    @property
    def needs_reloads(self) -> bool:
        """True if a term names a reload."""
        return any(isinstance(term.condition, ReloadCondition) for term in self.all_terms)

    @property
    def needs_requests(self) -> bool:
        """True if a term asks for facts of requests."""
        return any(isinstance(term.condition, AccessCondition) for term in self.all_terms)

    @property
    def request_numbers(self) -> frozenset[int]:
        """Numbers of recorded requests that terms name."""
        words = [one.condition.word for one in self.all_terms if isinstance(one.condition, RequestCondition)]
        return frozenset(
            int(word) for word in words if word.isascii() and word.isdecimal() and len(word) <= _MOST_DIGITS
        )

    def resolved(self, facts: Resolved) -> Filter:
        """Return the filter for one preview, with ``reload:``, ``req:`` and facts of requests resolved."""
        known = facts.known if self.needs_requests else self.known
        return Filter(replaced(self.terms, lambda condition: _resolve(condition, facts)), known)


NO_FILTER = Filter()
"""The filter without a term."""


def _resolve(condition: Condition, facts: Resolved) -> Condition:
    if isinstance(condition, RequestCondition) and condition.word.isdecimal() and len(condition.word) <= _MOST_DIGITS:
        return replace(condition, request_id=facts.requests.get(int(condition.word), ""))
    if isinstance(condition, ReloadCondition):
        reloads = facts.reloads
        number = len(reloads) - 1 if condition.word == "last" else int(condition.word)
        first, *following = reloads[number : number + 2] or [None]
        last = following[0] - 1 if following and following[0] is not None else None
        return replace(condition, number=number, first_seq=first, last_seq=last)
    return condition
