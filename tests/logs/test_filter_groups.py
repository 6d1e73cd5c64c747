from __future__ import annotations

import time

import pytest
from filter_kit import Alternatives, any_of, filters, rows
from hypothesis import given, settings
from hypothesis import strategies as st

from preview.errors import InvalidFilter
from preview.logs import Batch
from preview.logs.filter import Resolved, parse_filter
from preview.logs.filter import regex as regex_module
from preview.logs.filter.parse import MAX_TERMS
from preview.logs.model.events import MARKS
from preview.traffic.record import Message, Origin, RecordedRequest, Timing, Who

NOW = 1_760_000_000_000
FACTS = Resolved((1, 4, 9), {42: "abc"})
TEXTS = [
    "registered Ada (twice)",
    'INFO: 127.0.0.1:5 - "GET /books?x HTTP/1.1" 404 Not Found',
    '127.0.0.1 - - "POST /health HTTP/1.1" 500 - 12.5 ms',
    '{"event":"paid","level":"info","user":{"id":7},"took":12.5}',
    "level=info user.id=8 took=2",
    "",
]
BATCH = Batch(
    "p", 1, [NOW - 60_000 * at for at in range(24)], bytes(at % len(MARKS) for at in range(24)), TEXTS * 4,
    {1: "abc", 7: "42", 9: "abc"},
)  # fmt: skip
RECORDS = [
    RecordedRequest(
        "p", number, "abc", NOW - 60_000 * number, Origin.CALL, Who.OWNER, method, target, status, None,
        Timing(0, 1, 2, 120.5 * number), 0, 10, number, 5, 8, Message((), body, len(body)), None,
    )
    for number, (method, target, status, body) in enumerate(
        [("GET", "/books?x=1", 200, b'{"user":{"id":7}}'), ("POST", "/health", 503, b""), ("GET", "/a(b)", 404, b"[]")]
    )
]  # fmt: skip
WORDS = (
    "error info level:=warning path:/books path:/h* path:/a(b) status:404 status:>=500 method:GET ms:>10 req:42 "
    "req:abc reload:1 reload:last since:5m @user.id:7 @user.id:>7 @took:>=2 /a(d|b)/ /A/i GET a twice e(d)"
)
BOTH = [*WORDS.split(), '"(twice)"', '"x OR y"', '@event:"p*"']


@pytest.mark.long
@settings(max_examples=400, deadline=None)
@given(filters(st.sampled_from(BOTH)))
def test_groups_mean_what_their_terms_mean(tree: Alternatives) -> None:
    text = rows(tree)
    chosen = parse_filter(text, NOW).resolved(FACTS)
    alone = {term: parse_filter(term, NOW).resolved(FACTS) for term in BOTH}
    for at, line in enumerate(BATCH):
        expected = any_of(tree, lambda term: alone[term].matches_line(line))  # noqa: B023  called at once
        assert (at in chosen.positions(BATCH)) is expected, (text, line)
        assert chosen.matches_line(line) is expected
    for record in RECORDS:
        expected = any_of(tree, lambda term: alone[term].matches_request(record))  # noqa: B023  called at once
        assert chosen.matches_request(record) is expected, (text, record)


