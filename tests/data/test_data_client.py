"""The last words of programs that handle a preview's data."""

from __future__ import annotations

import pytest

from preview.data.client import last_words


@pytest.mark.parametrize(
    ("printed", "said"),
    [
        (b"ERROR 1064 (42000) at line 1: near 'x\nG\xff'.\n", "ERROR 1064 (42000) at line 1: near 'x"),
        (b"psql: error: no server\n  hint\n", "psql: error: no server"),
        (b"one\nlast \x1b[0m\n\n", "last ?[0m"),
        (b"", ""),
        (b"error " + b"x" * 5000, "x" * 300),
    ],
    ids=["an error that quotes lines", "a hint", "other words", "nothing", "long"],
)
def test_the_last_words_are_those_of_the_error(printed: bytes, said: str) -> None:
    assert last_words(printed) == said
