from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from random import Random

import pytest
from filter_kit import Alternatives, Tree, any_of, count_of, filters, rows
from filter_reference import FACTS as REFERENCE_FACTS
from filter_reference import FAILURES, LINES, ON_LINES, ON_REQUESTS, RECORDS
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from log_room import Room
from sqlalchemy import Connection, insert

from preview.logs import Batch, LineFilter, LogLine
from preview.logs.filter import MAX_CHARACTERS, Access, KnownRequests, Resolved, parse_filter
from preview.logs.filter.parse import MAX_TERMS
from preview.logs.model.events import MARKS, STORED_SOURCES, mark_of
from preview.logs.storage.searching import find_lines
from preview.storage.engine import make_engine
from preview.storage.tables import preview_instances, preview_logs

NOW = 1_760_000_000_000
KNOWN = KnownRequests(9, {"abc": [Access("GET", "/books", 500, 12.5)], "r-1": [Access("POST", "/", 404, 1.0)]})
FACTS = Resolved((1, 4, 9), {42: "abc"}, KNOWN)
MESSAGES = st.one_of(
    st.text("aAkK\u212aéÉ%_\\'\x1b[1m\u2028\U0001f600 x", max_size=8),
    st.sampled_from(
        [
            'INFO:     127.0.0.1:5000 - "GET /books?limit=3 HTTP/1.1" 404 Not Found',
            '127.0.0.1 - - "POST /health HTTP/1.1" 500 - 12.5 ms',
            "GET /slow 200 1502.3 ms - 12",
            "\x1b[31mGET\x1b[0m /x 503 7 ms - 1",
            '{"level":30,"req":{"method":"POST","url":"/login?x"},"res":{"statusCode":503},"responseTime":7}',
            '{"event":"paid","level":"info","user":{"id":7,"name":"Ada"},"amount":12.5,"tags":["a","b"]}',
            '\x1b[1m{"event":"paid","user.id":"8"}\x1b[0m',
            '{"body":{"stringValue":"hi"},"attributes":[{"key":"user.id","value":{"intValue":"7"}}]}',
            'level=info msg="two words" user.id=7 took=12.5',
            '{"user":{"id":7',
            '{"user":{"id":null}}',
        ]
    ),
)
ROWS = st.lists(
    st.tuples(st.sampled_from(range(len(MARKS))), MESSAGES, st.sampled_from([None, "abc", "42", "r-1"])),
    min_size=1,
    max_size=20,
)
WORDS = (
    "error warn info debug level:=warning level:<error level:>debug source:system source:startup,request stream:stderr "
    "stream:stdout stream:stdout,stderr "
    "source:preview path:/books path:/* path:*o* status:404 status:5xx status:>=500 status:404,500 method:GET "
    "method:POST ms:>10 ms:<1s req:42 req:abc req:r-1 reload:0 reload:last reload:1 reload:7 since:5m until:5m "
    "@user.id:7 @user.id:>7 @user.id:* @message:paid @user.name:a* @tags:b @amount:<13 @took:12.5 @nobody:* /a/ "
    "/A/i /^GET/ /.x?a/ /\\d{3}/ GET a A é \u212a k id % _ '"
)
TERMS = st.one_of(
    st.sampled_from(WORDS.split()),
    st.text("aAkK\u212aéÉ%_'\x1b[1m x", min_size=1, max_size=2).map(lambda text: f'"{text}"'),
)
FILTERS = filters(TERMS).map(rows)

Rows = list[tuple[int, str, str | None]]


def in_memory(given: Rows, chosen: LineFilter) -> list[int]:
    batch = batch_of(given)
    found = [1 + at for at in chosen.positions(batch.columns)]
    assert found == [line.seq for line in batch if chosen.passes(line)]
    return found


def batch_of(given: Rows) -> Batch:
    requests = {at: request for at, (_, _, request) in enumerate(given) if request is not None}
    stamps = [NOW - 60_000 * at for at in range(len(given))]
    return Batch(
        "p", 1, stamps, bytes([mark for mark, _, _ in given]), [text for _, text, _ in given], requests or None
    )


