"""Changes of many callers in one transaction: each with its own result, its own error, its own cancellation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

import pytest
import trio
from sqlalchemy import Connection, event, text
from sqlalchemy.exc import IntegrityError
from test_storage_previews import make_record
from trio.testing import wait_all_tasks_blocked

from preview.core.lifecycle import State
from preview.errors import DatabaseUnavailable, PreviewNotFound
from preview.storage import Database, PreviewStore
from preview.storage.group_commit import GroupCommit

T = TypeVar("T")


class HeldDatabase(Database):
    """Its changes wait until they are let in."""

    def __init__(self, database: Database) -> None:
        super().__init__(database.engine)
        self.may_write = trio.Event()

    async def write(self, change: Callable[[Connection], T], *, size_bytes: int = 0) -> T:
        await self.may_write.wait()
        return await super().write(change, size_bytes=size_bytes)


class AwayDatabase(Database):
    """Does not answer."""

    tries = 0

    async def write(self, change: Callable[[Connection], T], *, size_bytes: int = 0) -> T:
        self.tries += 1
        await trio.lowlevel.checkpoint()
        raise DatabaseUnavailable("away", reason="connection")


async def stored(database: Database, count: int) -> tuple[PreviewStore, list[str]]:
    store = PreviewStore(database)
    ids = [f"preview_{number}" for number in range(count)]
    for one in ids:
        await store.insert(make_record(one, generation_id=one))
    return store, ids


async def states(store: PreviewStore, ids: list[str]) -> set[State]:
    records = [await store.get(one) for one in ids]
    return {record.state for record in records if record is not None}


async def test_updates_of_the_same_moment_are_one_transaction_or_two(database: Database) -> None:
    store, ids = await stored(database, 30)
    commits: list[object] = []
    event.listen(database.engine, "commit", commits.append)
    async with trio.open_nursery() as nursery:
        for one in ids:
            nursery.start_soon(store.update, make_record(one, generation_id=one, state=State.STOPPED))
    assert len(commits) <= 2
    assert await states(store, ids) == {State.STOPPED}


async def test_an_update_without_a_row_fails_alone(database: Database) -> None:
    store, ids = await stored(database, 3)
    missing: list[PreviewNotFound] = []

    async def update_missing() -> None:
        try:
            await store.update(make_record("preview_none", state=State.STOPPED))
        except PreviewNotFound as error:
            missing.append(error)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(update_missing)
        for one in ids:
            nursery.start_soon(store.update, make_record(one, generation_id=one, state=State.STOPPED))
    assert len(missing) == 1
    assert await states(store, ids) == {State.STOPPED}


async def test_of_two_updates_of_one_row_the_later_is_made_later(database: Database) -> None:
    held = HeldDatabase(database)
    store, (one, *_) = await stored(database, 1)
    store = PreviewStore(held)
    async with trio.open_nursery() as nursery:
        for port in range(3001, 3021):
            nursery.start_soon(store.update, make_record(one, port=port))
            await wait_all_tasks_blocked()
        held.may_write.set()
    record = await store.get(one)
    assert record is not None
    assert record.port == 3020


async def test_what_the_database_refuses_fails_alone(database: Database) -> None:
    store, ids = await stored(database, 3)
    group = GroupCommit(database)
    refused: list[IntegrityError] = []

    async def change(preview_id: str) -> None:
        statement = text("UPDATE preview_instances SET port = 7, status = :status WHERE id = :id")
        values = {"id": preview_id, "status": None if preview_id == ids[1] else "stopped"}
        try:
            await group.write(lambda connection: connection.execute(statement, values).rowcount)
        except IntegrityError as error:
            refused.append(error)

    async with trio.open_nursery() as nursery:
        for one in ids:
            nursery.start_soon(change, one)
    assert len(refused) == 1
    records = [await store.get(one) for one in ids]
    assert [record.port for record in records if record is not None] == [7, None, 7]


async def test_whoever_goes_away_while_waiting_changes_nothing(database: Database) -> None:
    held = HeldDatabase(database)
    _, ids = await stored(database, 2)
    store = PreviewStore(held)
    gone = trio.CancelScope()

    async def go_away() -> None:
        with gone:
            await store.update(make_record(ids[1], generation_id=ids[1], port=9))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(store.update, make_record(ids[0], generation_id=ids[0], port=8))
        await wait_all_tasks_blocked()
        nursery.start_soon(go_away)
        await wait_all_tasks_blocked()
        gone.cancel()
        await wait_all_tasks_blocked()
        held.may_write.set()
    records = [await store.get(one) for one in ids]
    assert [record.port for record in records if record is not None] == [8, None]


async def test_when_the_one_that_writes_goes_away_the_next_one_writes(database: Database) -> None:
    held = HeldDatabase(database)
    _, ids = await stored(database, 3)
    store = PreviewStore(held)
    gone = trio.CancelScope()

    async def go_away() -> None:
        with gone:
            await store.update(make_record(ids[0], generation_id=ids[0], port=9))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(go_away)
        await wait_all_tasks_blocked()
        for one in ids[1:]:
            nursery.start_soon(store.update, make_record(one, generation_id=one, port=8))
        await wait_all_tasks_blocked()
        gone.cancel()
        await wait_all_tasks_blocked()
        held.may_write.set()
    records = [await store.get(one) for one in ids]
    assert [record.port for record in records if record is not None] == [None, 8, 8]


async def test_an_outage_is_told_to_each_who_waits_after_one_try(database: Database) -> None:
    away = AwayDatabase(database.engine)
    store = PreviewStore(away)
    told: list[DatabaseUnavailable] = []

    async def update(number: int) -> None:
        with pytest.raises(DatabaseUnavailable) as caught:
            await store.update(replace(make_record(f"preview_{number}"), state=State.STOPPED))
        told.append(caught.value)

    async with trio.open_nursery() as nursery:
        for number in range(20):
            nursery.start_soon(update, number)
    assert away.tries <= 2
    assert len(set(map(id, told))) == 20
    assert {error.details["reason"] for error in told} == {"connection"}
