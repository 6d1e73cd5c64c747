"""Lines of standard error: marked in the one pipe, in order, stored, filtered and shown; forgers first."""

from __future__ import annotations

import json
import re
from functools import partial
from itertools import pairwise
from pathlib import Path

import pytest
import trio.testing
from hypothesis import given
from hypothesis import strategies as st
from log_room import Room

from preview.http.contracts import ANSWERS
from preview.logs import Batch, Contract, Level, LineFilter, LogLine, LogSlice, encode_found
from preview.logs.filter import parse_filter
from preview.logs.ingest.framing import LineFramer
from preview.logs.ingest.masking import SecretMask
from preview.logs.model.encoding import Encoding, Format
from preview.logs.model.events import STDERR, STORED_SOURCES, Source, take_marks
from preview.logs.shipping.targets import json_lines, syslog_lines
from preview.logs.storage.journal import Journal, read_segments
from preview.logs.storage.searching import find_lines

A = "preview_a"
E = b"\x1b]7473;;2\x1b\\"
R1, R1E = b"\x1b]7473;r1\x1b\\", b"\x1b]7473;r1;2\x1b\\"
Framed = tuple[str, str | None, bool]


def framed(*chunks: bytes, limit: int = 4096) -> list[Framed]:
    framer = LineFramer(limit, marks=True)
    lines = [line for chunk in chunks for line in framer.feed(chunk)] + framer.flush()
    requests, errors = take_marks(lines) if framer.has_marks else (None, [])
    return [(line, (requests or {}).get(at), at in errors) for at, line in enumerate(lines)]


def of(*lines: str, error: bool = True) -> list[Framed]:
    return [(line, None, error) for line in lines]


@pytest.mark.parametrize(
    "wrong",
    [
        b"before " + E + b"after",
        E.replace(b"\x1b\\", b"\x07") + b"before after",
        E.replace(b";2", b";1") + b"before after",
        E.replace(b";2", b";22") + b"before after",
        E.replace(b";2", b";2;2") + b"before after",
        E.replace(b";;", b"; ;") + b"before after",
        E.replace(b"7473", b"74730") + b"before after",
        b"\x1b]7473;\x1b\\before after",
        b"\x1b]7473;r1;\x1b\\before after",
        b"\x1b]7473;" + b"a" * 65 + b";2\x1b\\before after",
        "\x1b]7473;ä;2\x1b\\before after".encode(),
        b"\x9d7473;;2\x9cbefore after".replace(b"\x9d", "\x9d".encode()).replace(b"\x9c", "\x9c".encode()),
    ],
)
def test_any_other_spelling_marks_nothing(wrong: bytes) -> None:
    first, second = framed(E + b"first\n" + wrong + b"\n")
    assert first == ("first", None, True)
    assert second[1:] == (None, False)
    assert "\x1b" not in second[0]


@pytest.mark.parametrize("start", [b"\x1b]7473;;2", b"\x1b]7473;", b"\x1b]7473;r1;2\x1b", b"\x1b]7473;;2\x1b]7473;;2"])
def test_a_mark_that_never_ends_takes_no_line_with_it(start: bytes) -> None:
    found = framed(E + b"first\n", start, b"word\n", b"x" * 9000 + b"\n", E + b"last\n")
    assert found[0] == ("first", None, True)
    assert found[-1] == ("last", None, True)
    assert not any(error for _, _, error in found[1:-1])
    assert "".join(line for line, *_ in found).count("x") == 9000


def test_a_flood_of_marks_is_one_line_and_its_memory_is_bounded() -> None:
    framer = LineFramer(4096, marks=True)
    lines: list[str] = []
    for _ in range(200):
        lines += framer.feed(E * 100)
        assert len(framer._pending) <= 4096
    lines += framer.feed(b"\n" + E + b"next\n")
    assert len(lines) < 200 * 100 * len(E) / 4096 + 3
    _, errors = take_marks(lines)
    assert lines[-1] == "next"
    assert errors[-1] == len(lines) - 1


