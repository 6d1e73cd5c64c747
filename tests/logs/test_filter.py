from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import replace
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from preview.logs import Batch, Level, LogLine, Source
from preview.logs.filter import Access, Filter, InvalidFilter, KnownRequests, Resolved, parse_filter
from preview.logs.filter.keys import ORIGINS, WHO
from preview.logs.model.events import MARKS
from preview.traffic.record import Message, Origin, RecordedRequest, Timing, Who

NOW = 1_760_000_000_000


def line(message: str, level: Level = Level.INFO, source: Source = Source.PREVIEW, **more: object) -> LogLine:
    return replace(LogLine(7, NOW, level, source, message), **more)  # type: ignore[arg-type]  # a test's shorthand


def access(message: str) -> LogLine:
    return line(message, source=Source.REQUEST)


def record(**more: object) -> RecordedRequest:
    made = RecordedRequest(
        "p", 42, "abc", NOW, Origin.BROWSER, Who.OWNER, "GET", "/books?x=1", 200, None,
        Timing(0, 1, 2, 120.5), 0, 10, 1, 5, 8,
    )  # fmt: skip
    return replace(made, **more)  # type: ignore[arg-type]  # a test's shorthand


UVICORN = 'INFO:     127.0.0.1:5000 - "GET /books?limit=3 HTTP/1.1" 404 Not Found'
MORGAN = "GET /slow 200 1502.3 ms - 12"
PINO = '{"level":30,"req":{"method":"POST","url":"/login?x"},"res":{"statusCode":503},"responseTime":7}'
JSON = '{"event":"paid","level":"info","user":{"id":7,"name":"Ada"},"amount":12.5,"tags":["a","b"],"ok":true}'
OTEL = '{"body":{"stringValue":"hi"},"attributes":[{"key":"user.id","value":{"intValue":"7"}}],"severityText":"WARN"}'
LOGFMT = 'level=info msg="two words" user.id=7 took=12.5'
REGISTERED = line("registered Ada at /health")


@pytest.mark.parametrize(
    ("text", "given", "passes"),
    [
        ("", REGISTERED, True),
        ("REGISTERED", REGISTERED, True),
        ("ada registered", REGISTERED, True),
        ('"ada registered"', REGISTERED, False),
        ('"registered Ada"', REGISTERED, True),
        ("-ada", REGISTERED, False),
        ("/health", REGISTERED, True),
        ("-", REGISTERED, False),
        ("12:30", line("at 12:30:05"), True),
        ("http://x/y", line("see http://x/y"), True),
        ('"a \\"b\\""', line('a "b" c'), True),
        ("/reg.*ada/", REGISTERED, False),
        ("/reg.*ada/i", REGISTERED, True),
        ("/reg.* at/", REGISTERED, True),
        ("-/^Ada/", REGISTERED, True),
        (r"/a\/b/", line("x a/b"), True),
        ("/^red$/", line("\x1b[31mred\x1b[0m"), True),
        ("error", line("x", Level.ERROR), True),
        ("error", line("error"), False),
        ('"error"', line("an error"), True),
        ("-error", line("x", Level.WARNING), True),
        ("warn", line("x", Level.ERROR), True),
        ("level:warning", line("x", Level.ERROR), True),
        ("level:=warning", line("x", Level.ERROR), False),
        ("level:<error", line("x", Level.WARNING), True),
        ("source:system", line("x", source=Source.SYSTEM_STARTUP), True),
        ("source:system", line("x"), False),
        ("source:startup,request", line("x", source=Source.STARTUP), True),
        ("path:/books", access(UVICORN), True),
        ("path:/books", line(UVICORN), False),
        ("path:/boo", access(UVICORN), False),
        ("path:/b*s", access(UVICORN), True),
        ("-path:/books", access(UVICORN), False),
        ("-path:/books", REGISTERED, True),
        ("status:404", access(UVICORN), True),
        ("status:>=500", access(UVICORN), False),
        ("status:4xx,5xx", access(UVICORN), True),
        ("method:get", access(UVICORN), True),
        ("method:POST", access(UVICORN), False),
        ("ms:>1.5s", access(MORGAN), True),
        ("ms:<=1500", access(MORGAN), False),
        ("ms:>0", access(UVICORN), False),
        ("path:/login method:POST status:503 ms:<8", access(PINO), True),
        ("@user.id:7", line(JSON), True),
        ("@user.id:7.0", line(JSON), True),
        ('@user.id:"7.0"', line(JSON), False),
        ("@user.id:>6", line(JSON), True),
        ("@user.id:<7", line(JSON), False),
        ("@user.name:a*", line(JSON), True),
        ('@user.name:"a*"', line(JSON), False),
        ("@user:*", line(JSON), True),
        ("@nobody:*", line(JSON), False),
        ("@amount:>=12.5", line(JSON), True),
        ("@tags:b", line(JSON), True),
        ("@ok:true", line(JSON), True),
        ("@message:paid", line(JSON), True),
        ("@user.id:7 @message:hi @level:warn", line(OTEL), True),
        ('@user.id:7 @msg:"two words" @took:>12', line(LOGFMT), True),
        ("@took:>12.5", line(LOGFMT), False),
        ("req:abc", line("x", request_id="abc"), True),
        ("req:abc", line("x"), False),
        ("req:42", line("x", request_id="abc"), True),
        ("-req:42", line("x", request_id="abc"), False),
        ("reload:last", line("x"), True),
        ("reload:1", line("x"), True),
        ("reload:0", line("x"), False),
        ("reload:0", line("x", seq=4), True),
        ("reload:2", line("x"), False),
        ("since:5m", line("x"), True),
        ("since:5m", line("x", timestamp_ms=NOW - 300_001), False),
        ("until:5m", line("x", timestamp_ms=NOW - 300_001), True),
        ("since:2025-10-09T08:53:20Z", line("x"), True),
        ("since:2025-10-09T08:53:21Z", line("x"), False),
        ("since:2025-10-09", line("x"), True),
        ("who:owner", line("x"), False),
    ],
)  # fmt: skip
def test_a_filter_selects_lines(text: str, given: LogLine, *, passes: bool) -> None:
    chosen = parse_filter(text, NOW).resolved(Resolved((1, 5), {42: "abc"}))
    assert chosen.matches_line(given) is passes


