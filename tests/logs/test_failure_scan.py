"""Failures in lines: real tracebacks, hostile ones, and the property that nothing stops the search."""

from __future__ import annotations

import json
import lzma
import time
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from preview.core.escapes import without_escapes
from preview.logs.failures.fingerprint import fingerprint_of, shape_of, where_to_look
from preview.logs.failures.model import MAX_EXCEPTIONS, MAX_FRAMES, MAX_MESSAGE, Frame, Raised, Relation
from preview.logs.failures.own import Own
from preview.logs.failures.scan import Found, scan

FIXTURES = Path(__file__).parent / "tracebacks"
OWN = Own("/srv/project")


def load(name: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(lzma.decompress((FIXTURES / f"{name}.json.xz").read_bytes()))
    return found


def found_in(fixture: dict[str, Any]) -> Found | None:
    found = scan([without_escapes(line) for line in fixture["lines"]], OWN)
    return found[0] if found else None


def group_of(fixture: dict[str, Any], found: Found) -> str:
    frame = where_to_look(found.exceptions)
    lines = fixture["sources"].get(frame.path, "").splitlines() if frame else []
    return fingerprint_of(found.language, found.exceptions, lines[frame.line - 1] if frame and lines else "")


# The second and third were made after the code was written; see docs/failures.md for their first figures.
@pytest.mark.parametrize("name", ["first", "second", "third"])
def test_real_tracebacks_are_grouped_by_cause_and_show_the_line_to_look_at(name: str) -> None:
    groups, right, fixtures = [], 0, load(name)
    for one in fixtures:
        found = found_in(one)
        frame = None if found is None else where_to_look(found.exceptions)
        right += one["frame"] == ([] if frame is None else [frame.path, frame.line])
        groups.append((one["cause"], None if found is None else group_of(one, found)))
    pairs = list(combinations(groups, 2))
    together = [a[1] is not None and a[1] == b[1] for a, b in pairs if a[0] == b[0]]
    apart = [a[1] != b[1] for a, b in pairs if a[0] != b[0]]
    assert len(fixtures) >= 40
    assert sum(together) / len(together) >= 0.95
    assert sum(apart) / len(apart) >= 0.95
    assert right / len(fixtures) >= 0.98


def lines_of(text: str) -> list[str]:
    return text.strip("\n").split("\n")


def test_lines_of_other_requests_between_those_of_a_traceback_do_no_harm() -> None:
    (found,) = scan(
        lines_of("""
Traceback (most recent call last):
  File "/srv/project/a.py", line 3, in one
INFO:     127.0.0.1:1 - "GET / HTTP/1.1" 200 OK
    two()
2025-01-01 10:00:00 INFO still here
  File "/srv/project/b.py", line 4, in two
    raise KeyError("x")
KeyError: 'x'
INFO:     127.0.0.1:1 - "GET / HTTP/1.1" 500 Internal Server Error
"""),
        OWN,
    )
    assert [(one.path, one.line) for one in found.exceptions[0].frames] == [("b.py", 4), ("a.py", 3)]
    assert (found.first, found.end) == (0, 8)


def test_a_message_of_many_lines_belongs_to_its_failure() -> None:
    (found,) = scan(
        lines_of("""
Traceback (most recent call last):
  File "/srv/project/a.py", line 3, in one
    run()
sqlalchemy.exc.ProgrammingError: (psycopg.errors.UndefinedTable) relation "x" does not exist
LINE 1: SELECT * FROM x
                      ^
[SQL: SELECT * FROM x]
(Background on this error at: https://sqlalche.me/e/20/f405)
done
"""),
        OWN,
    )
    assert found.end == 8
    assert found.exceptions[0].message.endswith("f405)")


def test_two_failures_one_after_the_other_are_two() -> None:
    text = 'Traceback (most recent call last):\n  File "/srv/project/a.py", line 3, in one\n    x\nKeyError: 1\n'
    assert len(scan(lines_of(text * 3), OWN)) == 3


def test_an_unfinished_traceback_is_no_failure_and_hides_none() -> None:
    text = 'Traceback (most recent call last):\n  File "/srv/project/a.py", line 3, in one\n'
    (found,) = scan(lines_of(f"{text}{text}    x\nKeyError: 1"), OWN)
    assert found.first == 2


def test_structlogs_structured_exceptions_are_read() -> None:
    record = {
        "level": "error",
        "exception": [
            {"exc_type": "ServiceError", "exc_value": "no", "is_cause": False,
             "frames": [{"filename": "/srv/project/a.py", "lineno": 9, "name": "two", "line": "raise X from e"}]},
            {"exc_type": "KeyError", "exc_value": "'x'", "is_cause": True,
             "frames": [{"filename": "/srv/project/a.py", "lineno": 3, "name": "one", "line": "a[b]"}]},
        ],
    }  # fmt: skip
    (found,) = scan([json.dumps(record)], OWN)
    assert [(one.type, one.relation) for one in found.exceptions] == [
        ("ServiceError", Relation.RAISED),
        ("KeyError", Relation.CAUSE),
    ]
    assert where_to_look(found.exceptions) == Frame("a.py", 3, "one", "a[b]", is_own=True)


@pytest.mark.parametrize(
    ("path", "shown", "is_own"),
    [
        ("/srv/project/app/main.py", "app/main.py", True),
        ("file:///srv/project/server.mjs", "server.mjs", True),
        ("server.ts", "server.ts", True),
        ("src/server.ts", "src/server.ts", True),
        ("main.py", "main.py", True),
        ("lib/sqlalchemy/engine/_result_cy.py", "lib/sqlalchemy/engine/_result_cy.py", False),
        ("/srv/project/node_modules/express/index.js", "node_modules/express/index.js", False),
        ("/srv/project/.venv/lib/python3.11/site-packages/x.py", ".venv/lib/python3.11/site-packages/x.py", False),
        ("/srv/project/../../etc/passwd", "../../etc/passwd", False),
        ("/srv/projection/a.py", "/srv/projection/a.py", False),
        ("/srv/environment/lib/python3.11/site-packages/flask/app.py", "flask/app.py", False),
        ("node:internal/timers", "node:internal/timers", False),
        ("<frozen importlib._bootstrap>", "<frozen importlib._bootstrap>", False),
        ("../secret.py", "../secret.py", False),
    ],
)  # fmt: skip
def test_own_code_is_what_is_in_the_project(path: str, shown: str, *, is_own: bool) -> None:
    frame = OWN.frame(path, 1)
    assert (frame.path, frame.is_own) == (shown, is_own)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("user 17 is gone", "user 9 is gone"),
        ("no 'x' in it", 'no "yy" in it'),
        ("bad mail ann@example.com", "bad mail bob.b@mail.example"),
        ("id 3f2b8c1d-1111-4222-8333-123456789abc", "id 00000000-1111-4222-8333-123456789abc"),
        ("<X at 0x7fa641944180>", "<X at 0x7fa63faa3420>"),
        ("GET http://a.example/1 failed", "GET https://b.example/2?x=1 failed"),
    ],
)
def test_values_in_messages_do_not_part_groups(first: str, second: str) -> None:
    assert shape_of(Raised("ValueError", first)) == shape_of(Raised("ValueError", second))


