"""Decisions of a node about waiting previews: which may run here, in which order, and how soon. Pure: no I/O, no clock.

Each node decides alone. It takes a preview after a delay that is shorter the better it suits, so that the best node
that has room takes it, and the next one soon after if that one is gone. ``benchmarks/simulation.py`` uses this module.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum

# A node that suits not at all waits so long. Longer than a notice takes, shorter than a person notices.
MOST_DELAY_S = 0.1
# Below this part of free memory a node takes nothing.
LEAST_FREE_MEMORY = 0.05
# The number of nodes that a queued launch invites, and of those drawn to choose them from. If each launch woke all
# nodes, their looks at the queue would grow with the square of the nodes.
INVITED, _DRAWN = 4, 16
# Time that other nodes leave a launch to the invited ones: a notice and the longest delay, twice.
LEFT_TO_INVITED_S = 0.25

# Parts of the score; their sum is 1. A start in a warm environment takes tens of milliseconds, a build many seconds.
_WARMTH, _MEMORY, _PROCESSOR, _SPREAD = 0.55, 0.2, 0.15, 0.1


class Warmth(IntEnum):
    """State of a preview's environment on a node."""

    NONE = 0
    """Nothing: it builds the environment, or has it only by chance."""
    CACHED = 1
    """It has run this project, so the environment is on its disk."""
    WARM = 2
    """A prepared process has the packages imported."""


@dataclass(frozen=True, slots=True)
class Wants:
    """Constraints of a preview on its node.

    Attributes:
        labels: The node must have these labels.
    """

    labels: Mapping[str, str] = field(default_factory=dict)

    def words(self) -> str | None:
        """Return the constraints as JSON, for a row; None without any."""
        return json.dumps({"labels": dict(self.labels)}) if self.labels else None

    @classmethod
    def parse(cls, words: str | None) -> Wants:
        """Return the constraints of a row: the inverse of ``words``."""
        return cls(json.loads(words)["labels"]) if words else cls()

    def suit(self, labels: Mapping[str, str]) -> bool:
        """Return whether a node with these labels may run the preview."""
        return all(labels.get(name) == value for name, value in self.labels.items())


@dataclass(frozen=True, slots=True)
class Waiting:
    """A preview that waits for a node.

    Attributes:
        preview_id: The preview.
        generation_id: Its generation.
        user_id: Its user.
        project_id: Its project; empty if its row is gone.
        wants: Its constraints.
        is_launch: No node has run it yet; False for one whose node is lost or drains.
        waited_s: Seconds in the queue.
        invited: Names of the nodes that its notice has woken; none means all.
    """

    preview_id: str
    generation_id: str
    user_id: str
    project_id: str = ""
    wants: Wants = field(default_factory=Wants)
    is_launch: bool = True
    waited_s: float = 0.0
    invited: tuple[str, ...] = ()

    def is_left_to_others(self, name: str) -> bool:
        """Return whether a node leaves this launch to the nodes that are invited."""
        return bool(self.invited) and name not in self.invited and self.waited_s < LEFT_TO_INVITED_S


@dataclass(frozen=True, slots=True)
class NodeState:
    """A node at the moment of a decision.

    Attributes:
        labels: Its labels.
        capacity: Number of previews that it may run.
        load: Number of previews that it runs.
        free_memory: Part of its memory that is free, 0 to 1.
        busy: Runnable tasks for each processor; 1 means that all are in use.
        draining: It takes nothing.
        name: Its name.
    """

    labels: Mapping[str, str]
    capacity: int
    load: int
    free_memory: float = 1.0
    busy: float = 0.0
    draining: bool = False
    name: str = ""

    @property
    def room(self) -> int:
        """Number of previews that it may still take."""
        if self.draining or self.free_memory < LEAST_FREE_MEMORY:
            return 0
        return max(0, self.capacity - self.load)


def with_room(previews: Iterable[Wants], nodes: Iterable[NodeState]) -> list[bool]:
    """Return for each preview whether one of the nodes has room for it, besides those before it."""
    rooms = [(node.labels, node.room) for node in nodes]
    found = []
    for wants in previews:
        at = next((at for at, (labels, room) in enumerate(rooms) if room and wants.suit(labels)), None)
        found.append(at is not None)
        if at is not None:
            labels, room = rooms[at]
            rooms[at] = labels, room - 1
    return found


