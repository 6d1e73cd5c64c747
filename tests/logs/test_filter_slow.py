from __future__ import annotations

import json
import time
from random import Random

import pytest

from preview.errors import InvalidFilter
from preview.logs import Batch, Contract, Encoding, LineFilter, StreamEncoder
from preview.logs.filter import parse_filter
from preview.logs.filter import regex as regex_module
from preview.logs.filter.fact_terms import fact_terms
from preview.logs.filter.request_conditions import REQUEST_MARKS
from preview.traffic.record import Message, Origin, RecordedRequest, Timing, Who

HOSTILE = "/[ab]{0,60}a[ab]{60}c/"


def batch_of(lines: int, length: int) -> Batch:
    letters = Random(1)
    texts = ["".join(letters.choices("ab", k=length)) for _ in range(lines)]
    return Batch("p", 1, [0] * lines, bytes([1]) * lines, texts)


@pytest.mark.parametrize(("lines", "length"), [(20_000, 100), (200, 16_384)])
def test_an_expression_that_needs_too_much_time_is_given_up_and_refused(lines: int, length: int) -> None:
    regex_module.pattern_of.cache_clear()
    chosen = LineFilter(terms=parse_filter(HOSTILE))
    batch = batch_of(lines, length)
    encoder = StreamEncoder(Encoding(Contract.V1, filter=chosen))
    assert not encoder.has_failed
    started = time.thread_time()
    encoder.encode([batch])
    # Alone, these lines would take over two seconds.
    assert time.thread_time() - started < 0.5
    assert encoder.has_failed
    assert "too long to match" in (chosen.fault or "")
    assert list(chosen.positions(batch.columns)) == []
    with pytest.raises(InvalidFilter, match="too long to match"):
        parse_filter(HOSTILE)
    regex_module.pattern_of.cache_clear()


@pytest.mark.timed
@pytest.mark.no_cover
def test_usual_expressions_are_not_given_up() -> None:
    texts = [f'INFO:     127.0.0.1:5{at:03} - "GET /books/{at} HTTP/1.1" 200 OK' for at in range(20_000)]
    batch = Batch("p", 1, [0] * len(texts), bytes([1]) * len(texts), texts)
    for text in ("/GET .*books/", "/(?:POST|PUT) /", "/book(s|ings)?[ ?].* 5\\d\\d/i", "/^.*OK$/", "-/x/"):
        chosen = LineFilter(terms=parse_filter(text))
        chosen.positions(batch.columns)
        assert chosen.fault is None, text


def json_batch(lines: int, text: str, mark: int = 1) -> Batch:
    return Batch("p", 1, [0] * lines, bytes([mark]) * lines, [text] * lines)


def record_of(body: bytes) -> RecordedRequest:
    message = Message((), body, len(body))
    return RecordedRequest(
        "p",
        1,
        "a",
        0,
        Origin.CALL,
        Who.OWNER,
        "GET",
        "/",
        500,
        None,
        Timing(0, 1, 2, 3),
        0,
        0,
        0,
        1,
        0,
        message,
        message,
    )


def test_a_line_and_a_request_are_parsed_once_for_all_terms(monkeypatch: pytest.MonkeyPatch) -> None:
    parsed: list[object] = []
    loads = json.loads

    def counted(text: str | bytes) -> object:
        parsed.append(text)
        return loads(text)

    monkeypatch.setattr(json, "loads", counted)
    fact_terms.cache_clear()
    chosen = parse_filter(" ".join(f"-@a:{at}" for at in range(20)) + " -status:200 -status:201 -path:/x")
    batch = json_batch(
        2, '{"a": 77, "req": {"method": "GET", "url": "/"}, "res": {"statusCode": 500}}', mark=REQUEST_MARKS[0]
    )
    assert list(chosen.positions(batch)) == [0, 1]
    assert len(parsed) == 2
    parsed.clear()
    assert chosen.matches_request(record_of(b'{"a": 78}'))
    assert len(parsed) == 2


@pytest.mark.parametrize("is_request", [False, True])
def test_fields_that_need_too_much_time_are_given_up_and_refused(*, is_request: bool) -> None:
    fact_terms.cache_clear()
    text = " ".join(f"-@a:{at}*x*y" for at in range(30))
    chosen = parse_filter(text)
    line = '{"a":[' + ",".join(["0"] * 32) + "]}"
    started = time.thread_time()
    if is_request:
        assert not all(chosen.matches_request(record_of(line.encode())) for _ in range(10_000))
    else:
        assert list(chosen.positions(json_batch(10_000, line))) == []
    # Alone, these lines would take several seconds.
    assert time.thread_time() - started < 0.5
    assert "too long to match" in (chosen.fault or "")
    with pytest.raises(InvalidFilter, match="too long to match"):
        parse_filter(text)
    fact_terms.cache_clear()


@pytest.mark.timed
@pytest.mark.no_cover
@pytest.mark.parametrize(
    "line",
    [
        '{"level": "info", "user": {"id": 7}, "msg": "GET /books/7 took a while", "took": 1.5, "tags": ["a", "b"]}',
        'ts=2026-01-31 level=info user.id=7 took=1.5 msg="a request"',
        '{"took":[' + ",".join(["0"] * 30_000) + "]}",
        '{"took":[' + ",".join(["0"] * 32) + "]}",
        '{"took":[' + ",".join(["[]"] * 20_000) + "]}",
        '{"took":[' + ",".join(["{}"] * 20_000) + "]}",
        '{"took":[' + ",".join(['{"key":""}'] * 5_000) + "]}",
    ],
)
def test_usual_fields_are_not_given_up(line: str) -> None:
    fact_terms.cache_clear()
    batch = json_batch(max(1, 1_000_000 // len(line)), line)
    for text in ("@took:>1", "-@took:9", "status:>=500"):
        chosen = parse_filter(text)
        chosen.positions(batch)
        assert chosen.fault is None, text


def test_attributes_that_nest_deep_are_no_error() -> None:
    line = '{"attributes":' + '[{"key":"a","value":' * 450 + "1" + "}]" * 450 + "}"
    assert list(parse_filter("@b:1").positions(json_batch(1, line + " "))) == []
    assert list(parse_filter("-@a.b:1").positions(json_batch(1, line))) == [0]
