"""Simulate a cluster of many nodes in simulated time, with the decision code that real nodes run.

    uv run python benchmarks/simulation.py --nodes 100 --previews 5000 --seconds 60 --failures 10
    uv run python benchmarks/simulation.py --nodes 1000 --previews 1000000 --seconds 720 --failures 100

Invitations, placement, turns in the queue and leases are ``preview.cluster.placement`` and ``preview.cluster.leases``;
only the database and the previews are simulated. The rows of ``owners`` are a dictionary, and each statement of a node
is counted. With ``--wake-all`` each queued launch wakes all nodes. Prints JSON: times in the queue, balance of the
nodes, and statements a second at the database.
"""

from __future__ import annotations

import argparse
import heapq
import itertools
import json
import random
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from functools import partial

from preview.cluster.leases import Lease
from preview.cluster.placement import LEFT_TO_INVITED_S, NodeState, Waiting, Wants, Warmth, choose, in_turn, invite

# As ``preview.cluster.node_queue`` and ``preview.supervisor.manager.takeovers``.
HEAD = 64
MOST_AT_ONCE = 4
POLLS_A_LEASE = 4
# An environment that a node has run before is warm while so many others are not newer.
WARM = 4


@dataclass
class Row:
    """A row of ``owners``."""

    waiting: Waiting
    open_to_all: Waiting
    queued_at: float
    project: int
    node: int | None = None
    fence: int = 0
    first_queued_at: float = 0.0


@dataclass
class SimNode:
    """A node: what it decides is the real code's."""

    name: int
    capacity: int
    lease: Lease
    until: float
    is_up: bool = True
    owned: set[str] = field(default_factory=set)
    seen: dict[str, float] = field(default_factory=dict)
    of_user: Counter[str] = field(default_factory=Counter)
    projects: dict[int, None] = field(default_factory=dict)
    most: int = 0
    asleep: bool = True
    # As ``NodeQueue.suitable``: what waited for this node at its last look.
    suitable: int = 0
    # What the database knows of it: as of its last renewal.
    said: NodeState = field(default_factory=lambda: NodeState({}, 0, 0))


