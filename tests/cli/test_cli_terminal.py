"""What may reach a terminal."""

from __future__ import annotations

import io
import json
import re

import pytest

from preview.cli.terminal import counted, print_json, say, wants_colour


def test_a_remark_keeps_its_colours_and_shows_everything_else_that_steers_a_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    say("\x1b[1;31mred\x1b[0m\x1b[2J")
    assert capsys.readouterr().err == "red\\u001b[2J\n"
    monkeypatch.setenv("FORCE_COLOR", "1")
    say("\x1b[1;31mred\x1b[0m\x1b]0;title\x07\x1b[2J\x9b2J\u202e")
    assert capsys.readouterr().err == "\x1b[1;31mred\x1b[0m\\u001b]0;title\\u0007\\u001b[2J\\u009b2J\\u202e\n"


def test_json_is_the_same_data_without_a_character_that_steers_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    value = {"body": "ä \x1b]0;t\x07 \x7f \x9b2J \u202e \u2028 \ud800"}
    print_json(value)
    out = capsys.readouterr().out
    assert json.loads(out) == value
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u202e]", out)


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


def test_a_number_has_the_noun_that_fits_it() -> None:
    assert [counted(number, "file") for number in (0, 1, 1200)] == ["0 files", "1 file", "1,200 files"]
    assert [counted(number, "span was", "spans were") for number in (1, 2)] == ["1 span was", "2 spans were"]
