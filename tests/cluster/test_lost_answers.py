"""A node whose database makes a change and loses the answer: the node owns previews that it does not know.

It gives them up at its second look, so that they run somewhere; nothing waits for its restart.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import pytest
import trio
from sqlalchemy import Connection, text

from preview.cluster import Cluster, NodeFacts
from preview.core.clock import utc_now
from preview.core.lifecycle import Health, State
from preview.errors import DatabaseUnavailable
from preview.storage import PreviewRecord
from preview.storage.database import Database, open_database
from preview.storage.previews import insert_row, to_row

T = TypeVar("T")
# No lease ends while a test runs: it renews when it wants to.
LEASE_S = 600


class LossyDatabase(Database):
    """Loses the answers of changes while ``loses`` is set."""

    loses = False

    async def write(self, change: Callable[[Connection], T], *, size_bytes: int = 0) -> T:
        found = await super().write(change, size_bytes=size_bytes)
        if self.loses:
            raise DatabaseUnavailable("The answer was lost.")
        return found


@asynccontextmanager
async def open_node(url: str, name: str) -> AsyncIterator[tuple[Cluster, LossyDatabase]]:
    async with open_database(url) as opened:
        database = LossyDatabase(opened.engine)
        cluster = Cluster(database, NodeFacts(name, f"{name}:7000"), LEASE_S)
        await cluster.join()
        yield cluster, database


async def claim(cluster: Cluster, database: Database, preview_id: str, most: int | None = 9) -> None:
    row: dict[str, Any] = {"id": preview_id, "generation_id": f"g-{preview_id}", "user_id": "ann"}
    await database.write(lambda connection: cluster.claim(connection, row, most))
    cluster.claimed(preview_id)


async def renew(cluster: Cluster) -> None:
    """Renew the lease once, and follow what that saw, as the cluster's task does."""
    if (seen := await trio.to_thread.run_sync(cluster._renew)) is not None:
        await cluster._note(seen)


async def state(database: Database, preview_id: str) -> tuple[object, ...]:
    query = text("SELECT state, node, fence FROM owners WHERE preview_id = :id")
    return tuple(await database.read(lambda connection: connection.execute(query, {"id": preview_id}).one()))


async def test_the_queue_uses_no_connection_of_the_lease(postgres_database_url: str) -> None:
    async with open_database(postgres_database_url) as own, open_database(postgres_database_url) as shared:
        one = Cluster(own, NodeFacts("one", "one:7000"), LEASE_S, shared=shared)
        await one.join()
        calls: list[str] = []
        own.answered = lambda kind, _: calls.append(kind)
        await one.queue.count_launch("ann")
        assert await one.queue.place("p") is None
        assert await one.queue.cancel("g") is None
        assert not calls


async def test_a_launch_whose_answer_is_lost_runs_on_another_node(postgres_database_url: str) -> None:
    async with (
        open_node(postgres_database_url, "one") as (one, database),
        open_node(postgres_database_url, "two") as (two, _),
    ):
        database.loses = True
        with pytest.raises(DatabaseUnavailable):
            await claim(one, database, "p")
        database.loses = False
        await renew(one)
        # The answer may still come: it is given up at the second look.
        assert await state(database, "p") == ("running", "one", 1)
        await renew(one)
        assert await state(database, "p") == ("queued", None, 1)
        (taken,) = await two.take(9)
        # Nothing was written here, so no numbers are left out.
        assert (taken.preview_id, taken.fence, taken.before, taken.first_seq) == ("p", 2, None, 1)
        # It is a launch still: its times begin when it starts.
        assert not taken.has_run
        await renew(one)
        await renew(one)
        assert await state(database, "p") == ("running", "two", 2)


async def test_a_takeover_whose_answer_is_lost_is_repeated(postgres_database_url: str) -> None:
    async with open_node(postgres_database_url, "one") as (one, database):
        await claim(one, database, "p")
        await one.give_up("p", is_stored=True)
        database.loses = True
        with pytest.raises(DatabaseUnavailable):
            await one.take(9)
        database.loses = False
        assert (await state(database, "p"), one.fences) == (("running", "one", 2), {})
        await renew(one)
        await renew(one)
        (taken,) = await one.take(9)
        assert (taken.fence, one.fences) == (3, {"p": 3})
        # What it knows stays.
        await renew(one)
        await renew(one)
        assert await state(database, "p") == ("running", "one", 3)


class RefusingDatabase(LossyDatabase):
    """Makes no change while ``refuses`` is set."""

    refuses = False

    async def write(self, change: Callable[[Connection], T], *, size_bytes: int = 0) -> T:
        if self.refuses:
            raise DatabaseUnavailable("The database does not respond.")
        return await super().write(change, size_bytes=size_bytes)


async def test_a_node_joins_once_its_database_responds(postgres_database_url: str) -> None:
    async with open_database(postgres_database_url) as opened:
        database = RefusingDatabase(opened.engine)
        one = Cluster(database, NodeFacts("one", "one:7000"), 0.5)
        database.refuses = True
        try_join = one._try_join

        async def second(before: Any) -> bool:
            try:
                return await try_join(before)
            finally:
                database.refuses = False

        one._try_join = second  # type: ignore[method-assign]
        await one.join()
        assert one._member.epoch == 1