@pytest.mark.parametrize(
    ("text", "passes"),
    [
        ("path:/books", True), ("status:2xx ms:>100", True), ("ms:<120", False), ("who:owner,viewer", True),
        ("-who:owner", False), ("origin:browser", True), ("req:42", True), ("req:abc", True), ("req:43", False),
        ("reload:1", True), ("reload:last", True), ("reload:0", False), ("error", False), ("info", True),
        ("BOOKS x=1", True), ('"get /books"', True), ("since:5m", True), ("until:1s", False), ("@user.id:7", True),
        ("@user.id:8", False), ("@total:>=3", True), ("/^GET .* 200$/", True),
    ],
)  # fmt: skip
def test_a_filter_selects_recorded_requests(text: str, *, passes: bool) -> None:
    given = record(
        request=Message((), b'{"user":{"id":7}}', 17),
        response=Message((), b'{"total":3}', 11),
    )
    chosen = parse_filter(text, NOW).resolved(Resolved((1, 5)))
    assert chosen.matches_request(given) is passes


TWO = [Access("POST", "/a", 201, 1.0), Access("PUT", "/b", 404, 9.0)]
KNOWN = KnownRequests(9, {"abc": [Access("GET", "/books", 500, 12.5)], "two": TWO})


@pytest.mark.parametrize(
    ("text", "given", "passes"),
    [
        ("status:500", line("x", request_id="abc"), True),
        ("status:>=500 path:/b* method:GET ms:>12", line("x", request_id="abc"), True),
        ("-path:/books", line("x", request_id="abc"), False),
        ("-path:/books", line("x", request_id="other"), True),
        ("path:/books", line("x", request_id="other"), False),
        ("path:/books", line("x"), False),
        ("path:/a", line("x", request_id="two"), True),
        ("path:/b", line("x", request_id="two"), True),
        ("-path:/b", line("x", request_id="two"), False),
        ("status:404", line(UVICORN, source=Source.REQUEST, request_id="abc"), True),
        ("status:500", line(UVICORN, source=Source.REQUEST, request_id="abc"), False),
        ("ms:>12", line(UVICORN, source=Source.REQUEST, request_id="abc"), True),
        ("(ms:>12 OR y) -status:404", line("x", request_id="abc"), True),
    ],
)
def test_lines_have_the_facts_of_their_recorded_request(text: str, given: LogLine, *, passes: bool) -> None:
    chosen = parse_filter(text, NOW).resolved(Resolved(known=KNOWN))
    assert chosen.needs_requests
    assert chosen.matches_line(given) is passes


