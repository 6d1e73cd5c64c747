"""Failure records: collected from logs, grouped, with source, within bounds, stored."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
import trio
from log_room import MakeRoom, Room, end_of
from trio.testing import MemorySendStream, memory_stream_one_way_pair

from preview.errors import DatabaseUnavailable
from preview.logs import PreviewLog, StatusChange
from preview.logs.failures.collector import FailureCollector, open_failures
from preview.logs.failures.groups import MAX_OCCURRENCES
from preview.logs.failures.model import FailureRecord, Frame
from preview.logs.failures.source import read_source
from preview.logs.failures.store import FailureStore
from preview.logs.failures.watch import MOST_LINES
from preview.storage import Database


@dataclass
class Live:
    """A preview as the collector sees it, and the pipe of its process."""

    id: str
    log: PreviewLog
    directory: Path | None
    pipe: MemorySendStream

    async def print(self, text: str) -> None:
        await self.pipe.send_all(text.encode())
        await trio.testing.wait_all_tasks_blocked()

    def reload(self, number: int) -> None:
        self.log.publish_status(StatusChange(self.id, "running", "healthy", None, 1, (), number))


@pytest.fixture
async def collector(room: Room) -> AsyncIterator[FailureCollector]:
    async with open_failures(room.database, room.settings) as collector:
        yield collector


@pytest.fixture
async def live(room: Room, collector: FailureCollector, tmp_path: Path, nursery: trio.Nursery) -> Live:
    return await start(room, collector, tmp_path / "files", nursery)


async def start(room: Room, collector: FailureCollector, folder: Path, nursery: trio.Nursery) -> Live:
    await trio.Path(folder).mkdir()
    send, receive = memory_stream_one_way_pair()
    one = Live("preview_a", room.log(), folder, send)
    collector.watch(one)
    nursery.start_soon(one.log.read_output, receive)
    return one


async def records_of(collector: FailureCollector, count: int) -> tuple[Sequence[FailureRecord], int, int]:
    """Return the records, once they have so many failures: the machine may be busy."""
    with trio.fail_after(10):
        while True:
            found = await collector.records("preview_a")
            if sum(one.count for one in found[0]) + found[1] >= count:
                return found
            await trio.sleep(0.01)


async def stored_in(room: Room, count: int) -> Sequence[FailureRecord]:
    """Return the stored records, once they have so many occurrences."""
    with trio.fail_after(5):
        while True:
            records, _, _ = await FailureStore(room.database).load("preview_a")
            if sum(one.count for one in records) >= count:
                return records
            await trio.sleep(0.01)


def trace(
    folder: Path, *, name: str = "app.py", line: int = 2, code: str = "x = d[k]", said: str = "KeyError: 1"
) -> str:
    return f'Traceback (most recent call last):\n  File "{folder / name}", line {line}, in f\n    {code}\n{said}\n'


def for_request(text: str, request: str) -> str:
    return "".join(f"\x1b]7473;{request}\x1b\\{line}\n" for line in text.splitlines())


async def test_a_record_has_source_lines_and_occurrences_and_is_stored(
    live: Live, collector: FailureCollector, room: Room
) -> None:
    folder = live.directory
    assert folder is not None
    (folder / "app.py").write_text("def f(d, k):\n    x = d[k]\n    return x\n")
    await live.print("fine\n" + trace(folder) + "INFO:     still fine\n")
    (record,), further, unread = await records_of(collector, 1)
    assert record.frame == Frame("app.py", 2, "f", "x = d[k]", is_own=True)
    assert record.source is not None
    assert record.source.lines == ("def f(d, k):", "    x = d[k]", "    return x", "")
    assert (record.first.first_seq, record.first.last_seq, record.first.reload) == (2, 5, 0)
    assert (record.count, further, unread) == (1, 0, 0)

    live.reload(3)
    (folder / "app.py").write_text("# new\ndef f(d, k):\n    x = d[k]\n    return x\n")
    await live.print(trace(folder, line=3, said="KeyError: 2"))
    (record,), _, _ = await records_of(collector, 2)
    assert [(one.reload, one.message) for one in record.occurrences] == [(0, "1"), (3, "2")]
    assert record.frame is not None
    assert record.frame.line == 3

    live.log.finish(end_of("preview_a"))
    assert await stored_in(room, count=2) == [record]


async def test_interleaved_lines_of_requests_are_taken_apart(live: Live, collector: FailureCollector) -> None:
    folder = live.directory
    assert folder is not None
    one = for_request(trace(folder), "r1").splitlines(keepends=True)
    two = for_request(trace(folder, code="y = d.z", said="AttributeError: z"), "r2").splitlines(keepends=True)
    await live.print("".join(line for pair in zip(one, two, strict=True) for line in pair))
    records, _, _ = await records_of(collector, 2)
    assert {(one.type, one.first.request_id) for one in records} == {("KeyError", "r1"), ("AttributeError", "r2")}


async def test_a_failure_that_a_request_prints_twice_counts_once(live: Live, collector: FailureCollector) -> None:
    folder = live.directory
    assert folder is not None
    await live.print(for_request("ERROR it failed\n" + trace(folder) + "ERROR again\n" + trace(folder), "r1"))
    (record,), _, _ = await records_of(collector, 1)
    assert (record.count, record.first.first_seq, record.first.last_seq) == (1, 2, 10)


async def test_a_traceback_that_arrives_in_parts_is_one(live: Live, collector: FailureCollector) -> None:
    folder = live.directory
    assert folder is not None
    text = trace(folder) + "\nThe above exception was the direct cause of the following exception:\n\n" + trace(
        folder, code="raise X from e", said="X: no"
    )  # fmt: skip
    for line in text.splitlines(keepends=True):
        await live.print(line)
    (record,), _, _ = await records_of(collector, 1)
    assert [one.type for one in record.exceptions] == ["X", "KeyError"]


async def test_a_program_that_is_held_up_within_a_traceback_has_one_failure(
    live: Live, collector: FailureCollector
) -> None:
    assert live.directory is not None
    first, last = trace(live.directory).rsplit("    x = d[k]", 1)
    await live.print(first)
    # Until no line has come for a while.
    await collector.settle(live.id)
    await live.print(f"    x = d[k]{last}")
    (record,), _, _ = await records_of(collector, 1)
    assert record.type == "KeyError"


async def test_the_records_of_a_preview_are_bounded_and_it_is_said(make_room: MakeRoom, tmp_path: Path) -> None:
    room = make_room(failure_groups=3)
    await room.add_preview("preview_a")
    async with open_failures(room.database, room.settings) as collector, trio.open_nursery() as nursery:
        live = await start(room, collector, tmp_path / "files", nursery)
        assert live.directory is not None
        for number in range(5):
            await live.print(trace(live.directory, code=f"x{number}()"))
        records, further, _ = await records_of(collector, 5)
        assert (len(records), further) == (3, 2)
        assert any("PREVIEW_FAILURE_GROUPS" in line.message for line in live.log.last_lines(50))
        for _ in range(30):
            await live.print(trace(live.directory, code="x0()"))
        records, _, _ = await records_of(collector, 35)
        (record,) = [one for one in records if one.count > 1]
        assert (record.count, len(record.occurrences)) == (31, MAX_OCCURRENCES)
        nursery.cancel_scope.cancel()
    assert (await FailureStore(room.database).load("preview_a"))[1:] == (2, 0)


async def test_errors_without_end_are_bounded_counted_and_said(live: Live, collector: FailureCollector) -> None:
    folder = live.directory
    assert folder is not None
    await live.print("ERROR: x\n" * (2 * MOST_LINES) + trace(folder))
    records, _, unread = await collector.records("preview_a")
    assert unread > 0
    assert any("faster than they are searched" in line.message for line in live.log.last_lines(10_000))
    await live.print("\n" + trace(folder))
    records, _, _ = await records_of(collector, 1)
    assert [one.type for one in records] == ["KeyError"]


async def test_the_last_failure_has_its_source_although_the_folder_goes(
    live: Live, collector: FailureCollector
) -> None:
    folder = live.directory
    assert folder is not None
    (folder / "app.py").write_text("import os\nx = d[k]\n")
    await live.print(trace(folder))
    with trio.fail_after(1):
        await collector.settle_last("preview_a")
    (folder / "app.py").unlink()
    live.directory = None
    (record,), _, _ = await records_of(collector, 1)
    assert record.source is not None


async def test_a_database_that_is_down_loses_no_record(
    live: Live, collector: FailureCollector, room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(*_: object) -> None:
        raise DatabaseUnavailable("down")

    folder = live.directory
    assert folder is not None
    with monkeypatch.context() as patch:
        patch.setattr(FailureStore, "save", refuse)
        await live.print(trace(folder))
        assert len((await records_of(collector, 1))[0]) == 1
        live.log.finish(end_of("preview_a"))
        await trio.testing.wait_all_tasks_blocked()
    collector._save_at = 0.0
    collector._wake()
    assert len(await stored_in(room, count=1)) == 1


async def test_records_go_with_their_preview(database: Database, room: Room) -> None:
    store = FailureStore(database)
    await store.save("preview_a", [], 3, 4)
    assert (await store.load("preview_a"))[1:] == (3, 4)
    await room.delete_preview("preview_a")
    assert (await store.load("preview_a"))[1:] == (0, 0)
    await store.save("preview_a", [], 3, 4)
    assert (await store.load("preview_a"))[1:] == (0, 0)


# Source is read from a stranger's folder.


@pytest.mark.parametrize(
    "path",
    [
        "../secret.py",
        "/etc/passwd",
        "link.py",
        "linked/secret.py",
        "fifo.py",
        "folder.py",
        "a/../app.py",
        "none.py",
        "",
    ],
)
def test_nothing_outside_of_the_folder_and_no_special_file_is_read(tmp_path: Path, path: str) -> None:
    (tmp_path / "secret.py").write_text("secret\n")
    folder = tmp_path / "files"
    (folder / "folder.py").mkdir(parents=True)
    (folder / "a").mkdir()
    (folder / "app.py").write_text("fine\n")
    (folder / "link.py").symlink_to(tmp_path / "secret.py")
    (folder / "linked").symlink_to(tmp_path)
    os.mkfifo(folder / "fifo.py")
    assert read_source(folder, Frame(path, 1, is_own=True)) is None
    found = read_source(folder, Frame("app.py", 1, is_own=True))
    assert found is not None
    assert found.lines[0] == "fine"


def test_a_large_file_and_a_line_beyond_the_end_are_not_shown(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text("x\n" * 600_000)
    (tmp_path / "small.py").write_bytes(b"\xff" * 5_000)
    assert read_source(tmp_path, Frame("app.py", 1, is_own=True)) is None
    assert read_source(tmp_path, Frame("small.py", 2, is_own=True)) is None
    found = read_source(tmp_path, Frame("small.py", 1, is_own=True))
    assert found is not None
    assert len(found.lines[0]) == 300
