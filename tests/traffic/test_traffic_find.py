"""A record is found by its request's id, whatever the id contains, and how many others there are."""

from __future__ import annotations

import gc
import tracemalloc
from pathlib import Path

import pytest
import trio
from traffic_room import draft, open_traffic_room

from preview.logs.filter import KnownRequests
from preview.storage.database import open_database
from preview.traffic.known import KNOWN_RECORDS


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
async def test_a_record_is_found_by_the_exact_id_and_the_line(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    url = request.getfixturevalue(f"{kind}_database_url")
    async with open_database(url) as database, open_traffic_room(database, tmp_path) as room:
        traffic = await room.open()
        others = [b"%", b"_", b"a_b", b"aXb", b"A_B", b"*", b"a%b", b"a/b".replace(b"/", b"|"), b"xa_b"]
        for number, name in enumerate(others, start=1):
            room.lines.last_seq = number * 10
            traffic.record(draft()._replace(request_id=name, first_line=number * 10))
            with trio.fail_after(20):
                await room.writer.flush("preview_a")
        # Twice the same id, with other lines.
        for first in (200, 300):
            room.lines.last_seq = first + 5
            traffic.record(draft()._replace(request_id=b"twice", first_line=first))
            with trio.fail_after(20):
                await room.writer.flush("preview_a")
        for number, name in enumerate(others, start=1):
            found = await room.store.find("preview_a", name.decode(), 0)
            assert found is not None
            assert (found.number, found.request_id) == (number, name.decode())
        for line, expected in ((201, 10), (303, 11), (1, 11)):
            found = await room.store.find("preview_a", "twice", line)
            assert found is not None
            assert found.number == expected
        for absent in ("none", "", "a", "b", " "):
            assert await room.store.find("preview_a", absent, 1) is None
        assert await room.store.find("preview_b", "twice", 201) is None


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
async def test_one_id_for_all_requests_makes_no_line_expensive(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    # Clients choose ids. Each line with the id is compared with all of its requests, in the service's own thread, and
    # a filter that has used too much time is given up for everybody.
    url = request.getfixturevalue(f"{kind}_database_url")
    async with open_database(url) as database, open_traffic_room(database, tmp_path) as room:
        traffic = await room.open()
        for number in range(500):
            traffic.record(draft()._replace(request_id=b"same", status=200 + number))
        traffic.record(draft()._replace(request_id=b"other", target=b"/book" * 300))
        with trio.fail_after(20):
            await room.writer.flush("preview_a")
        known = await room.store.known("preview_a")
        assert [one.status for one in known.by_id["same"]] == list(range(699, 679, -1))
        # Each stream keeps the paths, so a long one is cut.
        assert [one.path for one in known.by_id["other"]] == [("/book" * 300)[:256]]
        assert known.newest == 501


async def test_streams_share_one_index_which_is_bounded_and_goes_with_the_last_of_them(
    sqlite_database_url: str, tmp_path: Path
) -> None:
    async with open_database(sqlite_database_url) as database, open_traffic_room(database, tmp_path) as room:
        traffic = await room.open()

        async def know(count: int, name: str) -> KnownRequests:
            for number in range(count):
                traffic.record(draft()._replace(request_id=f"{name}{number % 3000}".encode()))
            with trio.fail_after(30):
                await room.writer.flush("preview_a")
            return await room.store.known("preview_a")

        first = await know(10, "a")
        tracemalloc.start()
        streams = [await know(1, "b") for _ in range(50)]
        grown = tracemalloc.get_traced_memory()[0]
        tracemalloc.stop()
        assert grown < 1_000_000
        assert {id(one.by_id) for one in streams} == {id(first.by_id)}
        assert "b0" in first.by_id
        assert (first.newest, streams[-1].newest) == (10, 60)
        # The oldest records leave, of which some have an id in common with newer ones.
        await know(KNOWN_RECORDS, "c")
        assert set(first.by_id) == {f"c{number}" for number in range(3000)}
        assert sum(map(len, first.by_id.values())) == KNOWN_RECORDS
        del first, streams
        gc.collect()
        assert len(room.store._known._indexes) == 0
