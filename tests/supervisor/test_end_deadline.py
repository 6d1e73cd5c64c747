"""The end of a preview has a deadline. Its owner's row does not stay with this node, whatever was not done by then."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import trio
import trio.testing

from preview.cluster import Cluster, NodeFacts
from preview.core.lifecycle import Departure, State
from preview.errors import DatabaseUnavailable, LaunchFailed, StartupTimeout
from preview.supervisor.launch.saving import FLUSH_S, STORE_S
from preview.supervisor.life import persistence
from preview.supervisor.life.persistence import conclude
from preview.supervisor.manager.queued import QueuedLaunches
from preview.supervisor.preview.outcome import Outcome, departed


async def _hang(*_: object) -> None:
    await trio.sleep_forever()


def _preview(outcome: Outcome) -> Any:
    ignore = SimpleNamespace(close=lambda _: None)
    log = SimpleNamespace(say=lambda *_: None, published=_hang, last_seq=1, finish=lambda _: None)
    return SimpleNamespace(
        id="p", outcome=outcome, exit=None, record=SimpleNamespace(steps=(), port=1),
        stored=True, has_run=False, log=log, move=lambda *_: None, uptime_s=1.0, cause=None, accepted=trio.Event(),
        settled=trio.Event(), changes=ignore, inside=ignore,
    )  # fmt: skip


@pytest.mark.parametrize("moves", [True, False])
async def test_a_preview_whose_last_lines_are_not_stored_in_time_is_not_this_nodes_any_more(
    moves: bool, monkeypatch: pytest.MonkeyPatch, autojump_clock: trio.testing.MockClock
) -> None:
    monkeypatch.setattr(persistence, "replace", lambda record, **_: record)
    asked: list[object] = []

    async def write(change: object) -> None:
        asked.append(change)
        await _hang()

    database: Any = SimpleNamespace(engine=None, write=write)
    cluster = Cluster(database, NodeFacts("one", "one:7000"), 600)
    cluster.fences["p"] = 7
    if moves:
        cluster.moving.add("p")
    context: Any = SimpleNamespace(
        cluster=cluster, writer=SimpleNamespace(flush=_hang), owns=lambda _: True, pending={},
        store=SimpleNamespace(update=_hang),
    )  # fmt: skip
    with trio.move_on_after(FLUSH_S + STORE_S):
        moved = departed(Departure.MOVED, LaunchFailed("moved"))
        await conclude(_preview(moved if moves else Outcome(State.STOPPED, "stopped")), context)
    assert (cluster.fences, cluster.moving) == ({}, set())
    assert cluster._ended["p"] == 7
    assert cluster._releases == ({} if moves else {"p": 7})
    # A move is reported at once.
    assert bool(asked) is moves


async def test_a_wait_that_is_over_names_the_whole_time_also_without_a_database(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async def fail(_: str) -> None:
        raise DatabaseUnavailable("down")

    context: Any = SimpleNamespace(store=SimpleNamespace(get=fail))
    cluster: Any = SimpleNamespace(queue=SimpleNamespace(place=fail))
    registry: Any = SimpleNamespace(by_id={})
    with pytest.raises(StartupTimeout, match="within 60 s; it waits or starts, and the database does not"):
        await QueuedLaunches(context, cluster, registry).wait("p", 3.0, 60.0)
