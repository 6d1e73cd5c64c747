from __future__ import annotations

import pytest
import trio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from log_room import MakeRoom, Room, end_of
from sqlalchemy import Connection, insert

from preview.errors import DatabaseUnavailable
from preview.logs import EVERYTHING, Batch, Gap, Level, LineFilter, LogPager, PreviewLog, Range, Source, run_log_writer
from preview.logs.delivery.log_pages import _WINDOW_LINES
from preview.logs.model.events import MARKS
from preview.logs.storage import store as pages_module
from preview.logs.storage.searching import find_lines
from preview.logs.storage.store import read_events
from preview.storage.engine import make_engine
from preview.storage.tables import preview_instances, preview_logs

LETTERS = "aAkK\u212aéÉß%_\\'\x1b[1m\u2028\U0001f600 x"
ROWS = st.lists(st.tuples(st.sampled_from(range(len(MARKS))), st.text(LETTERS, max_size=8)), min_size=1, max_size=25)
FILTERS = st.builds(
    LineFilter,
    level=st.sampled_from(Level),
    sources=st.none() | st.frozensets(st.sampled_from(Source), min_size=1),
    q=st.text(LETTERS, max_size=2),
)


def stored(room: Room, *, last_seq: int | None = None, preview_id: str = "preview_a") -> LogPager:
    async def settle(seq: int | None) -> None:
        await room.writer.flush(preview_id, up_to=seq)

    return LogPager(room.store, preview_id, live=None, last_seq=last_seq, settle=settle)


def living(room: Room, log: PreviewLog) -> LogPager:
    async def settle(seq: int | None) -> None:
        await room.writer.flush(log.preview_id, up_to=seq)

    return LogPager(room.store, log.preview_id, live=log, last_seq=None, settle=settle)


async def put(room: Room, *seqs: int) -> None:
    for seq in seqs:
        room.writer.offer(Batch("preview_a", seq, [seq], bytes([1]), [f"line {seq}"]))
    await room.writer.flush("preview_a")


async def seqs(look: LogPager, asked: Range, chosen: LineFilter = EVERYTHING) -> list[int]:
    return [line.seq for line in (await look.page(asked, chosen)).lines]


def found_by_sql(connection: Connection, rows: list[tuple[int, str]], chosen: LineFilter) -> list[int]:
    with connection.begin() as transaction:
        owner = {
            "id": "p", "generation_id": "g", "project_id": "p", "user_id": "u", "status": "running",
            "health_status": "unknown", "created_at": 0, "expires_at": 0, "token_hash": "", "token_expires_at": 0,
            "log_level": "ERROR",
        }  # fmt: skip
        connection.execute(insert(preview_instances).values(owner))
        lines = [
            {
                "preview_id": "p", "seq": seq, "timestamp": 0, "level": MARKS[mark][0].value,
                "source": MARKS[mark][1].value, "message": text,
            }
            for seq, (mark, text) in enumerate(rows, 1)
        ]  # fmt: skip
        connection.execute(insert(preview_logs), lines)
        found = find_lines(connection, "p", chosen, first=1, last=len(rows), limit=1000, newest=False)
        transaction.rollback()
    assert found.gaps == []
    return [line.seq for line in found.lines]


@pytest.mark.long
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=ROWS, chosen=FILTERS)
def test_a_filter_in_memory_gives_the_lines_that_it_gives_in_sql(
    database_url: str, rows: list[tuple[int, str]], chosen: LineFilter
) -> None:
    engine = make_engine(database_url)
    try:
        with engine.connect() as connection:
            got = found_by_sql(connection, rows, chosen)
    finally:
        engine.dispose()
    batch = Batch("p", 1, [0] * len(rows), bytes([mark for mark, _ in rows]), [text for _, text in rows])
    assert got == [1 + index for index in chosen.positions(batch.columns)]
    assert got == [line.seq for line in batch if chosen.passes(line)]


async def test_a_page_goes_forward_or_back_and_stays_in_order(room: Room) -> None:
    await put(room, *range(1, 31))
    look = stored(room)
    assert await seqs(look, Range(limit=3)) == [1, 2, 3]
    assert await seqs(look, Range(after=28, limit=3)) == [29, 30]
    assert await seqs(look, Range(newest=True, before=10, limit=3)) == [7, 8, 9]
    assert await seqs(look, Range(newest=True, after=7, before=10, limit=3)) == [8, 9]
    assert await seqs(look, Range(newest=True, before=2, limit=3)) == [1]
    assert await seqs(look, Range(after=30)) == []
    assert await seqs(look, Range(newest=True, before=1000, limit=2)) == [29, 30]


async def test_a_page_names_what_is_missing_among_what_it_looked_at(room: Room) -> None:
    await put(room, 3, 4, 7, 8)
    page = await stored(room, last_seq=10).page(Range(), EVERYTHING)
    assert page.gaps == [Gap(1, 2, "retention"), Gap(5, 6, "lost"), Gap(9, 10, "lost")]
    assert (page.first, page.last, page.first_kept, page.last_seq) == (1, 10, 3, 10)
    filtered = await stored(room, last_seq=10).page(Range(after=4), LineFilter(q="line 8"))
    assert [line.seq for line in filtered.lines] == [8]
    assert filtered.gaps == [Gap(5, 6, "lost"), Gap(9, 10, "lost")]


