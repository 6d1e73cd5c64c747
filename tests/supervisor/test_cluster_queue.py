"""Launches that a full node queues: their place, their end in the queue, and their start with their own options."""

from __future__ import annotations

import errno
import math
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, cast

import pytest
import trio
from sqlalchemy import text
from supervisor_kit import ANN, BOB, SERVER, Rig, open_rig

from preview.cluster import Cluster, Place, node_queue
from preview.core.launch_steps import StepState
from preview.core.lifecycle import State
from preview.detection import overrides_from_request
from preview.errors import (
    AlreadyRunning,
    DatabaseUnavailable,
    DiskFull,
    InvalidRequest,
    LaunchFailed,
    LimitReached,
    NoActivePreview,
    PreviewUnavailable,
    StartupTimeout,
)
from preview.settings import Settings
from preview.storage.tables import PreviewRecord
from preview.supervisor import LaunchRequest, User
from preview.supervisor.launch import preparation
from preview.supervisor.life import run
from preview.supervisor.preview.live_preview import LivePreview

SECRET = "not-for-the-database"


async def until(holds: Callable[[], bool]) -> None:
    with trio.fail_after(90):
        while not holds():  # noqa: ASYNC110  the service's own time
            await trio.sleep(0.02)


async def rows(rig: Rig, query: str) -> list[tuple[object, ...]]:
    found = await rig.service.database.read(lambda connection: connection.execute(text(query)).all())
    return [tuple(row) for row in found]


async def test_a_full_node_queues_launches_and_starts_them_as_they_were_asked_for(
    postgres_database_url: str, make_settings: Callable[..., Settings]
) -> None:
    settings = make_settings(
        database_url=postgres_database_url,
        cluster=True,
        cluster_secret="one secret of all nodes of this cluster",
        node_name="one",
        node_address="127.0.0.1:7000",
        node_labels="region=north",
        # Longer than a busy machine lets a process wait.
        node_lease_s=60,
        max_instances_enterprise=3,
        max_instances_per_user=2,
        max_previews=1,
        queue_limit=3,
        launches_per_minute=8,
    )
    async with open_rig(settings) as one:
        previews = one.service.previews
        one.source.add("g0")
        with pytest.raises(InvalidRequest):
            await previews.launch(LaunchRequest(ANN, "g0", labels={"region": "south"}))
        first = await one.running(SERVER, "g1")
        for name, owner in (("g2", ANN), ("g3", ANN), ("g4", BOB), ("g5", BOB)):
            one.source.add(name, SERVER, owner=owner)
        overrides = overrides_from_request({"env": {"API_KEY": SECRET}})
        asked = LaunchRequest(
            User("ann", "enterprise"), "g2", None, 77.0, overrides=overrides, labels={"region": "north"}
        )
        second = await previews.launch(asked)
        third = await one.launch("g3")
        fourth = await one.launch("g4", BOB)
        # Users take turns: bob has none running, and ann has one.
        assert await previews.place(fourth.record) == Place(1, 3)
        assert await previews.place(second.record) == Place(2, 3)
        assert await previews.place(third.record) == Place(3, 3)
        assert await previews.place(first.record) is None
        # The queue's limit, the user's limit, and one preview a generation.
        with pytest.raises(LimitReached) as full:
            await one.launch("g5", BOB)
        assert full.value.details["setting"] == "PREVIEW_QUEUE_LIMIT"
        with pytest.raises(AlreadyRunning):
            await one.launch("g3")
        with pytest.raises(AlreadyRunning) as here:
            await one.launch("g1")
        assert here.value.details["preview_id"] == first.record.id
        assert "another node" not in here.value.message
        with pytest.raises(StartupTimeout, match="place 3 of 3"):
            await previews.wait_ready(third.record.id, 0.1)
        # Out of the queue.
        ended = await previews.stop("g3")
        assert (ended.id, ended.state, ended.reason) == (third.record.id, State.STOPPED, "stopped on request")
        assert not [step for step in ended.steps if step.state is StepState.RUNNING]
        with pytest.raises(NoActivePreview):
            await previews.stop("g3")
        await previews.stop("g4")
        assert await previews.place(second.record) == Place(1, 1)
        # No secret in clear.
        stored = await rows(one, "SELECT options, wants FROM owners")
        assert SECRET not in repr(stored)
        # Room: it starts with what its launch asked for.
        await previews.stop("g1")
        ready = await previews.wait_ready(second.record.id, 90)
        assert (ready.id, ready.state) == (second.record.id, State.RUNNING)
        preview = previews.all_active[second.record.id]
        assert (preview.requested, preview.startup_timeout_s) == (overrides, 77.0)
        assert (preview.tier.name, preview.labels) == ("enterprise", {"region": "north"})
        assert one.runtime.specs[-1].environment["API_KEY"] == SECRET
        assert preview.accept_token(second.token)

        # Another node's lost preview is started with them again.
        lose = "UPDATE owners SET state = 'queued', fence = fence + 1 WHERE state = 'running'"
        await one.service.database.write(lambda connection: connection.execute(text(lose)))
        preview.log.say("a line that is refused")
        await until(preview.over.is_set)
        await until(lambda: previews.find(preview.id) not in {None, preview})
        again = previews.all_active[preview.id]
        assert (again.requested, again.startup_timeout_s) == (overrides, 77.0)
        await until(lambda: again.record.state is State.RUNNING)
        # A restart that has to launch again asks for the same.
        again.memory_mb = 99
        restart = await previews.restart(ANN, "g2")
        restarted = previews.all_active[restart.record.id]
        assert (restarted.requested, restarted.labels) == (overrides, {"region": "north"})
        await previews.stop("g2")
        assert await rows(one, "SELECT count(*) FROM owners WHERE state <> 'over'") == [(0,)]
        record = await previews.get(third.record.id)
        assert replace(record, steps=()).last_seq == 0


