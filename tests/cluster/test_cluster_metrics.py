"""Metrics of a cluster: nodes by state, the queue, and this node's lease."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import cast

import trio
from trio.testing import MockClock

from preview.cluster import Cluster, Node, NodeFacts
from preview.cluster.leases import Lease
from preview.errors import DatabaseUnavailable
from preview.http.metrics.cluster import ClusterState, overview_of

DAY_S = 24 * 3600.0


def node(name: str, load: int, left_s: float, *, draining: bool = False) -> Node:
    return Node(NodeFacts(name, "x:1", capacity=10), load, left_s > 0, draining, left_s, 0)


NODES = [
    node("lives", 3, 1.5),
    node("drains", 2, 1.5, draining=True),
    node("was lost while it drained", 4, -9, draining=True),
    node("was lost", 4, -DAY_S),
    # ``until`` is 0 after an ordered end.
    node("left", 4, -50 * 365 * DAY_S),
]


def values(state: ClusterState) -> dict[str, float]:
    return {
        "".join([one.name, *one.labels.values()]).removeprefix("preview_cluster_"): one.value
        for family in state.collect()
        for one in family.samples
    }


def test_nodes_are_counted_by_state_and_only_those_with_a_lease_run_previews() -> None:
    assert overview_of(NODES, 7) == (1, 1, 2, 5, 10, 7)


def test_a_lease_that_was_over_before_the_next_one_counts_as_lost() -> None:
    now = 0.0
    lease = Lease(2, lambda: now)
    lease.begin(0)
    now = 1.0
    assert lease.renewed(1.0)
    assert lease.losses == 0
    now = 9.0
    assert not lease.renewed(9.0)
    lease.begin(9.0)
    assert lease.losses == 1


async def test_a_scrape_shows_the_last_look_also_while_the_database_is_away(autojump_clock: MockClock) -> None:
    looks: Iterator[list[Node] | Exception] = iter([NODES, DatabaseUnavailable("away"), []])

    async def nodes() -> list[Node]:
        found = next(looks)
        if isinstance(found, Exception):
            raise found
        return found

    async def length() -> int:
        return 7

    lease = Lease(2, lambda: 0.0)
    lease.begin(0)
    state = ClusterState(
        cast("Cluster", SimpleNamespace(nodes=nodes, queue=SimpleNamespace(length=length), lease=lease))
    )
    async with trio.open_nursery() as nursery:
        nursery.start_soon(state.run)
        for _second in (1, 6):
            await trio.sleep_until(_second)
            found = values(state)
            assert (found["nodeslive"], found["nodesdraining"], found["nodeslost"]) == (1, 1, 2)
            assert (found["queue_launches"], found["previews"], found["capacity"]) == (7, 5, 10)
            assert found["lease_left_seconds"] == 1.5
        await trio.sleep_until(11)
        assert values(state)["nodeslive"] == 0
        nursery.cancel_scope.cancel()


async def test_a_service_alone_has_zeros() -> None:
    state = ClusterState(None)
    with trio.fail_after(60):
        await state.run()
    assert set(values(state).values()) == {0}