async def test_a_log_of_which_nothing_is_left_is_one_gap(room: Room) -> None:
    page = await stored(room, last_seq=5).page(Range(), EVERYTHING)
    assert (page.lines, page.gaps, page.first_kept) == ([], [Gap(1, 5, "lost")], 0)
    empty = await stored(room).page(Range(), EVERYTHING)
    assert (empty.lines, empty.gaps, empty.first, empty.last) == ([], [], 1, 0)


async def test_pages_of_a_filter_go_on_where_they_looked_last(room: Room) -> None:
    await put(room, *range(1, 41))
    look, chosen = stored(room), LineFilter(q="line 3")
    forward: list[int] = []
    after = 0
    while True:
        page = await look.page(Range(after=after, limit=4), chosen)
        forward += [line.seq for line in page.lines]
        after = page.last
        if page.last >= page.last_seq:
            break
    assert forward == [3, *range(30, 40)]
    back: list[int] = []
    before = 41
    while before > 1:
        page = await look.page(Range(newest=True, before=before, limit=4), chosen)
        back = [line.seq for line in page.lines] + back
        before = page.first
    assert back == forward


@pytest.mark.parametrize("max_lines", [1, 7, 1000])
async def test_a_preview_that_runs_is_read_from_memory_and_database_alike(
    make_room: MakeRoom, nursery: trio.Nursery, max_lines: int
) -> None:
    room = make_room(max_log_lines=max_lines)
    await room.add_preview("preview_a")
    await nursery.start(run_log_writer, room.writer)
    log = room.log()
    for number in range(1, 31):
        log.say(f"line {number}")
    look = living(room, log)
    assert await seqs(look, Range()) == list(range(1, 31))
    assert await seqs(look, Range(after=20, limit=6)) == list(range(21, 27))
    assert await seqs(look, Range(newest=True, before=31, limit=25)) == list(range(6, 31))
    assert await seqs(look, Range(newest=True, before=5, limit=2)) == [3, 4]
    assert await seqs(look, Range(newest=True, after=21, before=25)) == [22, 23, 24]
    assert await seqs(look, Range(), LineFilter(q="LINE 3")) == [3, 30]
    assert await seqs(look, Range(newest=True, before=31, limit=1), LineFilter(q="line 2")) == [29]
    page = await look.page(Range(), EVERYTHING)
    assert (page.gaps, page.first_kept, page.last_seq) == ([], 1, 30)
    log.finish(end_of("preview_a"))
    assert await seqs(living(room, log), Range()) == list(range(1, 31))


async def test_a_page_ends_where_lines_left_memory_while_the_database_was_asked(
    make_room: MakeRoom, nursery: trio.Nursery
) -> None:
    room = make_room(max_log_lines=5)
    await room.add_preview("preview_a")
    await nursery.start(run_log_writer, room.writer)
    log = room.log()

    def say(count: int) -> None:
        for _ in range(count):
            log.say("x")

    say(10)

    async def settle(seq: int | None) -> None:
        await room.writer.flush("preview_a", up_to=seq)
        say(10)

    page = await LogPager(room.store, "preview_a", live=log, last_seq=None, settle=settle).page(Range(), EVERYTHING)
    assert (page.first, page.last) == (1, 5)


async def test_a_rare_match_is_looked_for_window_by_window(room: Room) -> None:
    far = 3 * _WINDOW_LINES
    for first in range(1, far, 10_000):
        room.writer.offer(Batch("preview_a", first, [0] * 10_000, bytes([1]) * 10_000, ["x"] * 10_000))
    await room.writer.flush("preview_a")
    look = stored(room)
    page = await look.page(Range(), LineFilter(q="never"))
    assert (page.lines, page.first, page.last) == ([], 1, _WINDOW_LINES)
    page = await look.page(Range(newest=True, before=far + 1), LineFilter(q="never"))
    assert (page.lines, page.first, page.last) == ([], far - _WINDOW_LINES + 1, far)


async def test_a_database_that_does_not_take_the_lines_is_said(
    make_room: MakeRoom, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages_module, "_SETTLE_S", 0.01)
    room = make_room(max_log_lines=1)
    await room.add_preview("preview_a")
    log = room.log()
    log.say("a")
    log.say("b")
    with pytest.raises(DatabaseUnavailable):
        await living(room, log).page(Range(), EVERYTHING)


async def test_a_page_of_very_long_lines_is_cut_and_nothing_is_missing(room: Room) -> None:
    for seq in range(1, 101):
        room.writer.offer(Batch("preview_a", seq, [seq], bytes([1]), ["x" * 60_000]))
        if not seq % 20:
            await room.writer.flush("preview_a", up_to=seq)
    look, most = stored(room, last_seq=100), 60
    found: list[int] = []
    while len(found) < 100:
        page = await seqs(look, Range(after=len(found)))
        assert 0 < len(page) < most
        found += page
    assert found == list(range(1, 101))
    newest = await look.page(Range(before=101, newest=True), EVERYTHING)
    assert (newest.last, newest.first) == (100, newest.lines[0].seq)
    assert 0 < len(newest.lines) < most
    events = await read_events(room.store, "preview_a", expected=1, below=101)
    assert len(events) == 1
    assert events[0].last_seq < most