def test_a_mark_within_a_character_ends_neither_the_line_nor_another_character() -> None:
    assert framed(b"a\xc3" + E + b"\xa9b\n" + E + "é\n".encode()) == [
        ("a\ufffd\ufffdb", None, False),
        ("é", None, True),
    ]


@pytest.mark.parametrize("cut", range(len(R1E) + 2))
def test_a_mark_at_a_line_s_limit_marks_that_line_at_most(cut: int) -> None:
    found = framed(b"x" * (100 - cut) + R1E + b"y" * 30 + b"\nplain\n", limit=100)
    assert found[-1] == ("plain", None, False)
    assert not re.search("[\x00-\x1f]", "".join(line for line, *_ in found))
    assert not found[0][2]


@pytest.mark.parametrize("cut", range(1, len(R1E) + 1))
def test_an_early_read_cuts_no_mark(cut: int) -> None:
    framer = LineFramer(4096, marks=True)
    lines = framer.feed(R1E + b"first\n" + R1E[:cut])
    assert not framer.flush(final=False)
    lines += framer.feed(R1E[cut:] + b"a")
    lines += framer.flush(final=False)
    lines += framer.feed(E[:cut])
    lines += framer.flush(final=False)
    lines += framer.feed(E[cut:] + b"\n")
    assert take_marks(lines) == ({0: "r1", 1: "r1"}, [0, 1])
    assert lines == ["first", "a"]


def test_a_secret_in_two_parts_is_masked() -> None:
    mask = SecretMask()
    mask.add(["top-secret-word"])
    data = E + b"it is top-sec" + E + b"ret-word" + E + b"\n" + E + b"next\n"
    for cut in range(data.index(b"-sec"), data.index(b"next")):
        framer = LineFramer(4096, marks=True, mask=mask)
        lines = framer.feed(data[:cut]) + framer.flush(final=False) + framer.feed(data[cut:])
        take_marks(lines)
        assert "sec" not in "".join(lines)
        assert lines[-1] == "next"


def test_a_mark_stands_for_all_parts_of_a_line_and_all_states_of_a_progress_bar() -> None:
    assert [error for *_, error in framed(E + b"x" * 250 + b"\nafter\n", limit=100)] == [True] * 3 + [False]
    assert framed(E + b"\r" + E + b"10%", b"\r" + E + b"20%\n", b"after\n") == [
        *of("10%", "20%"),
        *of("after", error=False),
    ]
    assert framed(R1 + b"\r10%\r20%\n") == [("10%", "r1", False), ("20%", "r1", False)]
    assert framed(E + b"\r", b"\n" + E + b"\n") == of("", "")


def test_a_line_is_of_the_stream_that_began_it() -> None:
    assert framed(b"out " + E + b"error\n") == of("out error", error=False)
    assert framed(R1E + b"error\n" + R1 + b"out\n" + E + b"\n") == [
        ("error", "r1", True),
        ("out", "r1", False),
        ("", None, True),
    ]


@given(
    st.lists(
        st.tuples(
            st.booleans(),
            st.none() | st.from_regex(r"[A-Za-z0-9.~-]{1,9}", fullmatch=True),
            st.text("ab\t é\u2028", max_size=9),
        )
    ),
    st.lists(st.integers(0, 400)),
)
def test_lines_of_both_streams_keep_their_order_and_stream_wherever_reads_end(
    lines: list[tuple[bool, str | None, str]], cuts: list[int]
) -> None:
    data = b""
    for error, request, text in lines:
        if error or request is not None:
            data += b"\x1b]7473;" + (request or "").encode() + (b";2" if error else b"") + b"\x1b\\"
        data += text.encode() + b"\n"
    edges = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    chunks = [data[start:end] for start, end in pairwise(edges)]
    assert framed(*chunks) == [(text, request, error) for error, request, text in lines]


