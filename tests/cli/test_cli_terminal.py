"""What may reach a terminal."""

from __future__ import annotations

import io
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from preview.cli.terminal import clean, strip_colours, wants_colour


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("plain\ttext", "plain\ttext"),
        ("\x1b[1;31mred\x1b[0m", "\x1b[1;31mred\x1b[0m"),
        ("\x1b[38:2::1:2:3mrgb\x1b[m", "\x1b[38:2::1:2:3mrgb\x1b[m"),
        ("a\x1b[2Jb", "ab"),
        ("a\x1b[?25lb", "ab"),
        ("a\x1b]0;title\x07b", "ab"),
        ("a\x1b]8;;http://x\x1b\\link", "alink"),
        ("a\x1bPq#0\x1b\\b", "ab"),
        ("a\x1bcb", "ab"),
        ("bell\x07 back\x08 return\r", "bell back return"),
        ("c1 \x9b2J end", "c1 2J end"),
        ("cut off \x1b", "cut off "),
        ("cut off \x1b[", "cut off "),
    ],
)
def test_colours_stay_and_everything_that_steers_a_terminal_goes(text: str, kept: str) -> None:
    assert clean(text) == kept


@given(st.text(alphabet=st.sampled_from("\x1b[]PmHJ0;9?:\x07\x9b\x00\\a "), max_size=40))
def test_no_escape_but_a_colour_survives_cleaning(text: str) -> None:
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", strip_colours(clean(text)))


class FakeTerminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("environment", "terminal", "pipe"),
    [
        ({}, True, False),
        ({"NO_COLOR": "1"}, False, False),
        ({"TERM": "dumb"}, False, False),
        ({"FORCE_COLOR": "1", "NO_COLOR": "1"}, True, True),
        ({"FORCE_COLOR": "0"}, True, False),
    ],
)
def test_colours_follow_the_terminal_and_the_two_variables(
    environment: dict[str, str], terminal: bool, pipe: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert (wants_colour(FakeTerminal()), wants_colour(io.StringIO())) == (terminal, pipe)
