"""What somebody sent, repeated in a sentence."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from preview.core.quoting import quoted


@given(st.text() | st.text("\x00\x1b\n\udc80'\"\\", max_size=200) | st.text(min_size=100), st.integers(1, 100))
def test_whatever_is_quoted_is_short_and_on_one_line(value: str, most: int) -> None:
    shown = quoted(value, most)
    assert shown.isprintable()
    assert len(shown) <= most + 3


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("book", "'book'"),
        ("", "''"),
        ("it's", '"it\'s"'),
        ("a\x1b[31m", "'a\\x1b[31m'"),
        ("abcdefghij", "'abcdefghij'"),
        ("abcdefghijk", "'abcdefghij…'"),
        ("a\n" * 10, "'a\\na\\na\\na…'"),
        (12, "12"),
    ],
)
def test_a_value_is_shown_in_quotes_and_cut_at_the_limit(value: object, shown: str) -> None:
    assert quoted(value, 10) == shown
