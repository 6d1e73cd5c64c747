from __future__ import annotations

import json
import re
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from log_room import Room

from preview.core.ids import REQUEST_ID, new_check_id
from preview.http.contracts import ANSWERS
from preview.logs import Batch, Contract, LogSlice, encode_found
from preview.logs.delivery.backlog import Backlog
from preview.logs.ingest.framing import CONTINUES, LineFramer
from preview.logs.model.encoding import Encoding, Format
from preview.logs.model.events import take_marks
from preview.logs.model.filtering import LineFilter
from preview.logs.storage.journal import Journal, read_segments
from preview.logs.storage.rows import encode_batches, insert_rows
from preview.logs.storage.searching import find_lines

A = "preview_a"


def mark(request: str) -> bytes:
    return b"\x1b]7473;" + request.encode() + b"\x1b\\"


def framed(*chunks: bytes, limit: int = 4096) -> list[tuple[str, str | None]]:
    framer = LineFramer(limit, marks=True)
    lines = [line for chunk in chunks for line in framer.feed(chunk)] + framer.flush()
    requests = take_marks(lines)[0] if framer.has_marks else None
    return [(line, (requests or {}).get(position)) for position, line in enumerate(lines)]


def test_a_mark_in_front_of_a_line_is_its_request_and_is_taken_off() -> None:
    assert framed(mark("r1") + b"hello\nplain\n" + mark("r2") + b"\n") == [
        ("hello", "r1"),
        ("plain", None),
        ("", "r2"),
    ]


def test_a_mark_stands_for_all_parts_of_an_overlong_line() -> None:
    found = framed(mark("r1") + b"x" * 250 + b"\nafter\n", limit=100)
    assert [request for _, request in found] == ["r1", "r1", "r1", None]
    assert "".join(line.removesuffix(CONTINUES) for line, _ in found[:3]) == "x" * 250


def test_a_part_that_has_a_mark_of_its_own_keeps_it() -> None:
    framer = LineFramer(4096, marks=True)
    lines = framer.feed(mark("r1") + b"name? ") + framer.flush(final=False) + framer.feed(mark("r1") + b"Ada\n")
    assert take_marks(lines) == ({0: "r1", 1: "r1"}, [])
    assert lines == ["name? ", "Ada"]


def test_a_mark_stands_for_all_states_of_a_progress_bar() -> None:
    assert framed(mark("r1") + b"10%\r20%\nafter\n") == [("10%", "r1"), ("20%", "r1"), ("after", None)]


def test_what_follows_an_unfinished_line_has_its_request() -> None:
    framer = LineFramer(4096, marks=True)
    lines = framer.feed(mark("r1") + b"name? ") + framer.flush(final=False) + framer.feed(b"Ada\nnext\n")
    assert take_marks(lines) == ({0: "r1", 1: "r1"}, [])
    assert lines == ["name? ", "Ada", "next"]


@pytest.mark.parametrize(
    "line",
    [
        b"before " + mark("r1") + b"after",
        b"\x1b]7473;r1\x07before after",
        mark("") + b"before after",
        mark("a" * 65) + b"before after",
        mark("a b") + b"before after",
        mark('a"b') + b"before after",
        mark("ä") + b"before after",
        b"\x1b]7474;r1\x1b\\before after",
    ],
)
def test_what_is_not_exactly_a_mark_is_disarmed(line: bytes) -> None:
    assert framed(mark("r0") + b"first\n" + line + b"\n") == [("first", "r0"), ("before after", None)]


def test_colours_behind_a_mark_stay() -> None:
    assert framed(mark("r1") + b"\x1b[31mred\x1b[0m\x00\n") == [("\x1b[31mred\x1b[0m␀", "r1")]


def test_a_framer_that_was_not_asked_keeps_no_marks() -> None:
    framer = LineFramer(4096)
    assert framer.feed(mark("r1") + b"hello\n") == ["hello"]
    assert not framer.has_marks


@given(
    st.lists(
        st.tuples(st.none() | st.from_regex(r"[A-Za-z0-9.~-]{1,64}", fullmatch=True), st.text("ab\t é", max_size=9))
    ),
    st.integers(1, 40),
)
def test_marks_are_found_whatever_the_borders_of_chunks(lines: list[tuple[str | None, str]], step: int) -> None:
    data = b"".join((b"" if one is None else mark(one)) + text.encode() + b"\n" for one, text in lines)
    chunks = [data[at : at + step] for at in range(0, len(data), step)]
    assert framed(*chunks) == [(text, request) for request, text in lines]


@given(st.lists(st.sampled_from([b"\r", b"\n", b"\x1b]7473;", b"\x1b\\", b"", mark("r2"), b"a", b"b" * 30])))
def test_whatever_is_forged_no_escape_but_colours_gets_through(pieces: list[bytes]) -> None:
    framer = LineFramer(60, marks=True)
    lines = framer.feed(mark("r1") + b"\n")
    for piece in pieces:
        lines += framer.flush(final=False) if not piece else framer.feed(piece)
    lines += framer.flush()
    requests = take_marks(lines)[0] or {}
    for line, request in ((line, requests.get(at)) for at, line in enumerate(lines)):
        assert "\x1b" not in re.sub(r"\x1b\[[0-9;:]{0,64}m", "", line)
        assert request is None or re.fullmatch(REQUEST_ID, request)


def made(first: int = 1) -> Batch:
    return Batch(A, first, [5, 6, 7], b"\1\1\1", ["one", "two", "three"], {1: "r2"})


