"""Comparison of values: nothing is claimed with few launches; the tests agree with tables of known results."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from preview.rollout.comparison import LEAST_LAUNCHES, Arm, compare, fisher, rank_sum


@given(st.integers(0, 300), st.integers(0, 300), st.integers(0, 300), st.integers(0, 300))
def test_fisher_is_a_probability_and_symmetric(failed: int, served: int, other_failed: int, other_served: int) -> None:
    number, other = failed + served, other_failed + other_served
    chance = fisher(failed, number, other_failed, other)
    assert 0 <= chance <= 1
    assert chance == pytest.approx(fisher(other_failed, other, failed, number))


def test_known_results() -> None:
    # Fisher's lady tasting tea, and a table of R's ``fisher.test``.
    assert fisher(3, 4, 1, 4) == pytest.approx(0.4857, abs=1e-4)
    assert fisher(1, 10, 11, 14) == pytest.approx(0.002759, abs=1e-6)
    assert fisher(0, 5000, 0, 5000) == pytest.approx(1)
    # By hand: U = 112.5 of a mean of 450, a variance of 4573.1 with 15 ties of two: z = -4.991.
    assert rank_sum(list(range(1, 31)), list(range(16, 46))) == pytest.approx(6.01e-7, rel=0.01)
    assert rank_sum([5] * 30, [5] * 30) == 1


def test_nothing_is_claimed_with_few_launches() -> None:
    few = Arm("container", LEAST_LAUNCHES - 1, [])
    many = Arm("sandbox", 0, [100] * 500)
    assert compare(many, few) == (
        "Too few launches to compare: 500 with sandbox, 19 with container; at least 20 of each are needed."
    )


def test_the_sentences_name_numbers_and_the_worse_value() -> None:
    sandbox = Arm("sandbox", 2, [*range(100, 298)])
    container = Arm("container", 15, [*range(400, 485)])
    said = compare(sandbox, container)
    assert "Launches with container fail more often: 2 of 200 (1.0 %) with sandbox against 15 of 100 (15.0 %)" in said
    assert "Launches with container are slower: median 198 ms with sandbox against 442 ms with container" in said
    assert "do not differ visibly" in compare(sandbox, Arm("container", 1, [*range(100, 199)]))
    assert (container.percentile_ms(95), Arm("x", 0, []).percentile_ms(95)) == (480, None)
    assert (Arm("x", 0, [7]).percentile_ms(50), Arm("x", 0, []).failure_rate) == (7, None)
