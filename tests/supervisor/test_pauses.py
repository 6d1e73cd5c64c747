"""Previews that stand still while their node's lease is over: nothing of theirs runs, and they go on as they were."""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio
from supervisor_kit import ANN, IGNORES_TERM, NEVER_ANSWERS, SERVER, Rig, open_rig
from trio.testing import wait_all_tasks_blocked

from preview.core.lifecycle import Departure, Health
from preview.runtime import Exit, Freeze
from preview.runtime.kernel import proctree
from preview.settings import Settings
from preview.supervisor.manager.pauses import Pauses
from preview.supervisor.preview.live_preview import LivePreview
from preview.supervisor.process.probe import ask

pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

# A child that writes without an end, beside the server.
FAMILY = SERVER.replace(
    "print('up', flush=True)",
    "print('up', flush=True)\nif not os.fork():\n    while True: os.write(1, b'child\\n'); time.sleep(0.01)",
)


@asynccontextmanager
async def open_member(
    url: str, make_settings: Callable[..., Settings], **more: float
) -> AsyncIterator[tuple[Rig, Pauses]]:
    settings = make_settings(
        database_url=url,
        cluster=True,
        cluster_secret="one secret of all nodes of this cluster",
        node_name="one",
        node_address="127.0.0.1:0",
        node_lease_s=60,
        **more,
    )
    async with open_rig(settings) as rig:
        manager: Any = rig.service.previews
        yield rig, manager.takeovers._pauses


def states(preview: LivePreview) -> set[str]:
    """States of all processes of the preview, as the kernel has them."""
    find = preview.find_all()
    assert find is not None
    pids = {pid for one in find() for pid in (one, *proctree.descendants(one))}
    return {Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] for pid in pids}


async def answers(preview: LivePreview) -> bool:
    with trio.move_on_after(0.5):
        return await ask(preview.socket_address, "/") == 200
    return False


async def test_it_stands_still_and_goes_on_as_the_same_process(
    postgres_database_url: str, make_settings: Callable[..., Settings]
) -> None:
    async with open_member(postgres_database_url, make_settings, liveness_interval_s=0.05) as (rig, pauses):
        preview = await rig.running(FAMILY)
        pid = preview.record.pid
        assert set(await pauses.pause()) == {preview.id}
        assert states(preview) == {"T"}
        # A second look finds it as it is.
        assert set(await pauses.pause()) == {preview.id}
        waiting: list[bool] = []

        async def request() -> None:
            waiting.append(await ask(preview.socket_address, "/") == 200)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(request)
            assert not await answers(preview)
            assert waiting == []
            await pauses.go_on({preview.id}, 1.9)
        # What was asked meanwhile is answered; nothing is ill for it.
        assert waiting == [True]
        assert "T" not in states(preview)
        assert (preview.record.pid, preview.outcome, preview.record.health) == (pid, None, Health.HEALTHY)
        assert "paused for 1.9 s" in "".join(line.message for line in preview.log.last_lines(1000))
        # Restarts are possible again.
        assert preview.start_turn.value == 1