def score(node: NodeState, warmth: Warmth, of_user: int) -> float:
    """Return how well a node suits a preview, 0 to 1.

    Args:
        node: The node.
        warmth: What it has of the preview's environment.
        of_user: Previews of the same user on this node.
    """
    memory = min(1.0, max(0.0, node.free_memory))
    processor = 1.0 / (1.0 + max(0.0, node.busy))
    spread = 1.0 / (1.0 + max(0, of_user))
    return _WARMTH * warmth / Warmth.WARM + _MEMORY * memory + _PROCESSOR * processor + _SPREAD * spread


def delay_s(points: float) -> float:
    """Return the seconds that a node of this score waits before it takes a preview."""
    return MOST_DELAY_S * (1.0 - min(1.0, max(0.0, points)))


def in_turn(waiting: Iterable[Waiting], running: Mapping[str, int]) -> list[Waiting]:
    """Return the previews in the order in which nodes take them.

    1. Previews that have run before: their users had them.
    2. Launches: the users with the fewest running previews first, each user's oldest launch first. So users take turns,
       however many launches one of them has in the queue.
    3. Of equal ones the oldest.

    Args:
        waiting: The queue, the oldest first.
        running: Running previews by user.
    """
    turns: Counter[str] = Counter()
    keyed: list[tuple[int, int, int, Waiting]] = []
    for number, one in enumerate(waiting):
        turn = 0
        if one.is_launch:
            turns[one.user_id] += 1
            turn = turns[one.user_id] + running.get(one.user_id, 0)
        keyed.append((one.is_launch, turn, number, one))
    return [one for _, _, _, one in sorted(keyed, key=lambda key: key[:3])]


@dataclass(frozen=True, slots=True)
class Choice:
    """A decision.

    Attributes:
        now: Ids of the previews to take now, in turn.
        next_s: Seconds until the next decision is due; None if nothing waits for this node.
        suitable: Number of waiting previews that this node may run, also if it is full now. Those that are left to
            other nodes for a moment do not count.
    """

    now: tuple[str, ...]
    next_s: float | None
    suitable: int


def choose(
    node: NodeState,
    queue: Sequence[Waiting],
    warmth: Mapping[str, Warmth],
    of_user: Mapping[str, int],
    seen_s: Mapping[str, float],
) -> Choice:
    """Choose the previews that this node takes now.

    Args:
        node: This node.
        queue: The queue, in turn.
        warmth: By preview; ``NONE`` if it is missing.
        of_user: Previews on this node by user.
        seen_s: Seconds since this node first saw a preview in the queue, by preview; 0 if it is missing.
    """
    suitable = [one for one in queue if one.wants.suit(node.labels) and not one.is_left_to_others(node.name)]
    now: list[str] = []
    following: list[float] = []
    taken: Counter[str] = Counter()
    for one in suitable:
        if len(now) >= node.room:
            break
        points = score(node, warmth.get(one.preview_id, Warmth.NONE), of_user.get(one.user_id, 0) + taken[one.user_id])
        left = delay_s(points) - seen_s.get(one.preview_id, 0.0)
        if left <= 0:
            now.append(one.preview_id)
            taken[one.user_id] += 1
        else:
            following.append(left)
    return Choice(tuple(now), min(following, default=None), len(suitable))


def invite(
    nodes: Sequence[NodeState],
    wants: Wants,
    warmth: Mapping[str, Warmth],
    of_user: Mapping[str, int],
    draw: random.Random,
    most: int = INVITED,
) -> tuple[str, ...]:
    """Return the names of a few nodes to wake for a queued preview: the best of some that are drawn.

    1. Only nodes with its labels that do not drain. If some of these are not full, only those.
    2. Those that have its environment are among the drawn ones. Drawing keeps nodes from choosing the same ones: the
       loads that they know are those of the last renewal.

    Args:
        nodes: The live nodes.
        wants: Constraints of the preview.
        warmth: What nodes have of its environment, by name; ``NONE`` if it is missing.
        of_user: Previews of its user, by name of the node.
        draw: Source of the draw.
        most: Maximum number of names.
    """
    suited = [one for one in nodes if not one.draining and wants.suit(one.labels)]
    suited = [one for one in suited if one.room] or suited
    if len(suited) > most:
        drawn = {one.name: one for one in draw.sample(suited, min(_DRAWN, len(suited)))}
        drawn |= {one.name: one for one in suited if warmth.get(one.name, Warmth.NONE)}

        def points(one: NodeState) -> float:
            return score(one, warmth.get(one.name, Warmth.NONE), of_user.get(one.name, 0))

        suited = sorted(drawn.values(), key=points, reverse=True)[:most]
    return tuple(one.name for one in suited)
