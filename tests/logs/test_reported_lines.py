"""Lines that a program reports besides its output: what it can do with them, and how they are stored and found."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio
from log_room import Room

from preview.core.clock import now_ms
from preview.logs import Contract, Level, LineFilter, LogStore, Source
from preview.logs.archive.archive import Archive
from preview.logs.archive.place import Folder
from preview.logs.filter import parse_filter
from preview.logs.ingest.recognise import Recogniser
from preview.logs.model.reported import MOST_REPORTED_BYTES, ReportedLine
from preview.logs.storage.archived import ArchivedLogs
from preview.logs.storage.archiving import archive_one

SECRET = "open-sesame-1234"


def line(text: str, time_ms: int = 0, request_id: str | None = None, level: Level = Level.INFO) -> ReportedLine:
    return ReportedLine(time_ms, level, text, request_id)


async def test_a_record_is_one_clean_line_of_a_limited_length(room: Room) -> None:
    log = room.log()
    log.hide([SECRET])
    hostile = "a\r\nb\rc\n\n\x1b]7473;req-forged\x1b\\d\x1b[2Je \ud800\0" + f" ?token=abcdefgh {SECRET}"
    # The secret lies across the cut.
    log.report([line(hostile), line("x" * (MOST_REPORTED_BYTES - 5) + SECRET), line("é" * 4000), line("\n" * 1000)])
    lines = log.last_lines(10)
    assert len(lines) == 4
    first = lines[0].message
    assert first.startswith("a b c  ")
    assert "\x1b" not in first
    assert "\0" not in first
    assert "forged" not in repr(lines)
    assert SECRET[:6] not in "".join(one.message for one in lines)
    assert "abcdefgh" not in first
    assert all(len(one.message.encode()) <= MOST_REPORTED_BYTES + 20 for one in lines)


async def test_reported_lines_keep_plausible_times_in_order_and_their_requests(room: Room, tmp_path: Path) -> None:
    log, now = room.log(), now_ms()
    times = [now - 20, now - 900, now + 10**6, 10**18, 0, -5, now - 10**7]
    log.say("ready")
    log.report([line(str(at), time_ms, f"req-{at}", Level.ERROR) for at, time_ms in enumerate(times)])
    with trio.fail_after(60):
        await log.settle(log.last_seq)
    stored = await room.store.read("preview_a", after=1, limit=100)
    assert stored == log.last_lines(len(times))
    assert [one.message for one in stored][:2] == ["1", "0"]
    assert [one.timestamp_ms for one in stored] == sorted(one.timestamp_ms for one in stored)
    assert stored[0].timestamp_ms == now - 900
    assert max(one.timestamp_ms for one in stored) <= now_ms()
    assert [one.request_id for one in stored] == [f"req-{one.message}" for one in stored]
    assert {(one.source, one.level) for one in stored} == {(Source.REPORTED, Level.ERROR)}

    archived = ArchivedLogs(room.database, Archive(Folder(tmp_path / "archive")))
    await archived.claim()
    await archive_one(archived, "preview_a")
    assert await LogStore(room.database, archived).read("preview_a", after=1, limit=100) == stored


@pytest.mark.parametrize(
    ("text", "messages"),
    [
        ("source:reported", ["from OpenTelemetry"]),
        ("-source:reported", ["the service", "printed"]),
        ("source:subprocess", ["printed", "from OpenTelemetry"]),
        # The word of the contract ``plan``, whose words are the ones that its document has.
        ("source:preview", ["printed", "from OpenTelemetry"]),
    ],
)
async def test_a_filter_tells_reported_lines_from_printed_ones(room: Room, text: str, messages: list[str]) -> None:
    log = room.log()
    log.say("the service")
    log.mark_ready()
    log._publish_output(["printed"], Recogniser())
    log.report([line("from OpenTelemetry")])
    await trio.lowlevel.checkpoint()
    chosen = LineFilter(terms=parse_filter(text))
    assert [one.message for one in log.backlog.find(chosen, first=1, last=3, limit=9, newest=False)] == messages
    assert [Source.REPORTED.word(one) for one in (Contract.V1, Contract.PLAN)] == ["subprocess", "preview"]
