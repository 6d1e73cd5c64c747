"""Terms on facts of lines and recorded requests, together: each text is read once for all of them, in bounded time.

Chosen text can make a comparison cost much more than usual (lists, in the service's own thread), so the terms have an
allowance of time that grows with the text, like a regular expression. Terms that exceed it are not used any more.
"""

from __future__ import annotations

from functools import lru_cache
from time import thread_time

from preview.logs.filter.access import KnownRequests
from preview.logs.filter.allowance import Allowance
from preview.logs.filter.conditions import Condition, Positions
from preview.logs.filter.facts import Facts, LineFacts, RequestFacts
from preview.logs.filter.request_conditions import REQUEST_MARKS
from preview.logs.filter.subjects import Record
from preview.logs.model.filtering import Columns

# Lines and characters between two readings of the clock.
_PART_LINES = 16
_PART_CHARACTERS = 2048
# Allowed time. A usual line takes 5 µs, and each term 2 µs; chosen text takes 25 µs for a list, and 170 ns for each
# character that is parsed. One term never exceeds this, so nobody can spoil such a filter for others.
_S_PER_LINE = 60e-6
_S_PER_TERM = 5e-6
_S_PER_CHARACTER = 200e-9


class FactTerms:
    """Terms that must all match.

    Args:
        terms: Conditions, in the order of evaluation, each with True if it must not hold.
        count: Number of terms, with those in groups.
    """

    __slots__ = ("_allowance", "_terms")

    def __init__(self, terms: tuple[tuple[Condition, bool], ...], count: int) -> None:
        self._terms = terms
        self._allowance = Allowance(_S_PER_LINE + count * _S_PER_TERM, _S_PER_CHARACTER)

    @property
    def fault(self) -> str | None:
        """One sentence if the terms have used too much time; then nothing passes. None otherwise."""
        if not self._allowance.is_slow:
            return None
        return "The field terms took too long to match; use fewer of them."

    def keep(self, lines: Columns, found: Positions, known: KnownRequests) -> Positions:
        """Return those of the positions ``found`` that match, as long as the allowance of time lasts."""
        if not self._terms:
            return found
        tests = [(condition.test_at(lines, found), negated) for condition, negated in self._terms]
        allowance, marks, messages = self._allowance, lines.marks, lines.messages
        ids, by_id = lines.requests or {}, known.by_id
        kept: list[int] = []
        at = 0
        while at < len(found) and not allowance.is_slow:
            start, characters, started = at, 0, thread_time()
            while at < len(found) and at - start < _PART_LINES and characters < _PART_CHARACTERS:
                position = found[at]
                message = messages[position]
                characters += len(message)
                requests = by_id.get(ids.get(position, ""), ())
                facts: Facts = LineFacts(message, is_access=marks[position] in REQUEST_MARKS, requests=requests)
                if all(test(position, facts) is not negated for test, negated in tests):
                    kept.append(position)
                at += 1
            allowance.charge(thread_time() - started, at - start, characters)
        return [] if allowance.is_slow else kept

    def hold_for(self, record: Record) -> bool:
        """Return True if all terms match a recorded request, and the allowance of time lasts."""
        if not self._terms:
            return True
        if self._allowance.is_slow:
            return False
        started, facts = thread_time(), RequestFacts(record)
        holds = all(condition.holds_with(record, facts) is not negated for condition, negated in self._terms)
        size = sum(len(one.body) for one in (record.request, record.response) if one is not None)
        self._allowance.charge(thread_time() - started, 1, size)
        return holds


@lru_cache(256)
def fact_terms(terms: tuple[tuple[Condition, bool], ...], count: int) -> FactTerms:
    """Return the terms with their allowance; the same object while it is in use."""
    return FactTerms(terms, count)
