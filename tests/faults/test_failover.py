"""PostgreSQL fails over to a standby, under nodes of a cluster: what runs goes on, and has one owner at any moment."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from itertools import count
from typing import Any, TypeVar

import psycopg
import pytest
import trio
from fault_postgres import Postgres, open_postgres
from fault_standby import Standby, open_standby, url_of_both
from postgres import NoPostgres
from sqlalchemy import Connection

from preview.cluster import Cluster, NodeFacts
from preview.errors import DatabaseUnavailable, PreviewError
from preview.storage.database import Database, open_database

# A connection to the primary that is killed may be dropped by the thread that was opening it.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
T = TypeVar("T")
LEASE_S = 2.0


class CutDatabase(Database):
    """A database that a node does not reach while ``is_cut`` is set."""

    is_cut = False

    async def write(self, change: Callable[[Connection], T], *, size_bytes: int = 0) -> T:
        if self.is_cut:
            raise DatabaseUnavailable("The database does not respond.")
        return await super().write(change, size_bytes=size_bytes)

    def write_here(self, change: Callable[[Connection], T]) -> T:
        if self.is_cut:
            raise DatabaseUnavailable("The database does not respond.")
        return super().write_here(change)


class Owners:
    """Who runs which preview: no two at any moment."""

    def __init__(self) -> None:
        self.nodes: dict[str, str] = {}
        self.breaches: list[str] = []

    def run(self, node: str, preview_ids: Collection[str]) -> None:
        for one in preview_ids:
            if (other := self.nodes.setdefault(one, node)) != node:
                self.breaches.append(f"{one} runs on {node}, and on {other}")

    def end(self, node: str, preview_ids: Collection[str]) -> None:
        for one in preview_ids:
            if self.nodes.get(one) == node:
                del self.nodes[one]


class Node:
    """A node whose previews are only names."""

    def __init__(self, cluster: Cluster, database: CutDatabase, owners: Owners) -> None:
        self.cluster, self.database, self._owners = cluster, database, owners
        self.name, self.kept = cluster.name, list[str]()
        cluster.on_lost = lambda ids: owners.end(self.name, ids)
        cluster.pause, cluster.go_on, cluster.end_all = self._pause, self._go_on, self._end_all

    async def claim(self, preview_id: str) -> bool:
        """Launch a preview; return whether this node runs it."""
        row: dict[str, Any] = {"id": preview_id, "generation_id": f"g-{preview_id}", "user_id": "ann"}
        await self.database.write(lambda connection: self.cluster.claim(connection, row, 10_000))
        self.cluster.claimed(preview_id)
        if preview_id in self.cluster.fences:
            self._owners.run(self.name, [preview_id])
        return preview_id in self.cluster.fences

    async def take_all(self) -> None:
        """Take whatever is free, until cancelled."""
        while True:
            with suppress(PreviewError):
                self._owners.run(self.name, [one.preview_id for one in await self.cluster.take(9)])
            await trio.sleep(0.02)

    async def _pause(self) -> Collection[str]:
        await trio.lowlevel.checkpoint()
        self._owners.end(self.name, self.cluster.paused)
        return frozenset(self.cluster.paused)

    async def _go_on(self, preview_ids: Collection[str], _seconds: float) -> None:
        await trio.lowlevel.checkpoint()
        self.kept += preview_ids
        self._owners.run(self.name, preview_ids)

    async def _end_all(self) -> None:
        await trio.lowlevel.checkpoint()
        self._owners.end(self.name, [one for one, node in self._owners.nodes.items() if node == self.name])


@asynccontextmanager
async def open_node(url: str, name: str, owners: Owners, tasks: trio.Nursery) -> AsyncIterator[Node]:
    async with open_database(url) as opened:
        database = CutDatabase(opened.engine)
        cluster = Cluster(database, NodeFacts(name, f"{name}:7000"), LEASE_S)
        await cluster.join()
        await tasks.start(cluster.run)
        yield Node(cluster, database, owners)


@contextmanager
def open_both() -> Iterator[tuple[Postgres, Standby]]:
    try:
        with open_postgres() as primary, open_standby(primary) as standby:
            yield primary, standby
    except NoPostgres as error:
        pytest.skip(str(error))


async def until(condition: Callable[[], bool], seconds: float = 30) -> None:
    with trio.fail_after(seconds):
        while not condition():  # noqa: ASYNC110  what a node does has no event here
            await trio.sleep(0.005)


async def test_rows_that_a_standby_lacks_never_make_two_owners() -> None:
    """The node that lost the preview, the one that has taken it, and one that would: all of it in one failover."""
    owners = Owners()
    with open_both() as (primary, standby):
        url = url_of_both(primary, standby)
        async with (
            trio.open_nursery() as tasks,
            open_node(url, "one", owners, tasks) as one,
            open_node(url, "two", owners, tasks) as two,
            open_node(url, "three", owners, tasks) as three,
        ):
            for preview_id in ("p", "q"):
                await one.claim(preview_id)
            await trio.to_thread.run_sync(standby.wait_same, primary)
            await trio.to_thread.run_sync(standby.stop_following)
            # What follows, the standby does not have.
            one.database.is_cut = True
            async with trio.open_nursery() as taking:
                taking.start_soon(two.take_all)
                await until(lambda: two.cluster.fences == {"p": 2, "q": 2})
                taking.cancel_scope.cancel()
            # Two still has a lease, and does not learn of the failover.
            await trio.to_thread.run_sync(two.cluster._renew)
            two.database.is_cut = True
            await trio.to_thread.run_sync(primary.kill)
            await trio.to_thread.run_sync(standby.promote)
            one.database.is_cut = False
            tasks.start_soon(three.take_all)
            await until(lambda: owners.breaches != [] or owners.nodes.get("p", "two") != "two")
            two.database.is_cut = False
            await until(lambda: two.cluster.lease.holds and two.cluster.fences == {})
            assert owners.breaches == []
            row = "SELECT node FROM owners WHERE preview_id = 'p' AND state = 'running'"
            with psycopg.connect(standby.url) as connection:
                assert connection.execute(row).fetchall() == [(owners.nodes["p"],)]
            tasks.cancel_scope.cancel()


@pytest.mark.parametrize("commits", ["on", pytest.param("remote_apply", marks=pytest.mark.long)])
async def test_nothing_acknowledged_is_lost_with_a_synchronous_standby(commits: str) -> None:
    """Launches are asked for all the time; the failover takes longer than the lease."""
    owners, acknowledged, over = Owners(), list[str](), trio.Event()
    with open_both() as (primary, standby):
        await trio.to_thread.run_sync(primary.wait_for_standby, commits)
        url = url_of_both(primary, standby)

        async def launch_all(node: Node) -> None:
            for number in count():
                if over.is_set():
                    return
                with suppress(PreviewError):
                    if await node.claim(f"p{number}"):
                        acknowledged.append(f"p{number}")
                await trio.sleep(0.01)

        async with (
            trio.open_nursery() as tasks,
            open_node(url, "one", owners, tasks) as one,
            open_node(url, "two", owners, tasks) as two,
        ):
            async with trio.open_nursery() as launching:
                launching.start_soon(launch_all, one)
                await until(lambda: len(acknowledged) > 20)
                await trio.to_thread.run_sync(primary.kill)
                # The node's previews stand still by then.
                await until(lambda: one.cluster.paused != {})
                before = list(acknowledged)
                await trio.to_thread.run_sync(standby.promote)
                tasks.start_soon(two.take_all)
                await until(lambda: one.kept != [])
                # Launches go on: none waits for the server that is gone.
                await until(lambda: len(acknowledged) > len(before) + 20)
                over.set()
            assert set(before) <= set(one.kept)
            assert (owners.breaches, {owners.nodes[name] for name in acknowledged}) == ([], {"one"})
            with psycopg.connect(standby.url) as connection:
                rows = connection.execute("SELECT preview_id, node, fence FROM owners").fetchall()
            assert {(name, "one", 1) for name in acknowledged} <= set(rows)
            tasks.cancel_scope.cancel()
