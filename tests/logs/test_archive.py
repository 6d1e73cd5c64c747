"""Archived logs: damaged and hostile files, a kill between the steps, and the same answers as the database."""

from __future__ import annotations

import json
import random
import struct
from pathlib import Path
from typing import Any

import pytest
import zstandard
from archive_kit import Logs, end_all_leases, lines
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Connection, select

from preview.core.bounded_dict import BoundedDict
from preview.errors import ConfigurationError, DatabaseUnavailable
from preview.logs import EVERYTHING, LineFilter, LogStore
from preview.logs.archive import form
from preview.logs.archive.archive import Archive, missing
from preview.logs.archive.form import DamagedFile, Packer, find_lines, index_position, read_index, read_lines, unpack
from preview.logs.archive.owner import MARK
from preview.logs.archive.place import Bucket, Folder, name_of, place_at
from preview.logs.filter import parse_filter
from preview.logs.model.batch import StoredLine
from preview.logs.model.events import LEVELS, STORED_SOURCES, Level, Source
from preview.logs.storage import archiving
from preview.logs.storage.archived import ArchivedLogs
from preview.logs.storage.archiving import archive_one, sweep
from preview.storage.tables import archived_logs, preview_instances

_TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\n"), max_size=20)


def packed(rows: list[StoredLine]) -> bytes:
    packer = Packer()
    data = b"".join(packer.add(rows))
    return data + packer.finish()[0]


def files(folder: Path) -> set[str]:
    return {one.name for one in (folder / "archive").iterdir()}


def archive_with(folder: Path, data: bytes) -> Archive:
    archive = Archive(Folder(folder))
    archive.place.write(name_of("preview_a"), [data])
    return archive


@pytest.mark.parametrize("cut", [0, 1, 10, 16, 40, 200])
def test_a_cut_file_is_damaged_and_says_so(tmp_path: Path, cut: int) -> None:
    data = packed(lines(50))
    archive = archive_with(tmp_path, data[: len(data) - cut - 1] if cut else b"")
    with pytest.raises(DatabaseUnavailable, match="cannot be read"):
        archive.page("preview_a", after=0, limit=10, below=None)


@given(st.binary(max_size=200))
def test_no_bytes_are_taken_for_an_index_or_a_frame(data: bytes) -> None:
    with pytest.raises(DamagedFile):
        read_index(data)
    with pytest.raises(DamagedFile):
        unpack(data)


def test_hostile_files_need_no_memory(tmp_path: Path) -> None:
    # A frame that unpacks to 1 GiB of zeros is some 30 KB.
    big = zstandard.ZstdCompressor().compress(bytes(64 * 1024 * 1024))
    with pytest.raises(DamagedFile, match="too large"):
        unpack(big)
    # An index that is said to have a whole disk.
    tail = struct.pack("<IIQ", 0x184D2A50, 8, 0)
    with pytest.raises(DamagedFile, match="no index"):
        index_position(tail, 10**15)
    for text in (b'{"seq":1}', b"[1]", b"{", b'{"seq":1,"timestamp":1,"level":"LOUD","source":"x","message":""}'):
        with pytest.raises(DamagedFile):
            read_lines(text)
    with pytest.raises(ConfigurationError, match="absolute path"):
        place_at("relative/folder")
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(ConfigurationError, match="cannot be used"):
        place_at(str(file))


_LINES = st.tuples(
    _TEXTS, st.sampled_from(LEVELS), st.sampled_from(STORED_SOURCES), st.integers(0, 2), st.integers(-1, 2)
)


def rows_of(given_lines: list[tuple[str, Level, str, int, int]]) -> list[StoredLine]:
    rows: list[StoredLine] = []
    seq, timestamp = 0, 1_795_857_220_000
    for text, level, source, skipped, later_ms in given_lines:
        seq, timestamp = seq + 1 + skipped, timestamp + later_ms
        rows.append((seq, timestamp, int(level), source, text, text or None))
    return rows


@given(st.lists(_LINES, min_size=1, max_size=30))
def test_what_is_packed_is_unpacked(given_lines: list[tuple[str, Level, str, int, int]]) -> None:
    rows = rows_of(given_lines)
    data = packed(rows)
    at = index_position(data[-16:], len(data))
    index = read_index(data[at:-16])
    assert [row for one in index.frames for row in read_lines(unpack(data[one.offset : one.offset + one.size]))] == rows


