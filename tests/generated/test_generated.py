"""The generated backends: what their sources tell, and four of them used for real (scripts/generated.py runs all)."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from generated_kit import FOUND_AS, GENERATED, Expected, call_of, compare, judge, load

from preview.detection import detect, read_endpoints

ROOT = Path(__file__).resolve().parents[2]
ALL = load()
# The frameworks whose routes the sources tell; the others' are asked of the running application.
READ = {"django", "express", "fastapi", "flask", "nestjs", "starlette"}
QUICK = ["12", "15"]


def test_each_of_thirty_projects_says_what_is_expected_of_it() -> None:
    assert [one.name for one in ALL] == sorted(folder.name for folder in (GENERATED / "projects").iterdir())
    assert len(ALL) == 30
    for one in ALL:
        assert one.endpoints
        assert {request["call"].split()[0] for request in one.requests} >= {"GET", "POST"}, one.name


@pytest.mark.parametrize("expected", ALL, ids=lambda one: one.name)
def test_its_framework_is_found(expected: Expected) -> None:
    assert detect(expected.folder).framework in FOUND_AS.get(expected.framework, {expected.framework})


@pytest.mark.parametrize("expected", [one for one in ALL if one.framework in READ], ids=lambda one: one.name)
def test_its_endpoints_are_read_from_its_sources(expected: Expected) -> None:
    found = read_endpoints(expected.folder)
    compared = compare(expected, ((one.method, one.path) for one in found.endpoints))
    assert sorted(compared.missed | compared.wrong) == []
    assert found.complete


@pytest.mark.long
def test_some_of_them_work() -> None:
    command = [sys.executable, str(ROOT / "scripts" / "generated.py"), *QUICK, "--jobs", "2", "--start-timeout", "120"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=580)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"^2 of 2 work, 2 started$", done.stdout, re.MULTILINE)


@pytest.mark.parametrize(
    ("request_", "answer", "wrong"),
    [
        ({"call": "GET /a", "status": 200}, (404, "gone"), "GET /a -> 404, not 200: gone"),
        ({"call": "GET /a", "status": 200, "text": "hi"}, (200, "ho"), "GET /a -> 200 without 'hi'"),
        ({"call": "GET /a", "status": 200, "length": 1}, (200, "[]"), "GET /a -> 200, 0 items instead of 1"),
        ({"call": "GET /a", "status": 200, "length": 1}, (200, "<p>"), "GET /a -> 200, no JSON: <p>"),
        (
            {"call": "GET /a", "status": 200, "answer": {"b": [{"c": 1}]}},
            (200, '{"b": [{"c": 2}]}'),
            """GET /a -> 200, without {'b': [{'c': 1}]}: {"b": [{"c": 2}]}""",
        ),
        (
            {"call": "GET /a", "status": 200, "answer": {"b": [{"c": 1}]}},
            (200, '{"b": [{"c": 1, "d": 2}], "e": 3}'),
            "",
        ),
    ],
)
def test_an_answer_that_is_not_the_expected_one_is_named(
    request_: dict[str, object], answer: tuple[int, str], wrong: str
) -> None:
    assert judge(request_, {"status_code": answer[0], "headers": {}, "body": answer[1]}, {}) == wrong


def test_later_requests_get_what_earlier_answers_gave() -> None:
    kept: dict[str, object] = {}
    answer = {"status_code": 201, "headers": {"Set-Cookie": "token=abc; Path=/"}, "body": '{"id": 7}'}
    assert (
        judge({"call": "POST /a", "status": 201, "keep": {"id": "id"}, "find": {"t": "token=(\\w+)"}}, answer, kept)
        == ""
    )
    call = {"call": "PUT /a/{id}?x=1", "json": {"of": "{id}", "note": "no. {id}"}, "headers": {"Cookie": "token={t}"}}
    assert call_of(call, kept) == {
        "method": "PUT",
        "path": "/a/7",
        "query": {"x": "1"},
        "headers": {"Cookie": "token=abc"},
        "body": {"of": 7, "note": "no. 7"},
    }


def test_what_a_framework_adds_is_neither_missed_nor_wrong() -> None:
    expected = Expected("one", "fastapi", frozenset({"GET /a/{}"}), ("/docs", "/api/"), ())
    compared = compare(expected, [("GET", "/docs/oauth2"), ("GET", "/api/"), ("GET", "/api/b"), ("POST", "/a/{id}")])
    assert compared.missed == frozenset({"GET /a/{}"})
    assert compared.wrong == frozenset({"GET /api/b", "POST /a/{}"})
