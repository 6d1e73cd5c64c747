"""Random filters as trees, and what they mean by the plainest reading."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from hypothesis import strategies as st


@dataclass(frozen=True)
class Tree:
    """A term, or alternatives of rows of trees."""

    negated: bool
    term: str = ""
    alternatives: tuple[tuple[Tree, ...], ...] = ()

    def text(self) -> str:
        inner = self.term or f"({rows(self.alternatives)})"
        return f"{'-' if self.negated else ''}{inner}"

    def holds(self, leaf: Callable[[str], bool]) -> bool:
        holds = leaf(self.term) if self.term else any_of(self.alternatives, leaf)
        return holds is not self.negated

    @property
    def count(self) -> int:
        return 1 if self.term else count_of(self.alternatives)


Alternatives = tuple[tuple[Tree, ...], ...]


def rows(alternatives: Alternatives) -> str:
    return " OR ".join(" ".join(one.text() for one in row) for row in alternatives)


def any_of(alternatives: Alternatives, leaf: Callable[[str], bool]) -> bool:
    return any(all(one.holds(leaf) for one in row) for row in alternatives)


def count_of(alternatives: Alternatives) -> int:
    return sum(one.count for row in alternatives for one in row)


def filters(terms: st.SearchStrategy[str]) -> st.SearchStrategy[Alternatives]:
    """Return filters: one row of terms mostly, else groups and alternatives up to three deep."""
    negated = st.sampled_from([False, False, True])
    leaf = st.builds(Tree, negated, terms)

    def inside(trees: st.SearchStrategy[Tree]) -> st.SearchStrategy[Tree]:
        row = st.lists(trees, min_size=1, max_size=3).map(tuple)
        return st.builds(
            lambda no, found: Tree(no, "", found), negated, st.lists(row, min_size=1, max_size=3).map(tuple)
        )

    tree = st.recursive(leaf, inside, max_leaves=6)
    row = st.lists(tree, min_size=1, max_size=3).map(tuple)
    return st.lists(row, min_size=1, max_size=2).map(tuple)
