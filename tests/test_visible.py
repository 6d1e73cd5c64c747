"""What of a stranger's text is shown as an escape, by the table that the page is tested against too."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from preview.core.quoting import visible

TABLE = json.loads((Path(__file__).parent / "visible_characters.json").read_text())


@pytest.mark.parametrize("row", TABLE["texts"])
def test_what_acts_unseen_is_shown_as_an_escape(row: dict[str, str]) -> None:
    assert visible(row["text"]) == row["shown"]


@pytest.mark.parametrize("row", TABLE["coloured"])
def test_colours_stay_where_they_are_asked_for(row: dict[str, str]) -> None:
    assert visible(row["text"], colours=True) == row["shown"]


@given(st.text(alphabet=st.sampled_from('a"\\\n\t\x1b\x07\x7f\x80\x9b\u2028\u202e\u2066\ud800\U0001f642')))
def test_a_json_text_keeps_its_meaning(text: str) -> None:
    shown = visible(json.dumps(text, ensure_ascii=False))
    assert json.loads(shown) == text
    shown.encode()  # nothing in it is half of a pair
