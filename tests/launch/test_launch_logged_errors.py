"""Errors that a logger writes in lines of data are read like printed ones."""

from __future__ import annotations

import json
import time

import pytest

from preview.supervisor.diagnosis.diagnose import diagnose, last_error
from preview.supervisor.diagnosis.exits import first_attempt
from preview.supervisor.diagnosis.logged_errors import spelled_out

STACK = "Error: no theatre is open\n    at open (/srv/src/theatre.js:7:9)\n    at /srv/src/main.js:3:1"
REFUSED = "connect ECONNREFUSED 127.0.0.1:5433"


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ({"level": 50, "err": {"type": "Error", "message": "m", "stack": STACK}, "msg": "ended"}, STACK),
        ({"name": "a", "level": 50, "err": {"name": "Error", "message": "m", "stack": STACK}, "msg": "m"}, STACK),
        ({"level": "error", "message": "no theatre is open", "stack": STACK}, STACK),
        ({"level": "error", "message": "m", "stack": [STACK]}, STACK),
        ({"level": "error", "error": {"name": "TypeError", "message": "no function"}}, "TypeError: no function"),
        ({"event": "m", "exception": "Traceback (most recent call last):\nValueError: a"}, "ValueError: a"),
        ({"message": "m", "exc_info": "Traceback (most recent call last):\nKeyError: 'a'"}, "KeyError: 'a'"),
    ],
    ids=["pino", "bunyan", "winston", "nestjs", "without a stack", "structlog", "python-json-logger"],
)  # fmt: skip
def test_the_error_in_a_line_of_data_is_the_newest_one(line: dict[str, object], error: str) -> None:
    assert last_error(spelled_out(["started", json.dumps(line)])) == error.partition("\n")[0]


@pytest.mark.parametrize(
    ("said", "error"), [("BarnError: no barn", "BarnError: no barn"), ("no barn", "Error: no barn")]
)
@pytest.mark.parametrize("teller", ["ExceptionHandler", "PackageLoader"])
def test_the_error_behind_the_head_of_a_nestjs_line_is_read(said: str, error: str, teller: str) -> None:
    line = f"\x1b[31m[Nest] 2  - \x1b[39m11/28/2026, 7:57:35 AM \x1b[31m  ERROR\x1b[39m [{teller}] {said}"
    assert last_error(spelled_out(["Error: earlier", line, "    at x (y.js:1:2)", "read without"])) == error


def test_an_error_made_of_several_tells_them() -> None:
    inner = [{"type": "Error", "message": REFUSED, "stack": f"Error: {REFUSED}\n    at node:net:1"}]
    err = {"type": "AggregateError", "message": "", "stack": "AggregateError: \n    at x", "aggregateErrors": inner}
    assert last_error(spelled_out([json.dumps({"level": 50, "err": err, "msg": ""})])) == f"Error: {REFUSED}"


def test_a_stack_below_its_key_is_read() -> None:
    printed = (
        f'[10:00] ERROR (7): m\n    err: {{\n      "type": "Error",\n      "stack":\n          {STACK}\n    }}\nend'
    )
    lines = printed.replace("\n    at", "\n              at").splitlines()
    found = spelled_out(lines)
    assert last_error(found) == "Error: no theatre is open"
    assert found[5] == "    at open (/srv/src/theatre.js:7:9)"
    assert found[-2:] == ["    }", "end"]


def test_variables_that_env_schema_misses_are_named() -> None:
    said = "env must have required property 'FARM_KEY', env must have required property 'BARN_URL'"
    found = diagnose(spelled_out([json.dumps({"level": 50, "err": {"type": "Error", "message": said}, "msg": said})]))
    assert found is not None
    assert found.details["variables"] == ["FARM_KEY", "BARN_URL"]


def test_other_lines_stay_as_they_are() -> None:
    lines = [
        "{",
        "}",
        "{}",
        '{"a": 1}',
        '{"level": 30}',
        "[1]",
        "{'msg': 'no'}",
        '{"msg": 5, "err": [1, {"a": null}]}',
        "",
    ]
    assert spelled_out(lines) == lines


@pytest.mark.timed
@pytest.mark.parametrize(
    "line",
    [
        '{"err":' * 5_000 + "1" + "}" * 5_000,
        '{"stack": "' + "a\\n" * 10_000 + '"}',
        '{"msg": [' + '"a\\nb",' * 4_000 + '"c"]}',
        '      "stack":' + " " * 30_000,
        "{" + " " * 32_000 + "}",
    ],
    ids=["deep", "lines", "list", "key", "spaces"],
)
def test_hostile_lines_take_no_time_and_add_little(line: str) -> None:
    started = time.process_time()
    found = spelled_out([line] * 200)
    assert time.process_time() - started < 1
    assert len(found) <= 200 * 41


AGAIN = "[Nest] 2  - ERROR [TypeOrmModule] Unable to connect to the database. Retrying ({})..."


def test_the_first_attempt_tells_why_a_later_one_fails_in_another_way() -> None:
    first = [AGAIN.format(1), f"Error: {REFUSED}", "    at TCPConnectWrap.afterConnect (node:net:1)"]
    later = [AGAIN.format(9), 'Error: DataSource with name "default" has already added.']
    assert first_attempt(later, lambda: ["before", *first, *later]) == first
    assert first_attempt(later, lambda: ["before", *first]) == first
    assert first_attempt(later, lambda: [*later, *first[1:]]) == ()
    assert first_attempt(first[1:], lambda: pytest.fail("it did not try again")) == ()


def test_characters_without_a_shape_are_shown_as_escapes() -> None:
    """A log line has them escaped; the text in its data would have brought them into messages and databases."""
    error = "Error: a\ud800b\x00c\x1b[2Jd\u202ee\x1b[31mf"
    found = spelled_out([json.dumps({"stack": error})])
    assert found[1:] == ["Error: a\\ud800b\\u0000c\\u001b[2Jd\\u202ee\x1b[31mf"]