def test_filters_that_know_other_requests_are_not_equal() -> None:
    one, other = (parse_filter("path:/a").resolved(Resolved(known=KnownRequests(at))) for at in (1, 2))
    assert one != other
    text = [parse_filter("a").resolved(Resolved(known=KnownRequests(at))) for at in (1, 2)]
    assert text[0] == text[1]


def test_a_request_without_a_response_is_an_error() -> None:
    broken = record(status=0, error="upstream_failed")
    assert parse_filter("error status:0 upstream_failed").matches_request(broken)
    assert parse_filter("error").matches_request(record(status=500))


@pytest.mark.parametrize(
    ("text", "position", "words"),
    [
        ("stauts:500", 0, ("'stauts'", "status", "quotes")),
        ("a code:500", 2, ("'code'", "status")),
        ("localhost:8000", 0, ("'localhost'", "quotes")),
        ("level:eror", 0, ("'eror'", "error")),
        ("source:sys", 0, ("'sys'", "system")),
        ("a AND b", 2, ("'AND'", "leave AND out")),
        ("a || b", 2, ("'||'", "OR between")),
        ("NOT a", 0, ("'NOT'", "leading -")),
        ("a -OR b", 2, ("'OR'", "quotes")),
        ("OR a", 0, ("both sides",)),
        ("a OR", 2, ("both sides",)),
        ("a OR OR b", 5, ("both sides",)),
        ("(a OR) b", 3, ("both sides",)),
        ("a (", 2, ("does not end",)),
        ("(a (b)", 0, ("does not end",)),
        ("a b)", 3, ("closes no group",)),
        ("a ()", 2, ("empty",)),
        ("(a)b", 3, ("space is missing",)),
        ("(" * 9 + "a" + ")" * 9, 8, ("more than 8 groups",)),
        ("(a foo:1)", 3, ("'foo'",)),
        ("(" + "a " * 31 + ")", 61, ("too many terms",)),
        ('a "b', 2, ("does not end",)),
        ('a"b"', 1, ("quotation mark",)),
        ('""', 0, ("empty",)),
        ("since:5", 0, ("unit", "ms, s, m, h, d")),
        ("since:5y", 0, ("'y'", "units")),
        ("since:2025-13-01", 0, ("date and time",)),
        ("ms:100", 0, ("ms:>100",)),
        ("ms:>1parsec", 0, ("'parsec'", "units")),
        ("status:9", 0, ("status:>=500",)),
        ("status:>x", 0, ("status:>=500",)),
        ("path:health", 0, ("start it with /",)),
        ("method:FETCH", 0, ("'FETCH'", "GET")),
        ("reload:next", 0, ("reload:last",)),
        ("req:ü", 0, ("req:42",)),
        ("who:me", 0, ("'me'", "owner")),
        ("path:", 0, ("no value",)),
        ("@user", 0, ("@name:*",)),
        ("@a:>b", 0, ("'b'", "numbers")),
        ("/(a/", 0, ("not a valid expression",)),
        ("/(?=a)/", 0, ("not a valid expression", "look-around")),
        (r"/(a)\1/", 0, ("not a valid expression",)),
        ("/((a?){50}){20}b/", 0, ("too large",)),
        ("x" * 1001, 1000, ("too long",)),
        ("a " * 31, 60, ("too many terms",)),
        ("a\0", 1, ("NUL",)),
        ("a\ud800", 1, ("surrogate",)),
    ],
)
def test_a_mistake_is_one_sentence_with_its_place(text: str, position: int, words: tuple[str, ...]) -> None:
    with pytest.raises(InvalidFilter) as caught:
        parse_filter(text)
    assert caught.value.position == position
    assert all(word in caught.value.message for word in words), caught.value.message
    assert caught.value.message.endswith(".")


def test_a_term_that_does_not_apply_is_named() -> None:
    with pytest.raises(InvalidFilter, match="who:owner") as caught:
        parse_filter("error who:owner").check_lines()
    assert caught.value.position == 6
    with pytest.raises(InvalidFilter, match="source:system"):
        parse_filter("source:system").check_requests()
    parse_filter("error path:/x since:5m").check_lines()
    parse_filter("error path:/x who:owner").check_requests()


def test_the_words_of_records_are_those_of_terms() -> None:
    assert tuple(Origin) == ORIGINS
    assert tuple(Who) == WHO


def test_terms_are_described() -> None:
    infos = [term.info for term in parse_filter("error -path:/x @a.b:>7 /re/").terms]
    assert [(one.text, one.start, one.kind, one.negated) for one in infos] == [
        ("error", 0, "level", False),
        ("-path:/x", 6, "path", True),
        ("@a.b:>7", 15, "field", False),
        ("/re/", 23, "regex", False),
    ]
    assert infos[0].sentence == "Only entries with a level that is at least ERROR."
    assert infos[1].sentence == "Without requests with the path '/x'."


