from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from preview.core.escapes import without_escapes
from preview.logs import (
    EVERYTHING,
    KEEP_ALIVE,
    Batch,
    Contract,
    Encoding,
    End,
    Format,
    Gap,
    Level,
    LineFilter,
    Received,
    Source,
    StatusChange,
    StreamEncoder,
    encode,
    expired,
    messages,
)
from preview.logs.model.encode import MESSAGE_BYTES
from preview.logs.model.events import MARKS, mark_of

TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\n\r"), max_size=20)
ROWS = st.lists(st.tuples(st.sampled_from(range(len(MARKS))), TEXTS), min_size=1, max_size=30)
FILTERS = st.builds(
    LineFilter,
    level=st.sampled_from(Level),
    sources=st.none() | st.frozensets(st.sampled_from(Source), min_size=1),
    q=st.text("aAkK\u212aé", max_size=2),
)
LINES = Encoding(Contract.V1, Format.NDJSON)
ERRORS = LineFilter(level=Level.ERROR)


def objects(chunk: bytes) -> list[dict[str, Any]]:
    return [json.loads(line) for line in chunk.split(b"\n") if line]


def batch_of(*texts: str, first: int = 1, level: Level = Level.INFO) -> Batch:
    mark = mark_of(level, Source.PREVIEW.value)
    return Batch("preview_a", first, [1_760_962_805_123] * len(texts), bytes([mark]) * len(texts), texts)


def test_a_line_of_ndjson_is_one_object_with_its_number() -> None:
    assert (
        encode([batch_of("hé", first=17)], LINES)
        == (
            '{"type": "line", "seq": 17, "timestamp": "2025-10-20T12:20:05.123Z", "level": "INFO", '
            '"message": "hé", "source": "subprocess"}\n'
        ).encode()
    )


def test_what_is_no_line_says_its_type_in_ndjson() -> None:
    events: list[Received] = [
        StatusChange("preview_a", "running", "healthy", None, 0),
        Gap(3, 9, "retention"),
        End("preview_a", "stopped", "over", 0, None, 0),
    ]
    status, gap, end = objects(encode(events, LINES))
    assert (status["type"], status["status"]) == ("status", "running")
    assert gap == {"type": "gap", "first": 3, "last": 9, "reason": "retention"}
    assert (end["type"], end["exit_code"]) == ("end", 0)
    assert objects(expired(Format.NDJSON)) == [{"type": "expired"}]


@given(ROWS, FILTERS, st.sampled_from(Contract), st.integers(1, 10**12))
def test_a_filter_gives_the_lines_that_pass_with_their_own_numbers(
    rows: list[tuple[int, str]], chosen: LineFilter, contract: Contract, first: int
) -> None:
    marks, texts = zip(*rows, strict=True)
    batch = Batch("preview_a", first, [0] * len(rows), bytes(marks), texts)
    wanted = [line for line in batch if chosen.passes(line)]
    kept = objects(encode([batch], Encoding(contract, Format.NDJSON, chosen, colours=True)))
    assert [(one["seq"], one["message"]) for one in kept] == [(line.seq, line.message) for line in wanted]
    got = objects(encode([batch], Encoding(contract, Format.NDJSON, chosen)))
    assert [(one["seq"], one["message"]) for one in got] == [
        (line.seq, without_escapes(line.message)) for line in wanted
    ]
    frames = encode([batch], Encoding(contract, Format.SSE, chosen))
    assert [int(frame[4 : frame.index(b"\n")]) for frame in frames.split(b"\n\n")[:-1]] == [one["seq"] for one in got]


@pytest.mark.parametrize(
    ("q", "text", "is_found"),
    [
        ("get /", "GET /books", True),
        ("GET", "get", True),
        ("é", "É", False),
        ("É", "É", True),
        ("k", "\u212a", False),
        ("\u212a", "k", False),
        ("ss", "ß", False),
        (".*", "abc", False),
        ("100%_", "at 100%_ now", True),
        ("\x1b[32m", "\x1b[32mok", True),
        ("info: here", "\x1b[32mINFO\x1b[0m: here", True),
        ("[32m", "\x1b[32mINFO\x1b[0m: here", False),
    ],
)
def test_case_is_ignored_for_the_letters_of_ascii_only(q: str, text: str, is_found: bool) -> None:
    batch = batch_of(text)
    assert LineFilter(q=q).passes(batch.lines[0]) is is_found
    assert bool(LineFilter(q=q).positions(batch.columns)) is is_found


COLOURED = "\x1b[32mINFO\x1b[0m: here"