class Simulation:
    """The cluster. Events are a heap of times and functions."""

    def __init__(self, asked: argparse.Namespace) -> None:
        self.asked = asked
        self.now = 0.0
        self.random = random.Random(asked.seed)
        self.events: list[tuple[float, int, Callable[[], None]]] = []
        self.numbers = itertools.count()
        self.rows: dict[str, Row] = {}
        # Nodes that ran a project.
        self.ran: dict[int, dict[int, None]] = {}
        self.queue: dict[str, Row] = {}
        self.running: Counter[str] = Counter()
        self.statements: Counter[str] = Counter()
        self.waits: list[float] = []
        self.recoveries: list[float] = []
        self.warmth: Counter[str] = Counter()
        self.nodes = [
            SimNode(number, asked.capacity, Lease(asked.lease, lambda: self.now), asked.lease)
            for number in range(asked.nodes)
        ]
        self.woken: dict[int, None] = {}
        self.is_waking = False
        # Of each user, a few projects.
        self.users = max(1, asked.previews // 10)
        self.loads: list[tuple[float, int, int, float]] = []
        self.starts: dict[str, int] = defaultdict(int)

    def at(self, when: float, what: Callable[[], None]) -> None:
        heapq.heappush(self.events, (when, next(self.numbers), what))

    def run(self) -> None:
        self._arrange()
        told = 0.0
        while self.events:
            self.now, _, what = heapq.heappop(self.events)
            if self.now > self.asked.seconds:
                break
            if self.now >= told:
                print(f"{told:g} s of {self.asked.seconds:g}", file=sys.stderr, flush=True)
                told += 60
            what()

    def _arrange(self) -> None:
        for node in self.nodes:
            node.lease.begin(0.0)
            node.said = self._state(node)
            first = self.random.uniform(0, self.asked.lease / POLLS_A_LEASE)
            self.at(first, partial(self._poll, node))
        rate = self.asked.previews / self.asked.seconds
        self._launch_next(rate, 0)
        failing = self.random.sample(self.nodes, min(len(self.nodes), self.asked.failures))
        for node in failing:
            at = self.random.uniform(self.asked.seconds * 0.2, self.asked.seconds * 0.8)
            self.at(at, partial(self._fail, node))
        for second in range(0, int(self.asked.seconds), 10):
            self.at(second, self._measure)

    # Launches

    def _launch_next(self, rate: float, number: int) -> None:
        if number >= self.asked.previews:
            return
        self._launch(number)
        self.at(self.now + self.random.expovariate(rate), lambda: self._launch_next(rate, number + 1))

    def _launch(self, number: int) -> None:
        user = self.random.randrange(self.users)
        project = user * 3 + self.random.randrange(3)
        name, preview_id = f"user{user}", f"p{number}"
        waiting = Waiting(preview_id, f"g{number}", name, f"proj{project}")
        row = Row(waiting, waiting, self.now, project, first_queued_at=self.now)
        self.rows[preview_id] = row
        # The node that a load balancer has chosen. If it cannot take the launch, it queues it.
        asked = self.nodes[self.random.randrange(len(self.nodes))]
        self.statements["launch"] += 1
        if asked.is_up and len(asked.owned) < asked.capacity and not asked.suitable and asked.lease.holds:
            self._own(asked, row)
        else:
            self.statements["queue"] += 1
            invited = () if self.asked.wake_all else self._invite(row)
            row.open_to_all = row.waiting
            row.waiting = replace(row.waiting, invited=tuple(str(number) for number in invited))
            self._put(row)
            asked.suitable += 1
            self._notify(invited or range(len(self.nodes)))

    def _invite(self, row: Row) -> list[int]:
        """As ``NodeQueue.put``: of the nodes whose leases hold, with the loads of their last renewals."""
        self.statements["read what is known of the user"] += 1
        live = [node for node in self.nodes if node.until > self.now]
        warmth = {str(one): Warmth.CACHED for one in self.ran.get(row.project, ())}
        of_user = {str(one): self.nodes[one].of_user[row.waiting.user_id] for one in self.ran.get(row.project, ())}
        names = invite([node.said for node in live], Wants(), warmth, of_user, self.random)
        return [int(name) for name in names]

    def _put(self, row: Row) -> None:
        row.queued_at = self.now
        row.node = None
        self.queue[row.waiting.preview_id] = row

    def _notify(self, nodes: Iterable[int]) -> None:
        """Wake nodes; they look once for all notices of this moment."""
        self.statements["notices"] += 1
        self.woken.update(dict.fromkeys(nodes))
        if not self.is_waking:
            self.is_waking = True
            self.at(self.now + 0.001, self._wake)

    def _wake(self) -> None:
        self.is_waking = False
        woken, self.woken = self.woken, {}
        for number in woken:
            self._look(self.nodes[number])

    def _own(self, node: SimNode, row: Row) -> None:
        preview_id, user = row.waiting.preview_id, row.waiting.user_id
        self.queue.pop(preview_id, None)
        self.warmth[self._warmth(node, row).name] += 1
        row.node, row.fence = node.name, row.fence + 1
        self.starts[preview_id] += 1
        node.owned.add(preview_id)
        node.of_user[user] += 1
        node.projects.pop(row.project, None)
        node.projects[row.project] = None
        if len(node.projects) > 200:
            del node.projects[next(iter(node.projects))]
        self.running[user] += 1
        node.most = max(node.most, len(node.owned))
        self.ran.setdefault(row.project, {})[node.name] = None
        if row.fence == 1:
            self.waits.append(self.now - row.first_queued_at)
        else:
            self.recoveries.append(self.now - row.queued_at)
        life, fence = self.random.expovariate(1 / self.asked.life), row.fence
        self.at(self.now + life, lambda: self._end(node, row, fence))

    def _end(self, node: SimNode, row: Row, fence: int) -> None:
        preview_id, user = row.waiting.preview_id, row.waiting.user_id
        if row.fence != fence or row.node != node.name or preview_id not in node.owned:
            return
        node.owned.discard(preview_id)
        node.of_user[user] -= 1
        self.running[user] -= 1
        self.statements["release"] += 1
        self.rows.pop(preview_id, None)
        if self.queue:
            self._look(node)

    # Nodes

    def _poll(self, node: SimNode) -> None:
        if not node.is_up:
            return
        if node.lease.renewal_in_s <= 0:
            self.statements["renew"] += 1
            node.lease.renewed(self.now)
            node.until = self.now + self.asked.lease
            node.said = self._state(node)
        self._look(node)
        pause = self.asked.lease / POLLS_A_LEASE
        self.at(self.now + pause, lambda: self._poll(node))

    def _look(self, node: SimNode) -> None:
        """One look at the queue, as ``NodeQueue.choose``, and a statement that takes."""
        if not node.is_up or not node.lease.holds:
            return
        self.statements["look"] += 1
        if not self.queue:
            node.suitable = 0
            return
        head = self._head()
        node.seen = {one.preview_id: node.seen.get(one.preview_id, self.now) for one in head}
        state = self._state(node)
        warmth = {one.preview_id: self._warmth(node, self.rows[one.preview_id]) for one in head}
        seen = {preview_id: self.now - at for preview_id, at in node.seen.items()}
        choice = choose(state, head, warmth, node.of_user, seen)
        node.suitable = choice.suitable - len(choice.now)
        if choice.now:
            self.statements["take"] += 1
            for preview_id in choice.now[:MOST_AT_ONCE]:
                self._own(node, self.queue[preview_id])
            if self.queue:
                self.at(self.now + 0.005, lambda: self._look(node))
        elif choice.next_s is not None and node.asleep:
            node.asleep = False

            def again() -> None:
                node.asleep = True
                self._look(node)

            # Not sooner: a rest of 1e-18 s would never pass.
            self.at(self.now + max(choice.next_s, 0.001), again)

    def _state(self, node: SimNode) -> NodeState:
        part = len(node.owned) / node.capacity
        return NodeState({}, node.capacity, len(node.owned), 1 - 0.9 * part, part, name=str(node.name))

    def _head(self) -> list[Waiting]:
        # The real query ranks the whole queue; so long a prefix has the same head unless one user fills it.
        oldest = itertools.islice(self.queue.values(), 20 * HEAD)
        left_until = self.now - LEFT_TO_INVITED_S
        waiting = (one.waiting if one.first_queued_at > left_until else one.open_to_all for one in oldest)
        return in_turn(waiting, self.running)[:HEAD]

    def _warmth(self, node: SimNode, row: Row) -> Warmth:
        if row.project not in node.projects:
            return Warmth.NONE
        latest = itertools.islice(reversed(node.projects), WARM)
        return Warmth.WARM if row.project in latest else Warmth.CACHED

    def _fail(self, node: SimNode) -> None:
        """A node is lost. Its previews are free when its lease in the database is over."""
        node.is_up = False
        lost_at = self.now

        def free() -> None:
            for preview_id in sorted(node.owned):
                row = self.rows[preview_id]
                self.running[row.waiting.user_id] -= 1
                row.waiting = Waiting(
                    preview_id, row.waiting.generation_id, row.waiting.user_id, row.waiting.project_id, is_launch=False
                )
                row.open_to_all = row.waiting
                self._put(row)
                row.queued_at = lost_at
            node.owned.clear()
            node.of_user.clear()

        self.at(node.until, free)

        def back() -> None:
            node.is_up, node.until, node.suitable = True, self.now + self.asked.lease, 0
            node.lease.begin(self.now)
            node.said = self._state(node)
            node.projects.clear()
            self._poll(node)

        self.at(self.now + self.asked.repair, back)

    def _measure(self) -> None:
        loads = [len(node.owned) / node.capacity for node in self.nodes if node.is_up]
        mean = sum(loads) / len(loads)
        deviation = (sum((one - mean) ** 2 for one in loads) / len(loads)) ** 0.5
        self.loads.append((mean, len(self.queue), len(loads), deviation))


def quantile(values: list[float], part: float) -> float:
    """Return a quantile in milliseconds."""
    found = sorted(values)
    return round(1000 * found[min(len(found) - 1, int(part * len(found)))], 1) if found else 0.0


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nodes", type=int, default=100)
    parser.add_argument("--previews", type=int, default=5000)
    parser.add_argument("--capacity", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=60, help="simulated time")
    parser.add_argument("--life", type=float, default=60, help="mean life of a preview, in seconds")
    parser.add_argument("--lease", type=float, default=2)
    parser.add_argument("--failures", type=int, default=10, help="nodes that are lost at some moment")
    parser.add_argument("--repair", type=float, default=120, help="seconds until a lost node is back")
    parser.add_argument("--wake-all", action="store_true", help="each queued launch wakes all nodes")
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    simulation, began = Simulation(asked), time.monotonic()
    simulation.run()
    settled = simulation.loads[len(simulation.loads) // 5 :] or simulation.loads
    json.dump(
        {
            "nodes": asked.nodes,
            "launches": len(simulation.waits),
            "queue_ms": {str(part): quantile(simulation.waits, part) for part in (0.5, 0.95, 0.99, 0.999)},
            "recoveries": len(simulation.recoveries),
            "recovery_ms": {str(part): quantile(simulation.recoveries, part) for part in (0.5, 0.95, 0.99)},
            "load": round(sum(one[0] for one in settled) / len(settled), 3),
            "deviation_of_loads": round(sum(one[3] for one in settled) / len(settled), 3),
            "longest_queue": max(one[1] for one in simulation.loads),
            "most_on_one_node": max(node.most for node in simulation.nodes),
            "queued": simulation.statements["queue"],
            "starts_by_warmth": dict(simulation.warmth),
            "statements_a_second": {
                name: round(count / asked.seconds, 1) for name, count in simulation.statements.items()
            },
            "statements_a_second_a_node": round(sum(simulation.statements.values()) / asked.seconds / asked.nodes, 2),
            "took_s": round(time.monotonic() - began, 1),
        },
        sys.stdout,
        indent=2,
    )
    print()


if __name__ == "__main__":
    main()