def test_equal_filters_are_equal_whatever_their_spelling() -> None:
    assert parse_filter(" error   a") == parse_filter("level:error a")
    assert hash(parse_filter("error a")) == hash(parse_filter("level:>=ERROR a"))
    assert parse_filter("a b") != parse_filter("a -b")


@settings(max_examples=300, deadline=None)
@given(
    st.text(st.characters(), max_size=60)
    | st.text('-"/\\@:=<>*. aei0[](){}|?+', max_size=60)
    | st.lists(
        st.sampled_from(
            ["error", "-", '"', "/", "@a.b", ":", ">=", "status", "since", "ms", "5m", "*", " ", "\\", "x"]
        ),
        max_size=12,
    ).map("".join)
)
def test_the_parser_accepts_or_explains_any_text(text: str) -> None:
    explained = None
    try:
        chosen = parse_filter(text)
    except InvalidFilter as error:
        explained = error
        chosen = parse_filter("")
    if explained is not None:
        assert 0 <= explained.position <= len(text)
        assert explained.message.endswith(".")
    given = [line(JSON), access(UVICORN), line(text), line(LOGFMT)]
    assert all(isinstance(chosen.matches_line(one), bool) for one in given)
    assert isinstance(chosen.matches_request(record()), bool)
    for term in chosen.terms:
        assert text[term.info.start :].startswith(term.info.text)


BOMBS = [
    ("/(a+)+$/", "a" * 65_536 + "b"),
    ("/(a|a)*b/", "a" * 65_536),
    ("/(.*)(.*)(.*)(.*)x$/", "y" * 65_536),
    (r"/[ab]*a[ab]{60}c/", "".join(Random(1).choices("ab", k=65_536))),
    ("/((a?){5}){20}b/", "a" * 65_536),
    ("a" * 199 + "b", "a" * 65_536),
    ("@a.b.c.d.e:1", '{"e":' * 13_000 + "1" + "}" * 13_000),
    ("@e:1", '{"e":' + "[" * 60_000 + "}"),
    ("@e:>1", '{"e":' + "9" * 60_000 + "}"),
    ("@e:*a*a*a*a*a*b", '{"e":"' + "a" * 60_000 + '"}'),
    ("@e:1", " e=" * 20_000),
    ("@e:1", 'e="' * 20_000),
    ("path:*a*a*a*a*b", '"GET /' + "a" * 8000 + ' HTTP/1.1" 200'),
    ("path:/x", '"GET /' * 10_000),
    ("path:/x", "GET /" * 13_000),
    ("status:200", '"GET /' + "a" * 65_000 + '" x'),
]


@pytest.mark.parametrize(("text", "message"), BOMBS)
def test_no_line_makes_a_filter_slow(text: str, message: str) -> None:
    chosen = parse_filter(text)
    given = line(message, source=Source.REQUEST)
    chosen.matches_line(given)
    took = []
    for _ in range(3):
        started = time.thread_time()
        chosen.matches_line(given)
        took.append(time.thread_time() - started)
    assert min(took) < 0.05


@pytest.mark.parametrize("text", ['"' + "\\" * 998, "/" * 1000, "-" * 1000, "a:" * 500, '"a' * 500, "/a\\" * 330])
def test_no_text_makes_the_parser_slow(text: str) -> None:
    took = []
    for _ in range(3):
        started = time.thread_time()
        with suppress(InvalidFilter):
            parse_filter(text)
        took.append(time.thread_time() - started)
    assert min(took) < 0.05


def test_a_batch_gives_what_its_lines_give() -> None:
    texts = [JSON, UVICORN, "plain", PINO, LOGFMT] * 8
    marks = bytes(at % len(MARKS) for at in range(len(texts)))
    batch = Batch("p", 11, list(range(NOW, NOW + len(texts))), marks, texts, {3: "abc", 4: "42"})
    facts = Resolved((1, 14, 20), {42: "abc"})
    for text in (
        "error",
        "-error plain",
        "path:/books",
        "req:42",
        "-reload:1",
        "reload:last",
        "@user.id:7",
        "/l/ -a",
        "stream:stderr",
    ):
        chosen: Filter = parse_filter(text).resolved(facts)
        expected = [at for at, one in enumerate(batch) if chosen.matches_line(one)]
        assert list(chosen.positions(batch)) == expected, text
