"""A node's part in the queue of launches: it adds its own, and takes those that suit it."""

from __future__ import annotations

import math
import os
import random
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import structlog
import trio
from sqlalchemy import Connection

from preview.cluster.launch_queue import LaunchQueue, Outlook, Place
from preview.cluster.leases import Lease
from preview.cluster.nodes import Membership, Node, Nodes
from preview.cluster.ownership import Claim, Owners
from preview.cluster.placement import Choice, NodeState, Waiting, Wants, Warmth, choose, invite
from preview.core.bounded_dict import BoundedDict
from preview.core.lifecycle import STOP_REASONS, State, StopCause
from preview.errors import PreviewError
from preview.storage.database import Database
from preview.storage.previews import end_waiting, insert_row

log = structlog.get_logger(__name__)

# Of the launches that suit it, a node looks at so many at a time.
_HEAD = 64
# A preview that this node could not start is left to others for so long.
_DECLINED_S = 10.0
_MOST_REMEMBERED = 10_000
_AFTER_LEASE_S = 0.02
_EXPIRE_EACH_S = 10.0
# How long the rows of ended previews are kept, and the most time to store an end.
_KEPT_MS, _STORED_WITHIN_MS = 3_600_000, 300_000
# A node that has not come back for a day does not: another machine has its place.
_LOST_KEPT_MS, _FORGET_EACH_S = 24 * 3_600_000, 600.0
_DRAW = random.SystemRandom()


@dataclass(frozen=True, slots=True)
class QueueLimits:
    """Limits of the queue, equal on all nodes.

    Attributes:
        most: Maximum number of launches in the queue.
        wait_s: Seconds after which a launch has failed.
        per_minute: Launches of a user within a minute.
    """

    most: int = 1000
    wait_s: float = 600.0
    per_minute: int = 120


QUEUE_LIMITS = QueueLimits()


@dataclass(frozen=True, slots=True)
class Circumstances:
    """The state of a node, for its next choice.

    Attributes:
        node: Its room and load.
        warmth: Returns what it has of a preview's environment.
        of_user: Its previews by user.
    """

    node: NodeState
    warmth: Callable[[Waiting], Warmth]
    of_user: Mapping[str, int] = field(default_factory=dict)


