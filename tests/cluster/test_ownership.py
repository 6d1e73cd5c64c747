"""Leases, owners and fences in a real PostgreSQL, with a clock that the test sets."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from ownership_kit import LEASE_MS, Tables, open_tables
from sqlalchemy import Connection, text

from preview.cluster.nodes import Membership, NodeFacts, Nodes
from preview.cluster.ownership import Claim, Owners
from preview.cluster.routing import Owner
from preview.errors import AlreadyRunning, DatabaseUnavailable, LimitReached, ServiceStopping
from preview.storage.database import FREE_NUMBERS, HandedEnd
from preview.storage.engine import make_engine


@pytest.fixture
def tables(postgres_database_url: str) -> Iterator[Tables]:
    with open_tables(postgres_database_url) as made:
        yield made


def test_an_earlier_owner_holds_nothing(tables: Tables) -> None:
    one, two = tables.join("one"), tables.join("two")
    tables.claim(one, "p")
    assert tables.holds("one", p=1) == {"p"}
    # Another's fence, another node, no fence at all.
    assert tables.holds("one", p=2) == tables.holds("two", p=1) == tables.holds("one") == frozenset()
    tables.wait(LEASE_MS - 1)
    assert tables.renew(two) is False
    assert tables.take(two) == {}
    tables.wait(1)
    # Its lease is over; it owns the preview until another node takes it.
    assert tables.holds("one", p=1) == {"p"}
    assert tables.take(two) == {"p": 2}
    assert tables.holds("one", p=1) == frozenset()
    assert tables.holds("two", p=2) == {"p"}
    assert tables.release("one", "p", 1) is False
    assert tables.owner_of("p") == Owner("two", "two:7000", 2)


def test_a_preview_is_not_taken_before_the_commit_of_its_owners_write(tables: Tables) -> None:
    one, two = tables.join("one"), tables.join("two")
    tables.claim(one, "p")
    tables.wait(LEASE_MS)
    tables.renew(two)
    with tables.engine.begin() as writing:
        assert tables.owners.hold(writing, "one", {"p": 1}) == {"p"}
        assert tables.take(two) == {}
    assert tables.take(two) == {"p": 2}


class RenewedMeanwhile:
    """A connection on which the first statement's snapshot is from before a late renewal by another one."""

    def __init__(self, connection: Connection, renew: Callable[[], object]) -> None:
        self._connection, self._renew = connection, renew

    def execute(self, *given: Any) -> Any:
        found = self._connection.execute(*given)
        renew, self._renew = self._renew, lambda: None
        renew()
        return found


def test_a_lost_node_counts_no_previews(tables: Tables) -> None:
    one = tables.join("one")
    with tables.engine.begin() as connection:
        tables.nodes.renew(connection, one, 3)
        assert [node.load for node in tables.nodes.all(connection)] == [3]
    tables.wait(LEASE_MS)
    with tables.engine.begin() as connection:
        assert [node.load for node in tables.nodes.all(connection)] == [0]


def test_a_take_that_has_not_seen_a_late_renewal_takes_nothing(tables: Tables) -> None:
    one, two = tables.join("one"), tables.join("two")
    tables.claim(one, "p")
    tables.wait(LEASE_MS)
    tables.renew(two)
    with tables.engine.connect() as taking:
        raced: Any = RenewedMeanwhile(taking, lambda: tables.renew(one))
        with pytest.raises(DatabaseUnavailable, match="one has renewed"):
            tables.owners.take(raced, two, 10)
        taking.rollback()
    assert tables.renew_late(one) == {"p": 1}
    assert tables.holds("one", p=1) == {"p"}


def test_a_late_renewal_waits_for_a_take_under_way(tables: Tables) -> None:
    one, two = tables.join("one"), tables.join("two")
    tables.claim(one, "p")
    tables.wait(LEASE_MS)
    tables.renew(two)
    found: list[dict[str, int] | None] = []
    renewing = threading.Thread(target=lambda: found.append(tables.renew_late(one)))
    with tables.engine.begin() as taking:
        assert [taken.fence for taken in tables.owners.take(taking, two, 10)] == [2]
        renewing.start()
        waits = text("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'")
        until = time.monotonic() + 30
        with tables.engine.connect() as looking:
            while renewing.is_alive() and not looking.execute(waits).scalar() and time.monotonic() < until:
                looking.rollback()
        assert found == []
    renewing.join(30)
    assert found == [{}]


def test_a_late_renewal_does_not_wait_for_its_own_writes(tables: Tables) -> None:
    one, two = tables.join("one"), tables.join("two")
    tables.claim(one, "p")
    tables.wait(LEASE_MS)
    tables.renew(two)
    with tables.engine.begin() as writing, tables.engine.begin() as renewing:
        # As after a cut of the network: the server does not know yet that nobody goes on with this one.
        assert tables.owners.hold(writing, "one", {"p": 1}) == {"p"}
        renewing.execute(text("SET LOCAL lock_timeout = '10s'"))
        assert tables.nodes.renew(renewing, one, 0) is not None
        assert tables.owners.running(renewing, "one", is_late=True) == {"p": 1}
        writing.rollback()
        assert tables.take(two) == {}


