"""One node of a cluster: its lease, the previews that it owns, and the nodes beside it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import structlog
import trio
from sqlalchemy import Connection

from preview.cluster.launch_queue import LaunchQueue
from preview.cluster.leases import DatabaseClock, Lease, numbers_ahead
from preview.cluster.node_queue import QUEUE_LIMITS, NodeQueue, QueueLimits
from preview.cluster.nodes import Membership, Node, NodeFacts, Nodes
from preview.cluster.notices import Notices
from preview.cluster.ownership import Claim, Owners, Taken
from preview.cluster.renewals import Renewals, Seen, renew_late, wait_over
from preview.cluster.routing import Owner
from preview.core.bounded_dict import BoundedDict
from preview.errors import ConfigurationError, DatabaseUnavailable, PreviewError
from preview.storage.database import NOTHING_CARRIED, Carried, Database, HandedEnd

log = structlog.get_logger(__name__)

# Ended previews whose last lines may still be stored.
_MOST_ENDED = 10_000
_PATIENCE = 3  # leases: to wait for the end of the lease that a killed process of this name has left


class Cluster:
    """A node. Its lease is renewed while ``open_cluster`` is open. Implements ``preview.storage.database.Fences``.

    Invariant: ``fences`` has exactly the previews that this node has claimed or taken and not released, as far as it
    knows. The database knows better: each write asks it.

    Attributes:
        facts: This node.
        fences, paused: Those of the previews that it owns, and of those that stand still while its lease is over.
        lease, clock: Its lease, and the database's clock as of the last renewal.
        notices: Those of all nodes: ``queue``, ``queue:NAME NAME``, ``preview:ID``, ``lost:ID``, ``node:NAME``, ``*``.
        draining: Whether it takes no new previews.
        moving: Previews that end here to go on on another node.
        load: Returns the number of previews that it runs.
        queue: The queue of launches.
        on_lost: Called with the ids of previews that another node has.
        pause: Lets all previews stand still, as the lease is over; returns their ids. It ends those that cannot, first.
        go_on: Lets those go on that stand still; called with their ids, and the seconds since the lease was over.
        end_all: Ends all previews. It returns when all are over.
        on_joined: Called with each membership.
    """

    def __init__(
        self,
        database: Database,
        facts: NodeFacts,
        lease_s: float,
        limits: QueueLimits = QUEUE_LIMITS,
        shared: Database | None = None,
    ) -> None:
        self.facts, self.lease, self.clock = facts, Lease(lease_s, node=facts.name), DatabaseClock()
        self.notices = Notices(database.engine)
        self.fences, self.paused = dict[str, int](), dict[str, int]()
        self.draining, self.moving = False, set[str]()
        self.load: Callable[[], int] = lambda: len(self.fences)
        self.on_lost: Callable[[Collection[str]], None] = lambda _ids: None
        self.pause: Callable[[], Awaitable[Collection[str] | None]] = trio.lowlevel.checkpoint
        self.go_on: Callable[[Collection[str], float], Any] = lambda *_: self.end_all()
        self.end_all: Callable[[], Any] = trio.lowlevel.checkpoint
        self.on_joined: Callable[[Membership], None] = lambda _member: None
        self._database, lease_ms = database, int(lease_s * 1000)
        self._nodes, self._owners = Nodes(lease_ms), Owners(lease_ms)
        self._member, self._token = Membership(facts.name, 0), trio.lowlevel.current_trio_token()
        self._claims: BoundedDict[str, Membership] = BoundedDict(_MOST_ENDED)  # until known to be committed
        self._unknown: dict[str, int] = {}  # rows of this node at the last look that it does not know
        self._launches = launches = LaunchQueue(self._owners, lease_ms)
        # ``database`` is for the lease and the owners' rows alone: nothing that waits for a lock may hold it up.
        self.queue = NodeQueue(shared or database, launches, self._nodes, lambda: self._member, limits, self.lease)
        self._ended: BoundedDict[str, int] = BoundedDict(_MOST_ENDED)
        self._releases: dict[str, int] = {}  # released here, and not yet in the database

    @property
    def name(self) -> str:
        """Name of this node."""
        return self.facts.name

    # Fences: called in the database's threads

    def refused(self, connection: Connection, preview_ids: Collection[str]) -> frozenset[str]:
        """Return those of the previews that this node does not own any more; see ``Fences``. Blocks."""
        asked = frozenset(preview_ids)
        fences = {one: fence for one in asked if (fence := self._fence(one)) is not None}
        held = self._owners.hold(connection, self.name, fences) if fences else frozenset()
        if refused := asked - held:
            self._token.run_sync_soon(self._lose, refused)
        return refused

    def claim(
        self, connection: Connection, row: dict[str, Any], most: int | None, carried: Carried = NOTHING_CARRIED
    ) -> None:
        """Claim a new preview; see ``Fences``. Blocks."""
        claim = Claim(row["id"], row["generation_id"], row["user_id"], most or 0, carried)
        # Refused without a lease, which the database may have renewed before this node trusts it.
        member = self._member if self.lease.holds else replace(self._member, epoch=0)
        self._owners.claim(connection, member, claim, is_trial=most is None)
        if most is not None:
            self._launches.count_launch(connection, claim.user_id, self.queue.limits.per_minute)
        self._claims[claim.preview_id] = member

    def claimed(self, preview_id: str) -> None:
        """Note that the transaction of ``claim`` is committed."""
        if self._claims.pop(preview_id, None) is self._member and self.lease.holds:
            self.fences.setdefault(preview_id, 1)  # a later one stays: it was given up and taken before this answer
        else:
            # This node has stood still: the next join gives the preview up, or the last one has.
            self.on_lost([preview_id])

    def ahead(self, lines: int) -> int:
        """Return how many numbers to hand out in advance; see ``Fences``."""
        return numbers_ahead(self.lease.lease_s, lines)

    def hand_out(self, connection: Connection, ends: Mapping[str, HandedEnd]) -> None:
        """Hand out numbers of lines; see ``Fences``. Blocks."""
        self._owners.hand_out(connection, ends)

    def _fence(self, preview_id: str) -> int | None:
        return self.fences.get(preview_id, self._ended.get(preview_id))

    def _lose(self, preview_ids: Collection[str]) -> None:
        """Forget previews of other nodes, and end them here."""
        if lost := [one for one in preview_ids if self.fences.pop(one, None) is not None]:
            log.warning("preview ownership lost", node=self.name, previews=len(lost), preview_id=lost[0])
            self.on_lost(lost)

    # Previews

    async def take(self, most: int, chosen: Sequence[str] | None = None) -> list[Taken]:
        """Take queued previews and those of lost nodes.

        Args:
            most: Maximum number.
            chosen: Takes these only, in this order; None means any.

        Raises:
            DatabaseUnavailable: Nothing is known to be taken; what was taken nevertheless is given up later.

        Cancellation: as above.
        """
        if most <= 0 or not self.lease.holds or self.draining or self.lease.trusted_in_s > 0:
            return []
        member = self._member
        taken = await self._database.write(lambda connection: self._owners.take(connection, member, most, chosen))
        if member is not self._member or not self.lease.holds:
            return []  # this node has stood still: others may have the previews by now
        self.fences.update({one.preview_id: one.fence for one in taken})
        return taken

    async def release(self, preview_id: str) -> None:
        """End the ownership of a preview that has ended; in an outage of the database, as soon as that is over.

        Cancellation: the next renewal releases it.
        """
        if self.drop(preview_id, moves=False) is not None:
            await self._release_all()

    def drop(self, preview_id: str, *, moves: bool) -> int | None:
        """Own a preview no more; return its fence, if it had one. Renewals tell the database, if nobody else does."""
        self.moving.discard(preview_id)
        if (fence := self.fences.pop(preview_id, self.paused.pop(preview_id, None))) is not None:
            self._ended[preview_id] = fence
            self._releases.update({} if moves else {preview_id: fence})
        return fence

    async def _release_all(self) -> None:
        if not (releases := dict(self._releases)):
            return

        def change(connection: Connection) -> None:
            for preview_id, fence in releases.items():
                self._owners.release(connection, self.name, preview_id, fence)

        try:
            await self._database.write(change)
        except PreviewError as error:
            log.warning("previews not released yet", previews=len(releases), reason=error.message)
        else:
            self._releases = {one: fence for one, fence in self._releases.items() if releases.get(one) != fence}

    async def give_up(self, preview_id: str, *, is_stored: bool, next_seq: int = 1, has_run: bool = True) -> None:
        """Queue a preview for another node, once it has ended here.

        Args:
            preview_id: The preview.
            is_stored: Whether all its lines are stored.
            next_seq: The first number that it has not used here.
            has_run: False for a launch that no node could start yet.

        Cancellation: it is queued, or goes to another node when this one leaves.
        """
        if (fence := self.drop(preview_id, moves=True)) is None:
            return

        def change(connection: Connection) -> None:
            self._owners.give_up(
                connection, self.name, preview_id, fence, is_stored=is_stored, next_seq=next_seq, has_run=has_run,
                invited=self.queue.invited(connection, self._owners, preview_id),
            )  # fmt: skip

        try:
            await self._database.write(change)
        except PreviewError as error:
            log.warning("preview not given up", preview_id=preview_id, reason=error.message)

    async def owner_of(self, preview_id: str) -> Owner | None:
        """Return the node that runs the preview; None if this one knows that it does, and if none does.

        Raises:
            DatabaseUnavailable: It is not known.

        Cancellation: nothing changes.
        """
        if preview_id in self.fences:
            return None
        return await self._database.read(lambda connection: self._owners.owner_of(connection, preview_id))

    async def preview_of(self, generation_id: str) -> str | None:
        """Return the id of the generation's live preview, on whichever node; None if there is none.

        Raises:
            DatabaseUnavailable: It is not known.

        Cancellation: nothing changes.
        """
        return await self._database.read(lambda connection: self._owners.preview_of(connection, generation_id))

    # Nodes

    async def nodes(self) -> list[Node]:
        """Return all nodes, by name. Cancellation: nothing changes."""
        return await self._database.read(self._nodes.all)

    async def drain(self, name: str, *, draining: bool = True) -> bool:
        """Let a node take no more previews, or again; False if there is no such node. Cancellation: done or not."""
        return await self._database.write(lambda connection: self._nodes.drain(connection, name, draining=draining))

    # The lease

    async def join(self) -> None:
        """Join the cluster; wait for the end of an earlier process's lease, and for a slow database.

        Raises:
            ConfigurationError: Another live node has this name.
            DatabaseUnavailable: The database has not responded.

        Cancellation: the node has joined or not; its lease ends by itself.
        """
        for left in reversed(range(_PATIENCE * 10)):
            try:
                if await self._try_join(None):
                    return
            except DatabaseUnavailable:
                if not left:
                    raise
            await trio.sleep(self.lease.lease_s / 10)
        raise ConfigurationError(
            f"Another node of the cluster is named {self.name!r}; give each node a name of its own (PREVIEW_NODE_NAME)."
        )

    async def _try_join(self, before: Membership | None) -> bool:
        asked_at = self.lease.clock()
        member = await self._database.write(lambda connection: self._nodes.join(connection, self.facts, before))
        if member is None:
            return False
        if member.was_standby if before is None else member.timeline != before.timeline:
            self.lease.doubt()
        self._member = member
        self.lease.begin(asked_at)
        self.clock.set(asked_at, member.joined_ms)
        self.on_joined(member)
        log.info("joined the cluster", node=self.name, epoch=member.epoch, address=self.facts.address)
        return True

    async def leave(self) -> None:
        """Leave the cluster: other nodes take at once what this one still owns. Cancellation: the lease runs out."""
        await self._release_all()
        self.lease.end()
        try:
            await self._database.write(lambda connection: self._nodes.leave(connection, self._member))
        except PreviewError as error:
            log.warning("lease not ended", node=self.name, reason=error.message)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Renew the lease until cancelled; when it is over, all previews stand still until it is renewed, or end.

        Cancellation: the lease runs out, unless ``leave`` ends it.
        """
        task_status.started()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.queue.run_forgetting)
            while True:
                async with trio.open_nursery() as renewing:
                    renewing.start_soon(Renewals(self.lease, self._renew).run, self._note)
                    await wait_over(self.lease)
                    over_at = self.lease.clock()
                    # At once: the end of the renewals may take half a second.
                    await self._stand_still()
                    renewing.cancel_scope.cancel()
                if not await self._renew_late(over_at):
                    await self.end_all()
                    self.paused.clear()
                    await self._rejoin()

    async def _stand_still(self) -> None:
        log.error("cluster lease lost", node=self.name, advice="the database did not respond in time")
        # Lines of these previews may still be stored, as long as no other node has taken them.
        self._ended.update(self.fences)
        self.paused = dict(self.fences)
        self.fences.clear()
        # A statement of before may have changed what another node has changed since: its answer counts no more.
        self._member = replace(self._member)
        still = await self.pause() or ()
        self.paused = {one: fence for one, fence in self.paused.items() if one in still}

    async def _renew_late(self, over_at: float) -> bool:
        """Renew the lease after its end, and let the previews go on that no other node has taken. False: too late."""
        ask = partial(self._database.write, partial(self._ask, self._member, is_late=True))
        if not self.paused or (renewed := await renew_late(self.lease, ask)) is None:
            return False
        running, paused_s = renewed.running, self.lease.clock() - over_at
        kept = {one: fence for one, fence in self.paused.items() if running.get(one) == fence}
        lost = [one for one in self.paused if one not in kept]
        log.warning("cluster lease renewed late", node=self.name, seconds=paused_s, previews=len(kept), lost=len(lost))
        self.paused.clear()
        self.fences.update(kept)
        # No answer is on its way that could make them known.
        self._unknown = {one: fence for one, fence in running.items() if one not in kept}
        self.on_lost(lost)
        await self.go_on(kept, paused_s)
        return True

    def _renew(self) -> Seen | None:
        """Renew the lease once. Blocks: it runs in the thread of ``Renewals``."""
        member, asked_at = self._member, self.lease.clock()
        seen = self._database.write_here(partial(self._ask, member))
        if seen is None and member is self._member:
            log.error("another node has this name", node=self.name)
            self.lease.end()
        elif seen is not None and self.lease.renewed(asked_at):
            self.clock.set(asked_at, seen.renewal.now_ms)
            return seen
        return None

    def _ask(self, member: Membership, connection: Connection, *, is_late: bool = False) -> Seen | None:
        known, renewal = dict(self.fences), self._nodes.renew(connection, member, self.load())
        if renewal is not None and renewal.timeline != self._member.timeline:
            log.warning("cluster database changed", node=self.name, advice="a standby has taken over")
            self.lease.doubt()
            # Answers of the server before may tell of rows that this one does not have: they count no more.
            self._member, known = replace(self._member, timeline=renewal.timeline), dict(self.fences)
        running = self._owners.running(connection, self.name, is_late=is_late)
        return None if renewal is None else Seen(renewal, known, running)

    async def _note(self, seen: Seen) -> None:
        """Follow what a renewal saw: a drain, previews of other nodes, and rows that this node does not know."""
        if seen.renewal.draining is not self.draining:
            self.draining = seen.renewal.draining
            self.notices.publish(f"node:{self.name}")
        running = seen.running
        self._lose([one for one, fence in seen.known.items() if running.get(one) != fence == self.fences.get(one)])
        await self._give_back(running)
        await self._release_all()

    async def _give_back(self, running: Mapping[str, int]) -> None:
        """Give up the rows of this node that it does not know: the answer that would have told it was lost.

        An answer may still be on its way, so a row must be unknown twice. If it comes later all the same, the next
        renewal ends that preview here.
        """
        known = {*self.fences, *self._releases}
        before, self._unknown = self._unknown, {one: fence for one, fence in running.items() if one not in known}
        if not (rows := {one: fence for one, fence in self._unknown.items() if before.get(one) == fence}):
            return
        log.warning("unknown previews given up", node=self.name, previews=len(rows), preview_id=next(iter(rows)))
        ran = frozenset(one for one in rows if one in self._ended)
        await self._database.write(lambda connection: self._launches.give_back(connection, self.name, rows, ran))

    async def _rejoin(self) -> None:
        while True:
            try:
                # First: a join queues what this node still has, and what has ended is not to start again.
                await self._release_all()
                if not self._releases and await self._try_join(self._member):
                    return
            except Exception as error:
                unexpected = not isinstance(error, PreviewError)
                log.warning("cluster not joined", node=self.name, reason=str(error), exc_info=unexpected)
            await trio.sleep(self.lease.lease_s / 4)
