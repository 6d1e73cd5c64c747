"""What may be written on ``preview request``'s command line."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest

from preview.cli.commands.projects.ls import age_of
from preview.cli.commands.request import (
    _filled,
    _indented,
    _read_body,
    _split_header,
    _split_query,
    _split_variable,
)
from preview.cli.exits import UsageMistake


@pytest.mark.parametrize(
    ("text", "path", "query"),
    [
        ("/", "/", {}),
        ("/a?b=1", "/a", {"b": "1"}),
        ("/a?b=1&b=2&c=", "/a", {"b": ["1", "2"], "c": ""}),
        ("/a%20b", "/a%20b", {}),
    ],
)
def test_a_path_is_split_from_its_query(text: str, path: str, query: dict[str, Any]) -> None:
    assert _split_query(text) == {"path": path, "query": query}


@pytest.mark.parametrize("text", ["books", "http://host/books", "//host/books", ""])
def test_what_is_not_a_path_on_the_preview_is_a_mistake(text: str) -> None:
    with pytest.raises(UsageMistake, match="start it with one slash"):
        _split_query(text)


def test_a_header_is_name_and_value() -> None:
    assert _split_header("X-A: b: c") == ("X-A", "b: c")


@pytest.mark.parametrize("text", ["X-A", ": b", ""])
def test_what_is_no_header_is_a_mistake(text: str) -> None:
    with pytest.raises(UsageMistake, match="NAME: VALUE"):
        _split_header(text)


def test_a_body_is_json_where_it_can_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "body").write_text("[1]")
    monkeypatch.setattr("sys.stdin", io.StringIO("true"))
    assert _read_body(None) is None
    assert _read_body('{"a": 1}') == {"a": 1}
    assert _read_body("not json") == "not json"
    assert _read_body(f"@{tmp_path / 'body'}") == [1]
    assert _read_body("@-") is True


@pytest.mark.parametrize("text", ["a", "=1", "1a=1", "a b=1", ""])
def test_what_sets_no_variable_is_a_mistake(text: str) -> None:
    with pytest.raises(UsageMistake, match="NAME=VALUE"):
        _split_variable(text)


def test_a_variable_is_put_in_once_and_others_are_left_to_the_service() -> None:
    values = dict([_split_variable("a={{b}}"), _split_variable("b=2=3")])
    assert _filled(values, "{{a}} {{ b }} {{c}} {a} {{#a}}") == "{{b}} 2=3 {{c}} {a} {{#a}}"
    assert _read_body('{"n": {{b}}}', lambda text: text.replace("{{b}}", "7")) == {"n": 7}


def test_a_body_that_cannot_be_read_is_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(UsageMistake, match="cannot be read"):
        _read_body(f"@{tmp_path}")


def test_json_is_indented_for_people_and_text_is_left() -> None:
    assert _indented('{"a":1}') == '{\n  "a": 1\n}'
    assert _indented("text") == "text"


@pytest.mark.parametrize(
    ("seconds", "said"), [(-1, "0 s"), (59, "59 s"), (60, "1 min"), (7200, "2 h"), (200_000, "2 d")]
)
def test_an_age_is_one_number(seconds: float, said: str) -> None:
    assert age_of(seconds) == said