def test_a_write_that_stands_still_longer_than_a_lease_loses_its_transaction(postgres_database_url: str) -> None:
    engine = make_engine(postgres_database_url)
    nodes, owners = Nodes(60_000), Owners(50)
    with engine.begin() as connection:
        member = nodes.join(connection, NodeFacts("one", "one:7000"))
        assert member is not None
        owners.claim(connection, member, Claim("p", "g", "ann", 1))
    try:
        with engine.connect() as stopped:
            assert owners.hold(stopped, "one", {"p": 1}) == {"p"}
            # Waits for the lock, which the server takes away.
            with engine.begin() as connection:
                connection.execute(text("UPDATE owners SET fence = 2"))
            stopped.invalidate()
    finally:
        engine.dispose()


def test_a_generation_and_a_user_have_one_limit_in_the_cluster(tables: Tables) -> None:
    one, two = tables.join("one"), tables.join("two")
    tables.claim(one, "p")
    with pytest.raises(AlreadyRunning) as running:
        tables.claim(two, "q")
    assert running.value.details["preview_id"] == "p"
    with pytest.raises(LimitReached) as reached:
        tables.claim(two, "q", "h")
    assert reached.value.details["previews"] == [{"preview_id": "p", "generation_id": "g"}]
    tables.claim(two, "q", "h", user="bob")
    assert tables.release("one", "p", 1)
    tables.claim(two, "r")


