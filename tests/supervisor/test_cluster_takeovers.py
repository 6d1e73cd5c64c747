"""Takeovers that meet an obstacle: rules of this moment leave the preview to others, and its own faults end it."""

from __future__ import annotations

import errno
import math
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import pytest
import trio
from sqlalchemy import Connection, text
from supervisor_kit import ANN, NEVER_ANSWERS, SERVER, Rig, open_rig
from trio.testing import wait_all_tasks_blocked

from preview.cluster import Node, Taken
from preview.cluster.placement import Choice
from preview.core import clock
from preview.core.clock import utc_now
from preview.core.lifecycle import Departure, State
from preview.errors import AlreadyRunning, DiskFull, GenerationNotFound, LaunchFailed, PreviewUnavailable
from preview.http.core.bodies import StreamQuery
from preview.http.streams.log_socket import first_lines
from preview.logs import LineFilter
from preview.people_errors import IsolationBelowMinimum
from preview.rollout import FlagName, Rollout
from preview.settings import Settings
from preview.storage.previews import end_waiting
from preview.storage.tables import PreviewRecord
from preview.supervisor import LaunchRequest
from preview.supervisor.manager import takeovers as module
from preview.supervisor.manager.takeovers import Takeovers

# On a busy machine a program that was killed with its preview is reaped after the deadline of its end.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@asynccontextmanager
async def open_member(url: str, make_settings: Callable[..., Settings]) -> AsyncIterator[tuple[Rig, Takeovers]]:
    """A node that takes nothing unless a test does."""
    settings = make_settings(
        database_url=url,
        cluster=True,
        cluster_secret="one secret of all nodes of this cluster",
        node_name="one",
        node_address="127.0.0.1:0",
        node_lease_s=60,
    )
    async with open_rig(settings) as rig:
        manager: Any = rig.service.previews
        cluster: Any = rig.service.cluster
        manager.takeovers.take, cluster.take = cluster.take, _nothing
        yield rig, manager.takeovers


async def _nothing(*_: object) -> list[Taken]:
    await trio.lowlevel.checkpoint()
    return []


async def owner(rig: Rig, preview_id: str) -> tuple[Any, ...]:
    query = text("SELECT state, node FROM owners WHERE preview_id = :id")
    return tuple(await rig.service.database.read(lambda one: one.execute(query, {"id": preview_id}).one()))


async def queue(rig: Rig, preview_id: str) -> None:
    """Move the preview away, as a drain does."""
    cluster, preview = rig.service.cluster, rig.service.previews.find(preview_id)
    assert cluster is not None
    if preview is not None:
        cluster.moving.add(preview_id)
        preview.depart(Departure.MOVED, LaunchFailed("moved"))
        await preview.over.wait()
    assert await owner(rig, preview_id) == ("queued", None)


async def adopt(takeovers: Any) -> None:
    """One takeover, without the pause after one that did not succeed."""
    cluster, done = takeovers._cluster, trio.Event()
    give_up = cluster.give_up

    async def noted(preview_id: str, **how: bool) -> None:
        await give_up(preview_id, **how)
        done.set()

    async def run(taken: Taken) -> None:
        await takeovers._adopt(taken)
        done.set()

    cluster.give_up = noted
    try:
        with trio.fail_after(90):
            (taken,) = await takeovers.take(1)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(run, taken)
                await done.wait()
                nursery.cancel_scope.cancel()
    finally:
        cluster.give_up = give_up


