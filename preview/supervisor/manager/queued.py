"""Launches that wait in the cluster's queue for a node with room."""

from __future__ import annotations

from dataclasses import replace

import structlog
import trio

from preview.cluster import Claim, Cluster, Node, NodeFacts, Place, Wants
from preview.core.ids import new_preview_id
from preview.core.launch_steps import waiting_steps
from preview.core.lifecycle import State
from preview.errors import (
    DatabaseUnavailable,
    DiskFull,
    InvalidRequest,
    LaunchFailed,
    NoPortFree,
    PreviewError,
    StartupTimeout,
)
from preview.generations import Generation
from preview.people_errors import IsolationBelowMinimum
from preview.settings import Tier
from preview.storage.previews import to_row
from preview.storage.tables import PreviewRecord
from preview.supervisor.launch.launch_options import LaunchOptions
from preview.supervisor.launch.start_queue import SupervisorContext
from preview.supervisor.manager.registry import PreviewRegistry
from preview.supervisor.preview.control import Launched, LaunchRequest
from preview.supervisor.preview.new_record import new_record

log = structlog.get_logger(__name__)

# A waiting caller looks this often; each look is one read of two rows.
_LOOK_S = 0.25


class NotHere(Exception):
    """A node cannot take the launch now. Never leaves the manager."""


OF_THIS_NODE: tuple[type[Exception], ...] = (NotHere, NoPortFree, DiskFull, IsolationBelowMinimum)
"""Reasons why this node cannot take a launch, but another one may."""


def may_take(node: Node, own: NodeFacts, wants: Wants, why: Exception) -> bool:
    """Return whether another node may take a launch that this one cannot.

    Args:
        node: The other node, or this one.
        own: This node.
        wants: Constraints of the launch.
        why: Reason why this node cannot take it.
    """
    if not node.is_live or node.draining or node.facts.name == own.name or not wants.suit(node.facts.labels):
        return False
    return not isinstance(why, IsolationBelowMinimum) or node.facts.isolation != own.isolation


async def tell_ends(context: SupervisorContext, cluster: Cluster) -> None:
    """Tell of the ends that the queue has stored.

    Raises:
        DatabaseUnavailable: Some are not told yet.

    Cancellation: one is not told.
    """
    ended = cluster.queue.ended
    while ended:
        preview_id = ended.popleft()
        try:
            record = await context.store.get(preview_id)
        except DatabaseUnavailable:
            ended.appendleft(preview_id)
            raise
        if record is not None and not record.is_active:
            context.tell_ended(record)


class QueuedLaunches:
    """Puts launches into the queue, and answers for those in it. ``Takeovers`` starts them.

    Args:
        context: State shared by all previews.
        cluster: The cluster of this node.
        registry: The live previews.
    """

    def __init__(self, context: SupervisorContext, cluster: Cluster, registry: PreviewRegistry) -> None:
        self._context, self._cluster, self._registry = context, cluster, registry

    def check_here(self, wants: Wants) -> None:
        """Check that this node may take a launch with these constraints now. Synchronous, as part of a claim.

        Raises:
            NotHere: It drains, is full, lacks a label, or earlier launches wait for it.
        """
        cluster = self._cluster
        is_full = len(self._registry.by_id) >= self._context.settings.max_previews
        if cluster.draining or is_full or cluster.queue.suitable > 0 or not wants.suit(cluster.facts.labels):
            raise NotHere

    async def put(self, request: LaunchRequest, generation: Generation, tier: Tier, why: Exception) -> Launched:
        """Queue a launch that this node cannot take.

        Raises:
            PreviewError: ``why``, if no other node could take it; else a limit, see ``NodeQueue.put``.

        Cancellation: it is queued or not.
        """
        wants = Wants(dict(request.labels))
        nodes = await self._cluster.queue.live_nodes()
        if not any(may_take(one, self._cluster.facts, wants, why) for one in nodes):
            # A node may have joined since.
            nodes = await self._cluster.queue.live_nodes(is_new=True)
        # Without a live node, such as after a restart of the database, nothing is known of labels.
        if nodes and not any(wants.suit(one.facts.labels) for one in nodes):
            raise InvalidRequest("No node of the cluster has these labels; leave them out.", field="labels")
        if isinstance(why, PreviewError) and not any(may_take(one, self._cluster.facts, wants, why) for one in nodes):
            raise why
        record, token = new_record(
            self._context.settings,
            now=self._context.now(),
            preview_id=new_preview_id(),
            user=request.user,
            tier=tier,
            generation_id=generation.id,
            project_id=generation.project_id,
            port=None,
            runtime=self._context.runtime.name,
            revision=generation.revision,
        )
        row = to_row(replace(record, steps=waiting_steps()))
        options = LaunchOptions(tier.name, request.startup_timeout_s, request.overrides)
        carried = options.carried(self._context, record.id, wants)
        claim = Claim(record.id, generation.id, request.user.id, tier.max_previews, carried)
        if isinstance(why, PreviewError):
            self._cluster.queue.decline(record.id, why.message)
        await self._cluster.queue.put(row, claim, nodes)
        return Launched(record, token)

    async def cancel(self, generation_id: str, only: str | None = None) -> PreviewRecord | None:
        """Take the generation's preview, or ``only`` this one, out of the queue; return its final record.

        None if it does not wait.

        While this node takes it, this waits until it is live here, or waits again.

        Cancellation: it is out, or nothing changes.
        """
        adoptions = self._registry.adoptions
        while (preview_id := await self._cluster.queue.cancel(generation_id, only)) is None:
            if not adoptions or not await adoptions.wait(only or await self._cluster.preview_of(generation_id)):
                break
        record = None if preview_id is None else await self._context.store.get(preview_id)
        if record is not None:
            self._context.tell_ended(record)
        return record

    async def place(self, record: PreviewRecord) -> Place | None:
        """Return the place of a preview in the queue; None if it does not wait. Cancellation: nothing changes."""
        if record.state is not State.STARTING or record.id in self._registry.by_id:
            return None
        return await self._cluster.queue.place(record.id)

    async def wait(self, preview_id: str, left_s: float, timeout_s: float) -> PreviewRecord | None:
        """Wait until a queued preview serves on another node; return None once it starts on this one.

        Args:
            preview_id: The preview.
            left_s: Timeout.
            timeout_s: What the caller has asked for at first.

        Raises:
            StartupTimeout: It still waits or starts after ``left_s`` seconds.
            LaunchFailed: It ended instead.

        Cancellation: the preview is not affected.
        """
        with trio.move_on_after(left_s):
            while preview_id not in self._registry.by_id:
                try:
                    record = await self._context.store.get(preview_id)
                except DatabaseUnavailable:
                    # The log's writer and the lease have reported it.
                    await trio.sleep(_LOOK_S)
                    continue
                if record is None or record.state is State.RUNNING:
                    return record
                if not record.is_active:
                    raise LaunchFailed(record.reason or "The preview has ended.", preview_id=preview_id)
                await trio.sleep(_LOOK_S)
        if preview_id in self._registry.by_id:
            return None
        try:
            place = await self._cluster.queue.place(preview_id)
        except DatabaseUnavailable:
            where = "waits or starts, and the database does not respond"
        else:
            where = "is still starting"
            if place is not None:
                where = f"waits for a node, place {place.place} of {place.waiting}"
        raise StartupTimeout(
            f"The preview was not healthy within {timeout_s:g} s; it {where}.", preview_id=preview_id, last_lines=[]
        )