async def test_what_ended_in_an_outage_that_cost_the_lease_is_over_and_not_queued(postgres_database_url: str) -> None:
    async with open_database(postgres_database_url) as opened:
        database = RefusingDatabase(opened.engine)
        one = Cluster(database, NodeFacts("one", "one:7000"), LEASE_S)
        await one.join()
        await claim(one, database, "p")
        database.refuses = True
        await one.release("p")
        one.lease.end()
        database.refuses = False
        with trio.fail_after(30):
            await one._rejoin()
        assert await state(database, "p") == ("over", "one", 1)
        # Its last row and lines are still this node's to store.
        assert not await database.write(lambda connection: one.refused(connection, ["p"]))


async def test_a_preview_that_was_not_given_up_in_an_outage_is_given_up_later(postgres_database_url: str) -> None:
    async with open_database(postgres_database_url) as opened:
        database = RefusingDatabase(opened.engine)
        one = Cluster(database, NodeFacts("one", "one:7000"), LEASE_S)
        await one.join()
        await claim(one, database, "p")
        database.refuses = True
        await one.give_up("p", is_stored=True)
        database.refuses = False
        await renew(one)
        await renew(one)
        # It has run here: lines may be missing.
        assert await state(database, "p") == ("queued", "one", 1)


async def test_an_unknown_trial_is_over_and_an_unknown_end_is_stored(postgres_database_url: str) -> None:
    async with open_node(postgres_database_url, "one") as (one, database):
        database.loses = True
        with pytest.raises(DatabaseUnavailable):
            await claim(one, database, "trial", most=None)
        database.loses = False
        await claim(one, database, "p")
        database.loses = True
        await one.release("p")
        database.loses = False
        await renew(one)
        await renew(one)
        assert await state(database, "trial") == ("over", "one", 1)
        # Not in the queue, where another node would restart it.
        assert await state(database, "p") == ("over", "one", 1)


async def test_an_answer_from_before_the_last_join_makes_no_owner(postgres_database_url: str) -> None:
    """A node stands still during a statement; its lease ends, it joins again, and then the answer comes."""
    async with open_node(postgres_database_url, "one") as (one, database):
        lost: list[str] = []
        one.on_lost = lost.extend
        await claim(one, database, "p")
        await one.give_up("p", is_stored=True)
        write = database.write

        async def late_write(change: Callable[[Connection], T], *, size_bytes: int = 0) -> T:
            found = await write(change, size_bytes=size_bytes)
            database.write = write  # type: ignore[method-assign]
            assert await one._try_join(one._member)
            return found

        database.write = late_write  # type: ignore[method-assign]
        assert (await one.take(9), one.fences) == ([], {})
        assert (await state(database, "p"))[0] == "queued"
        database.write = late_write  # type: ignore[method-assign]
        await claim(one, database, "q")
        assert (one.fences, lost) == ({}, ["q"])
        # Nor one after the end of the lease.
        await one.release("p")

        async def later_write(change: Callable[[Connection], T], *, size_bytes: int = 0) -> T:
            found = await write(change, size_bytes=size_bytes)
            one.lease.end()
            return found

        database.write = later_write  # type: ignore[method-assign]
        assert (await one.take(9), one.fences) == ([], {})


async def test_a_preview_that_was_taken_again_during_a_renewal_is_kept(postgres_database_url: str) -> None:
    async with open_node(postgres_database_url, "one") as (one, database):
        await claim(one, database, "p")
        lost: list[str] = []
        one.on_lost = lost.extend
        write = database.write_here

        async def take_again() -> None:
            await one.give_up("p", is_stored=True)
            await one.take(9)

        def slow_write(change: Callable[[Connection], T]) -> T:
            # After the renewal's look at what it knows, and before its statement.
            trio.from_thread.run(take_again)
            return write(change)

        database.write_here = slow_write  # type: ignore[method-assign]
        await renew(one)
        assert (lost, one.fences) == ([], {"p": 2})


async def test_an_answer_to_a_claim_that_comes_after_a_takeover_keeps_the_later_fence(
    postgres_database_url: str,
) -> None:
    async with open_node(postgres_database_url, "one") as (one, database):
        row: dict[str, Any] = {"id": "p", "generation_id": "g-p", "user_id": "ann"}
        await database.write(lambda connection: one.claim(connection, row, 9))
        await renew(one)
        await renew(one)
        (taken,) = await one.take(9)
        one.claimed("p")
        assert (taken.fence, one.fences) == (2, {"p": 2})


async def test_an_end_that_its_lost_node_did_not_store_is_stored_by_any_node(postgres_database_url: str) -> None:
    now = utc_now()
    record = PreviewRecord(
        id="p", generation_id="g-p", project_id="", user_id="ann", state=State.RUNNING, health=Health.HEALTHY,
        created_at=now, expires_at=now, token_hash="0" * 64, token_expires_at=now, log_level="INFO", last_seq=0,
    )  # fmt: skip
    async with (
        open_node(postgres_database_url, "lost") as (lost, database),
        open_node(postgres_database_url, "other") as (other, _),
    ):
        await database.write(lambda connection: insert_row(to_row(record), connection))
        await claim(lost, database, "p")
        # Its row says so; the preview's own row was to be written next.
        await lost.release("p")
        await database.write(other.queue.forget)
        status = text("SELECT status FROM preview_instances WHERE id = 'p'")
        assert await database.read(lambda connection: connection.execute(status).scalar()) == "running"
        long_ago = text("UPDATE owners SET ended_at = ended_at - 400000")
        await database.write(lambda connection: connection.execute(long_ago))
        await database.write(other.queue.forget)
        assert await database.read(lambda connection: connection.execute(status).scalar()) == "failed"
