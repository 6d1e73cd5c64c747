"""Pages of the database that several readers want at once."""

from __future__ import annotations

import pytest
import trio
from log_room import Room
from trio.testing import wait_all_tasks_blocked

from preview.logs import Batch
from preview.logs.delivery.history import SharedPages
from preview.logs.model.events import Gap
from preview.logs.storage.searching import Page
from preview.logs.storage.store import PAGE_LINES, LogStore

LINES = PAGE_LINES + 100
Events = list[Batch | Gap]


class Counted(LogStore):
    """Counts what is read, and lets it begin when it is told to."""

    def __init__(self, room: Room) -> None:
        super().__init__(room.database)
        self.reads = 0
        self.may_read = trio.Event()
        self.may_read.set()

    async def read_page(self, preview_id: str, *, after: int, limit: int, below: int | None = None) -> Page:
        self.reads += 1
        await self.may_read.wait()
        return await super().read_page(preview_id, after=after, limit=limit, below=below)


@pytest.fixture
async def store(room: Room) -> Counted:
    room.writer.offer(Batch("preview_a", 1, [1] * LINES, bytes([1]) * LINES, ["x"] * LINES))
    await room.writer.flush("preview_a", up_to=LINES)
    return Counted(room)


async def read(pages: SharedPages, store: LogStore, expected: int, below: int) -> Events:
    return await pages.read(store, "preview_a", expected=expected, below=below)


async def test_readers_who_want_a_page_at_once_have_it_read_once(store: Counted) -> None:
    pages, found = SharedPages(), list[Events]()

    async def reader() -> None:
        found.append(await read(pages, store, 1, LINES + 1))

    async with trio.open_nursery() as nursery:
        for _ in range(5):
            nursery.start_soon(reader)
    assert store.reads == 1
    assert len(found) == 5
    # The same objects: encoded once, too.
    assert all(one[0] is found[0][0] for one in found)


async def test_a_whole_page_serves_whoever_has_further_to_go(store: Counted) -> None:
    pages = SharedPages()
    first = await read(pages, store, 1, LINES - 10)
    assert await read(pages, store, 1, LINES + 1) is first
    assert store.reads == 1


async def test_a_part_of_a_page_serves_no_other_end(store: Counted) -> None:
    pages = SharedPages()
    short = await read(pages, store, 1, 51)
    longer = await read(pages, store, 1, 101)
    shorter = await read(pages, store, 1, 11)
    assert [events[-1].last_seq for events in (short, longer, shorter)] == [50, 100, 10]


async def test_whoever_waits_for_a_reader_that_is_cancelled_reads_by_himself(store: Counted) -> None:
    pages, found = SharedPages(), list[Events]()
    store.may_read = trio.Event()

    async def reader() -> None:
        found.append(await read(pages, store, 1, LINES + 1))

    async with trio.open_nursery() as nursery:
        with trio.CancelScope() as scope:
            async with trio.open_nursery() as cancelled:
                cancelled.start_soon(reader)
                await wait_all_tasks_blocked()
                nursery.start_soon(reader)
                await wait_all_tasks_blocked()
                scope.cancel()
        store.may_read.set()
    assert (store.reads, len(found)) == (2, 1)


async def test_few_pages_are_kept_and_none_when_all_have_caught_up(store: Counted) -> None:
    pages = SharedPages()
    for expected in range(1, 11):
        await read(pages, store, expected, LINES + 1)
    assert len(pages) == 4
    pages.clear()
    assert len(pages) == 0
