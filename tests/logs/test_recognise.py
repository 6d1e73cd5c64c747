"""The table of cases: what each known program's lines are taken for."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from preview.logs.ingest.framing import CONTINUES
from preview.logs.ingest.recognise import Recogniser
from preview.logs.model.events import ACCESS, DEBUG, ERROR, INFO, WARNING

CASES = [
    # uvicorn
    ('INFO:     127.0.0.1:1234 - "GET / HTTP/1.1" 200 OK', ACCESS + INFO),
    ('INFO:     127.0.0.1:1234 - "GET /a?b=c HTTP/1.1" 404 Not Found', ACCESS + INFO),
    ('INFO:     127.0.0.1:1234 - "POST /a HTTP/1.1" 500 Internal Server Error', ACCESS + ERROR),
    ('\x1b[32mINFO\x1b[0m:     127.0.0.1:1 - "\x1b[1mGET / HTTP/1.1\x1b[0m" \x1b[32m200 OK\x1b[0m', ACCESS + INFO),
    ("INFO:     ('127.0.0.1', 1) - \"WebSocket /ws\" [accepted]", ACCESS + INFO),
    ('INFO:     127.0.0.1:1 - "WebSocket /ws" 403', ACCESS + INFO),
    ("INFO:     Application startup complete.", INFO),
    ("\x1b[33mWARNING\x1b[0m:  something", WARNING),
    ("ERROR:    Exception in ASGI application", ERROR),
    ("\x1b[36mDEBUG\x1b[0m:    polling", DEBUG),
    ("TRACE:    127.0.0.1:1 - ASGI [1] Started", DEBUG),
    # Python logging
    ("WARNING:root:disk is nearly full", WARNING),
    ("DEBUG:asyncio:Using selector: EpollSelector", DEBUG),
    ("CRITICAL:shop:gone", ERROR),
    ("2025-01-01 12:00:00,123 - shop - ERROR - no stock", ERROR),
    ("2025-01-01 12:00:00,123 - shop - INFO - retry after ERROR from upstream", INFO),
    ("2025-01-01 12:00:00,123 WARNING shop: slow", WARNING),
    ("2025-01-01 12:00:00,123:ERROR:shop:no stock", ERROR),
    ("shop.orders - DEBUG - 3 items", DEBUG),
    ("ERROR no stock", ERROR),
    ("[WARNING] no stock", WARNING),
    # gunicorn, hypercorn, rich, structlog, loguru
    ("[2025-01-01 12:00:00 +0000] [12] [INFO] Running on http://127.0.0.1:8000", INFO),
    ("[2025-01-01 12:00:00 +0000] [12] [ERROR] Worker failed to boot.", ERROR),
    ('[2025-01-01 12:00:00 +0000] [12] [INFO] 127.0.0.1:1 - - [x] "GET / 1.1" 200 2 "-" "curl"', ACCESS + INFO),
    ("[12:00:00] WARNING  slow request                         main.py:12", WARNING),
    ("2025-01-01 12:00:00 [info     ] started                        port=1", INFO),
    ("2025-01-01T12:00:00Z [error    ] failed", ERROR),
    ("2025-01-01 12:00:00.123 | ERROR    | __main__:main:3 - no stock", ERROR),
    ("2025-01-01 12:00:00.123 | SUCCESS  | __main__:main:3 - done", INFO),
    # Django, werkzeug
    ('[20/Oct/2025 12:00:00] "GET /items HTTP/1.1" 200 123', ACCESS + INFO),
    ('[20/Oct/2025 12:00:00] "GET /items HTTP/1.1" 500 123', ACCESS + ERROR),
    ('127.0.0.1 - - [20/Oct/2025 12:00:00] "GET / HTTP/1.1" 200 -', ACCESS + INFO),
    ('127.0.0.1 - - [20/Oct/2025 12:00:00] "\x1b[33mGET /x HTTP/1.1\x1b[0m" 404 -', ACCESS + INFO),
    ("WARNING: This is a development server.", WARNING),
    # warnings
    ("/app/main.py:12: DeprecationWarning: on_event is deprecated", WARNING),
    ("main.py:3: pydantic.warnings.PydanticDeprecatedSince20Warning: old", WARNING),
    # JSON
    ('{"level": "error", "msg": "x"}', ERROR),
    ('{"severity": "WARNING", "message": "x"}', WARNING),
    ('{"levelname": "DEBUG", "message": "x"}', DEBUG),
    ('{"severityText": "WARN", "body": {"stringValue": "x"}}', WARNING),
    ('{"levelno": 30, "message": "x"}', WARNING),
    ('{"level": 30, "msg": "pino"}', INFO),
    ('{"level": 60, "msg": "pino"}', ERROR),
    ('{"level": true}', INFO),
    ('{"level": {}}', INFO),
    ('{"level": 30, "req": {"method": "GET"}, "res": {"statusCode": 200}}', ACCESS + INFO),
    ('{"level": 30, "req": {"method": "GET"}, "res": {"statusCode": 503}}', ACCESS + ERROR),
    ('{"level": 30, "req": {"method": "GET"}, "res": {}}', ACCESS + INFO),
    ("{not json}", INFO),
    ("{'open", INFO),
    # logfmt, winston, debug words
    ("time=12:00 level=warn msg=slow", WARNING),
    ("level=error msg=x", ERROR),
    ("error: could not connect", ERROR),
    ("warn: slow", WARNING),
    ("debug: x", DEBUG),
    # Node
    ("Error: connect ECONNREFUSED 127.0.0.1:5432", ERROR),
    ("TypeError: x is not a function", ERROR),
    ("TypeError [ERR_X]: bad", ERROR),
    ("Uncaught ReferenceError: x is not defined", ERROR),
    ("[nodemon] starting `node index.js`", INFO),
    ("[nodemon] app crashed - waiting for file changes before starting...", ERROR),
    ("npm ERR! code ELIFECYCLE", ERROR),
    ("npm error code 1", ERROR),
    ("npm warn deprecated x", WARNING),
    ("GET /items 200 1.234 ms - 12", ACCESS + INFO),
    ("\x1b[0mGET /items \x1b[31m500\x1b[0m 1.234 ms - 12\x1b[0m", ACCESS + ERROR),
    ("GET /items 200 12 - 1.234 ms", ACCESS + INFO),
    # ordinary lines
    ("", INFO),
    ("hello", INFO),
    ("  indented", INFO),
    ("INFORMATION desk", INFO),
    ("errors are welcome", INFO),
    ("GET ready", INFO),
    ("no ERROR here", INFO),
    ("they spoke of a Traceback (most recent call last): once", INFO),
    ("an Exception to the rule", INFO),
    ('he said "yes" to 500 people', INFO),
    ("12 monkeys", INFO),
    ("[1, 2, 3]", INFO),
    ("Segmentation fault (core dumped)", ERROR),
    ("Exception in thread Thread-1:", ERROR),
]


@pytest.mark.parametrize(("line", "mark"), CASES)
def test_a_line_is_taken_for_what_it_says(line: str, mark: int) -> None:
    assert Recogniser().mark(line) == mark


def levels(text: str) -> list[int]:
    recogniser = Recogniser()
    return [recogniser.mark(line) for line in text.split("\n")]


TRACEBACK = """\
Traceback (most recent call last):
  File "/app/main.py", line 3, in <module>
    main()
    ^^^^^^
