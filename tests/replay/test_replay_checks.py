"""Checks: their file, their expectations, and what they say of an answer."""

from __future__ import annotations

import json
import math
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from preview.errors import InvalidRequest
from preview.replay.checks import Check, CheckFile, Expectation, check_of, read_checks, running, write_checks
from preview.replay.checks.expectations import Content
from preview.replay.checks.file import MOST_BYTES, MOST_CHECKS
from preview.replay.checks.running import CheckResult, ChecksRun, problems_of
from preview.replay.comparing import Answer
from preview.replay.comparing.answer import content_of
from preview.replay.sending import Step
from preview.replay.sending.sequence import Sent, SequenceOptions, _reason_to_skip
from preview.traffic.ready import ReadyRequest

NOW = 1_790_000_000.0
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
CHECKS = st.builds(
    Check,
    TEXT.filter(bool),
    st.builds(
        ReadyRequest,
        st.sampled_from(["GET", "POST", "DELETE"]),
        st.from_regex(r"/[!-~]{0,20}", fullmatch=True),
        st.dictionaries(TEXT, TEXT, max_size=3).map(lambda one: tuple(one.items())),
        st.none() | st.binary(min_size=1, max_size=20) | TEXT.filter(bool).map(str.encode),
    ),
    st.integers(100, 599),
    st.lists(TEXT.map(lambda one: Expectation.parse(f"$.a == {json.dumps(one)}")), max_size=3).map(tuple),
)


def answer(value: Any, status: int = 200, **headers: str) -> Answer:
    fields = (("content-type", "application/json"), *headers.items())
    return Answer(status, fields, json.dumps(value).encode(), 2.0, NOW)


@pytest.mark.long
@settings(max_examples=150)
@given(st.lists(CHECKS, max_size=4, unique_by=lambda one: one.name))
def test_a_written_file_is_read_back(checks: list[Check]) -> None:
    file = CheckFile(tuple(checks), ("$.at",))
    assert read_checks(write_checks(file).encode()) == file


@settings(max_examples=200)
@given(st.binary(max_size=60) | st.text(alphabet="[]{}=.'\"#\n check$", max_size=60).map(str.encode))
def test_any_content_is_a_file_or_one_sentence(content: bytes) -> None:
    try:
        read_checks(content)
    except InvalidRequest as error:
        said = error.message
        assert said.endswith(".")


@pytest.mark.parametrize(
    "content",
    [
        b"a" * (MOST_BYTES + 1),
        b"[" * MOST_BYTES,
        b"x = " + b"[" * (MOST_BYTES - 10),
        b"x = " + b"{a=" * 40_000,
        b".".join([b"a"] * 60_000) + b" = 1",
        b".".join([b'"$"'] * 30_000) + b" = 1",
        b".".join(['"\u2028\\""'.encode()] * 14_000) + b" = 1",
        b"\n".join(b"a" + b".a" * 18 + b".k%d = 1" % at for at in range(2500)),
        b'[[check]]\nname = "n"\nrequest = "GET /"\n' * (MOST_CHECKS + 1),
        b'[[check]]\nname = "n"\nrequest = "GET /"\n' * 2,
        b"\n".join(
            b'[[check]]\nname = "%d"\nrequest = "GET /"\nexpect = %s' % (at, json.dumps(["$ exists"] * 91).encode())
            for at in range(11)
        ),
        b'[[check]]\nname = "n"\nrequest = "GET http://elsewhere/"\n',
        b'[[check]]\nname = "n"\nrequest = "GET /"\nexpect = ["$.a = 1"]\n',
        b'[[check]]\nname = "n"\nrequest = "GET /"\nbody_base64 = "\\u00e9"\n',
        b'[[check]]\nname = "n"\nrequest = "GET /"\nstatus = true\n',
        b"ignore = ['nothing']",
        b"\xff",
    ],
)
def test_a_hostile_file_is_one_sentence_in_little_time(content: bytes) -> None:
    began = time.process_time()
    with pytest.raises(InvalidRequest):
        read_checks(content)
    assert time.process_time() - began < 3


@pytest.mark.parametrize(
    "value",
    [
        '\\\\\\"' * 15_000,
        "a" * 30_000,
        "a." * 10 + "a" * 20_000,
        "a " * 15_000,
        "[ " * 30 + " " * 20_000,
        "'-" * 15_000,
    ],
)
def test_a_long_value_takes_little_time(value: str) -> None:
    began = time.process_time()
    assert read_checks(f'[[check]]\nname = "n"\nrequest = "POST /"\nbody = "{value}"\n'.encode()).checks
    assert time.process_time() - began < 1


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('$.items[0].title == "Emma"', None),
        ('$.items[1].title == "Emma"', "it is"),
        ("$.items[*].id is number", None),
        ("$.items[*].title is number", "it is"),
        ("$.items[5].id exists", "is missing"),
        ("$.none[*].id is number", None),
        ("$.count != 3", None),
        ("$.flag == 1", "it is true"),
        ("$.at is time", None),
        ("$['a key'] is null", None),
        ('header.location contains "/books/"', None),
        ('text contains "Emma"', None),
        ('text contains "nobody"', "it is"),
    ],
)
def test_expectations(text: str, problem: str | None) -> None:
    value = {
        "items": [{"id": 1, "title": "Emma"}, {"id": 2, "title": "Persuasion"}],
        "count": 2,
        "flag": True,
        "at": "2026-11-25T19:44:58Z",
        "a key": None,
    }
    found = Expectation.parse(text).problem(Content.of(answer(value, location="/books/7")))
    assert (found is None) if problem is None else problem in (found or "")


