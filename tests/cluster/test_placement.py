"""Decisions of nodes about waiting previews: pure, so checked for many made-up queues."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from preview.cluster import ANYTHING, Node, NodeFacts, wakes
from preview.cluster.notices import queue_notice
from preview.cluster.placement import (
    INVITED,
    LEAST_FREE_MEMORY,
    LEFT_TO_INVITED_S,
    MOST_DELAY_S,
    NodeState,
    Waiting,
    Wants,
    Warmth,
    choose,
    delay_s,
    in_turn,
    invite,
    score,
    with_room,
)
from preview.errors import DiskFull
from preview.people_errors import IsolationBelowMinimum
from preview.supervisor.manager.queued import may_take

LABELS = st.dictionaries(st.sampled_from(["region", "disk"]), st.sampled_from(["north", "south", "fast"]), max_size=2)
NODES = st.builds(
    NodeState,
    LABELS,
    st.integers(0, 10),
    st.integers(0, 12),
    st.floats(0, 1),
    st.floats(0, 20),
    draining=st.booleans(),
)
QUEUES = st.lists(
    st.builds(
        lambda user, labels, is_launch: (user, Wants(labels), is_launch),
        st.sampled_from(["ann", "bob", "eve"]),
        LABELS,
        st.booleans(),
    ),
    max_size=12,
).map(
    lambda rows: [
        Waiting(f"p{number}", f"g{number}", user, wants=wants, is_launch=is_launch)
        for number, (user, wants, is_launch) in enumerate(rows)
    ]
)


@given(NODES, st.sampled_from(Warmth), st.integers(0, 20))
def test_a_score_is_between_0_and_1_and_warmth_counts_most(node: NodeState, warmth: Warmth, of_user: int) -> None:
    points = score(node, warmth, of_user)
    assert 0 <= points <= 1
    assert 0 <= delay_s(points) <= MOST_DELAY_S
    # Whatever the load, a warm node comes before one that has to build.
    idle = NodeState({}, 10, 0)
    assert score(node, Warmth.WARM, of_user) > score(idle, Warmth.NONE, 0)
    assert score(node, warmth, of_user + 1) <= points


@given(NODES, QUEUES, st.floats(0, 1))
def test_a_node_takes_no_more_than_it_has_room_for_and_only_what_suits_it(
    node: NodeState, queue: list[Waiting], seen: float
) -> None:
    choice = choose(node, queue, {}, {}, {one.preview_id: seen for one in queue})
    by_id = {one.preview_id: one for one in queue}
    assert len(choice.now) <= node.room
    assert all(by_id[one].wants.suit(node.labels) for one in choice.now)
    assert choice.suitable == sum(one.wants.suit(node.labels) for one in queue)
    assert list(choice.now) == [one.preview_id for one in queue if one.preview_id in choice.now]
    if node.room == 0:
        assert choice.now == ()
        assert choice.next_s is None
    if choice.next_s is not None:
        assert 0 < choice.next_s <= MOST_DELAY_S


@given(NODES, QUEUES)
def test_what_suits_a_node_with_room_is_taken_within_the_longest_delay(node: NodeState, queue: list[Waiting]) -> None:
    suitable = [one.preview_id for one in queue if one.wants.suit(node.labels)]
    choice = choose(node, queue, {}, {}, dict.fromkeys(suitable, MOST_DELAY_S))
    assert list(choice.now) == suitable[: node.room]


def test_a_node_that_drains_or_is_short_of_memory_declines() -> None:
    queue = [Waiting("p", "g", "ann")]
    seen = {"p": 10.0}
    assert choose(NodeState({}, 5, 1), queue, {}, {}, seen).now == ("p",)
    assert choose(NodeState({}, 5, 1, draining=True), queue, {}, {}, seen).now == ()
    assert choose(NodeState({}, 5, 1, free_memory=LEAST_FREE_MEMORY / 2), queue, {}, {}, seen).now == ()
    assert choose(NodeState({}, 5, 5), queue, {}, {}, seen).now == ()
    # Still counted: launches that come to this node wait in turn.
    assert choose(NodeState({}, 5, 5), queue, {}, {}, seen).suitable == 1


@given(QUEUES, st.dictionaries(st.sampled_from(["ann", "bob", "eve"]), st.integers(0, 4)))
def test_users_take_turns(queue: list[Waiting], running: dict[str, int]) -> None:
    order = in_turn(queue, running)
    assert sorted(one.preview_id for one in order) == sorted(one.preview_id for one in queue)
    # Those that have run come first, the oldest first.
    assert [one.is_launch for one in order] == sorted(one.is_launch for one in order)
    moved = [one for one in order if not one.is_launch]
    assert moved == [one for one in queue if not one.is_launch]
    # If each started as soon as it is its turn, no user would be more than one preview ahead of one who still waits.
    shares = Counter(running)
    launches = [one for one in order if one.is_launch]
    for number, one in enumerate(launches):
        shares[one.user_id] += 1
        for other in launches[number + 1 :]:
            assert shares[one.user_id] <= shares[other.user_id] + 1
    for one, following in pairwise(launches):
        if one.user_id == following.user_id:
            assert queue.index(one) < queue.index(following)


@given(st.lists(NODES, max_size=40), LABELS, st.randoms(use_true_random=False))
def test_few_nodes_are_invited_and_only_those_that_may_take(
    nodes: list[NodeState], labels: dict[str, str], draw: random.Random
) -> None:
    named = [replace(one, name=f"n{number}") for number, one in enumerate(nodes)]
    by_name, wants = {one.name: one for one in named}, Wants(labels)
    invited = invite(named, wants, {}, {}, draw)
    assert len(set(invited)) == len(invited) <= INVITED
    assert all(wants.suit(by_name[one].labels) and not by_name[one].draining for one in invited)
    suited = [one for one in named if wants.suit(one.labels) and not one.draining]
    with_room = [one.name for one in suited if one.room]
    # Of those with room as many as there are; without one, some that may have room soon.
    assert len(invited) == min(INVITED, len(with_room or suited))
    assert not with_room or set(invited) <= set(with_room)


def test_a_node_that_has_the_environment_is_invited() -> None:
    nodes = [NodeState({}, 100, 0, name=f"n{number}") for number in range(1000)]
    nodes[777] = replace(nodes[777], load=99)
    for seed in range(20):
        assert "n777" in invite(nodes, Wants(), {"n777": Warmth.CACHED}, {}, random.Random(seed))
    # Nodes that choose at the same moment do not all choose the same ones.
    assert len({invite(nodes, Wants(), {}, {}, random.Random(seed)) for seed in range(20)}) > 15


@given(NODES, QUEUES, st.floats(0, 2 * LEFT_TO_INVITED_S))
def test_what_others_are_invited_to_is_left_to_them_for_a_moment(
    node: NodeState, queue: list[Waiting], waited_s: float
) -> None:
    node, seen = replace(node, name="me"), {one.preview_id: 10.0 for one in queue}
    plain = choose(node, [replace(one, waited_s=waited_s) for one in queue], {}, {}, seen)
    others = [replace(one, invited=("a", "b"), waited_s=waited_s) for one in queue]
    own = [replace(one, invited=("a", "me"), waited_s=waited_s) for one in queue]
    assert choose(node, own, {}, {}, seen) == plain
    # If the invited ones are lost, the others take it.
    nothing = replace(plain, now=(), suitable=0)
    assert choose(node, others, {}, {}, seen) == (plain if waited_s >= LEFT_TO_INVITED_S else nothing)


def test_a_notice_wakes_those_whom_it_names() -> None:
    assert all(
        wakes(payload, "one") for payload in (ANYTHING, "node:one", queue_notice(), queue_notice(["two", "one"]))
    )
    others = ("node:two", "preview:one", "queues", "", queue_notice(["two", "one-more"]))
    assert not any(wakes(payload, "one") for payload in others)


def test_constraints_survive_the_database() -> None:
    for wants in (Wants(), Wants({"region": "north"})):
        assert Wants.parse(wants.words()) == wants


def test_a_drain_moves_only_what_another_node_has_room_for() -> None:
    north, south = {"region": "north"}, {"region": "south"}
    nodes = [NodeState(south, 5, 5), NodeState(north, 2, 1), NodeState({}, 9, 0, draining=True)]
    wanted = [Wants(south), Wants(north), Wants(north), Wants()]
    assert with_room(wanted, nodes) == [False, True, False, False]
    assert with_room(wanted, [*nodes, NodeState(south, 3, 1)]) == [True, True, False, True]
    assert with_room(wanted, []) == [False] * 4


def test_a_launch_is_queued_only_if_another_node_may_take_it() -> None:
    own = NodeFacts("one", "one:7000", isolation="sandbox")
    facts = replace(own, name="two", labels={"region": "north"})
    other = Node(facts, 0, is_live=True, draining=False, left_s=1, started_at=0)
    full, lacking = DiskFull("x"), IsolationBelowMinimum("x")
    assert may_take(other, own, Wants({"region": "north"}), full)
    assert not may_take(other, own, Wants({"region": "south"}), full)
    assert not may_take(replace(other, draining=True), own, Wants(), full)
    assert not may_take(replace(other, is_live=False), own, Wants(), full)
    assert not may_take(replace(other, facts=own), own, Wants(), full)
    # A node of the same level lacks it, too.
    assert not may_take(other, own, Wants(), lacking)
    assert may_take(replace(other, facts=replace(facts, isolation="container")), own, Wants(), lacking)