@pytest.mark.parametrize("form", Format)
@pytest.mark.parametrize("contract", Contract)
@pytest.mark.parametrize("chosen", [EVERYTHING, LineFilter(q="here")])
def test_colours_stay_for_those_who_want_them_only(form: Format, contract: Contract, chosen: LineFilter) -> None:
    batch = batch_of(COLOURED, "here")
    plain, kept = Encoding(contract, form, chosen), Encoding(contract, form, chosen, colours=True)
    assert b'"INFO: here"' in batch.encoded(plain)
    assert b'"\\u001b[32mINFO\\u001b[0m: here"' in batch.encoded(kept)
    # Each of the two is made once.
    assert batch.encoded(plain) is batch.encoded(Encoding(contract, form, chosen))
    assert batch.encoded(kept) is batch.encoded(Encoding(contract, form, chosen, colours=True))


def test_lines_without_colours_are_the_same_bytes_for_everybody() -> None:
    batch = batch_of("a", "\\u001b[32m", "é")
    plain = batch.encoded(LINES)
    assert batch.encoded(Encoding(Contract.V1, Format.NDJSON, colours=True)) is plain
    assert b'"\\\\u001b[32m"' in plain


def test_a_form_with_colours_counts_as_another_one() -> None:
    assert Encoding(Contract.V1, colours=True) != Encoding(Contract.V1)
    assert Encoding(Contract.V1, colours=True).plain == Encoding(Contract.V1)
    batch = batch_of(*[COLOURED] * 50)
    for contract in Contract:
        for form in Format:
            for colours in (False, True):
                batch.encoded(Encoding(contract, form, colours=colours))
    assert batch.size_bytes + sum(map(len, batch._encoded.values())) <= batch.held_bytes


def test_a_filter_that_lets_all_pass_is_open() -> None:
    assert EVERYTHING.is_open
    assert LineFilter(sources=frozenset(Source)).is_open
    assert not LineFilter(level=Level.INFO).is_open
    assert not LineFilter(q="a").is_open


def test_what_a_batch_keeps_of_its_forms_stays_within_what_it_says_it_holds() -> None:
    batch = batch_of(*["x" * 200] * 50)
    for number in range(100):
        batch.encoded(Encoding(Contract.V1, filter=LineFilter(q="x" * (number + 1))))
    for contract in Contract:
        for form in Format:
            batch.encoded(Encoding(contract, form))
    kept = sum(map(len, batch._encoded.values()))
    assert batch.size_bytes + kept <= batch.held_bytes
    assert len(batch._encoded) <= 8


def test_filters_do_not_push_out_the_form_that_everybody_watches() -> None:
    batch = batch_of(*["x" * 200] * 50)
    whole = batch.encoded(Encoding(Contract.V1))
    for number in range(100):
        batch.encoded(Encoding(Contract.V1, filter=LineFilter(q="x" * (number + 1))))
    assert batch.encoded(Encoding(Contract.V1)) is whole


def test_the_same_filter_is_applied_once_however_many_have_it() -> None:
    batch = batch_of("a", "b")
    assert batch.encoded(Encoding(Contract.V1, filter=LineFilter(q="a"))) is batch.encoded(
        Encoding(Contract.V1, filter=LineFilter(q="a"))
    )


@given(st.lists(st.integers(0, 300_000), min_size=1, max_size=12))
def test_websocket_messages_hold_every_event_once_and_are_bounded(sizes: list[int]) -> None:
    chunk = encode([batch_of(*["x" * size for size in sizes])], LINES)
    made = list(messages(chunk))
    events = [event for message in made for event in json.loads(message)]
    assert events == objects(chunk)
    assert all(len(message) <= MESSAGE_BYTES + 1 or len(json.loads(message)) == 1 for message in made)
    assert list(messages(b"")) == []


def test_a_filter_that_matches_nothing_says_now_and_then_how_far_it_is() -> None:
    sender = StreamEncoder(Encoding(Contract.V1, filter=ERRORS))
    quiet = [sender.encode([batch_of(*["x"] * 100, first=1 + 100 * turn)]) for turn in range(20)]
    assert [chunk for chunk in quiet if chunk] == [b"id: 1000\n\n", b"id: 2000\n\n"]


def test_a_pause_says_how_far_a_filter_is_and_then_only_that_it_is_alive() -> None:
    sender = StreamEncoder(Encoding(Contract.V1, filter=ERRORS))
    assert sender.encode([batch_of("x", "y")]) == b""
    assert sender.idle() == b"id: 2\n\n"
    assert sender.idle() == KEEP_ALIVE


def test_a_client_that_was_sent_the_last_line_needs_no_more_to_be_told() -> None:
    sender = StreamEncoder(Encoding(Contract.V1, filter=ERRORS))
    sender.encode([batch_of("x")])
    sender.encode([batch_of("bad", first=2, level=Level.ERROR)])
    assert not sender.is_ahead
    sender.encode([batch_of("x", first=3), Gap(4, 7, "lost")])
    assert not sender.is_ahead
    assert sender.seen_seq == 7


def test_what_keeps_ndjson_alive_says_how_far_it_is() -> None:
    sender = StreamEncoder(LINES, start_seq=4)
    assert objects(sender.idle()) == [{"type": "progress", "seq": 4}]