@pytest.mark.parametrize("text", ["", "$", "$.a", "$.a == x", "$.a is a text", "$.a[ == 1", "$..a == 1", "a == 1"])
def test_expectations_that_cannot_be_read(text: str) -> None:
    with pytest.raises(InvalidRequest):
        Expectation.parse(text)


def test_a_check_of_a_record_expects_what_stays_and_the_form_of_what_changes() -> None:
    value = {
        "id": "6f1ed002-ab5c-4c7e-9b1a-000000000000",
        "title": "Emma",
        "epoch": int(NOW),
        "took_ms": 3,
        "token": "[redacted:1a2b3c4d]",
        "items": [{"n": 1, "at": "2020-01-01T00:00:00Z"}],
        "none": None,
    }
    request = ReadyRequest("POST", "/books", (("Accept", "x"), ("User-Agent", "curl")), b"{}")
    check = check_of(Step(request, 1, answer(value, 201)))
    assert (check.name, check.status, check.request.headers) == ("POST /books", 201, (("Accept", "x"),))
    assert [one.text for one in check.expectations] == [
        "$.id is id",
        '$.title == "Emma"',
        "$.epoch is time",
        "$.took_ms is number",
        "$.token is text",
        "$.items is list",
        "$.items[*].n is number",
        "$.items[*].at is time",
        "$.none == null",
    ]
    assert problems_of(check, answer(value, 201)) == ()
    assert problems_of(check, answer({**value, "title": "Emmy"}, 201)) == ('$.title == "Emma": it is "Emmy".',)
    assert problems_of(check, Answer(0, error="no answer")) == ("no answer",)


def test_an_answer_is_parsed_once_for_a_check(monkeypatch: pytest.MonkeyPatch) -> None:
    parsed: list[Answer] = []

    def counted(one: Answer) -> tuple[str, Any]:
        parsed.append(one)
        return content_of(one)

    monkeypatch.setattr("preview.replay.checks.expectations.content_of", counted)
    check = Check("n", ReadyRequest("GET", "/"), 200, (Expectation.parse("$.a == 1"),) * 50)
    assert problems_of(check, answer({"a": 1})) == ()
    assert len(parsed) == 1


def test_a_check_is_added_up_to_the_most_expectations() -> None:
    expectations = (Expectation.parse("$ exists"),) * 100
    file = CheckFile()
    for at in range(10):
        file = file.with_check(Check(str(at), ReadyRequest("GET", "/"), 200, expectations))
    with pytest.raises(InvalidRequest):
        file.with_check(Check("n", ReadyRequest("GET", "/"), 200, expectations[:1]))
    assert file.with_check(Check("9", ReadyRequest("GET", "/"), 200)).checks[-1].expectations == ()


def test_comparing_answers_has_a_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "_COMPARING_S", -1.0)
    check = Check("n", ReadyRequest("GET", "/"), 200)
    (found,) = running._results([check], [Sent(Step(check.request), answer({}))])
    assert "could not all be compared" in (found.skipped or "")


def test_of_large_answers_the_beginning_is_kept_and_the_hash_is_compared() -> None:
    large = Answer(200, (), b"a" * 3_000_000)
    other = Answer(200, (), b"a" * 2_999_999 + b"b")
    assert len(large.shortened().body) == 1024 * 1024
    assert content_of(large.shortened()) == content_of(large)
    assert content_of(large.shortened()) != content_of(other.shortened())
    assert answer({}).shortened() == answer({})


async def test_a_sequence_ends_with_its_budget_of_bytes() -> None:
    step, options = Step(ReadyRequest("GET", "/")), SequenceOptions(1)
    assert _reason_to_skip(step, options, math.inf, 32 * 1024 * 1024 - 1) is None
    assert "32 MiB" in (_reason_to_skip(step, options, math.inf, 32 * 1024 * 1024) or "")


def test_a_run_remembers_since_which_reload_a_check_breaks() -> None:
    def run(reload: int, *broken: str) -> ChecksRun:
        results = [CheckResult(name, ("no.",) if name in broken else ()) for name in ("a", "b", "c")]
        return ChecksRun("preview", results, 0, reload)

    first = run(6).after(None)
    assert first.sentence() == "3 ok"
    second = run(7, "b").after(first)
    third = run(9, "b", "c").after(second)
    assert (second.sentence(), third.sentence()) == ("2 ok, 1 broke since reload 7", "1 ok, 2 broke since reload 7")
    # A new preview counts from the beginning.
    assert run(0, "a").after(third).sentence() == "2 ok, 1 broke since the launch"
