from __future__ import annotations

import os
import resource
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from limit_kit import limited
from log_room import MakeRoom
from structlog.testing import capture_logs

from preview.logs import Batch, Journal, LogWriter, open_journal, recover_lines, run_log_writer
from preview.logs.storage import journal as journal_module
from preview.logs.storage.journal import read_segments

A, B = "preview_a", "preview_b"


def batch(first: int, *messages: str, preview_id: str = A) -> Batch:
    lines = messages or ("x",)
    return Batch(preview_id, first, [1000 + first] * len(lines), b"\x01" * len(lines), list(lines))


def held(folder: Path) -> list[tuple[str, int, list[str]]]:
    return [
        (one.preview_id, one.first_seq, list(one.messages)) for _, batches in read_segments(folder) for one in batches
    ]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "journal"


@pytest.fixture
def journal(folder: Path) -> Iterator[Journal]:
    with open_journal(folder) as opened:
        yield opened


_lines = st.text(st.characters(exclude_characters="\n", exclude_categories=["Cs"]), max_size=20)
_batches = st.lists(st.lists(st.tuples(_lines, st.integers(-(2**62), 2**62)), min_size=1, max_size=5), max_size=5)


@given(_batches)
def test_what_is_appended_is_read_again(
    tmp_path_factory: pytest.TempPathFactory, contents: list[list[tuple[str, int]]]
) -> None:
    folder = tmp_path_factory.mktemp("journal")
    journal, seq, expected = Journal(folder), 1, []
    for lines in contents:
        made = Batch(A, seq, [stamp for _, stamp in lines], bytes(len(lines)), [text for text, _ in lines])
        journal.append(made)
        expected += list(made)
        seq += len(lines)
    assert [line for _, read in read_segments(folder) for one in read for line in one] == expected
    journal.close()


def test_nothing_is_left_of_what_is_settled(journal: Journal, folder: Path) -> None:
    journal.append(batch(1))
    journal.append(batch(1, preview_id=B))
    journal.release(lambda preview_id, seq: preview_id == A)
    assert len(held(folder)) == 2
    journal.release(lambda preview_id, seq: True)
    assert held(folder) == []


def test_a_long_journal_is_let_go_file_by_file(journal: Journal, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal_module, "_SEGMENT_BYTES", 100)
    for number in range(1, 21):
        journal.append(batch(number, "y" * 40))
    assert len(list(folder.iterdir())) == 10
    journal.release(lambda preview_id, seq: seq <= 10)
    assert [first for _, first, _ in held(folder)] == list(range(11, 21))


def test_a_record_that_was_cut_short_ends_the_reading(journal: Journal, folder: Path) -> None:
    journal.append(batch(1, "whole"))
    journal.append(batch(2, "cut"))
    (path,) = folder.iterdir()
    os.truncate(path, path.stat().st_size - 1)
    assert held(folder) == [(A, 1, ["whole"])]


def test_a_full_disk_loses_no_line_that_was_kept(journal: Journal, folder: Path) -> None:
    journal.append(batch(1, "before"))
    with capture_logs() as said, limited(resource.RLIMIT_FSIZE, journal.size_bytes + 50):
        journal.append(batch(2, "z" * 500))
    journal.append(batch(3, "after"))
    assert held(folder) == [(A, 1, ["before"]), (A, 3, ["after"])]
    assert [entry["reason"] for entry in said] == ["No space left on device"]


def test_a_journal_that_cannot_be_made_keeps_nobody_waiting(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    journal = Journal(tmp_path / "file" / "journal")
    journal.append(batch(1))
    journal.release(lambda preview_id, seq: True)
    journal.close()


async def test_a_line_is_in_the_journal_before_anybody_is_told(
    make_room: MakeRoom, journal: Journal, folder: Path
) -> None:
    room = make_room()
    room.writer = LogWriter(room.database, room.settings, journal)
    log = room.log()
    with log.subscribe() as subscription:
        log.say("told")
        assert held(folder) == [(A, 1, ["told"])]
        assert [event.messages for event in await subscription.receive() if isinstance(event, Batch)] == [["told"]]


async def test_what_is_stored_leaves_the_journal(
    make_room: MakeRoom, journal: Journal, folder: Path, nursery: trio.Nursery
) -> None:
    room = make_room()
    await room.add_preview(A)
    writer = LogWriter(room.database, room.settings, journal)
    await nursery.start(run_log_writer, writer)
    with trio.fail_after(60):
        writer.offer(batch(1, "one", "two"))
        assert held(folder) == [(A, 1, ["one", "two"])]
        await writer.flush(A)
        await trio.testing.wait_all_tasks_blocked()
    assert held(folder) == []


async def test_lines_of_a_killed_service_are_stored_by_the_next(make_room: MakeRoom, folder: Path) -> None:
    room = make_room()
    await room.add_preview(A)
    journal = Journal(folder)
    journal.append(batch(1, "one", "two"))
    journal.append(batch(1, "of a preview without a row", preview_id=B))
    journal.append(batch(3, "three"))
    journal.close()
    assert await recover_lines(folder, room.database) == 3
    assert [line.message for line in await room.store.read(A, after=0, limit=10)] == ["one", "two", "three"]
    assert held(folder) == []


async def test_lines_that_were_stored_already_are_there_once(make_room: MakeRoom, folder: Path) -> None:
    room = make_room()
    await room.add_preview(A)
    for _ in range(2):
        journal = Journal(folder)
        journal.append(batch(1, "one"))
        journal.close()
        await recover_lines(folder, room.database)
    assert [line.seq for line in await room.store.read(A, after=0, limit=10)] == [1]


async def test_lines_that_the_database_did_not_take_at_the_end_wait_for_the_next_start(
    sqlite_database_url: str, make_room: MakeRoom, folder: Path, nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    room = make_room()
    if not room.database.is_sqlite:
        pytest.skip("the lock is SQLite's")
    await room.add_preview(A)
    with closing(sqlite3.connect(str(room.database.engine.url.database), isolation_level=None)) as rival:
        monkeypatch.setattr("preview.logs.storage.writer._LAST_WRITE_S", 0.1)
        with open_journal(folder) as journal:
            rival.execute("BEGIN IMMEDIATE")
            writer = LogWriter(room.database, room.settings, journal)
            with trio.CancelScope() as scope:
                async with trio.open_nursery() as own:
                    await own.start(run_log_writer, writer)
                    writer.offer(batch(1, "late"))
                    scope.cancel()
                    rival.execute("ROLLBACK")
    await recover_lines(folder, room.database)
    assert [line.message for line in await room.store.read(A, after=0, limit=10)] == ["late"]