def test_launches_at_the_same_moment_do_not_pass_the_limit(tables: Tables) -> None:
    members = [tables.join(f"node{number}") for number in range(4)]
    gate, refused = threading.Barrier(4, timeout=60), []

    def launch(number: int) -> None:
        gate.wait()
        try:
            tables.claim(members[number], f"p{number}", f"g{number}", most=2)
        except LimitReached as error:
            refused.append(error)

    threads = [threading.Thread(target=launch, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(refused) == 2


def test_nodes_that_take_at_the_same_moment_take_different_previews(tables: Tables) -> None:
    lost = tables.join("lost")
    for number in range(20):
        tables.claim(lost, f"p{number}", f"g{number}", most=20)
    tables.wait(LEASE_MS)
    members = [tables.join(f"node{number}") for number in range(4)]
    gate, taken = threading.Barrier(4, timeout=60), []

    def take(member: Membership) -> None:
        gate.wait()
        taken.append(tables.take(member, 5))

    threads = [threading.Thread(target=take, args=(member,)) for member in members]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    while rest := tables.take(members[0]):
        taken.append(rest)
    found = [preview_id for one in taken for preview_id in one]
    assert sorted(found) == sorted(f"p{number}" for number in range(20))


def test_a_name_belongs_to_one_process_at_a_time(tables: Tables) -> None:
    first = tables.join("one")
    tables.claim(first, "p")
    with tables.engine.begin() as connection:
        assert tables.nodes.join(connection, NodeFacts("one", "other:7000")) is None
    tables.wait(LEASE_MS)
    second = tables.join("one")
    assert second.epoch == first.epoch + 1
    assert tables.renew(first) is None
    # What the first process ran has ended with it.
    assert tables.holds("one", p=1) == frozenset()
    assert tables.take(second) == {"p": 2}
    with pytest.raises(ServiceStopping):
        tables.claim(first, "q", "h", user="bob")


def test_a_draining_node_takes_nothing_and_keeps_what_it_has(tables: Tables) -> None:
    one, two = tables.join("one"), tables.join("two")
    tables.claim(one, "p")
    with tables.engine.begin() as connection:
        assert tables.nodes.drain(connection, "one")
        assert not tables.nodes.drain(connection, "none")
    assert tables.renew(one) is True
    tables.claim(two, "q", "h", user="bob")
    with tables.engine.begin() as connection:
        assert tables.owners.give_up(connection, "two", "q", 1)
    assert tables.take(one) == {}
    assert tables.holds("one", p=1) == {"p"}
    assert tables.take(two) == {"q": 2}
    # A new process of that name drains no more.
    tables.wait(LEASE_MS)
    again = tables.join("one")
    assert tables.renew(again) is False


def test_the_next_owner_writes_after_all_lines_of_the_lost_one(tables: Tables) -> None:
    one, two = tables.join("one"), tables.join("two")
    tables.claim(one, "p")
    with tables.engine.begin() as connection:
        _store_lines(connection, "p", 7)
    tables.wait(LEASE_MS)
    tables.renew(two)
    with tables.engine.begin() as connection:
        (lost,) = tables.owners.take(connection, two, 1)
        # Nothing is known of those that were shown and not stored.
        assert (lost.before, lost.first_seq) == ("one", 1 + FREE_NUMBERS)
    # A preview that its node gave up has all its lines stored.
    with tables.engine.begin() as connection:
        assert tables.owners.give_up(connection, "two", "p", 2)
        (moved,) = tables.owners.take(connection, two, 1)
        assert (moved.before, moved.first_seq) == (None, 1 + FREE_NUMBERS)


def test_the_next_owner_uses_no_number_that_may_have_been_given_out(tables: Tables) -> None:
    one, two = tables.join("one"), tables.join("two")
    tables.claim(one, "p")
    with tables.engine.begin() as connection:
        _store_lines(connection, "p", 7)
        tables.owners.hand_out(connection, {"p": HandedEnd(5_000, None)})
        # Earlier transactions that commit later take nothing back.
        tables.owners.hand_out(connection, {"p": HandedEnd(1_030, None)})
        tables.owners.hand_out(connection, {"p": HandedEnd(1_031, 4_000)})
    tables.wait(LEASE_MS)
    tables.renew(two)
    with tables.engine.begin() as connection:
        (lost,) = tables.owners.take(connection, two, 1)
        assert (lost.before, lost.first_seq) == ("one", 5_000)
    # The second one is lost before it has stored anything: it may have shown lines from 5,000 on.
    tables.wait(LEASE_MS)
    one = tables.join("one")
    with tables.engine.begin() as connection:
        (again,) = tables.owners.take(connection, one, 1)
        assert (again.before, again.first_seq) == ("two", 5_000 + FREE_NUMBERS)
        # Many were handed out for a burst, and taken back.
        tables.owners.hand_out(connection, {"p": HandedEnd(50_000, None)})
        tables.owners.hand_out(connection, {"p": HandedEnd(5_000 + FREE_NUMBERS + 50, 50_000)})
    tables.wait(LEASE_MS)
    two = tables.join("two")
    with tables.engine.begin() as connection:
        (burst,) = tables.owners.take(connection, two, 1)
        assert (burst.before, burst.first_seq) == ("one", 5_000 + 2 * FREE_NUMBERS)
    # A preview that moves has all its lines stored or counted as lost: no number is left out, and none used again.
    with tables.engine.begin() as connection:
        tables.owners.hand_out(connection, {"p": HandedEnd(9_000, None)})
        assert tables.owners.give_up(connection, "two", "p", 4, next_seq=7_500)
        (moved,) = tables.owners.take(connection, two, 1)
        assert (moved.before, moved.first_seq) == (None, 7_500)
    # Nor does a loss leave out what was handed out before the move.
    tables.wait(LEASE_MS)
    one = tables.join("one")
    with tables.engine.begin() as connection:
        (last,) = tables.owners.take(connection, one, 1)
        assert (last.before, last.first_seq) == ("two", 7_500 + FREE_NUMBERS)


def test_a_trial_counts_not_and_is_not_taken(tables: Tables) -> None:
    one, two = tables.join("one"), tables.join("two")
    tables.claim(one, "p")
    with tables.engine.begin() as connection:
        tables.owners.claim(connection, one, Claim("t", "g", "!deleted", 0), is_trial=True)
    assert tables.holds("one", t=1) == {"t"}
    tables.wait(LEASE_MS)
    tables.renew(two)
    assert tables.take(two) == {"p": 2}
    again = tables.join("one")
    assert tables.take(again) == {}


def _store_lines(connection: Connection, preview_id: str, count: int) -> None:
    connection.execute(
        text(
            """
            INSERT INTO preview_instances (id, generation_id, project_id, user_id, status, health_status, created_at,
                expires_at, token_hash, token_expires_at, log_level)
            VALUES (:id, 'g', 'p', 'ann', 'running', 'unknown', 1, 1, '', 1, 'INFO')
            """
        ),
        {"id": preview_id},
    )
    for seq in range(1, count + 1):
        connection.execute(
            text("INSERT INTO preview_logs VALUES (:id, :seq, 1, 20, 'stdout', 'x')"), {"id": preview_id, "seq": seq}
        )


def test_only_losses_count_as_losses(tables: Tables) -> None:
    one, two = tables.join("one"), tables.join("two")
    tables.claim(one, "p")
    fence = 1
    # Moves, and nodes that decline.
    for member in (two, one, two):
        with tables.engine.begin() as connection:
            owner = "one" if member is two else "two"
            assert tables.owners.give_up(connection, owner, "p", fence)
            (taken,) = tables.owners.take(connection, member, 1)
        fence = taken.fence
        assert (taken.before, taken.losses) == (None, 0)
    tables.wait(LEASE_MS)
    one = tables.join("one")
    with tables.engine.begin() as connection:
        (lost,) = tables.owners.take(connection, one, 1)
    assert (lost.before, lost.losses) == ("two", 1)
