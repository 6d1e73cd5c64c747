"""Secrets in output: in one read or several, in overlong lines, and at a bounded cost."""

from __future__ import annotations

import json
import time
from itertools import pairwise
from urllib.parse import quote

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from log_room import MakeRoom, Room
from test_output_pipes import next_messages, running

from preview.logs.ingest.framing import CONTINUES, LineFramer
from preview.logs.ingest.masking import MASK, SecretMask

SECRET = "sk_live_4eC39HqLyjWDarjt"
# They overlap: one begins with the other, and one ends as another begins.
SECRETS = ["abcabd", "abcabdabc", "bdxxab", "é-é-é-é"]


def mask_of(*values: str) -> SecretMask:
    mask = SecretMask()
    mask.add(values)
    return mask


def framed(chunks: list[bytes], mask: SecretMask, most: int = 4096, *, pauses: bool = False) -> list[str]:
    framer, lines = LineFramer(most, mask=mask), []
    for chunk in chunks:
        lines += framer.feed(chunk)
        if pauses:
            lines += framer.flush(final=False)
    return lines + framer.flush()


def cut(data: bytes, places: list[int]) -> list[bytes]:
    borders = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[start:end] for start, end in pairwise(borders)]


TEXT = st.lists(st.sampled_from([*SECRETS, "abc", "a", "bd", "x", "é-", " ", "\n", "\r", "longer text "]), max_size=40)
PLACES = st.lists(st.integers(0, 1000), max_size=12)


@given(TEXT, PLACES, st.integers(16, 40))
def test_no_line_has_a_secret_wherever_the_reads_end_and_however_long_the_line_is(
    pieces: list[str], places: list[int], most: int
) -> None:
    data = "".join(pieces).encode()
    lines = framed(cut(data, places), mask_of(*SECRETS), most)
    text = "\n".join(lines).replace(CONTINUES + "\n", "")
    assert not any(secret in text for secret in SECRETS)
    whole = framed([data], mask_of(*SECRETS), most)
    assert "\n".join(whole).replace(CONTINUES + "\n", "") == text


@given(TEXT, PLACES)
def test_output_without_secrets_is_framed_as_without_a_mask(pieces: list[str], places: list[int]) -> None:
    chunks = cut("".join(pieces).encode(), places)
    assert framed(chunks, mask_of("QQQQQQ"), 30) == framed(chunks, SecretMask(), 30)


@given(st.integers(3, len(SECRET) - 1), st.integers(0, 40))
def test_a_pause_within_a_secret_does_not_show_its_parts(at: int, before: int) -> None:
    chunks = [b"x" * before + SECRET[:at].encode(), SECRET[at:].encode() + b" end\n"]
    shown = "".join(framed(chunks, mask_of(SECRET), pauses=True))
    assert shown == "x" * before + f"{MASK} end"


def test_a_prompt_that_begins_like_a_secret_waits_without_work_and_is_shown_at_the_end() -> None:
    framer = LineFramer(4096, mask=mask_of(SECRET))
    assert framer.feed(b"give sk_") == []
    assert framer.flush(final=False) == ["give "]
    assert not framer.has_pending
    assert framer.flush() == ["sk_"]


def test_forms_of_a_value_are_masked_and_others_are_not() -> None:
    value = 'pä"ss/wo rd\nsecond line of it'
    mask = mask_of(value, "short")
    printed = [json.dumps({"a": value}), json.dumps(value, ensure_ascii=False), quote(value, safe=""), value]
    (dumped, unicode, in_url, *lines) = framed(["\n".join(printed).encode()], mask)
    assert (dumped, unicode, in_url, lines) == (f'{{"a": "{MASK}"}}', f'"{MASK}"', MASK, [MASK, MASK])
    others = [value[::-1].partition("\n")[0], "pä - ss/wo rd", "short"]
    assert framed(["\n".join(others).encode()], mask) == others


def test_too_many_secrets_drop_the_oldest() -> None:
    mask = SecretMask()
    mask.add(["first-of-all", *(f"{number:04d}" + "x" * 4000 for number in range(80)), "last-of-all"])
    assert mask.dropped
    assert framed([b"first-of-all last-of-all"], mask) == [f"first-of-all {MASK}"]


def test_secrets_of_requests_are_dropped_before_those_of_the_launch() -> None:
    mask = mask_of("value-of-the-launch")
    mask.add(["value-of-the-launch"], sent=True)
    for number in range(3):
        mask.add([f"{number:04d}" + "/ü" * 8000], sent=True)
    mask.add(["value-of-a-request"], sent=True)
    assert mask.dropped
    assert framed([b"value-of-the-launch value-of-a-request"], mask) == [f"{MASK} {MASK}"]


def test_the_cost_does_not_grow_with_the_number_of_secrets_or_with_hostile_output() -> None:
    hostile = mask_of(*("a" * length + "b" for length in range(300, 800)))
    for data in (b"a" * 2_000_000, (b"a" * 700 + b"\n") * 3000, (b"a" * 700 + b"b\n") * 3000):
        framer, begun = LineFramer(64 * 1024, mask=hostile), time.process_time()
        for start in range(0, len(data), 65536):
            framer.feed(data[start : start + 65536])
            framer.flush(final=False)
        # 15 ms on a quiet machine.
        assert time.process_time() - begun < 1


