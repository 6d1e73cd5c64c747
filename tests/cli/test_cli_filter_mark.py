from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from preview.cli.client import refusal
from preview.cli.entry import _say_error
from preview.cli.exits import ApiRefused, ExitCode
from preview.cli.filter_mark import filter_in, mark_of
from preview.client import Call, PreviewProblem

CODE = "invalid_filter"


@pytest.mark.parametrize(
    ("text", "position", "expected"),
    [
        ("error foo:1", 6, "  error foo:1\n        ^"),
        ("foo:1", 0, "  foo:1\n  ^"),
        ("a OR", 4, "  a OR\n      ^"),
        ("日本 foo:1", 3, "  日本 foo:1\n       ^"),
        ("a" * 90 + " foo:1 " + "b" * 90, 91, f"  …{'a' * 49} foo:1 {'b' * 14}…\n  {' ' * 51}^"),
        ("a\x1b[31m foo:1", 7, "  a\\u001b[31m foo:1\n              ^"),
    ],
)
def test_a_mark_is_below_the_mistake(text: str, position: int, expected: str) -> None:
    assert mark_of(CODE, {"position": position}, text) == expected


@pytest.mark.parametrize(
    ("problem", "facts", "text"),
    [
        ("invalid_request", {"position": 0}, "a"), (CODE, {}, "a"), (CODE, {"position": "0"}, "a"),
        (CODE, {"position": 0}, None), (CODE, {"position": 2}, "a"), (CODE, {"position": -1}, "a"),
        (CODE, {"position": 10**30}, "a"),
    ],
)  # fmt: skip
def test_there_is_no_mark_without_a_place(problem: str, facts: dict[str, object], text: str | None) -> None:
    assert mark_of(problem, facts, text) == ""


@given(st.text(max_size=80), st.integers(0, 80))
def test_a_mark_is_two_lines_that_move_no_cursor(text: str, position: int) -> None:
    found = mark_of(CODE, {"position": position}, text)
    if position > len(text):
        assert found == ""
        return
    shown, mark = found.split("\n")
    assert mark.strip() == "^"
    assert cell_len(mark) <= cell_len(shown) + 1
    assert all(letter.isprintable() or letter == "\xad" for letter in mark)


@pytest.mark.parametrize(
    ("params", "body", "found"),
    [
        ({"filter": "a b+c"}, None, "a b+c"),
        ({}, {"filter": "a"}, "a"),
        ({}, {"condition": {"kind": "matches", "filter": "b"}}, "b"),
        ({}, {"filter": 7, "condition": []}, None),
        ({}, ["filter"], None),
        ({}, None, None),
    ],
)
def test_the_filter_of_a_request_is_found(params: dict[str, str], body: object, found: str | None) -> None:
    assert filter_in(params, body) == found


def test_a_refused_filter_is_shown_with_its_mark(capsys: pytest.CaptureFixture[str]) -> None:
    problem = PreviewProblem(CODE, "'foo' is not a term.", {"position": 2}, 400)
    error = refusal(problem, Call("GET", "/a", params={"filter": "a foo:1"}))
    assert isinstance(error, ApiRefused)
    assert error.mark == "  a foo:1\n    ^"
    assert _say_error(error, error.message, ExitCode.USAGE) is ExitCode.USAGE
    assert capsys.readouterr().err == "preview: 'foo' is not a term.\n  a foo:1\n    ^\n"
