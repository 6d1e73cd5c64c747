"""Nodes with clocks of their own that renew late, stand still and come back, against one database.

At each moment at most one node runs a preview, and no write of a former owner is accepted. The same machine runs
against a model of the database and against a real PostgreSQL, and both must answer the same.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from ownership_kit import LEASE_MS, Model, Rows, Tables, open_tables

from preview.cluster.leases import Lease
from preview.cluster.nodes import Membership
from preview.errors import AlreadyRunning, LimitReached, PreviewError, ServiceStopping

NAMES = ("a", "b")
names = st.sampled_from(NAMES)
# Around the parts of a lease: a renewal is due after 500, the deadline is after 1,500, the end after 2,000.
times = st.sampled_from((1, 499, 1499, 1501, 2000, 5000))
delays = st.just(0) | times


class Both:
    """A model and a real database that must agree."""

    def __init__(self, model: Model, real: Tables) -> None:
        self._each: tuple[Rows, Rows] = (model, real)

    def __getattr__(self, name: str) -> object:
        def call(*values: object, **named: object) -> object:
            answers = [_answer(one, name, values, named) for one in self._each]
            assert answers[0] == answers[1], name
            if isinstance(answers[0], type):
                raise answers[0]("")
            return answers[1]  # a membership of the database knows its timeline

        return call


def _answer(rows: Rows, name: str, values: tuple[object, ...], named: dict[str, object]) -> object:
    try:
        return getattr(rows, name)(*values, **named)
    except PreviewError as error:
        return type(error)


class SimulatedNode:
    """What ``Cluster`` does, by a clock that another one sets."""

    def __init__(self, name: str, offset_s: float) -> None:
        self.name, self.offset_s = name, offset_s
        self.elapsed_ms = 0
        self.lease = Lease(LEASE_MS / 1000, lambda: self.offset_s + self.elapsed_ms / 1000)
        self.member: Membership | None = None
        self.fences: dict[str, int] = {}
        self.paused: dict[str, int] = {}
        self.stands_still = False

    @property
    def runs(self) -> dict[str, int]:
        return {} if self.stands_still else self.fences

    def look_at_clock(self) -> None:
        """Pause all previews at the deadline; a node that stands still does so when it goes on."""
        if not self.stands_still and not self.lease.holds:
            self.fences, self.paused = {}, self.paused | self.fences


class ClusterMachine(RuleBasedStateMachine):
    rows: Rows

    @initialize(offsets=st.tuples(*[st.sampled_from((0.0, 3600.0, -3600.0))] * 2))
    def start(self, offsets: tuple[float, float]) -> None:
        self.rows = self.make()
        self.nodes = {name: SimulatedNode(name, offset) for name, offset in zip(NAMES, offsets, strict=True)}
        self.granted: dict[str, int] = {}
        self.number = 0

    def make(self) -> Rows:
        return Model()

    def pass_time(self, ms: int) -> None:
        self.rows.wait(ms)
        for node in self.nodes.values():
            node.elapsed_ms += ms
            node.look_at_clock()

    def grant(self, node: SimulatedNode, fences: dict[str, int]) -> None:
        for preview_id, fence in fences.items():
            assert fence > self.granted.get(preview_id, 0)
            self.granted[preview_id] = fence
        node.fences |= fences

    @rule(name=names, there=delays, back=delays)
    def join(self, name: str, there: int, back: int) -> None:
        node = self.nodes[name]
        self.join_if_out(node, there, back)

    def join_if_out(self, node: SimulatedNode, there: int = 0, back: int = 0) -> None:
        if node.stands_still or node.lease.holds or node.fences:
            return
        node.paused = {}
        asked_at = node.lease.clock()
        self.pass_time(there)
        member = self.rows.try_join(node.name, node.member)
        self.pass_time(back)
        if member is not None:
            node.member = member
            node.lease.begin(asked_at)

    @rule(name=names, there=delays, back=delays)
    def renew(self, name: str, there: int, back: int) -> None:
        node = self.nodes[name]
        if node.member is None or node.stands_still or not node.lease.holds:
            return
        asked_at = node.lease.clock()
        self.pass_time(there)
        found = self.rows.renew(node.member)
        self.pass_time(back)
        if found is None:
            node.lease.end()
        else:
            node.lease.renewed(asked_at)
        node.look_at_clock()

    @rule(name=names, there=delays, back=delays)
    def renew_late(self, name: str, there: int, back: int) -> None:
        node = self.nodes[name]
        if node.member is None or node.stands_still or node.lease.holds:
            return
        asked_at = node.lease.clock()
        self.pass_time(there)
        running = self.rows.renew_late(node.member)
        self.pass_time(back)
        if running is None:
            node.paused = {}
            return
        node.lease.begin(asked_at)
        if node.lease.holds:
            node.fences = {one: fence for one, fence in node.paused.items() if running.get(one) == fence}
            node.paused = {}

    @rule(name=names, there=delays)
    def launch(self, name: str, there: int) -> None:
        node = self.nodes[name]
        self.join_if_out(node)
        if node.member is None or node.stands_still or not node.lease.holds:
            return
        self.number += 1
        preview_id = f"p{self.number}"
        try:
            self.rows.claim(node.member, preview_id, f"g{self.number % 3}", most=2)
        except (AlreadyRunning, LimitReached, ServiceStopping):
            return
        self.grant(node, {preview_id: 1})
        self.pass_time(there)

    @rule(name=names, most=st.integers(1, 3), later=times)
    def take(self, name: str, most: int, later: int) -> None:
        self.pass_time(later)
        node = self.nodes[name]
        self.join_if_out(node)
        if node.member is None or node.stands_still or not node.lease.holds:
            return
        self.grant(node, self.rows.take(node.member, most))

    @rule(name=names)
    def stand_still(self, name: str) -> None:
        self.nodes[name].stands_still = True

    @rule(name=names, writes_first=st.booleans())
    def go_on(self, name: str, writes_first: bool) -> None:
        node = self.nodes[name]
        if writes_first:
            self.write(node)
        node.stands_still = False
        node.look_at_clock()

    def write(self, node: SimulatedNode) -> None:
        # Lines of what is paused are stored, too.
        for preview_id in self.rows.holds(node.name, **node.paused):
            assert node.paused[preview_id] == self.granted[preview_id]
        held = self.rows.holds(node.name, **node.fences)
        for preview_id, fence in node.fences.items():
            if preview_id in held:
                assert fence == self.granted[preview_id]
        node.fences = {one: fence for one, fence in node.fences.items() if one in held}

    @rule(name=names, gives_up=st.booleans())
    def end_one(self, name: str, gives_up: bool) -> None:
        node = self.nodes[name]
        if node.stands_still or not node.fences:
            return
        preview_id, fence = node.fences.popitem()
        (self.rows.give_up if gives_up else self.rows.release)(name, preview_id, fence)

    @rule(name=names, draining=st.booleans(), there=delays)
    def drain(self, name: str, draining: bool, there: int) -> None:
        self.rows.drain(name, draining=draining)
        self.renew(name, there, 0)

    @invariant()
    def a_preview_runs_on_one_node(self) -> None:
        running = [preview_id for node in self.nodes.values() for preview_id in node.runs]
        assert len(running) == len(set(running)), running


def run(machine: type[ClusterMachine], examples: int) -> None:
    suppressed = [HealthCheck.too_slow, HealthCheck.filter_too_much]
    chosen = settings(max_examples=examples, stateful_step_count=50, deadline=None, suppress_health_check=suppressed)
    run_state_machine_as_test(machine, settings=chosen)


def test_one_owner_at_any_moment() -> None:
    run(ClusterMachine, 40)


@pytest.mark.long
def test_one_owner_at_any_moment_for_longer() -> None:
    run(ClusterMachine, 5000)


@pytest.fixture
def tables(postgres_database_url: str) -> Iterator[Tables]:
    with open_tables(postgres_database_url) as made:
        yield made


@pytest.mark.parametrize("examples", [3, pytest.param(200, marks=pytest.mark.long)])
def test_postgresql_answers_as_the_model(tables: Tables, examples: int) -> None:
    class Machine(ClusterMachine):
        def make(self) -> Rows:
            tables.clear()
            return Both(Model(), tables)  # type: ignore[return-value]  # each method by name

    run(Machine, examples)