def test_lines_that_are_alike_and_texts_that_come_again_far_apart_are_both_small(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A search of near matches only would make the texts five times larger; one of far matches, the lines by 5 %."""
    chance = random.Random(7)
    alike = [
        json.dumps({"event": "query", "user": chance.randrange(2000), "id": f"{chance.getrandbits(64):016x}", "at": at})
        for at in range(4_000)
    ]
    texts = [[f'  File "{chance.getrandbits(99):x}.py", line {at}' for at in range(120)] for _ in range(8)]
    apart = [line for _ in range(30) for line in chance.choice(texts)]
    sizes: dict[bool, list[int]] = {}
    for is_chosen in (True, False):
        if not is_chosen:
            monkeypatch.setattr(form, "_SEARCHES", form._SEARCHES[1:])
        sizes[is_chosen] = [
            len(
                packed(
                    [(seq + 1, 1, int(Level.INFO), "child.preview", text, None) for seq, text in enumerate(messages)]
                )
            )
            for messages in (alike, apart)
        ]
    assert sizes[True][0] < 0.97 * sizes[False][0]
    assert sizes[True][1] <= sizes[False][1]


_TRICKS = ('{"seq":7,"x', '"timestamp":1,', '\\"timestamp\\":9,', "\\", '"}\n{"seq":1,"t', "needle", "NEEDLE", "")


@given(st.lists(st.tuples(st.sampled_from(_TRICKS), st.sampled_from(_TRICKS), st.integers(0, 2), st.integers(-1, 2))))
def test_a_found_line_has_the_number_and_the_time_it_was_printed_with(tricks: list[tuple[str, str, int, int]]) -> None:
    """No text of a preview is taken for a number or a time of the file."""
    rows = rows_of([(first + last, Level.INFO, Source.REQUEST.value, seq, at) for first, last, seq, at in tricks])
    data = packed(rows)
    index = read_index(data[index_position(data[-16:], len(data)) : -16])
    found = [find_lines(unpack(data[one.offset : one.offset + one.size]), b"needle") for one in index.frames]
    assert [row for part in found for row in part or ()] == [row for row in rows if "needle" in row[4].lower()]


def test_lines_of_an_earlier_form_are_read() -> None:
    old = b"".join(
        b'{"seq":%d,"timestamp":5,"level":"INFO","source":"system.startup","message":"needle"}\n' % seq
        for seq in (4, 9)
    )
    assert [row[:2] for row in read_lines(old)] == [(4, 5), (9, 5)]
    assert find_lines(old, b"needle") == read_lines(old)


async def test_the_archive_answers_as_the_database_did(logs: Logs) -> None:
    filters = [
        EVERYTHING,
        LineFilter(level=Level.WARNING),
        LineFilter(sources=frozenset({Source.REQUEST})),
        LineFilter(q="books 2"),
        LineFilter(q='red "'),
        LineFilter(q="\u212a"),
        LineFilter(request_id="req-3"),
        LineFilter(terms=parse_filter("books -200")),
        LineFilter(terms=parse_filter("/err.r/ OR plain")),
    ]
    ranges = [(1, 300, 1000), (5, 120, 20), (250, 300, 3), (99, 101, 5)]

    async def answers(store: LogStore) -> list[Any]:
        found: list[Any] = [await store.bounds(logs.preview_id), await store.tail(logs.preview_id, 5)]
        for after, limit, below in ((0, 10, None), (5, 1000, 50), (299, 10, None), (300, 10, None)):
            page = await store.read_page(logs.preview_id, after=after, limit=limit, below=below)
            found.append(([line for batch in page.batches for line in batch], page.first_kept, page.full))
        for chosen in filters:
            for first, last, limit in ranges:
                for newest in (False, True):
                    hits = await store.find(logs.preview_id, chosen, first=first, last=last, limit=limit, newest=newest)
                    found.append((list(hits.lines), list(hits.gaps), hits.first, hits.last))
        return found

    before = await answers(logs.plain)
    await archive_one(logs.archived, logs.preview_id)
    assert await logs.stored() == 0
    assert await answers(logs.store) == before


@pytest.mark.parametrize("step", ["write", "note", "clear", "half cleared"])
async def test_a_kill_between_the_steps_loses_no_line(
    logs: Logs, monkeypatch: pytest.MonkeyPatch, step: str, tmp_path: Path
) -> None:
    class Killed(BaseException):
        """The process is gone."""

    def kill(*_: object, **__: object) -> Any:
        raise Killed

    async def kill_later(*_: object, **__: object) -> None:
        raise Killed

    if step == "write":
        monkeypatch.setattr(Path, "replace", kill)
    elif step == "note":
        monkeypatch.setattr(archiving, "_note", kill)
    elif step == "clear":
        monkeypatch.setattr(archiving, "_clear", kill_later)
    else:
        monkeypatch.setattr(archiving, "_DELETE_LINES", 50)
        delete_part, count = archiving._delete_part, iter(range(100))

        def twice(connection: Connection, *, preview_id: str, last: int) -> bool:
            return kill() if next(count) == 2 else delete_part(connection, preview_id=preview_id, last=last)

        monkeypatch.setattr(archiving, "_delete_part", twice)
    with pytest.raises(Killed):
        await archive_one(logs.archived, logs.preview_id)
    monkeypatch.undo()
    # The next start.
    await end_all_leases(logs.database)
    archived = ArchivedLogs(logs.database, Archive(Folder(tmp_path / "archive")))
    store = LogStore(logs.database, archived)
    page = await store.read_page(logs.preview_id, after=0, limit=1000)
    assert [line.seq for batch in page.batches for line in batch] == [row[0] for row in logs.rows]
    cleared = select(archived_logs.c.is_cleared)
    if await logs.database.read(lambda connection: connection.scalar(cleared)) is None:
        await archive_one(archived, logs.preview_id)
    else:
        await archiving._clear(archived, logs.preview_id)
    assert await logs.stored() == 0
    again = await store.read_page(logs.preview_id, after=0, limit=1000)
    assert again.batches[0].messages == page.batches[0].messages
    assert files(tmp_path) == {name_of(logs.preview_id), MARK}


async def test_files_of_deleted_previews_are_removed_and_nothing_else(logs: Logs, tmp_path: Path) -> None:
    await archive_one(logs.archived, logs.preview_id)
    (tmp_path / "archive" / "notes.txt").write_text("mine")
    assert await sweep(logs.archived) == 0
    await logs.database.write(lambda connection: connection.execute(preview_instances.delete()))
    assert await sweep(logs.archived) == 1
    assert files(tmp_path) == {"notes.txt", MARK}


def test_lines_before_between_and_after_are_missing(tmp_path: Path) -> None:
    index = archive_with(tmp_path, packed(lines(20, frozenset({1, 5, 6})))).index("preview_a")
    assert list(missing(index, 1, 25)) == [(1, 1), (5, 6), (21, 25)]
    assert list(missing(index, 6, 20)) == [(6, 6)]
    assert json.loads(zstandard.ZstdDecompressor().stream_reader(packed(lines(1))).read())["seq"] == 1


def test_one_thread_at_a_time_changes_the_indexes_in_memory(tmp_path: Path) -> None:
    """Two that remove the oldest one at once would remove the same one: an error for a reader."""
    archive, locked = archive_with(tmp_path, packed(lines(20))), []

    class Watched(BoundedDict[str, form.Index]):
        def __setitem__(self, key: str, value: form.Index) -> None:
            locked.append(archive._lock.locked())
            super().__setitem__(key, value)

    archive._indexes = Watched(1)
    archive.index("preview_a")
    archive.forget("preview_a")
    assert archive.index("preview_a").lines == 20
    assert locked == [True, True]


def test_a_bucket_that_is_not_there_is_an_archive_that_does_not_answer(bucket: str) -> None:
    place = place_at(bucket.replace("logs/", "none/"))
    for ask in (
        lambda: place.write("a", [b"text"]),
        lambda: place.read("a", 0, 1),
        lambda: place.size("a"),
        lambda: list(place.names()),
    ):
        with pytest.raises(DatabaseUnavailable):
            ask()


async def test_a_bucket_of_an_s3_compatible_store_is_a_place(bucket: str, logs: Logs) -> None:
    place = place_at(bucket)
    assert isinstance(place, Bucket)
    archived = ArchivedLogs(logs.database, Archive(place))
    store = LogStore(logs.database, archived)
    before = await logs.plain.find(logs.preview_id, LineFilter(q="books"), first=1, last=300, limit=50, newest=True)
    await archive_one(archived, logs.preview_id)
    assert await logs.stored() == 0
    assert await store.find(logs.preview_id, LineFilter(q="books"), first=1, last=300, limit=50, newest=True) == before
    assert [one for part in place.names() for one in part] == [name_of(logs.preview_id)]
    place.remove(name_of(logs.preview_id))
    place.remove(name_of(logs.preview_id))
    with pytest.raises(DatabaseUnavailable):
        place.size(name_of(logs.preview_id))
    assert [one for part in place.names() for one in part] == []