def test_only_lines_with_a_request_have_the_key() -> None:
    for contract, key in ((Contract.V1, "request_id"), (Contract.PLAN, "requestId")):
        events = made().encoded(Encoding(contract)).decode().split("\n\n")[:-1]
        found = [json.loads(event.partition("data: ")[2]) for event in events]
        assert [one.get(key) for one in found] == [None, "r2", None]
        assert list(found[1]) == [*found[0], key]


def test_a_filtered_line_keeps_its_request() -> None:
    encoding = Encoding(Contract.V1, Format.NDJSON, LineFilter(q="t"))
    found = [json.loads(line) for line in made().encoded(encoding).splitlines()]
    assert [(one["message"], one.get("request_id")) for one in found] == [("two", "r2"), ("three", None)]


def test_a_filter_by_request_passes_its_lines_only() -> None:
    chosen = LineFilter(request_id="r2")
    assert not chosen.is_open
    found = made().encoded(Encoding(Contract.V1, Format.NDJSON, chosen)).splitlines()
    assert [json.loads(line)["seq"] for line in found] == [2]
    assert [line.seq for line in made() if chosen.passes(line)] == [2]
    assert made().encoded(Encoding(Contract.V1, Format.NDJSON, LineFilter(request_id="r2", q="three"))) == b""
    without = Batch(A, 1, [5], b"\1", ["one"])
    assert without.encoded(Encoding(Contract.V1, Format.NDJSON, chosen)) == b""


async def test_a_filter_by_request_finds_the_stored_lines_that_it_finds_in_memory(room: Room) -> None:
    room.writer.offer(made())
    await room.writer.flush(A)
    backlog = Backlog(max_lines=100, max_bytes=100_000)
    backlog.append(made())
    for request_id, seqs in (("r2", [2]), ("R2", []), ("r", [])):
        chosen = LineFilter(request_id=request_id)
        look = partial(find_lines, preview_id=A, chosen=chosen, first=1, last=3, limit=9, newest=False)
        assert [line.seq for line in (await room.database.read(look)).lines] == seqs
        assert [line.seq for line in backlog.find(chosen, first=1, last=3, limit=9, newest=False)] == seqs


async def test_lines_of_health_checks_are_left_out_in_memory_and_in_the_database_but_errors_are_not(room: Room) -> None:
    ids = {0: "ab.check", 1: "ab.check", 2: "ab.CHECK", 3: "check", 5: new_check_id()}
    batch = Batch(A, 1, [5] * 6, b"\1\3\1\1\1\1", [f"line {at}" for at in range(6)], ids)
    room.writer.offer(batch)
    await room.writer.flush(A)
    chosen = LineFilter(checks=False)
    assert not chosen.is_open
    assert [line.seq for line in batch if chosen.passes(line)] == [2, 3, 4, 5]
    look = partial(find_lines, preview_id=A, chosen=chosen, first=1, last=6, limit=9, newest=False)
    assert [line.seq for line in (await room.database.read(look)).lines] == [2, 3, 4, 5]


def test_a_part_of_a_batch_keeps_its_requests() -> None:
    assert made().after(1).requests == {0: "r2"}
    assert made().after(2).requests is None
    assert made().bare().requests == {1: "r2"}
    assert made().size_bytes > Batch(A, 1, [5, 6, 7], b"\1\1\1", ["one", "two", "three"]).size_bytes


async def test_requests_are_stored_and_read_back(room: Room) -> None:
    plain = Batch(A, 4, [8], b"\1", ["four"])
    longest = Batch(A, 5, [9, 9], b"\1\1", ["\tü😀\u2028", ""], {0: "a" * 64, 1: "~"})
    for batch in (made(), plain, longest):
        room.writer.offer(batch)
    await room.writer.flush(A)
    lines = await room.store.read(A, after=0, limit=10)
    assert [line.request_id for line in lines] == [None, "r2", None, None, "a" * 64, "~"]
    assert [line.message for line in lines] == ["one", "two", "three", "four", "\tü😀\u2028", ""]


async def test_a_run_without_requests_is_stored_without(room: Room) -> None:
    for run in (await encode_batches([Batch(A, 1, [8], b"\1", ["one"])]), await encode_batches([made(5)])):
        await room.database.write(partial(insert_rows, runs=run))
    lines = await room.store.read(A, after=0, limit=10)
    assert [line.request_id for line in lines] == [None, None, "r2", None]


def test_the_journal_keeps_requests_and_reads_records_from_before(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    plain = Batch(A, 4, [8], b"\1", ["four"])
    journal.append(made())
    journal.append(plain)
    journal.close()
    [(path, batches)] = read_segments(tmp_path)
    assert [line for batch in batches for line in batch] == [*made(), *plain]
    # What has no requests is written as it always was.
    assert path.read_bytes().count(b"PVJ1") == path.read_bytes().count(b"PVJ2") == 1


@pytest.mark.parametrize("contract", Contract)
async def test_pages_of_memory_and_database_name_requests_alike(room: Room, contract: Contract) -> None:
    room.writer.offer(made())
    await room.writer.flush(A)
    stored = await room.database.read(
        lambda connection: find_lines(connection, A, LineFilter(), first=1, last=3, limit=9, newest=True)
    )
    in_memory = [made().line_at(index) for index in range(3)]
    assert list(stored.lines) == in_memory == made().lines
    page = LogSlice(list(stored.lines), [], 1, 3, 1, 3)
    lines = ANSWERS[contract].log_page.of(page, colours=False, following=None, previous=None).dumped()["lines"]
    key = "requestId" if contract is Contract.PLAN else "request_id"
    assert [line.get(key, "none") for line in lines] == ["none", "r2", "none"]
    assert f'"{key}": "r2"'.encode() in encode_found(in_memory, contract)
