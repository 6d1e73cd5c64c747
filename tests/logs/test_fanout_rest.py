"""How long a fan-out rests between two rounds of writing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from preview.logs.delivery.fanout import _rest_s


@pytest.mark.parametrize(
    ("worked_s", "rest_s"),
    [
        pytest.param(0.0005, 0.0005, id="some readers: as long as it took"),
        pytest.param(0.005, 0.01, id="many: longer than it took"),
        pytest.param(0.01, 0.015, id="a thousand: a round each 25 ms"),
        pytest.param(0.04, 0.04, id="more than one processor can write to in that time: as long as it took"),
        pytest.param(0.5, 0.1, id="far too many: lines wait no longer"),
    ],
)
def test_the_rest_follows_the_work(worked_s: float, rest_s: float) -> None:
    assert _rest_s(worked_s) == pytest.approx(rest_s)


@given(st.floats(0, 0.1))
def test_no_more_than_half_a_processor_is_taken_and_no_round_is_put_off_for_less(worked_s: float) -> None:
    rest_s = _rest_s(worked_s)
    assert rest_s >= worked_s or rest_s == 0.1
    assert worked_s + rest_s <= max(0.025, 2 * worked_s) + 1e-9