# Hostile output

PIECES = [
    "Traceback (most recent call last):", "  + Exception Group Traceback (most recent call last):", "  | x", "",
    '  File "/srv/project/a.py", line 3, in f', '  File "/srv/project/../x", line 99999999999999999999', "    code()",
    "ValueError: x", "  +-+---------------- 1 ----------------", "    +------------------------------------", "    ^^^",
    "During handling of the above exception, another exception occurred:", "  [Previous line repeated 9 more times]",
    "The above exception was the direct cause of the following exception:", "╭─ Traceback (most recent call last) ─╮",
    "│ /srv/project/a.py:3 in f │", "│ ❱ 3 │ code │", "╰──╯", "Error: x", "    at f (/srv/project/a.js:1:2)",
    "    at async /srv/project/a.js:1:2", "  [cause]: Error: y", "  [errors]: [", "}", "    at (", "    at a:b",
    "[AggregateError: x] {", "/srv/project/a.js:3", "  throw x", "Node.js v20.1.1", "[UnhandledPromiseRejection: x",
    "{", '{"err": {"stack": "Error: x\\n    at f (/srv/project/a.js:1:2)"}}', '{"a": ' * 50, "ERROR x",
    "SyntaxError: x",
    '{"exception": [{"exc_type": 3, "frames": [3, {"lineno": []}]}]}', "\ud800", "caused by: Error", "x" * 5_000,
]  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(st.lists(st.one_of(st.sampled_from(PIECES), st.text(max_size=60)), max_size=60))
def test_any_lines_are_read_to_their_end(lines: list[str]) -> None:
    last = 0
    for one in scan(lines, OWN):
        assert last <= one.first < one.end <= len(lines)
        last = one.end
        assert 0 < len(one.exceptions) <= MAX_EXCEPTIONS
        for raised in one.exceptions:
            assert len(raised.frames) <= MAX_FRAMES
            assert len(raised.message) <= MAX_MESSAGE
        assert len(fingerprint_of(one.language, one.exceptions)) == 32


@pytest.mark.parametrize(
    "lines",
    [
        ["Traceback (most recent call last):"] * 20_000,
        ["Traceback (most recent call last):", *[""] * 20_000],
        ["x", "    at f (/srv/project/a.js:1:2)"] * 10_000,
        ["Error: x", *["    at f (/srv/project/a.js:1:2)"] * 20_000],
        ["Error" + " Error" * 800] * 300 + ["    at f (a:1:2)"],
        [(": " * 800), "    at " + "(" * 3_000] * 300,
        ["Traceback (most recent call last):", *['  File "/srv/project/a.py", line 3, in f'] * 20_000],
        ["Traceback (most recent call last):", *['  File "' + "a" * 3_900] * 300],
        ["  + Exception Group Traceback (most recent call last):", *["  | x: " + "1 validation error " * 100] * 1_000],
        ["╭─ Traceback (most recent call last) ─╮", *["│ /" + "a:1 " * 900] * 1_000],
        ['{"a": "\\n    at ", "b": ' + '["Traceback (most recent call last)"' * 400] * 300,
        ['{"x": "' + "\\n    at f (/srv/project/a.js:1:2)" * 1_500 + '"}'] * 50,
        ["KeyError: " + "'" * 3_900, "    at a:1:1"] * 500,
    ],
    ids=range(13),
)  # fmt: skip
def test_hostile_lines_take_time_in_proportion(lines: list[str]) -> None:
    began = time.process_time()
    for one in scan(lines, OWN):
        fingerprint_of(one.language, one.exceptions)
    assert time.process_time() - began < 3
