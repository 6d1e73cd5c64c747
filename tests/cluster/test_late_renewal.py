"""A lease that ends and is renewed late: what stood still goes on, unless another node has taken it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import pytest
import trio
from sqlalchemy import Connection, text

from preview.cluster import Cluster, NodeFacts
from preview.cluster import renewals as module
from preview.errors import DatabaseUnavailable
from preview.runtime.waiting import wait_any
from preview.storage.database import Database, open_database

T = TypeVar("T")
LEASE_S = 2.0


class AwayDatabase(Database):
    """A database that is away from this node while ``is_away`` is set."""

    is_away = False

    async def write(self, change: Callable[[Connection], T], *, size_bytes: int = 0) -> T:
        if self.is_away:
            raise DatabaseUnavailable("The database does not respond.")
        return await super().write(change, size_bytes=size_bytes)

    def write_here(self, change: Callable[[Connection], T]) -> T:
        if self.is_away:
            raise DatabaseUnavailable("The database does not respond.")
        return super().write_here(change)


class Node:
    """A node, and what it was told to do with its previews."""

    def __init__(self, cluster: Cluster, database: AwayDatabase) -> None:
        self.cluster, self.database = cluster, database
        self.cannot_stand_still: set[str] = set()
        self.paused, self.went_on, self.ended = trio.Event(), trio.Event(), trio.Event()
        self.kept: list[str] = []
        self.lost: list[str] = []
        cluster.on_lost, cluster.pause, cluster.go_on, cluster.end_all = self._lose, self._pause, self._go_on, self._end

    async def claim(self, preview_id: str) -> None:
        row: dict[str, Any] = {"id": preview_id, "generation_id": f"g-{preview_id}", "user_id": "ann"}
        await self.database.write(lambda connection: self.cluster.claim(connection, row, 9))
        self.cluster.claimed(preview_id)

    def _lose(self, preview_ids: Collection[str]) -> None:
        self.lost += preview_ids

    async def _pause(self) -> Collection[str]:
        await trio.lowlevel.checkpoint()
        self.before = frozenset(self.cluster.paused)
        self.paused.set()
        return self.before - self.cannot_stand_still

    async def _go_on(self, preview_ids: Collection[str], seconds: float) -> None:
        await trio.lowlevel.checkpoint()
        assert self.cluster.lease.holds
        assert seconds > 0
        self.kept += preview_ids
        self.went_on.set()

    async def _end(self) -> None:
        await trio.lowlevel.checkpoint()
        self.ended.set()


@asynccontextmanager
async def open_node(url: str, name: str) -> AsyncIterator[Node]:
    """A node that has joined, and does not renew its lease by itself."""
    async with open_database(url) as opened:
        database = AwayDatabase(opened.engine)
        cluster = Cluster(database, NodeFacts(name, f"{name}:7000"), LEASE_S)
        await cluster.join()
        yield Node(cluster, database)


async def owner(node: Node, preview_id: str) -> tuple[object, ...]:
    query = text("SELECT state, node, fence FROM owners WHERE preview_id = :id")
    return tuple(await node.database.read(lambda connection: connection.execute(query, {"id": preview_id}).one()))


async def take_all(node: Node, count: int) -> dict[str, int]:
    """What the node takes, once the leases of others are over."""
    taken: dict[str, int] = {}
    with trio.fail_after(30):
        while len(taken) < count:
            await trio.to_thread.run_sync(node.cluster._renew)
            if not node.cluster.lease.holds:
                # This process has stood still for a lease: nothing else would bring it back.
                await node.cluster._rejoin()
            taken |= {one.preview_id: one.fence for one in await node.cluster.take(9)}
            await trio.sleep(0.02)
    return taken


@asynccontextmanager
async def away(node: Node) -> AsyncIterator[None]:
    """The node runs; its database is away until all stands still, and answers again at the end of the block."""
    async with trio.open_nursery() as nursery:
        node.database.is_away = True
        nursery.start_soon(node.cluster.run)
        with trio.fail_after(30):
            await node.paused.wait()
            yield
            node.database.is_away = False
            await wait_any(node.went_on, node.ended)
            while not node.cluster.lease.holds:  # noqa: ASYNC110  a join has no event
                await trio.sleep(0.01)
        nursery.cancel_scope.cancel()


async def test_what_nobody_took_goes_on_with_its_fence(postgres_database_url: str) -> None:
    async with open_node(postgres_database_url, "one") as one:
        await one.claim("p")
        async with away(one):
            # Nothing is this node's meanwhile.
            assert (one.cluster.fences, one.cluster.paused) == ({}, {"p": 1})
        assert (one.kept, one.lost, one.ended.is_set()) == (["p"], [], False)
        assert (one.cluster.fences, one.cluster.paused) == ({"p": 1}, {})
        assert await owner(one, "p") == ("running", "one", 1)
        # Others may have been cut off too: they get time before their previews are taken.
        assert one.cluster.lease.steady_in_s > 0


async def test_what_another_node_took_never_goes_on(postgres_database_url: str) -> None:
    async with open_node(postgres_database_url, "one") as one, open_node(postgres_database_url, "two") as two:
        for preview_id in ("p", "q"):
            await one.claim(preview_id)
        async with away(one):
            assert await take_all(two, 2) == {"p": 2, "q": 2}
            # One of them comes back to the node while it does not know.
            await two.cluster.give_up("q", is_stored=True)
        assert (one.kept, sorted(one.lost)) == ([], ["p", "q"])
        assert one.cluster.fences == {}
        assert await owner(one, "p") == ("running", "two", 2)


async def test_what_cannot_stand_still_starts_again_and_what_is_stopped_meanwhile_does_not(
    postgres_database_url: str,
) -> None:
    async with open_node(postgres_database_url, "one") as one:
        for preview_id in ("p", "ends", "stops"):
            await one.claim(preview_id)
        one.cannot_stand_still.add("ends")
        async with away(one):
            assert one.before == {"p", "ends", "stops"}
            await one.cluster.release("stops")
        assert one.cluster.fences == {"p": 1}
        with trio.fail_after(30):
            while (await owner(one, "ends"))[0] != "queued" or (await owner(one, "stops"))[0] != "over":
                await renew(one)


async def renew(node: Node) -> None:
    if (seen := await trio.to_thread.run_sync(node.cluster._renew)) is not None:
        await node.cluster._note(seen)


async def test_answers_to_statements_from_before_the_outage_make_no_owner(postgres_database_url: str) -> None:
    async with open_node(postgres_database_url, "one") as one:
        await one.claim("p")
        row: dict[str, Any] = {"id": "late", "generation_id": "g-late", "user_id": "ann"}
        await one.database.write(lambda connection: one.cluster.claim(connection, row, 9))
        async with away(one):
            pass
        one.cluster.claimed("late")
        assert (one.cluster.fences, one.lost) == ({"p": 1}, ["late"])


async def test_after_half_a_minute_all_end(postgres_database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_LATE_S", 0.2)
    async with open_node(postgres_database_url, "one") as one:
        await one.claim("p")
        async with away(one):
            await one.ended.wait()
        assert (one.kept, one.cluster.fences, one.cluster.paused) == ([], {}, {})
        # The join gave it up.
        assert await owner(one, "p") == ("queued", "one", 1)


async def test_another_process_with_this_name_ends_all(postgres_database_url: str) -> None:
    async with open_node(postgres_database_url, "one") as one:
        await one.claim("p")
        async with away(one):
            raised = text("UPDATE nodes SET epoch = epoch + 1, until = 0")
            async with open_database(postgres_database_url) as other:
                await other.write(lambda connection: connection.execute(raised))
        assert (one.kept, one.ended.is_set()) == ([], True)
