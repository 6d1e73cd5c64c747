from __future__ import annotations

import time
from random import Random

import pytest

from preview.errors import InvalidFilter
from preview.logs import Batch, Contract, Encoding, LineFilter, StreamEncoder
from preview.logs.filter import parse_filter
from preview.logs.filter import regex as regex_module

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
    assert "too much time" in (chosen.fault or "")
    assert list(chosen.positions(batch.columns)) == []
    with pytest.raises(InvalidFilter, match="too much time"):
        parse_filter(HOSTILE)
    regex_module.pattern_of.cache_clear()


def test_usual_expressions_are_not_given_up() -> None:
    texts = [f'INFO:     127.0.0.1:5{at:03} - "GET /books/{at} HTTP/1.1" 200 OK' for at in range(20_000)]
    batch = Batch("p", 1, [0] * len(texts), bytes([1]) * len(texts), texts)
    for text in ("/GET .*books/", "/(?:POST|PUT) /", "/book(s|ings)?[ ?].* 5\\d\\d/i", "/^.*OK$/", "-/x/"):
        chosen = LineFilter(terms=parse_filter(text))
        chosen.positions(batch.columns)
        assert chosen.fault is None, text