@pytest.mark.long
@settings(max_examples=300, deadline=None)
@given(filters(st.sampled_from(BOTH)))
def test_a_filter_as_text_is_read_as_the_same_filter(tree: Alternatives) -> None:
    chosen = parse_filter(rows(tree), NOW)
    assert str(parse_filter(str(chosen), NOW)) == str(chosen)
    assert parse_filter(str(chosen), NOW) == chosen
    # The page keeps each term apart, and joins those that are switched on.
    joined = " ".join(term.info.text for term in chosen.terms)
    assert parse_filter(joined, NOW) == chosen
    assert all(len(parse_filter(term.info.text, NOW).terms) == 1 for term in chosen.terms)


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("a OR b c", "a OR (b c)"),
        ("( a OR b )", "(a OR b)"),
        ("(f(x) OR b)", '("f(x)" OR b)'),
        ("(f(x OR b)", '("f(x" OR b)'),
        ("(/a/ OR /(b|c)/)", "(/a/ OR  /(b|c)/)"),
        ("((a))", "( ( a ) )"),
        ("(path:/x)", "( path:/x )"),
        ('(@a:"b" OR "c")', '( @a:"b" OR "c" )'),
        ("(a -)", '(a "-")'),
        ("a or b", 'a "or" b'),
    ],
)
def test_parentheses_may_touch_terms(text: str, same: str) -> None:
    ours, other = parse_filter(text), parse_filter(same)
    assert str(parse_filter(str(ours))) == str(ours)
    samples = ["a", "b", "c", "a b", "b c", "f(x)", "f(x", "a -", "or", "a or b", "a=b", "x"]
    batch = Batch("p", 1, [NOW] * len(samples), bytes([1]) * len(samples), samples)
    assert list(ours.positions(batch)) == list(other.positions(batch))


def test_a_group_is_one_term_with_its_parentheses() -> None:
    (only,) = parse_filter(" error OR path:/x  -a ").terms
    assert (only.info.text, only.info.start, only.info.kind) == ("(error OR path:/x  -a)", 1, "group")
    assert only.info.sentence == "Only entries that match error or path:/x and -a."
    _, second = parse_filter("a -(who:owner OR b)").terms
    assert (second.info.text, second.info.start, second.negated) == ("-(who:owner OR b)", 2, True)
    assert (second.info.on_lines, second.info.on_requests) == (False, True)
    assert second.info.sentence == "Without entries that match who:owner or b."
    with pytest.raises(InvalidFilter, match="who:owner") as caught:
        parse_filter("a -(b OR who:owner)").check_lines()
    assert caught.value.position == 9
    assert parse_filter("(a OR req:3) reload:last").request_numbers == {3}
    assert parse_filter("(a OR reload:last)").needs_reloads


def test_a_group_with_an_expression_that_is_given_up_passes_nothing() -> None:
    regex_module.pattern_of.cache_clear()
    filters_of = [parse_filter(text) for text in ("-(/x+/ OR b)", "-(/x+/ OR @a:1)", "c OR /x+/")]
    batch = Batch("p", 1, [NOW] * 2, bytes([1, 1]), ["c", "d"])
    assert [list(one.positions(batch)) for one in filters_of] == [[0, 1], [0, 1], [0]]
    for _ in range(4):
        regex_module.pattern_of("x+", ignores_case=False).charge(1.0, 1, 1)
    assert [list(one.positions(batch)) for one in filters_of] == [[], [], []]
    assert all("too long to match" in (one.fault or "") for one in filters_of)
    regex_module.pattern_of.cache_clear()


@pytest.mark.parametrize(
    "text",
    ["(" * 1000, ")" * 1000, "((" * 200 + "a" + "))" * 200, "(a " * 300, "(/" * 500, "OR " * 300, "(/))))/" * 140,
     "-(" * 500, '("' * 500],
)  # fmt: skip
def test_no_nest_makes_the_parser_slow_or_deep(text: str) -> None:
    # The least of three: a collection of all the worker's objects may fall into one of them.
    took = []
    for _ in range(3):
        started = time.thread_time()
        with pytest.raises(InvalidFilter):
            parse_filter(text)
        took.append(time.thread_time() - started)
    assert min(took) < 0.05


def test_the_deepest_filter_is_quick() -> None:
    text = "(a OR " * 8 + " OR ".join(f"-@a:{at}" for at in range(MAX_TERMS - 8)) + ")" * 8
    chosen = parse_filter(text)
    batch = Batch("p", 1, [NOW] * 1000, bytes([1]) * 1000, ['{"a": 77, "b": [1, 2, 3]}'] * 1000)
    started = time.thread_time()
    assert len(chosen.positions(batch)) == 1000
    assert time.thread_time() - started < 0.5