async def test_a_launch_that_finds_the_disk_full_is_left_to_another_node(
    postgres_database_url: str, make_settings: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = make_settings(
        database_url=postgres_database_url,
        cluster=True,
        cluster_secret="one secret of all nodes of this cluster",
        node_name="one",
        node_address="127.0.0.1:7000",
        node_lease_s=60,
    )

    async def fill(*_: object) -> None:
        await trio.lowlevel.checkpoint()
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(run, "write_files", fill)
    async with open_rig(settings) as one:
        one.source.add("g1", SERVER)
        # Alone it says why.
        with pytest.raises(DiskFull, match="No space left on device"):
            await one.launch("g1")
        other = "INSERT INTO nodes SELECT 'two', 'a', 9e15, 1, version, 9, 0, labels, 0, 0 FROM nodes WHERE id = 'one'"
        await one.service.database.write(lambda connection: connection.execute(text(other)))
        launched = await one.launch("g1")
        assert await one.service.previews.place(launched.record) == Place(1, 1)
        await one.service.previews.stop("g1")


async def test_a_launch_that_fills_the_disk_of_the_node_that_took_it_waits_for_the_next_one(
    postgres_database_url: str, make_settings: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = make_settings(
        database_url=postgres_database_url,
        cluster=True,
        cluster_secret="one secret of all nodes of this cluster",
        node_name="one",
        node_address="127.0.0.1:7000",
        node_lease_s=60,
    )
    monkeypatch.setattr(node_queue, "_DECLINED_S", 0)
    write_files, full = preparation.write_files, [True, True, True]

    async def fill(*arguments: Any) -> None:
        await write_files(*arguments)
        if full:
            full.pop()
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(run, "write_files", fill)
    async with open_rig(settings) as one:
        previews = one.service.previews
        one.source.add("g1", SERVER)
        other = "INSERT INTO nodes SELECT 'two', 'a', 9e15, 1, version, 9, 0, labels, 0, 0 FROM nodes WHERE id = 'one'"
        await one.service.database.write(lambda connection: connection.execute(text(other)))
        # Here first, then twice from the queue.
        launched = await one.launch("g1")
        ready = await previews.wait_ready(launched.record.id, 90)
        assert (ready.id, ready.state, full) == (launched.record.id, State.RUNNING, [])
        stored = await rows(one, f"SELECT message FROM preview_logs WHERE preview_id = '{ready.id}' ORDER BY seq")
        assert stored.count(("moved to another node",)) == 2, stored
        await previews.stop("g1")
        # No other node may take it, so it ends.
        cluster: Any = one.service.cluster
        cluster.draining = True
        again = await one.launch("g1")
        await one.service.database.write(
            lambda connection: connection.execute(text("DELETE FROM nodes WHERE id = 'two'"))
        )
        cluster.queue._live = -math.inf, []
        full.append(True)
        cluster.draining = False
        with pytest.raises((DiskFull, LaunchFailed), match="No space left on device"):
            await previews.wait_ready(again.record.id, 90)


@asynccontextmanager
async def open_full_disk(
    url: str, make_settings: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch, has_other: Callable[..., Any]
) -> AsyncIterator[tuple[Rig, str]]:
    """A launch from the queue, to a node whose disk its files fill."""
    settings = make_settings(
        database_url=url,
        cluster=True,
        cluster_secret="one secret of all nodes of this cluster",
        node_name="one",
        node_address="127.0.0.1:7000",
        node_lease_s=60,
    )

    async def fill(*_: Any) -> None:
        await trio.lowlevel.checkpoint()
        raise OSError(errno.ENOSPC, "No space left on device")

    async with open_rig(settings) as one:
        monkeypatch.setattr(one.source, "write_files", fill)
        one.source.add("g1", SERVER)
        cluster = cast("Any", one.service.cluster)
        cluster.draining = True
        other = "INSERT INTO nodes SELECT 'two', 'a', 9e15, 1, version, 9, 0, labels, 0, 0 FROM nodes WHERE id = 'one'"
        await one.service.database.write(lambda connection: connection.execute(text(other)))
        launched = await one.launch("g1")
        monkeypatch.setattr(cluster.queue, "has_other", has_other)
        cluster.draining = False
        yield one, launched.record.id


@pytest.mark.parametrize("is_taken", [False, True])
async def test_a_stop_while_a_launch_leaves_a_full_disk_is_not_lost(
    postgres_database_url: str,
    make_settings: Callable[..., Settings],
    monkeypatch: pytest.MonkeyPatch,
    nursery: trio.Nursery,
    is_taken: bool,
) -> None:
    stopped, answers = trio.Event(), list[PreviewRecord | PreviewUnavailable]()
    rigs = list[Rig]()

    async def stop() -> None:
        try:
            answers.append(await rigs[0].service.previews.stop("g1"))
        except PreviewUnavailable as error:
            answers.append(error)
        stopped.set()

    async def has_other(_: object) -> bool:
        """The launch has failed, and has not left yet."""
        (preview,) = rigs[0].service.previews.all_active.values()
        nursery.start_soon(stop)
        while not preview.over.statistics().tasks_waiting:
            await trio.lowlevel.checkpoint()
        return True

    async def none_waits(*_: object) -> None:
        await trio.lowlevel.checkpoint()

    async with open_full_disk(postgres_database_url, make_settings, monkeypatch, has_other) as (one, preview_id):
        rigs.append(one)
        if is_taken:
            # Another node was faster.
            monkeypatch.setattr(one.service.previews.queued, "cancel", none_waits)
        with trio.fail_after(90):
            await stopped.wait()
        (answer,) = answers
        query = "SELECT state, has_run FROM owners ORDER BY queued_at DESC LIMIT 1"
        if is_taken:
            assert isinstance(answer, PreviewUnavailable)
            # Its first wait goes on.
            assert await rows(one, query) == [("queued", 0)]
        else:
            assert isinstance(answer, PreviewRecord)
            assert (answer.id, answer.state, answer.reason) == (preview_id, State.STOPPED, "stopped on request")
            assert (await rows(one, query))[0][0] == "over"


async def test_a_slow_look_for_another_node_leaves_a_launch_its_end(
    postgres_database_url: str, make_settings: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def never(_: object) -> bool:
        await trio.sleep_forever()
        return False

    async with open_full_disk(postgres_database_url, make_settings, monkeypatch, never) as (one, preview_id):
        with pytest.raises((DiskFull, LaunchFailed), match="No space left on device"):
            await one.service.previews.wait_ready(preview_id, 90)
        ended = await one.service.previews.get(preview_id)
        assert (ended.state, await rows(one, "SELECT state FROM owners")) == (State.FAILED, [("over",)])


async def test_a_launch_whose_node_loses_the_database_before_it_starts_waits_in_the_queue(
    postgres_database_url: str, make_settings: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = make_settings(
        database_url=postgres_database_url,
        cluster=True,
        cluster_secret="one secret of all nodes of this cluster",
        node_name="one",
        node_address="127.0.0.1:7000",
        node_lease_s=60,
    )
    monkeypatch.setattr(node_queue, "_DECLINED_S", 0)
    async with open_rig(settings) as one:
        one.source.add("g1", SERVER)
        previews, cluster = one.service.previews, cast("Any", one.service.cluster)
        # It waits, so that a node takes it from the queue.
        cluster.draining = True
        other = "INSERT INTO nodes SELECT 'two', 'a', 9e15, 1, version, 9, 0, labels, 0, 0 FROM nodes WHERE id = 'one'"
        await one.service.database.write(lambda connection: connection.execute(text(other)))
        launched = await one.launch("g1")
        store, write = cast("Any", previews)._context.store, one.service.database.write
        update, cut = store.update, [True]

        async def no_answer(*_: Any, **__: Any) -> Any:
            raise DatabaseUnavailable("The service's database did not answer (OperationalError).")

        async def fail(record: Any) -> None:
            if cut:
                cut.clear()
                # It does not take the preview back either, until the next renewals.
                monkeypatch.setattr(one.service.database, "write", no_answer)
                raise DatabaseUnavailable("The service's database did not answer (OperationalError).")
            await update(record)

        monkeypatch.setattr(store, "update", fail)
        cluster.draining = False
        await until(lambda: not cut)
        failed = _of(one, launched.record.id)
        await failed.over.wait()
        monkeypatch.setattr(one.service.database, "write", write)
        await renew(cluster)
        await renew(cluster)
        ready = await previews.wait_ready(launched.record.id, 90)
        assert (ready.id, ready.state) == (launched.record.id, State.RUNNING)
        await previews.stop("g1")


async def renew(cluster: Cluster) -> None:
    """Renew the lease once, and follow what that saw, as the cluster's task does."""
    if (seen := await trio.to_thread.run_sync(cluster._renew)) is not None:
        await cluster._note(seen)


def _of(one: Rig, preview_id: str) -> LivePreview:
    found = one.service.previews.find(preview_id)
    assert found is not None
    return found
