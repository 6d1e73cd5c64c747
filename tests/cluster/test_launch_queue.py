"""The queue of launches in a real PostgreSQL, with a clock that the test sets."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import TypeVar

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ownership_kit import LEASE_MS, NOW, Tables, open_tables
from sqlalchemy import Connection, text

from preview.cluster.launch_queue import LaunchQueue
from preview.cluster.nodes import Membership
from preview.cluster.ownership import Claim
from preview.cluster.placement import Wants, in_turn
from preview.errors import AlreadyRunning, LimitReached, ServiceStopping, TooManyLaunches
from preview.storage import Carried

T = TypeVar("T")


class Queue:
    """Each call is one transaction."""

    def __init__(self, tables: Tables) -> None:
        self.tables = tables
        self.rows = LaunchQueue(tables.owners, LEASE_MS, NOW, up_since="0")

    def __call__(self, change: Callable[[Connection], T]) -> T:
        with self.tables.engine.begin() as connection:
            return change(connection)

    def add(
        self, member: Membership, preview_id: str, user: str = "ann", *, most: int = 100, each: int = 100, **labels: str
    ) -> None:
        carried = Carried("sealed", Wants(labels).words())
        claim = Claim(preview_id, f"g-{preview_id}", user, each, carried)
        self(lambda connection: self.rows.add(connection, member, claim, most))

    def order(self) -> list[str]:
        return [
            one.preview_id for one in self(lambda connection: self.rows.waiting(connection, 100, {"region": "north"}))
        ]

    def place(self, preview_id: str) -> tuple[int, int] | None:
        return self(lambda connection: self.rows.place(connection, preview_id))

    def count(self, user: str, most: int) -> None:
        self(lambda connection: self.rows.count_launch(connection, user, most))


@pytest.fixture
def queue(postgres_database_url: str) -> Iterator[Queue]:
    with open_tables(postgres_database_url) as tables:
        yield Queue(tables)


def test_the_queue_has_a_limit_and_counts_for_its_users(queue: Queue) -> None:
    one = queue.tables.join("one")
    queue.add(one, "a", each=2)
    with pytest.raises(AlreadyRunning):
        queue.add(one, "a", each=2)
    queue.add(one, "b", each=2)
    with pytest.raises(LimitReached) as reached:
        queue.add(one, "c", each=2)
    assert reached.value.details["limit"] == 2
    # A launch elsewhere counts what waits, too.
    with pytest.raises(LimitReached):
        queue.tables.claim(one, "d", "g-d", most=2)
    with pytest.raises(LimitReached) as full:
        queue.add(one, "e", "bob", most=2)
    assert full.value.details["setting"] == "PREVIEW_QUEUE_LIMIT"
    queue.tables.wait(LEASE_MS)
    with pytest.raises(ServiceStopping):
        queue.add(one, "f", "eve")


def test_a_transaction_that_stands_still_loses_the_locks_of_the_queue(queue: Queue) -> None:
    one = queue.tables.join("one")
    queue.tables.owners.patience_ms = 77_000
    patience = text("SHOW idle_in_transaction_session_timeout")
    claim = Claim("a", "g", "ann", 9)
    for change in (
        lambda connection: queue.rows.add(connection, one, claim, 9),
        lambda connection: queue.rows.count_launch(connection, "ann", 9),
        lambda connection: queue.tables.owners.check_limit(connection, replace(claim, generation_id="g2")),
    ):

        def run(connection: Connection, change: Callable[[Connection], None] = change) -> str:
            change(connection)
            return str(connection.execute(patience).scalar_one())

        assert queue(run) == "77s"


def test_a_node_takes_what_it_chose_with_its_options(queue: Queue) -> None:
    one, two = queue.tables.join("one"), queue.tables.join("two")
    queue.add(one, "a", region="north")
    queue.add(one, "b")
    assert queue.tables.owner_of("a") is None
    (first, _) = queue(lambda connection: queue.rows.waiting(connection, 10, {"region": "north"}))
    assert (first.preview_id, first.wants, first.is_launch) == ("a", Wants({"region": "north"}), True)
    (taken,) = queue(lambda connection: queue.tables.owners.take(connection, two, 10, ["b"]))
    assert (taken.preview_id, taken.fence, taken.before, taken.first_seq) == ("b", 1, None, 1)
    assert (taken.has_run, taken.options, taken.wants) == (False, "sealed", Wants())
    # Given up before it ran, it is a launch again; after a run it is not.
    queue(lambda connection: queue.tables.owners.give_up(connection, "two", "b", 1, has_run=False))
    assert queue.place("b") is not None
    (again,) = queue(lambda connection: queue.tables.owners.take(connection, one, 10, ["b"]))
    assert (again.fence, again.has_run) == (2, False)
    queue(lambda connection: queue.tables.owners.give_up(connection, "one", "b", 2))
    assert queue.place("b") is None
    # What has run comes first.
    assert queue.order() == ["b", "a"]


def test_the_nodes_that_a_launch_invites_are_known_to_all(queue: Queue) -> None:
    one = queue.tables.join("one")
    claim = Claim("a", "g-a", "ann", 9, Carried("sealed", None))
    queue(lambda connection: queue.rows.add(connection, one, claim, 9, ["two", "three"]))
    (found,) = queue(lambda connection: queue.rows.waiting(connection, 10, {}))
    assert found.invited == ("two", "three")
    assert found.is_left_to_others("one")
    assert not found.is_left_to_others("three")
    queue.tables.wait(1000)
    (found,) = queue(lambda connection: queue.rows.waiting(connection, 10, {}))
    assert not found.is_left_to_others("one")


def test_a_user_is_known_on_the_nodes_that_ran_his_previews(queue: Queue) -> None:
    one, two = queue.tables.join("one"), queue.tables.join("two")
    for number, node in enumerate((one, one, two)):
        queue.tables.claim(node, f"p{number}", f"g{number}", most=9)
    queue.tables.claim(two, "other", "g-other", "bob")
    queue.tables.release("two", "p2", 1)
    warmth, running = queue(lambda connection: queue.rows.known(connection, "ann", "project"))
    assert (warmth, running) == ({}, {"one": 2})


def test_of_what_two_nodes_choose_each_takes_a_part_in_the_chosen_order(queue: Queue) -> None:
    tables = queue.tables
    lost, one, two = tables.join("lost"), tables.join("one"), tables.join("two")
    for preview_id in "abcd":
        tables.claim(lost, preview_id, preview_id, most=9)
    tables.wait(LEASE_MS)
    tables.renew(one)
    tables.renew(two)
    chosen = ["c", "d", "a", "b"]
    with tables.engine.begin() as first, tables.engine.begin() as second:
        taken = {found.preview_id for found in tables.owners.take(first, one, 2, chosen)}
        also = {found.preview_id for found in tables.owners.take(second, two, 2, chosen)}
    assert (taken, also) == ({"c", "d"}, {"a", "b"})


def test_a_cancelled_launch_is_taken_by_nobody(queue: Queue) -> None:
    one = queue.tables.join("one")
    queue.add(one, "a")
    queue.add(one, "b", "bob")
    assert queue.place("b") == (2, 2)
    assert queue(lambda connection: queue.rows.cancel(connection, "g-a")) == "a"
    assert queue(lambda connection: queue.rows.cancel(connection, "g-a")) is None
    assert queue.place("a") is None
    assert queue.place("b") == (1, 1)
    assert queue.tables.take(one) == {"b": 1}
    # A running one is not cancelled.
    assert queue(lambda connection: queue.rows.cancel(connection, "g-b")) is None


def test_a_generation_named_like_a_preview_cancels_only_its_own(queue: Queue) -> None:
    queue.add(queue.tables.join("one"), "a")
    # Hosts choose the ids of their generations: bob's may be ann's preview's.
    assert queue(lambda connection: queue.rows.cancel(connection, "a")) is None
    assert queue.place("a") == (1, 1)


def test_launches_that_have_waited_too_long_are_given_up(queue: Queue) -> None:
    one = queue.tables.join("one")
    queue.add(one, "a")
    queue.tables.wait(1000)
    queue.tables.renew(one)
    queue.add(one, "b", "bob")
    assert queue(lambda connection: queue.rows.give_up_late(connection, 999)) == ["a"]
    assert queue.order() == ["b"]


def test_launches_for_other_nodes_hide_none_that_suits_this_one_and_end_too(queue: Queue) -> None:
    one = queue.tables.join("one")
    for number in range(3):
        queue.add(one, f"a{number}", f"user{number}", region="north")
    queue.tables.wait(1)
    queue.add(one, "b", "bob")
    queue.add(one, "c", "eve", region="south")

    def suitable(**labels: str) -> list[str]:
        return [one.preview_id for one in queue(lambda connection: queue.rows.waiting(connection, 2, labels))]

    assert suitable() == ["b"]
    assert suitable(region="south", zone="1") == ["b", "c"]
    assert suitable(region="north") == ["a0", "a1"]
    left = queue(lambda connection: queue.rows.waiting(connection, 2, {"region": "north"}, ["a0", "a2"]))
    assert [one.preview_id for one in left] == ["a1", "b"]
    # All nodes see that some have waited too long, also those that they do not suit.
    assert not queue(lambda connection: queue.rows.outlook(connection, 1).has_late)
    assert queue(lambda connection: queue.rows.outlook(connection, 0).has_late)
    assert sorted(queue(lambda connection: queue.rows.give_up_late(connection, 0))) == ["a0", "a1", "a2"]


def test_the_moment_when_the_next_lease_ends_is_known(queue: Queue) -> None:
    def left_s() -> float:
        return queue(lambda connection: queue.rows.outlook(connection, 1)).left_s

    one = queue.tables.join("one")
    queue.tables.wait(500)
    queue.tables.join("two")
    assert left_s() == (LEASE_MS - 500) / 1000
    queue.tables.renew(one)
    assert left_s() == LEASE_MS / 1000
    queue.tables.wait(LEASE_MS)
    assert left_s() == math.inf


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_the_order_is_that_of_the_pure_function(queue: Queue, data: st.DataObject) -> None:
    queue.tables.clear()
    one = queue.tables.join("one")
    users = st.sampled_from(["ann", "bob", "eve"])
    running = data.draw(st.lists(users, max_size=4))
    for number, user in enumerate(running):
        queue.tables.claim(one, f"r{number}", f"gr{number}", user, most=100)
    moved = data.draw(st.integers(0, len(running)))
    for number in range(moved):
        queue.tables.give_up("one", f"r{number}", 1)
    for number, user in enumerate(data.draw(st.lists(users, max_size=8))):
        queue.tables.wait(1)
        queue.add(one, f"p{number}", user)
    found = queue(lambda connection: queue.rows.waiting(connection, 100, {}))
    oldest = sorted(found, key=lambda waiting: (-waiting.waited_s, waiting.preview_id))
    shares = {user: running[moved:].count(user) for user in running}
    assert found == in_turn(oldest, shares)
    launches = [waiting.preview_id for waiting in found if waiting.is_launch]
    assert [queue.place(preview_id) for preview_id in launches] == [
        (number, len(launches)) for number in range(1, len(launches) + 1)
    ]


def test_launches_a_minute_are_counted_for_all_nodes_exactly(queue: Queue) -> None:
    gate, refused = threading.Barrier(6, timeout=60), []

    def launch() -> None:
        gate.wait()
        try:
            queue.count("ann", 4)
        except TooManyLaunches as error:
            refused.append(error)

    threads = [threading.Thread(target=launch) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(refused) == 2
    assert refused[0].details == {"limit": 4, "retry_after_s": 60}
    queue.count("bob", 1)
    queue.tables.wait(59_999)
    with pytest.raises(TooManyLaunches) as late:
        queue.count("ann", 4)
    assert late.value.details["retry_after_s"] == 1
    queue.tables.wait(1)
    queue.count("ann", 1)
    queue.count("ann", 2)
    # Bob's row has no use any more.
    assert queue(queue.rows.forget_times) == 1
    with pytest.raises(TooManyLaunches):
        queue.count("ann", 2)


def test_nodes_that_do_not_come_back_are_forgotten_after_a_day(queue: Queue) -> None:
    tables, day = queue.tables, 24 * 3_600_000
    gone, owning = tables.join("gone"), tables.join("owning")
    tables.claim(owning, "p")
    with tables.engine.begin() as connection:
        tables.owners.claim(connection, gone, Claim("t", "g2", "!deleted", 0), is_trial=True)
    tables.wait(LEASE_MS + day - 1)
    live = tables.join("live")

    def forget(connection: Connection) -> tuple[list[str], list[str]]:
        found = tables.nodes.forget_lost(connection, day)
        return found.nodes, found.trials

    assert queue(forget) == ([], [])
    tables.wait(1)
    # One that still owns a preview stays until another node has it.
    assert queue(forget) == (["gone"], ["t"])
    assert tables.take(live) == {"p": 2}
    assert queue(forget) == (["owning"], [])
    with tables.engine.begin() as connection:
        assert connection.execute(text("SELECT state FROM owners WHERE preview_id = 't'")).scalar() == "over"


def test_a_lost_preview_is_taken_out_of_the_queue_and_its_node_owns_it_no_more(queue: Queue) -> None:
    tables = queue.tables
    one = tables.join("one")
    tables.claim(one, "a", "g-a")
    cancel = partial(queue.rows.cancel, generation_id="g-a")
    assert queue(cancel) is None
    tables.wait(LEASE_MS + 1)
    assert queue(cancel) == "a"
    assert queue(cancel) is None
    # Its node comes back late.
    assert tables.renew(one) is False
    assert not tables.holds("one", a=1)
    tables.claim(one, "b", "g-a")