async def test_what_another_node_has_never_runs_again(
    postgres_database_url: str, make_settings: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_member(postgres_database_url, make_settings) as (rig, pauses):
        preview = await rig.running(IGNORES_TERM)
        await pauses.pause()
        monkeypatch.setattr(Freeze, "thaw", lambda _: pytest.fail("woken"))
        await pauses.go_on((), 1.0)
        with trio.fail_after(30):
            await preview.over.wait()
        assert preview.exit == Exit(signal=9)
        assert preview.outcome is not None
        assert preview.outcome.departure is Departure.NODE_LOST


async def test_what_is_stopped_meanwhile_ends_at_once(
    postgres_database_url: str, make_settings: Callable[..., Settings]
) -> None:
    limits = {"stop_grace_s": 60, "stop_budget_s": 90, "shutdown_timeout_s": 120}
    async with open_member(postgres_database_url, make_settings, **limits) as (rig, pauses):
        preview = await rig.running(SERVER)
        await pauses.pause()
        with trio.fail_after(30):
            await rig.service.previews.stop("g1")
        await pauses.go_on({preview.id}, 1.0)
        assert pauses._paused == {}


async def test_a_node_whose_lease_is_over_again_wakes_nothing(
    postgres_database_url: str, make_settings: Callable[..., Settings]
) -> None:
    async with open_member(postgres_database_url, make_settings) as (rig, pauses):
        preview = await rig.running(FAMILY)
        cluster = rig.service.cluster
        assert cluster is not None
        await pauses.pause()
        deadline, cluster.lease._deadline = cluster.lease._deadline, 0.0
        await pauses.go_on({preview.id}, 1.0)
        assert states(preview) == {"T"}
        cluster.lease._deadline = deadline
        await pauses.go_on({preview.id}, 1.0)
        assert "T" not in states(preview)


async def test_what_starts_changes_or_cannot_be_stopped_ends(
    postgres_database_url: str, make_settings: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_member(postgres_database_url, make_settings) as (rig, pauses):
        rig.source.add("g2", NEVER_ANSWERS)
        starting = (await rig.launch("g2", ANN)).record
        with trio.fail_after(60):
            assert not await pauses.pause()
        assert rig.service.previews.find(starting.id) is None

        preview = await rig.running(SERVER, "g3")
        async with preview.start_turn:
            assert not await pauses.pause()
        assert preview.over.is_set()

        preview = await rig.running(SERVER, "g4")
        with monkeypatch.context() as patched:
            patched.setattr(Freeze, "stop", lambda *_: False)
            assert not await pauses.pause()
        assert preview.over.is_set()


async def test_the_end_of_all_ends_what_stands_still(
    postgres_database_url: str, make_settings: Callable[..., Settings]
) -> None:
    async with open_member(postgres_database_url, make_settings) as (rig, pauses):
        preview = await rig.running(FAMILY)
        await pauses.pause()
        identity = proctree.identify(preview.record.pid or 0)
        with trio.fail_after(30):
            await pauses.end_all()
        assert preview.over.is_set()
        assert identity is not None
        assert not proctree.is_alive(identity)


async def test_what_is_ending_runs_no_longer_than_the_lease(
    postgres_database_url: str, make_settings: Callable[..., Settings]
) -> None:
    limits = {"stop_grace_s": 60, "stop_budget_s": 90, "shutdown_timeout_s": 120}
    async with (
        open_member(postgres_database_url, make_settings, **limits) as (rig, pauses),
        trio.open_nursery() as tasks,
    ):
        preview = await rig.running(IGNORES_TERM)
        find = preview.find_all()
        assert find is not None
        tasks.start_soon(rig.service.previews.stop, "g1")
        with trio.fail_after(30):
            while preview.outcome is None:
                await trio.lowlevel.checkpoint()
            await wait_all_tasks_blocked(0.1)
            # The late renewal does not wait for its end.
            assert set(await pauses.pause()) == {preview.id}
            assert states(preview) == {"T"}
            await pauses.go_on({preview.id}, 1.0)
            assert states(preview) == {"T"}
            for pid in find():
                os.kill(pid, signal.SIGKILL)
            await preview.over.wait()


async def test_a_preview_that_waits_for_its_thread_gets_no_more_time(
    postgres_database_url: str, make_settings: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_member(postgres_database_url, make_settings) as (rig, pauses):
        preview = await rig.running(SERVER)
        stop, within = Freeze.stop, list[float]()

        def noted(self: Freeze, find: Callable[[], list[int]], within_s: float) -> bool:
            within.append(within_s)
            return stop(self, find, within_s)

        monkeypatch.setattr(Freeze, "stop", noted)
        pauses._threads.total_tokens = 1
        async with trio.open_nursery() as tasks, pauses._threads:
            tasks.start_soon(pauses.pause)
            await wait_all_tasks_blocked(0.2)
        # A quarter of the lease is 15 s.
        assert [one < 14.9 for one in within] == [True]
        await pauses.go_on({preview.id}, 1.0)


async def test_a_machine_without_threads_ends_what_it_cannot_stop_and_nothing_else(
    postgres_database_url: str, make_settings: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_member(postgres_database_url, make_settings) as (rig, pauses):
        first, second = await rig.running(SERVER), await rig.running(SERVER, "g2")
        stop, found = Freeze.stop, list[Freeze]()

        def refuse_first(self: Freeze, *given: Any) -> bool:
            found.append(self)
            if found[0] is self:
                raise RuntimeError("can't start new thread")
            return stop(self, *given)

        monkeypatch.setattr(Freeze, "stop", refuse_first)
        with trio.fail_after(30):
            still = set(await pauses.pause())
        assert len(still) == 1
        assert still < {first.id, second.id}
        await pauses.go_on(still, 1.0)


async def test_a_change_waits_until_it_goes_on(
    postgres_database_url: str, make_settings: Callable[..., Settings]
) -> None:
    async with open_member(postgres_database_url, make_settings) as (rig, pauses):
        preview = await rig.running(SERVER)
        await pauses.pause()
        with trio.fail_after(30):
            async with trio.open_nursery() as tasks:
                tasks.start_soon(rig.service.previews.restart, ANN, "g1")
                while preview.changes.is_idle:  # noqa: ASYNC110  a request has no event
                    await trio.sleep(0.01)
                for _ in range(50):
                    await trio.lowlevel.checkpoint()
                # No step of it has started.
                assert "requested" not in "".join(line.message for line in preview.log.last_lines(1000))
                await pauses.go_on({preview.id}, 1.0)
        assert preview.restarts == 1