KeyError: 'x'"""


def test_a_traceback_stays_together_and_ends_with_its_exception() -> None:
    assert levels("hello\n" + TRACEBACK + "\nhello") == [INFO, *[ERROR] * 5, INFO]


def test_a_traceback_ends_where_a_log_line_begins() -> None:
    assert levels(TRACEBACK.replace("KeyError: 'x'", "INFO:     ok") + "\nhello")[-2:] == [INFO, INFO]
    assert levels(TRACEBACK.replace("KeyError: 'x'", "three words here") + "\nhello")[-2:] == [INFO, INFO]


@pytest.mark.parametrize(
    "link",
    [
        "During handling of the above exception, another exception occurred:",
        "The above exception was the direct cause of the following exception:",
    ],
)
def test_chained_tracebacks_are_one_block(link: str) -> None:
    text = f"{TRACEBACK}\n\n{link}\n\n{TRACEBACK}\nhello"
    assert levels(text) == [ERROR] * 13 + [INFO]


def test_an_empty_line_behind_a_traceback_ends_it_unless_one_is_chained() -> None:
    assert levels(TRACEBACK + "\n\nhello")[-2:] == [ERROR, INFO]


GROUP = """\
  + Exception Group Traceback (most recent call last):
  |   File "/app/main.py", line 3, in <module>
  |     main()
  | ExceptionGroup: unhandled errors in a TaskGroup (1 sub-exception)
  +-+---------------- 1 ----------------
    | Traceback (most recent call last):
    |   File "/app/main.py", line 9, in f
    | ValueError: x
    +------------------------------------"""


def test_an_exception_group_stays_together() -> None:
    assert levels(GROUP + "\nINFO:     next") == [ERROR] * 9 + [INFO]


def test_a_traceback_may_follow_an_exception_group() -> None:
    link = "During handling of the above exception, another exception occurred:"
    assert set(levels(f"{GROUP}\n\n{link}\n\n{TRACEBACK}")) == {ERROR}
    assert levels(f"{GROUP}\n{TRACEBACK}\nhello")[-2:] == [ERROR, INFO]


def test_a_syntax_error_without_a_head_is_an_error() -> None:
    text = "  File \"/app/main.py\", line 1\n    foo(\n       ^\nSyntaxError: '(' was never closed\nhello"
    assert levels(text) == [ERROR] * 4 + [INFO]


def test_a_message_of_several_lines_belongs_to_its_exception() -> None:
    text = TRACEBACK.replace("KeyError: 'x'", "pydantic.ValidationError: 1 validation error for Item")
    text += "\nprice\n  Input should be a number [type=float_parsing]\nINFO:     next\nhello"
    assert levels(text) == [ERROR] * 7 + [INFO, INFO]


def test_a_message_of_several_lines_ends_at_an_empty_line() -> None:
    text = TRACEBACK.replace("KeyError: 'x'", "pydantic.ValidationError: 1 validation error for Item")
    assert levels(text + "\nprice\n\nhello") == [ERROR] * 7 + [INFO]


def test_a_node_stack_belongs_to_its_error() -> None:
    text = "Error: boom\n    at f (/app/x.js:3:9)\n    at g {\n  code: 'E'\n}\nhello"
    assert levels(text) == [ERROR] * 5 + [INFO]


def test_logurus_annotated_traceback_stays_together() -> None:
    text = 'Traceback (most recent call last):\n\n> File "x.py", line 1, in f\n    | -> 1\n\nValueError: x'
    assert levels(text) == [ERROR] * 6


def test_the_source_line_below_a_warning_belongs_to_it() -> None:
    assert levels("a.py:1: UserWarning: x\n  warnings.warn()\n  other") == [WARNING, WARNING, INFO]
    assert levels("a.py:1: UserWarning: x\nhello") == [WARNING, INFO]


def test_an_error_logged_with_a_head_does_not_claim_the_next_indented_line() -> None:
    assert levels("ERROR:    failed\n  indented") == [ERROR, INFO]


def test_all_parts_of_an_overlong_line_have_the_first_parts_mark() -> None:
    part = "x" * 300 + CONTINUES
    assert levels(f"ERROR: {part}\n{part}\nrest\nhello") == [ERROR, ERROR, ERROR, INFO]


PIECES = st.lists(
    st.one_of(
        st.sampled_from([case[0] for case in CASES] + TRACEBACK.split("\n") + GROUP.split("\n")),
        st.text(st.characters(codec="utf-8"), max_size=60),
        st.text("[]():- |\"'={}0123456789ERORINFGTDBU/. \x1b[m", max_size=120),
    ),
    max_size=20,
)


@given(PIECES)
def test_any_text_gets_one_valid_mark_per_line(lines: list[str]) -> None:
    marks = Recogniser().marks(lines)
    assert len(marks) == len(lines)
    assert set(marks) <= set(range(8))


@pytest.mark.parametrize(
    "unit",
    [
        "a", " ", "[", "(", '"', '"GET ', '"GET /a ', "- ", "| ", ":1: ", ":1: a.", "Error", "a.", "=", "level=",
        "{", '{"a":',
        "[" * 50, "\x1b[", "\x1b[1", "  ", "1", "12:", "Traceback (most recent call last)", "GET /a 200 ", "x$",
        '"WebSocket ', "Warning: ", ":1: Warning",
    ],
)  # fmt: skip
def test_the_time_is_linear_in_the_length(unit: str) -> None:
    def cost(length: int) -> float:
        line = "E " + (unit * (length // len(unit) + 1))[:length]
        other = line[2:]
        best = 1e9
        for _ in range(3):
            start = time.thread_time()
            Recogniser().marks([line, other, other + "}"])
            best = min(best, time.thread_time() - start)
        return best

    # Sixteen times the length: quadratic would be 256 times the time.
    assert cost(128 * 1024) < 64 * cost(8 * 1024) + 0.005