def free_memory() -> float:
    """Return the free part of this machine's memory, 0 to 1; 1 if it is not known."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        sizes = {name: int(rest.split()[0]) for name, _, rest in (line.partition(":") for line in lines)}
        return sizes["MemAvailable"] / sizes["MemTotal"]
    except (OSError, ValueError, KeyError, IndexError, ZeroDivisionError):
        return 1.0


def busy() -> float:
    """Return the runnable tasks of the last minute for each processor of this process."""
    return os.getloadavg()[0] / len(os.sched_getaffinity(0))


class NodeQueue:
    """The queue as one node sees it.

    Args:
        database: The service's database, not the lease's connections: a queue that is locked costs no node its lease.
        queue: The rows.
        nodes: The rows of all nodes.
        member: Returns this node's membership.
        limits: Limits of the queue.
        lease: This node's. After a loss, previews of other nodes are left alone for a lease's time.

    Attributes:
        suitable: Launches and lost previews that this node could run, as of its last look. While it is not 0, new
            launches here wait in turn.
        ended: Previews whose end this node has stored, and has told nobody; the newest.
    """

    def __init__(
        self,
        database: Database,
        queue: LaunchQueue,
        nodes: Nodes,
        member: Callable[[], Membership],
        limits: QueueLimits,
        lease: Lease,
    ) -> None:
        self.suitable = 0
        self.ended: deque[str] = deque(maxlen=_MOST_REMEMBERED)
        self.limits = limits
        self._lease = lease
        self._database, self._queue, self._nodes, self._member = database, queue, nodes, member
        # The live nodes, and the local time of the look at them.
        self._live: tuple[float, list[Node]] = -math.inf, []
        # Local times: when this node first saw a preview, and until when it leaves one to others.
        self._seen: dict[str, float] = {}
        # Local time of the next look for expired previews.
        self._expires_at = -math.inf
        self._declined: BoundedDict[str, float] = BoundedDict(_MOST_REMEMBERED)
        # Why it could not start them.
        self._reasons: BoundedDict[str, str] = BoundedDict(_MOST_REMEMBERED)

    async def choose(self, circumstances: Circumstances) -> Choice:
        """Look at the queue and choose what this node takes now. Launches that have waited too long are ended.

        Raises:
            DatabaseUnavailable: The queue is not known.

        Cancellation: nothing changes.
        """
        if (doubt_s := self._lease.trusted_in_s) > 0:
            return Choice((), doubt_s + _AFTER_LEASE_S, self.suitable)
        now = trio.current_time()
        declined = [preview_id for preview_id, until in self._declined.items() if until > now]
        late_ms, lost_in_s = int(self.limits.wait_s * 1000), self._lease.steady_in_s

        def look(connection: Connection) -> tuple[list[Waiting], Outlook]:
            found = self._queue.waiting(connection, _HEAD, circumstances.node.labels, declined, lost=lost_in_s <= 0)
            return found, self._queue.outlook(connection, late_ms)

        open_to_us, outlook = await self._database.read(look)
        if outlook.has_late:
            await self._give_up_late()
        now = trio.current_time()
        self._seen = {one.preview_id: self._seen.get(one.preview_id, now) for one in open_to_us}
        choice = choose(
            circumstances.node,
            open_to_us,
            {one.preview_id: circumstances.warmth(one) for one in open_to_us},
            circumstances.of_user,
            {preview_id: now - at for preview_id, at in self._seen.items()},
        )
        self.suitable = choice.suitable - len(choice.now)
        # A lost node tells nobody: its previews are there to take the moment its lease ends.
        lost_s = max(outlook.left_s, lost_in_s) + _AFTER_LEASE_S
        return replace(choice, next_s=lost_s if choice.next_s is None else min(choice.next_s, lost_s))

    def decline(self, preview_id: str, why: str) -> None:
        """Leave a preview that could not start here to other nodes for some seconds.

        Args:
            preview_id: The preview.
            why: The reason, for the end of a launch that no node can start.
        """
        self._reasons[preview_id] = why
        self._declined[preview_id] = trio.current_time() + _DECLINED_S

    def has_declined(self, preview_id: str) -> bool:
        """Return whether this node has left the preview to others before."""
        return preview_id in self._reasons

    async def live_nodes(self, *, is_new: bool = False) -> list[Node]:
        """Return the live nodes, at most one renewal old: the database has no newer loads.

        Args:
            is_new: Look at them now.

        Raises:
            DatabaseUnavailable: They are not known.

        Cancellation: nothing changes.
        """
        at, nodes = self._live
        if is_new or trio.current_time() > at + self._nodes.lease_ms / 4000:
            nodes = [one for one in await self._database.read(self._nodes.all) if one.is_live]
            self._live = trio.current_time(), nodes
        return nodes

    async def has_other(self, labels: Mapping[str, str]) -> bool:
        """Return whether another live node has these labels and does not drain.

        Raises:
            DatabaseUnavailable: It is not known.

        Cancellation: nothing changes.
        """
        others = [one for one in await self.live_nodes() if one.facts.name != self._member().name]
        return any(not one.draining and Wants(labels).suit(one.facts.labels) for one in others)

    def invited(self, connection: Connection, owners: Owners, preview_id: str) -> tuple[str, ...]:
        """Return the nodes to wake for a preview that this node gives up. Blocks."""
        others = [one for one in self._nodes.all(connection) if one.is_live and one.facts.name != self._member().name]
        return invite([_state_of(one) for one in others], owners.wants(connection, preview_id), {}, {}, _DRAW)

    async def put(self, row: dict[str, Any], claim: Claim, nodes: Sequence[Node]) -> None:
        """Store a launch in the queue, with the preview's first row.

        Args:
            row: The columns of ``preview_instances``.
            claim: The launch.
            nodes: The live nodes; some of them are woken.

        Raises:
            AlreadyRunning, LimitReached, TooManyLaunches, ServiceStopping: See ``LaunchQueue.add``.
            DatabaseUnavailable: The database did not respond.

        Cancellation: it is queued with its row, or not at all.
        """
        states, wants = [_state_of(one) for one in nodes], Wants.parse(claim.carried.wants)

        def change(connection: Connection) -> None:
            warmth, of_user = self._queue.known(connection, claim.user_id, row["project_id"])
            invited = invite(states, wants, warmth, of_user, _DRAW)
            self._queue.add(connection, self._member(), claim, self.limits.most, invited)
            self._queue.count_launch(connection, claim.user_id, self.limits.per_minute)
            insert_row(row, connection)

        await self._database.write(change)
        self.suitable += 1

    async def place(self, preview_id: str) -> Place | None:
        """Return the place of a launch; None if it does not wait. Cancellation: nothing changes."""
        return await self._database.read(lambda connection: self._queue.place(connection, preview_id))

    async def length(self) -> int:
        """Return the number of launches that wait. Cancellation: nothing changes."""
        return await self._database.read(self._queue.length)

    async def cancel(self, generation_id: str, only: str | None = None) -> str | None:
        """Take the generation's preview out of the queue and store its end. Returns its id; None if none waits.

        Args:
            generation_id: The generation.
            only: Nothing but this preview of it.

        Cancellation: it is out with its end stored, or nothing changes.
        """

        def change(connection: Connection) -> str | None:
            found = self._queue.cancel(connection, generation_id, only)
            if found is not None:
                end_waiting(connection, found, State.STOPPED, STOP_REASONS[StopCause.USER])
            return found

        return await self._database.write(change)

    async def end_expired(self) -> None:
        """End previews whose time has passed while they waited for a node; often called, seldom done.

        Raises:
            DatabaseUnavailable: Some are ended.

        Cancellation: some are ended.
        """
        if trio.current_time() < self._expires_at:
            return
        self._expires_at = trio.current_time() + _EXPIRE_EACH_S

        def change(connection: Connection) -> Sequence[str]:
            expired = self._queue.end_expired(connection)
            for preview_id in expired:
                end_waiting(connection, preview_id, State.STOPPED, STOP_REASONS[StopCause.EXPIRED])
            return expired

        self.ended.extend(await self._database.write(change))

    async def _give_up_late(self) -> None:
        """End launches that have waited too long. Cancellation: some are ended."""
        reason = f"failed: no node had room for this launch within {self.limits.wait_s:g} s"

        def change(connection: Connection) -> Sequence[str]:
            late = self._queue.give_up_late(connection, int(self.limits.wait_s * 1000))
            for preview_id in late:
                declined = self._reasons.get(preview_id)
                full = reason if declined is None else f"{reason}; it could not start: {declined}"
                end_waiting(connection, preview_id, State.FAILED, full)
            return late

        if late := await self._database.write(change):
            self.ended.extend(late)
            log.warning("queued launches given up", previews=len(late))

    async def run_forgetting(self) -> None:
        """Delete old rows now and then, until cancelled. Cancellation: those of a call under way are deleted or not."""
        while True:
            await trio.sleep(_FORGET_EACH_S)
            try:
                self.ended.extend(await self._database.write(self.forget))
            except Exception as error:
                unexpected = not isinstance(error, PreviewError)
                log.info("ended previews not forgotten", reason=str(error), exc_info=unexpected)

    def forget(self, connection: Connection) -> Sequence[str]:
        """Delete old rows, and end previews whose node is lost; return those whose end nobody has told. Blocks."""
        unstored = self._queue.forget(connection, _KEPT_MS, _STORED_WITHIN_MS)
        if (forgotten := self._nodes.forget_lost(connection, _LOST_KEPT_MS)).nodes:
            log.info("lost nodes forgotten", nodes=forgotten.nodes)
        for preview_id in (*forgotten.trials, *unstored):
            end_waiting(connection, preview_id, State.FAILED, "failed: its node is lost")
        return unstored

    async def count_launch(self, user_id: str) -> None:
        """Count a restart of the user's preview as a launch, on all nodes together.

        Raises:
            TooManyLaunches: The user has launched too often within the last minute.

        Cancellation: it is counted or not.
        """
        await self._database.write(
            lambda connection: self._queue.count_launch(connection, user_id, self.limits.per_minute)
        )

    async def check_launch(self, user_id: str) -> None:
        """Check that the user may launch now, without counting a launch.

        Raises:
            TooManyLaunches: See ``count_launch``.

        Cancellation: nothing changes.
        """
        await self._database.read(
            lambda connection: self._queue.check_launch(connection, user_id, self.limits.per_minute)
        )


def _state_of(node: Node) -> NodeState:
    """Return what the database knows of a node: not its memory, and its load instead of its tasks."""
    facts = node.facts
    busy_part = node.load / max(1, facts.capacity)
    return NodeState(facts.labels, facts.capacity, node.load, busy=busy_part, draining=node.draining, name=facts.name)
