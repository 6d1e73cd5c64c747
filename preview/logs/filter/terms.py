"""Terms of a filter, and groups: alternatives, of which each is a number of terms."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import ClassVar, NamedTuple

from preview.logs.filter.conditions import Condition, Positions
from preview.logs.filter.facts import Facts
from preview.logs.filter.subjects import Record
from preview.logs.model.filtering import Columns

GROUP = "group"
"""Kind of a group."""


class TermInfo(NamedTuple):
    """A term as shown to people.

    Attributes:
        text: The term as written. A group always has its parentheses here, so that terms can be joined by spaces.
        start: Number of characters before it.
        kind: ``text``, ``regex``, ``field``, ``group`` or the term's key.
        negated: True if it must not match.
        sentence: One sentence that says which lines or requests it selects.
        on_lines: True if it applies to log lines.
        on_requests: True if it applies to recorded requests.
    """

    text: str
    start: int
    kind: str
    negated: bool
    sentence: str
    on_lines: bool
    on_requests: bool


@dataclass(frozen=True, slots=True)
class Term:
    """One term of a filter.

    Attributes:
        condition: The condition.
        negated: True if it must not hold.
        info: The term as written; not compared, so that equal filters share encoded lines.
    """

    condition: Condition
    negated: bool
    info: TermInfo = field(compare=False)


@dataclass(frozen=True, slots=True)
class Group(Condition):
    """Alternatives: the group holds if all terms of one of them match.

    Attributes:
        alternatives: One or more, each with one or more terms.
    """

    cost: ClassVar[int] = 4

    alternatives: tuple[tuple[Term, ...], ...]

    @property
    def needs_facts(self) -> bool:
        """True if one of the terms does."""
        return any(one.condition.needs_facts for terms in self.alternatives for one in terms)

    @property
    def fault(self) -> str | None:
        """The first fault of a term."""
        found = (one.condition.fault for terms in self.alternatives for one in terms)
        return next((fault for fault in found if fault is not None), None)

    def keep(self, lines: Columns, found: Positions, *, negated: bool) -> Positions:
        """Ask one alternative after the other about the lines that are left. With facts, leave out no line."""
        if self.needs_facts:
            return found
        passing: set[int] = set()
        left = found
        for terms in self.alternatives:
            kept = left
            for one in in_order(terms):
                kept = one.condition.keep(lines, kept, negated=one.negated)
            passing.update(kept)
            left = [at for at in left if at not in passing]
        return left if negated else [at for at in found if at in passing]

    def test_at(self, lines: Columns, found: Positions) -> Callable[[int, Facts], bool]:
        """Return the test of the alternatives."""
        tests = [
            [(one.condition.test_at(lines, found), one.negated) for one in in_order(terms)]
            for terms in self.alternatives
        ]

        def holds(at: int, facts: Facts) -> bool:
            return any(all(test(at, facts) is not negated for test, negated in terms) for terms in tests)

        return holds

    def holds_for(self, record: Record) -> bool:
        """Test the alternatives that need no facts; see ``holds_with``."""
        return any(
            all(one.condition.holds_for(record) is not one.negated for one in in_order(terms))
            for terms in self.alternatives
        )

    def holds_with(self, record: Record, facts: Facts) -> bool:
        """Test the alternatives."""
        return any(
            all(one.condition.holds_with(record, facts) is not one.negated for one in in_order(terms))
            for terms in self.alternatives
        )


def in_order(terms: Iterable[Term]) -> list[Term]:
    """Return the terms of low cost first."""
    return sorted(terms, key=lambda one: one.condition.cost)


def leaves(terms: Iterable[Term]) -> Iterator[Term]:
    """Iterate over the terms and those in groups, without the groups. The parser bounds the depth."""
    for one in terms:
        if isinstance(one.condition, Group):
            for alternative in one.condition.alternatives:
                yield from leaves(alternative)
        else:
            yield one


def replaced(terms: Iterable[Term], change: Callable[[Condition], Condition]) -> tuple[Term, ...]:
    """Return the same terms with other conditions, in groups too."""
    return tuple(Term(_replaced(one.condition, change), one.negated, one.info) for one in terms)


def _replaced(condition: Condition, change: Callable[[Condition], Condition]) -> Condition:
    if isinstance(condition, Group):
        return Group(tuple(replaced(terms, change) for terms in condition.alternatives))
    return change(condition)
