"""What may be written on ``preview request``'s command line."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest

from preview.cli.commands.environment.saved_requests import envelope_of
from preview.cli.commands.projects.ls import age_of
from preview.cli.commands.request import (
    _completed,
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


def _draft(**more: Any) -> dict[str, Any]:
    draft = {"pathFields": [], "query": [], "headers": [], "body": "", "cookies": [], "form": []} | more
    return {"name": "n", "method": "POST", "path": more.get("path", "/"), "more": {"draft": draft}}


def test_a_saved_request_keeps_its_variables_and_nothing_else_of_it_is_a_path_or_a_header() -> None:
    fields = [{"name": "id", "value": "../{{id}} ?#/x", "type": "path"}]
    assert envelope_of(_draft(path="/a/{id}", pathFields=fields))["path"] == "/a/..%2F{{id}}%20%3F%23%2Fx"
    whole = _draft(
        query=[{"name": "q", "value": "1"}, {"name": "q", "value": "{{q}}"}, {"name": "empty", "value": ""}],
        headers=[{"name": "X-Empty", "value": "", "type": "string"}, {"name": "X-Own", "value": "", "type": None}],
        cookies=[{"name": "a", "value": "{{a}}"}],
        body='{"a": {{n}}}',
    )
    assert envelope_of(whole) == {
        "method": "POST",
        "path": "/",
        "query": {"q": ["1", "{{q}}"]},
        "headers": {"X-Own": "", "Cookie": "a={{a}}", "Content-Type": "application/json"},
        "body": '{"a": {{n}}}',
        "resolve": True,
    }
    assert "resolve" not in envelope_of(_draft(isLiteral=True))
    form = envelope_of(_draft(bodyKind="form", form=[{"name": "a b", "value": "{{c}}&d"}]))
    assert form["body"] == "a+b={{c}}%26d"
    # Another client may have saved anything.
    for more in ({}, {"draft": None}, {"draft": {"query": 7, "headers": [None, {"name": 1}], "body": None}}):
        assert envelope_of({"name": "n", "method": "GET", "path": "/x", "more": more})["path"] == "/x"


@pytest.mark.parametrize("more", [{"bodyKind": "multipart"}, {"bodyKind": "file"}, {"path": "/{id}"}])
def test_a_saved_request_that_lacks_something_says_so(more: dict[str, Any]) -> None:
    with pytest.raises(UsageMistake, match="The saved request 'n'"):
        envelope_of(_draft(**more))


@pytest.mark.parametrize("kind", ["multipart", "file", "form", "text"])
def test_a_given_body_takes_the_place_of_the_saved_one(kind: str) -> None:
    saved = envelope_of(_draft(bodyKind=kind, body='{"a": 1}'), has_body=True)
    assert saved["headers"] == {}
    assert _completed(saved, {}, "a=1", ())["body"] == "a=1"


def test_a_given_header_takes_the_place_of_the_saved_one_in_any_case() -> None:
    saved = envelope_of(_draft(headers=[{"name": "Authorization", "value": "old"}, {"name": "X-Own", "value": "1"}]))
    headers = _completed(saved, {}, None, ["authorization: new"])["headers"]
    assert headers == {"X-Own": "1", "authorization": "new"}