def put(connection: Connection, lines: Sequence[LogLine]) -> None:
    owner = {
        "id": "p", "generation_id": "g", "project_id": "p", "user_id": "u", "status": "running",
        "health_status": "unknown", "created_at": 0, "expires_at": 0, "token_hash": "", "token_expires_at": 0,
        "log_level": "ERROR",
    }  # fmt: skip
    connection.execute(insert(preview_instances).values(owner))
    values = [
        {
            "preview_id": "p", "seq": line.seq, "timestamp": line.timestamp_ms, "level": line.level.value,
            "source": STORED_SOURCES[line.mark // 4], "message": line.message, "request_id": line.request_id,
        }
        for line in lines
    ]  # fmt: skip
    connection.execute(insert(preview_logs), values)


def check_same(database_url: str, cases: Sequence[tuple[Rows, str]]) -> None:
    engine = make_engine(database_url)
    try:
        with engine.connect() as connection:
            for given_rows, text in cases:
                chosen = LineFilter(terms=parse_filter(text, NOW).resolved(FACTS))
                with connection.begin() as transaction:
                    put(connection, batch_of(given_rows).lines)
                    found = find_lines(connection, "p", chosen, first=1, last=len(given_rows), limit=1000, newest=False)
                    back = find_lines(connection, "p", chosen, first=1, last=len(given_rows), limit=2, newest=True)
                    transaction.rollback()
                expected = in_memory(given_rows, chosen)
                assert [line.seq for line in found.lines] == expected, (text, given_rows)
                assert [line.seq for line in back.lines] == expected[-2:], (text, given_rows)
    finally:
        engine.dispose()


@pytest.mark.long
@example([(0, "", None), (3, "b", "abc"), (3, "a", None)], "path:/books OR reload:0 error")
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(lines=ROWS, text=FILTERS)
def test_a_filter_gives_the_same_lines_in_memory_and_in_sql(database_url: str, lines: Rows, text: str) -> None:
    check_same(database_url, [(lines, text)])


def random_filter(letters: Random, terms: Sequence[str]) -> Alternatives:
    """Return a random filter within the parser's bounds."""
    while True:
        made = random_tree(letters, terms)
        if count_of(made) <= MAX_TERMS and len(rows(made)) <= MAX_CHARACTERS:
            return made


def random_tree(letters: Random, terms: Sequence[str], depth: int = 0) -> Alternatives:
    def tree() -> Tree:
        if depth < 3 and letters.random() < 0.25:
            return Tree(letters.random() < 0.4, "", random_tree(letters, terms, depth + 1))
        return Tree(letters.random() < 0.3, letters.choice(terms))

    return tuple(
        tuple(tree() for _ in range(letters.choice((1, 1, 2, 3)))) for _ in range(letters.choice((1, 1, 1, 2, 3)))
    )


def compare_with_reference(connection: Connection, count: int, seed: int) -> int:
    """Return how many pairs of filter and entry passed; each filter is compared over lines, requests and failures."""
    letters, passed = Random(seed), 0
    lines = [line for line, _ in LINES]
    batch = Batch(
        "p", 1, [one.timestamp_ms for one in lines],
        bytes(mark_of(one.level.value, one.source.value) for one in lines), [one.message for one in lines],
        {at: one.request_id for at, one in enumerate(lines) if one.request_id is not None},
    )  # fmt: skip
    for _ in range(count):
        tree = random_filter(letters, list(ON_LINES))
        text = rows(tree)
        chosen = parse_filter(text, NOW).resolved(REFERENCE_FACTS)
        wanted = [at + 1 for at, (_, entry) in enumerate(LINES) if any_of(tree, lambda term: ON_LINES[term](entry))]  # noqa: B023  called at once
        assert [1 + at for at in chosen.positions(batch)] == wanted, text
        found = find_lines(connection, "p", LineFilter(terms=chosen), first=1, last=12, limit=99, newest=False)
        assert [line.seq for line in found.lines] == wanted, text
        for line, entry in FAILURES:
            assert chosen.matches_line(line) is any_of(tree, lambda term: ON_LINES[term](entry)), text  # noqa: B023  called at once
        other = random_filter(letters, list(ON_REQUESTS))
        chosen = parse_filter(rows(other), NOW).resolved(REFERENCE_FACTS)
        for record, entry in RECORDS:
            expected = any_of(other, lambda term: ON_REQUESTS[term](entry))  # noqa: B023  called at once
            assert chosen.matches_request(record) is expected, rows(other)
        passed += len(wanted)
    return passed


@pytest.mark.parametrize(("count", "seed"), [(100, 1), pytest.param(10_000, 2, marks=pytest.mark.long)])
def test_filters_select_what_the_reference_selects(database_url: str, count: int, seed: int) -> None:
    engine = make_engine(database_url)
    try:
        with engine.connect() as connection, connection.begin() as transaction:
            put(connection, [line for line, _ in LINES])
            assert compare_with_reference(connection, count, seed) > 3 * count
            transaction.rollback()
    finally:
        engine.dispose()


def test_each_term_alone_selects_what_the_reference_selects() -> None:
    for term, meaning in ON_LINES.items():
        chosen = parse_filter(term, NOW).resolved(REFERENCE_FACTS)
        for line, entry in LINES + FAILURES:
            assert chosen.matches_line(line) is meaning(entry), (term, line)
    for term, meaning in ON_REQUESTS.items():
        chosen = parse_filter(term, NOW).resolved(REFERENCE_FACTS)
        for record, entry in RECORDS:
            assert chosen.matches_request(record) is meaning(entry), (term, record)


async def test_a_search_that_costs_much_ends_early_and_goes_on_there(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("preview.logs.storage.searching._SCAN_S", 0.0)
    monkeypatch.setattr("preview.logs.storage.searching._SCAN_ROWS", 10)
    for first in range(1, 101, 20):
        texts = [f"line {seq}" for seq in range(first, first + 20)]
        room.writer.offer(Batch("preview_a", first, [0] * 20, bytes([1]) * 20, texts))
    await room.writer.flush("preview_a")
    chosen = LineFilter(terms=parse_filter("/[0-9]5$/"))
    found: list[int] = []
    first = 1
    while first <= 100:
        part = await room.store.find("preview_a", chosen, first=first, last=100, limit=100, newest=False)
        assert part.last >= min(first + 9, 100)
        found += [line.seq for line in part.lines]
        first = part.last + 1
    assert found == list(range(15, 101, 10))
    back: list[int] = []
    last = 100
    while last >= 1:
        part = await room.store.find("preview_a", chosen, first=1, last=last, limit=3, newest=True)
        back = [line.seq for line in part.lines] + back
        last = part.first - 1
    assert back == found


def test_a_filter_with_terms_is_not_open_and_equal_ones_share_their_lines() -> None:
    one, other = (LineFilter(terms=parse_filter(text)) for text in ("error a", "level:error  a"))
    assert not one.is_open
    assert one == other
    assert hash(one) == hash(other)


def test_a_filter_in_memory_sees_what_the_old_parameters_leave() -> None:
    batch = Batch("p", 1, [NOW] * 3, bytes([1, 3, 3]), ["a b", "a", "a b"])
    chosen = LineFilter(q="b", terms=parse_filter("error"))
    assert list(chosen.positions(batch.columns)) == [2]
    assert [chosen.passes(line) for line in batch] == [False, False, True]
    assert replace(chosen, terms=None).passes(batch.line_at(0))
