from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from preview.core import ids


@pytest.mark.parametrize(
    ("make", "prefix"),
    [(ids.new_preview_id, "preview_"), (ids.new_generation_id, "gen_"), (ids.new_project_id, "project_")],
)
def test_an_id_is_its_prefix_and_16_symbols_without_look_alikes(make: object, prefix: str) -> None:
    assert callable(make)
    for _ in range(100):
        made = make()
        assert re.fullmatch(prefix + "[2-9a-hjkmnp-z]{16}", made)
        assert ids.is_valid_id(made)


def test_ids_and_tokens_do_not_repeat() -> None:
    assert len({ids.new_preview_id() for _ in range(1000)}) == 1000
    assert len({ids.new_token() for _ in range(1000)}) == 1000


def test_a_token_is_43_characters_that_a_url_takes() -> None:
    assert re.fullmatch(r"[A-Za-z0-9_-]{43}", ids.new_token())


@pytest.mark.parametrize("value", ["a", "gen_1", "A.b:c-d_e", "0" * 128])
def test_ids_of_hosts_are_accepted(value: str) -> None:
    assert ids.is_valid_id(value)


@pytest.mark.parametrize(
    "value", ["", "0" * 129, ".", "..", "-x", "_x", ":x", "a/b", "a b", "a\n", "\na", "é", "a\0", "a%2fb", "\u0661"]
)
def test_what_could_be_more_than_a_name_is_refused(value: str) -> None:
    assert not ids.is_valid_id(value)


@given(st.text(max_size=200))
def test_a_valid_id_is_one_that_the_pattern_matches(value: str) -> None:
    # "$" of a pattern also matches before a line feed at the end; ids have none.
    assert ids.is_valid_id(value) == bool(re.match(ids.GENERATION_ID_PATTERN, value) and not value.endswith("\n"))