@given(
    st.lists(
        st.sampled_from(
            [b"\r", b"\n", b"\x1b]7473;", b";2", b"\x1b\\", b"", E, R1E, b"a", "é".encode(), b"\xc3", b"b" * 30]
        )
    )
)
def test_whatever_is_forged_no_escape_gets_through(pieces: list[bytes]) -> None:
    framer = LineFramer(60, marks=True)
    lines = framer.feed(E + b"\n")
    for piece in pieces:
        lines += framer.flush(final=False) if not piece else framer.feed(piece)
    lines += framer.flush()
    take_marks(lines)
    assert not any("\x1b" in line or "\n" in line for line in lines)


def made() -> Batch:
    marks = bytes([1, 1 + STDERR, 3 + STDERR, 1])
    return Batch(A, 1, [5, 6, 7, 8], marks, ["one", "two", "three", "four"], {1: "r2", 3: "r2"})


STREAMS = [None, "stderr", "stderr", None]


async def test_the_log_of_a_process_tells_its_streams_apart(room: Room) -> None:
    log = room.log()
    send, receive = trio.testing.memory_stream_pair()
    await send.send_all(b"out\n" + E + b"Traceback (most recent call last):\n" + E + b"ValueError\n" + R1E + b"in\n")
    await send.aclose()
    await log.read_output(receive)
    log.mark_ready()
    found = [(one.message, one.is_stderr, one.source, one.level.name) for one in log.last_lines(9)]
    assert found == [
        ("out", False, Source.STARTUP, "INFO"),
        ("Traceback (most recent call last):", True, Source.STARTUP, "ERROR"),
        ("ValueError", True, Source.STARTUP, "ERROR"),
        ("in", True, Source.STARTUP, "INFO"),
    ]


@pytest.mark.parametrize("contract", Contract)
@pytest.mark.parametrize("form", Format)
def test_only_lines_of_standard_error_have_the_key(contract: Contract, form: Format) -> None:
    text = made().encoded(Encoding(contract, form)).decode()
    found = [json.loads(one) for one in re.findall(r"\{.*\}", text)]
    assert [one.get("stream") for one in found] == STREAMS
    assert [one["source"] for one in found] == ["preview" if contract is Contract.PLAN else "subprocess"] * 4
    lines = made().lines
    page = ANSWERS[contract].log_page.of(
        LogSlice(list(lines), [], 1, 4, 1, 4), colours=False, following=None, previous=None
    )
    assert [one.get("stream") for one in page.dumped()["lines"]] == STREAMS
    assert [json.loads(one).get("stream") for one in encode_found(lines, contract).splitlines()] == STREAMS


async def test_streams_are_stored_and_found_as_in_memory(room: Room) -> None:
    assert all(len(one) <= 16 for one in STORED_SOURCES), "the column's width"
    room.writer.offer(made())
    await room.writer.flush(A)
    assert await room.store.read(A, after=0, limit=9) == list(made())
    for text, seqs in (
        ("stream:stderr", [2, 3]),
        ("stream:stdout", [1, 4]),
        ("-stream:stderr", [1, 4]),
        ("source:subprocess", [1, 2, 3, 4]),
        ("stream:stderr level:error", [3]),
    ):
        chosen = LineFilter(terms=parse_filter(text))
        for newest in (False, True):
            look = partial(find_lines, preview_id=A, chosen=chosen, first=1, last=4, limit=9, newest=newest)
            assert (await room.database.read(look)).lines == [one for one in made() if one.seq in seqs]
        assert [line.seq for line in made() if chosen.passes(line)] == seqs


def test_journal_archive_and_shipped_logs_keep_streams(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.append(made())
    journal.close()
    [(_, [batch])] = read_segments(tmp_path)
    assert list(batch) == list(made())
    assert [json.loads(one).get("stream") for one in json_lines(made()).splitlines()] == STREAMS
    assert syslog_lines(made()).count(b' stream="stderr"') == 2


def test_a_line_knows_its_mark() -> None:
    assert bytes(line.mark for line in made()) == made().marks
    assert LogLine(1, 0, Level.ERROR, Source.SYSTEM, "x").mark < STDERR