async def test_a_child_that_prints_secrets_is_masked_in_what_is_stored_and_sent(room: Room) -> None:
    log = room.log()
    log.hide([SECRET])
    code = f"import sys; s={SECRET!r}; print('key', s); sys.stdout.write(s[:9]); input(); print(s[9:]); print(s[::-1])"
    with trio.fail_after(10):
        async with running(log, code) as child:
            assert await next_messages(log, 0) == [f"key {MASK}"]
            assert child.stdin is not None
            child.stdin.write(b"\n")
            child.stdin.flush()
    assert [line.message for line in log.last_lines(9)] == [f"key {MASK}", MASK, SECRET[::-1]]
    log.say(f"the service quotes {SECRET}")
    assert log.last_lines(1)[0].message == f"the service quotes {MASK}"


async def test_the_mask_can_be_switched_off(make_room: MakeRoom) -> None:
    log = make_room(log_mask_secrets=False).log()
    log.hide([SECRET])
    log.say(SECRET)
    assert log.last_lines(1)[0].message == SECRET


# Addresses of requests, as servers print them

QUERIES = [
    "token=S", "access_token=S&x=1", "api_key=S", "pass%77ord=S", "user[password]=S", "url=mysql%3A//u%3AS%40h/d",
    "sig=S", "q=%7B%22secret%22%3A%22S%22%7D", "client_secret=S%20S", "session_id=S", "x=1&session=S&state=1&code=S",
    "x=eyJhbGciOiJIUzI1NiJ9.S.c2lnbmF0dXJl", "pin=S", "b;jsessionid=S",
    "bearer=S", "accesscode=S", "password=it's-S", "x=1\\u0026token=S", "password=a;S;", "x=1;token=S", "token=a\\S",
    f"{'k' * 150}_token=S",
]  # fmt: skip
WORD = "zq7hiddenword"


def printed(query: str) -> bytes:
    return f'INFO: 127.0.0.1:4711 - "GET /books?page=2&{query.replace("S", WORD)} HTTP/1.1" 200 OK'.encode()


@pytest.mark.parametrize("query", QUERIES)
@pytest.mark.parametrize("end", [b"", b"\n"])
@pytest.mark.parametrize("pauses", [True, False])
def test_the_secrets_of_a_printed_address_are_masked_and_all_else_stays(query: str, end: bytes, pauses: bool) -> None:
    data = printed(query) + end
    for at in range(len(data)):
        shown = "\n".join(framed([data[:at], data[at:]], SecretMask(queries=True), pauses=pauses))
        assert WORD not in shown.replace("\n", ""), at
        if not pauses:
            assert shown.startswith('INFO: 127.0.0.1:4711 - "GET /books?page=2&')
            assert shown.endswith(' HTTP/1.1" 200 OK')


@given(
    st.lists(
        st.sampled_from([*(printed(one).decode() for one in QUERIES), "?", "&", "a=b", " ", "\n", "\r", "?token="])
    ),
    PLACES,
)
def test_no_read_and_no_length_of_a_line_shows_a_word_of_an_address(pieces: list[str], places: list[int]) -> None:
    data = "".join(pieces).encode()
    lines = framed(cut(data, places), SecretMask(queries=True), 60)
    assert WORD not in "\n".join(lines).replace(CONTINUES + "\n", "")
    assert lines == framed([data], SecretMask(queries=True), 60)


@pytest.mark.parametrize(
    "line",
    [
        "?token=42", "?max_tokens=100", "?code=de", "?page=1&q=what is a token?", "Continue? [y/n]", "a ? b : c=1",
        "?author=anna&monkey=1", "see https://example.com/?q=%22quoted%22", "eyJ is how they begin", "?x=50%25",
    ],
)  # fmt: skip
def test_what_is_no_secret_is_shown(line: str) -> None:
    assert framed([line.encode() + b"\n"], SecretMask(queries=True)) == [line]


def test_a_prompt_with_a_question_mark_is_shown_at_once() -> None:
    framer = LineFramer(4096, mask=SecretMask(queries=True))
    assert framer.feed(b"Which port?") == []
    assert framer.flush(final=False) == ["Which port?"]


@pytest.mark.timed
@pytest.mark.parametrize(
    "data",
    [b"?" * 1_000_000, b"&a" * 500_000, b"?" + b"a" * 1_000_000, b"?token=" * 150_000, b"eyJ" * 330_000,
     b"?a=" + b"%" * 1_000_000, b"?a=%22token" * 90_000, (b"?" + b"a" * 63) * 15_000,
     (b"?" + b"a" * 255) * 4_000, b"?token=" + b";" * 1_000_000, b"?a=" + b"\\" * 1_000_000,
     b"?a=" + b"\\u0026" * 160_000, b"?token=" + b";a" * 500_000, b"?token=" + (b";" + b"a" * 250) * 4_000],
)  # fmt: skip
def test_no_output_makes_the_search_for_addresses_slow(data: bytes) -> None:
    started = time.perf_counter()
    SecretMask(queries=True).masked(data)
    assert time.perf_counter() - started < 1