async def test_rules_and_shortages_of_this_node_leave_a_preview_to_others(
    postgres_database_url: str, make_settings: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_member(postgres_database_url, make_settings) as (rig, takeovers):
        preview = await rig.running(SERVER)
        before = await rig.service.previews.get(preview.id)
        assert before.state is State.RUNNING

        async def is_left(fault: str) -> None:
            await queue(rig, preview.id)
            await adopt(takeovers)
            assert await owner(rig, preview.id) == ("queued", None), fault
            assert rig.service.previews.find(preview.id) is None, fault
            assert (await rig.service.previews.get(preview.id)).is_active, fault

        # The switch that stops launches.
        rollout = rig.service.rollout
        await rollout.change(FlagName.LAUNCHES, {"value": "off", "reason": "x"}, expected=0, user_id="olga")
        await is_left("the kill switch")
        await rollout.change(FlagName.LAUNCHES, {"value": "on"}, expected=None, user_id="olga")

        # The least isolation level of the user's tier, which this node does not have.
        def refused(*_: object) -> object:
            raise IsolationBelowMinimum("x")

        with monkeypatch.context() as patched:
            patched.setattr(Rollout, "choose", refused)
            await is_left("the least isolation level")

        def full(_: Settings) -> None:
            raise DiskFull("x")

        with monkeypatch.context() as patched:
            patched.setattr(module, "check_free_disk", full)
            await is_left("a full disk")

        # A node that shuts down takes none.
        draining: Any = takeovers
        with monkeypatch.context() as patched:
            over = trio.Event()
            over.set()
            patched.setattr(draining, "_draining", over)
            await is_left("a shutdown")

        # Then it runs, with its log going on.
        await adopt(takeovers)
        again = rig.service.previews.find(preview.id)
        assert again is not None
        await again.settled.wait()
        assert again.record.state is State.RUNNING


async def test_a_takeover_that_fails_before_its_first_write_ends_the_preview(
    postgres_database_url: str, make_settings: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_member(postgres_database_url, make_settings) as (rig, takeovers):
        preview = await rig.running(SERVER)
        await queue(rig, preview.id)

        async def fails(_id: str, _directory: Path) -> None:
            await trio.lowlevel.checkpoint()
            raise GenerationNotFound("The files cannot be written.")

        with monkeypatch.context() as patched:
            patched.setattr(rig.source, "write_files", fails)
            await adopt(takeovers)
            again = rig.service.previews.find(preview.id)
            if again is not None:
                await again.over.wait()
        ended = await rig.service.previews.get(preview.id)
        assert (ended.state, ended.reason) == (State.FAILED, "The files cannot be written.")
        assert (await owner(rig, preview.id))[0] == "over"


async def test_a_preview_that_ends_its_nodes_gets_no_more_but_an_old_one_does(
    postgres_database_url: str, make_settings: Callable[..., Settings]
) -> None:
    async with open_member(postgres_database_url, make_settings) as (rig, takeovers):
        preview = await rig.running(SERVER)
        database = rig.service.database
        lost = text("UPDATE owners SET node = 'gone', losses = 5 WHERE preview_id = :id")
        old = text("UPDATE preview_instances SET created_at = created_at - 1000 * 3600 WHERE id = :id")
        await queue(rig, preview.id)
        await database.write(lambda connection: connection.execute(lost, {"id": preview.id}))
        await database.write(lambda connection: connection.execute(old, {"id": preview.id}))
        await adopt(takeovers)
        again = rig.service.previews.find(preview.id)
        assert again is not None
        await again.settled.wait()
        assert again.record.state is State.RUNNING
        young = text("UPDATE preview_instances SET created_at = created_at + 1000 * 3600 WHERE id = :id")
        await queue(rig, preview.id)
        await database.write(lambda connection: connection.execute(lost, {"id": preview.id}))
        await database.write(lambda connection: connection.execute(young, {"id": preview.id}))
        told = list[PreviewRecord]()
        with rig.service.previews.observing(lambda _: None, ended=told.append):
            await adopt(takeovers)
        assert [(one.id, one.state) for one in told] == [(preview.id, State.FAILED)]
        ended = await rig.service.previews.get(preview.id)
        assert (ended.state, ended.reason) == (
            State.FAILED,
            "node lost: this preview has lost its node 6 times already",
        )


async def test_a_node_whose_clock_is_wrong_ends_no_preview(
    postgres_database_url: str, make_settings: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_member(postgres_database_url, make_settings) as (rig, takeovers):
        preview = await rig.running(SERVER)
        await queue(rig, preview.id)
        monkeypatch.setattr(module, "utc_now", lambda: utc_now() + timedelta(days=2))
        await adopt(takeovers)
        again = rig.service.previews.find(preview.id)
        assert again is not None
        await again.settled.wait()
        assert again.record.state is State.RUNNING
        # Its life goes on as long as it would have.
        assert again.deadlines.expires_at > trio.current_time() + 60


@pytest.mark.parametrize("hours", [-2, 2])
async def test_a_wrong_clock_of_the_launching_node_does_not_change_when_a_preview_ends(
    postgres_database_url: str, make_settings: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch, hours: int
) -> None:
    true_ms = clock.now_ms
    async with open_member(postgres_database_url, make_settings) as (rig, takeovers):
        with monkeypatch.context() as patched:
            patched.setattr(clock, "now_ms", lambda: true_ms() + hours * 3_600_000)
            preview = await rig.running(SERVER)
        life_s = preview.deadlines.expires_at - trio.current_time()
        left_s = (preview.record.expires_at - utc_now()).total_seconds()
        assert abs(left_s - life_s) < 30
        await queue(rig, preview.id)
        await adopt(takeovers)
        again = rig.service.previews.find(preview.id)
        assert again is not None
        await again.settled.wait()
        assert again.record.state is State.RUNNING
        assert abs(again.deadlines.expires_at - preview.deadlines.expires_at) < 30


async def test_a_launch_while_no_node_is_live_is_no_wrong_request(
    postgres_database_url: str, make_settings: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_member(postgres_database_url, make_settings) as (rig, _):
        cluster: Any = rig.service.cluster
        rig.source.add("g1", SERVER)

        async def nobody(**_: bool) -> list[Node]:
            await trio.lowlevel.checkpoint()
            return []

        monkeypatch.setattr(cluster.queue, "live_nodes", nobody)
        cluster.draining = True
        launched = await rig.launch("g1")
        assert await owner(rig, launched.record.id) == ("queued", None)
        cluster.draining = False


async def test_ends_in_the_queue_are_told(postgres_database_url: str, make_settings: Callable[..., Settings]) -> None:
    async with open_member(postgres_database_url, make_settings) as (rig, takeovers):
        rig.source.add("g2", SERVER)
        late, stopped = await rig.running(SERVER), rig.preview(await rig.launch("g2"))
        await stopped.settled.wait()
        cluster, loop = rig.service.cluster, cast("Any", takeovers)
        assert cluster is not None
        tell, told = trio.open_memory_channel[PreviewRecord](math.inf)
        with rig.service.previews.observing(lambda _: None, ended=tell.send_nowait):
            for one in (late, stopped):
                await queue(rig, one.id)
            assert not told.statistics().current_buffer_used
            await rig.service.previews.stop("g2")
            expired = text("UPDATE preview_instances SET expires_at = 1 WHERE id = :id")
            await rig.service.database.write(lambda connection: connection.execute(expired, {"id": late.id}))
            cast("Any", cluster.queue)._expires_at = -math.inf
            async with trio.open_nursery() as adopting:
                await loop._take_some(adopting)
            # The service's own looks tell of ends too: each by one of them, in any order.
            with trio.fail_after(60):
                ends = [await told.receive() for _ in range(2)]
        assert {one.id: one.state for one in ends} == dict.fromkeys((stopped.id, late.id), State.STOPPED)
        assert all(one.stopped_at is not None for one in ends)
        assert not told.statistics().current_buffer_used
        assert not cluster.queue.ended


async def test_a_drain_without_room_elsewhere_waits(
    postgres_database_url: str, make_settings: Callable[..., Settings]
) -> None:
    async with open_member(postgres_database_url, make_settings) as (rig, takeovers):
        preview = await rig.running(SERVER)
        cluster: Any = rig.service.cluster
        loop: Any = takeovers
        looks = 0
        nodes = cluster.nodes

        async def counted() -> Any:
            nonlocal looks
            looks += 1
            (own,) = await nodes()
            # Itself, and a full one.
            full = replace(own, facts=replace(own.facts, name="two"), load=own.facts.capacity)
            return [replace(own, draining=True), full]

        cluster.nodes, cluster.draining = counted, True
        loop._wake.set()
        with trio.fail_after(90):
            while not looks:  # noqa: ASYNC110  another task's own time
                await trio.sleep(0.01)
            # It waits for a notice, or for a part of its lease.
            while not loop._wake.statistics().tasks_waiting:  # noqa: ASYNC110  likewise
                await trio.sleep(0.01)
        assert looks == 1
        assert preview.record.state is State.RUNNING
        assert preview.id not in cluster.moving
        cluster.draining = False


async def test_a_launch_during_a_takeover_is_refused_and_the_takeover_goes_on(
    postgres_database_url: str, make_settings: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_member(postgres_database_url, make_settings) as (rig, takeovers), trio.open_nursery() as nursery:
        preview = await rig.running(SERVER)
        registry: Any = rig.service.previews._registry
        member: Any = takeovers
        refused = trio.Event()

        async def launch() -> None:
            with pytest.raises(AlreadyRunning) as error:
                await rig.service.previews.launch(LaunchRequest(ANN, preview.record.generation_id))
            assert error.value.details["preview_id"] == preview.id
            refused.set()

        async def latest(*_: object) -> None:
            """A user launches the generation meanwhile: at first it is known to be taken."""
            await launch()
            # A launch from before that is only refused by the database.
            registry.adoptions.end(preview.id)
            nursery.start_soon(launch)
            # It is there for some milliseconds only: looked for at each turn.
            while registry.of(preview.record.generation_id) is None:
                await trio.lowlevel.checkpoint()

        # This node takes launches, whatever else waits.
        monkeypatch.setattr(rig.service.previews.queued, "check_here", lambda _: None)
        await queue(rig, preview.id)
        (taken,) = await member.take(1)
        registry.adoptions.begin(preview.id)
        with monkeypatch.context() as patched, trio.fail_after(90):
            patched.setattr(member, "_latest_data", latest)
            await member._adopt(taken)
            await refused.wait()
        again = rig.service.previews.find(preview.id)
        assert again is not None
        await again.settled.wait()
        assert registry.of(preview.record.generation_id) is again
        assert again.record.state is State.RUNNING
        # A stop waits for a takeover.
        await queue(rig, preview.id)
        (taken,) = await member.take(1)
        registry.adoptions.begin(preview.id)
        nursery.start_soon(member._adopt, taken)
        assert (await rig.service.previews.stop(preview.record.generation_id)).id == preview.id
        assert not registry.by_id
        # One whose time has passed while it waited is not started.
        late = await rig.running(SERVER)
        await queue(rig, late.id)
        past = text("UPDATE preview_instances SET expires_at = 1 WHERE id = :id")
        await rig.service.database.write(lambda connection: connection.execute(past, {"id": late.id}))
        cluster: Any = rig.service.cluster
        cluster.queue._expires_at = 0.0
        await cluster.queue.end_expired()
        ended = await rig.service.previews.get(late.id)
        assert (ended.state, ended.reason) == (State.STOPPED, "stopped: time limit reached")
        assert (await owner(rig, late.id))[0] == "over"


async def test_a_waiting_launch_whose_node_is_lost_waits_for_the_next_one(
    postgres_database_url: str, make_settings: Callable[..., Settings], nursery: trio.Nursery
) -> None:
    async with open_member(postgres_database_url, make_settings) as (rig, _):
        rig.source.add("g1", NEVER_ANSWERS)
        launched = await rig.launch("g1")
        preview, found = rig.preview(launched), list[State]()

        async def wait() -> None:
            found.append((await rig.service.previews.wait_ready(preview.id, 90)).state)

        with trio.fail_after(90):
            async with trio.open_nursery() as waiting:
                waiting.start_soon(wait)
                await preview.accepted.wait()
                await wait_all_tasks_blocked()
                cluster: Any = rig.service.cluster
                cluster.fences.pop(preview.id)
                cluster.on_lost([preview.id])
                await preview.over.wait()
                # The other node has started it.
                serves = text("UPDATE preview_instances SET status = 'running' WHERE id = :id")
                await rig.service.database.write(lambda one: one.execute(serves, {"id": preview.id}))
        assert found == [State.RUNNING]


async def test_a_node_without_a_lease_does_not_know_the_last_line_of_a_log(
    postgres_database_url: str, make_settings: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_member(postgres_database_url, make_settings) as (rig, _):
        preview = await rig.running(SERVER)
        previews: Any = rig.service.previews
        cluster: Any = rig.service.cluster

        async def resumed(record: PreviewRecord) -> tuple[int | None, int | None]:
            return await first_lines(previews, record, StreamQuery(), LineFilter(), 99_999)

        # A number of an earlier preview: the node owns this one, so it knows.
        assert await resumed(preview.record) == (0, None)
        with monkeypatch.context() as patched:
            patched.setattr(type(cluster.lease), "holds", False)
            with pytest.raises(PreviewUnavailable):
                await resumed(preview.record)
            # Its next lines may be those of another node.
            assert await first_lines(previews, preview.record, StreamQuery(), LineFilter(), 1) == (1, None)
        # Lost, and still ending here: the end of this node is not the preview's.
        fence = cluster.fences.pop(preview.id)
        kept, preview.record = preview.record, replace(preview.record, state=State.FAILED, last_seq=5)
        try:
            found = await previews.latest(kept.generation_id), await previews.get(kept.id)
            with pytest.raises(PreviewUnavailable):
                await resumed(preview.record)
        finally:
            preview.record, cluster.fences[preview.id] = kept, fence
        assert [one.is_active for one in found] == [True, True]
        await previews.stop(kept.generation_id)
        ended = await previews.get(kept.id)
        # It left while its row was read; and an end that is not stored, which another node may not know.
        with pytest.raises(PreviewUnavailable):
            await resumed(kept)
        previews._context.pending[kept.id] = ended
        with pytest.raises(PreviewUnavailable):
            await resumed(ended)
        del previews._context.pending[kept.id]
        assert await resumed(ended) == (99_999, None)


async def test_the_last_number_of_a_lost_preview_that_ends_in_the_queue_is_not_below_a_readers(
    postgres_database_url: str, make_settings: Callable[..., Settings]
) -> None:
    async with open_member(postgres_database_url, make_settings) as (rig, _):
        preview = await rig.running(SERVER)
        given = "UPDATE handed_lines SET before_seq = 7101 WHERE preview_id = :id"
        new = "INSERT INTO handed_lines VALUES (:id, 7101) ON CONFLICT DO NOTHING"

        def end(connection: Connection) -> None:
            for statement in (new, given):
                connection.execute(text(statement), {"id": preview.id})
            end_waiting(connection, preview.id, State.STOPPED, "stopped")

        await rig.service.database.write(end)
        query = text("SELECT last_seq FROM preview_instances WHERE id = :id")
        last = await rig.service.database.read(lambda one: one.execute(query, {"id": preview.id}).scalar())
        assert last == 7100


async def test_a_launch_that_a_drain_moves_goes_before_new_ones(
    postgres_database_url: str, make_settings: Callable[..., Settings]
) -> None:
    async with open_member(postgres_database_url, make_settings) as (rig, _):
        rig.source.add("g1", NEVER_ANSWERS)
        preview = rig.preview(await rig.launch("g1"))
        await queue(rig, preview.id)
        query = text("SELECT has_run FROM owners WHERE preview_id = :id")
        has_run = await rig.service.database.read(lambda one: one.execute(query, {"id": preview.id}).scalar())
        # So its wait is not bounded by that of its launch.
        assert has_run == 1


async def test_what_has_run_leaves_a_full_node_once(
    postgres_database_url: str, make_settings: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_member(postgres_database_url, make_settings) as (rig, takeovers):
        preview = await rig.running(SERVER)
        cluster: Any = rig.service.cluster

        async def full(*_: object) -> None:
            await trio.lowlevel.checkpoint()
            raise OSError(errno.ENOSPC, "No space left on device")

        async def yes(_: object) -> bool:
            await trio.lowlevel.checkpoint()
            return True

        async def state() -> str:
            await adopt(takeovers)
            again = rig.service.previews.find(preview.id)
            if again is not None:
                await again.over.wait()
            return str((await owner(rig, preview.id))[0])

        monkeypatch.setattr(rig.source, "write_files", full)
        monkeypatch.setattr(cluster.queue, "has_other", yes)
        await queue(rig, preview.id)
        assert [await state(), await state()] == ["queued", "over"]
        ended = await rig.service.previews.get(preview.id)
        assert ended.state is State.FAILED
        assert "No space left on device" in str(ended.reason)


async def test_a_node_without_a_lease_does_not_look_at_once_again(
    postgres_database_url: str, make_settings: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_member(postgres_database_url, make_settings) as (rig, takeovers):
        preview = await rig.running(SERVER)
        cluster: Any = rig.service.cluster
        loop: Any = takeovers
        await queue(rig, preview.id)
        # Long enough for any node.
        cluster.queue._seen[preview.id] = -math.inf
        # The service's own looks are about the same preview.
        monkeypatch.setattr(loop._registry, "has", lambda _: False)
        async with trio.open_nursery() as adopting:
            # Another node was faster.
            assert await loop._take_some(adopting) == module._AGAIN_S
            with monkeypatch.context() as patched:
                patched.setattr(type(cluster.lease), "holds", False)
                next_s = await loop._take_some(adopting)
        assert next_s is None or next_s > 1


async def test_a_node_hands_over_all_that_it_chose_so_that_a_race_lost_for_the_first_gives_the_next(
    postgres_database_url: str, make_settings: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = tuple("abcdef")
    asked: list[tuple[int, list[str]]] = []

    async def choose(_: object) -> Choice:
        await trio.lowlevel.checkpoint()
        return Choice(chosen, None, len(chosen))

    async def take(most: int, ids: list[str]) -> list[Taken]:
        await trio.lowlevel.checkpoint()
        asked.append((most, ids))
        return []

    async with open_member(postgres_database_url, make_settings) as (rig, takeovers):
        cluster: Any = rig.service.cluster
        loop: Any = takeovers
        monkeypatch.setattr(cluster.queue, "choose", choose)
        monkeypatch.setattr(cluster, "take", take)
        async with trio.open_nursery() as adopting:
            await loop._take_some(adopting)
        assert (module._MOST_AT_ONCE, [*chosen]) in asked
        assert not loop._registry.adoptions
