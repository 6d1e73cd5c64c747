"""Messages of the confined program: whatever it sends is a message, or breaks the protocol."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from preview.replay.probe.lines import error_in
from preview.replay.probe.messages import Found, ProtocolBroken, Send, parse_message

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=12,
)
KEYS = st.sampled_from(["send", "finding", "operations", "phase", "note", "engine", "done", "other"])


@given(st.binary(max_size=200) | st.builds(lambda key, value: json.dumps({key: value}).encode(), KEYS, JSON))
def test_anything_is_a_message_or_breaks_the_protocol(line: bytes) -> None:
    try:
        message = parse_message(line)
    except ProtocolBroken:
        return
    assert message is not None


@pytest.mark.parametrize(
    "line",
    [
        b"[" * 500_000,
        b'{"send": ' + b"9" * 10_000 + b"}",
        b'{"send": [true, "GET", "/", [], null, null]}',
        b'{"send": [-1, "GET", "/", [], null]}',
        b'{"send": [0, "GET", "/", [], "%%%"]}',
        b'{"finding": ["made_up", 0, [1], ""]}',
        b'{"finding": ["paging", 0, [1e400], ""]}',
        b'{"operations": {}}',
        b'{"operations": "abc"}',
        b'{"send": [0, "GET", "/", {}, null]}',
        b'{"finding": ["paging", 0, {}, ""]}',
        b'{"done": true, "phase": "x"}',
        b"null",
        b"",
    ],
)
def test_what_is_no_message_breaks_the_protocol(line: bytes) -> None:
    with pytest.raises(ProtocolBroken):
        parse_message(line)


def test_messages_are_read() -> None:
    assert parse_message(b'{"send": [2, "PUT", "/a?b=1", [["X-A", "b"]], "aGk="]}') == Send(
        2, "PUT", "/a?b=1", (("X-A", "b"),), b"hi"
    )
    said = parse_message(json.dumps({"finding": ["paging", 1, [3, 4], "a\x1b[31m" + "x" * 9000]}).encode())
    assert isinstance(said, Found)
    assert said.steps == (3, 4)
    assert said.sentence.startswith("a\\u001b[31mx")
    assert len(said.sentence) <= 400


PYTHON = """\
Traceback (most recent call last):
  File "/data/project/main.py", line 7, in get_book
    return load(book_id)["title"]
           ~~~~~~~~~~~~~^^^^^^^^^
  File "/env/lib/python3.11/site-packages/thing/a.py", line 1, in load
    raise KeyError(name)
KeyError: 'title'"""
NODE = """\
TypeError: Cannot read properties of undefined (reading 'name')
    at label (/data/project/server.js:36:30)
    at Layer.handle (/data/project/node_modules/express/lib/router/layer.js:95:5)"""


@pytest.mark.parametrize(
    ("text", "error", "frame"),
    [
        (PYTHON, "KeyError: 'title'", "main.py:7 in get_book"),
        (NODE, "TypeError: Cannot read properties of undefined (reading 'name')", "server.js:36 in label"),
        ("all is well", "", ""),
    ],
)
def test_an_error_is_read_from_lines(text: str, error: str, frame: str) -> None:
    assert error_in(text.splitlines()) == (error, frame)
