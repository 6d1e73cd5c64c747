"""Owners of previews: one row each, with a fence that grows with each owner.

All methods block: they run in the database's threads, each in a transaction of its caller. A write for a preview first
calls ``hold`` in its transaction: it locks the rows of the previews that the node still owns, so that no other node
takes them before the commit.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from sqlalchemy import Connection, text

from preview.cluster.nodes import DATABASE_NOW, TIMELINE, UP_SINCE, Membership
from preview.cluster.notices import LOST, queue_notice
from preview.cluster.placement import Wants
from preview.cluster.routing import Owner
from preview.core.clock import from_ms, utc_now
from preview.errors import AlreadyRunning, DatabaseUnavailable, LimitReached, ServiceStopping
from preview.storage.database import FREE_NUMBERS, NOTHING_CARRIED, Carried, HandedEnd, notify

# An arbitrary constant: the seed of the lock of one user's launches.
_USER_LOCK = 0x70726576


class OwnerState(StrEnum):
    """State of an owner's row."""

    QUEUED = "queued"
    """No node has it; any may take it."""
    RUNNING = "running"
    """``node`` has it, as long as its lease holds."""
    TRIAL = "trial"
    """A preview of a replay or a probe: it ends with its node."""
    OVER = "over"
    """It has ended. Its last owner may still store last lines."""


@dataclass(frozen=True, slots=True)
class Taken:
    """A preview that this node has taken.

    Attributes:
        preview_id: The preview.
        fence: The fence of all its writes from now on.
        before: The lost node that had it; None if it was queued.
        first_seq: Number of the first line to write.
        has_run: False for a launch from the queue, which no node has started yet.
        options: The launch's own options, encrypted; None without any.
        wants: Its constraints on the node.
        losses: How often a node was lost that had it.
        snapshot_id: The last snapshot of its data; None without any.
        taken_at: The time of this, by the database's clock.
    """

    preview_id: str
    fence: int
    before: str | None
    first_seq: int
    has_run: bool = True
    options: str | None = None
    wants: Wants = field(default_factory=Wants)
    losses: int = 0
    snapshot_id: str | None = None
    taken_at: datetime = field(default_factory=utc_now, compare=False)


@dataclass(frozen=True, slots=True)
class Claim:
    """A new preview.

    Attributes:
        preview_id: The preview.
        generation_id: Its generation.
        user_id: Its user.
        most: Maximum number of live previews of the user in the cluster.
        carried: What another node needs to start it again.
    """

    preview_id: str
    generation_id: str
    user_id: str
    most: int
    carried: Carried = NOTHING_CARRIED


class Owners:
    """The rows of ``owners``.

    Args:
        lease_ms: Duration of a lease. A transaction that stands still for longer loses its locks.
        now: SQL expression of the time.
        up_since: SQL expression of the server's start. Nodes get a lease's time from then on to renew theirs.

    Attributes:
        patience_ms: A transaction that locks a user's launches may stand still for so long.
    """

    def __init__(self, lease_ms: int, now: str = DATABASE_NOW, up_since: str = UP_SINCE) -> None:
        self._lock_user = text("SELECT pg_advisory_xact_lock(hashtextextended(:user, :seed))")
        self._of_user = text(
            "SELECT preview_id, generation_id FROM owners WHERE user_id = :user AND state IN ('queued', 'running')"
        )
        # A server that the node does not know yet may lack the last rows: what is free there may run elsewhere.
        member = f"""{TIMELINE} = :timeline AND EXISTS (
            SELECT 1 FROM nodes WHERE id = :node AND epoch = :epoch AND until > {now}
        )"""  # noqa: S608
        self._insert = text(
            f"""
            INSERT INTO owners (preview_id, generation_id, user_id, state, node, fence, first_seq, queued_at, options,
                wants)
            SELECT CAST(:preview AS text), CAST(:generation AS text), CAST(:user AS text), CAST(:state AS text),
                CAST(:node AS text), 1, 1, {now}, CAST(:options AS text),
                CAST(:wants AS text)
            WHERE {member}
            ON CONFLICT DO NOTHING RETURNING fence
            """
        )
        self._of_generation = text(
            "SELECT preview_id FROM owners WHERE generation_id = :generation AND state IN ('queued', 'running')"
        )
        # SKIP LOCKED: nodes that take at the same time take different ones. A preview whose owner is writing is left to
        # the next call.
        self._take = text(
            f"""
            UPDATE owners SET node = :node, fence = owners.fence + 1, state = 'running', has_run = 1,
                losses = owners.losses + CASE WHEN before.node IS NULL THEN 0 ELSE 1 END
            FROM (
                SELECT preview_id, node, has_run, state FROM owners AS o
                WHERE (state = 'queued' OR (state = 'running' AND {up_since} + :lease < {now} AND NOT EXISTS (
                    SELECT 1 FROM nodes WHERE id = o.node AND until > {now}
                ))) AND (CAST(:chosen AS text[]) IS NULL OR preview_id = ANY (CAST(:chosen AS text[])))
                ORDER BY array_position(CAST(:chosen AS text[]), preview_id), queued_at
                LIMIT :most FOR UPDATE SKIP LOCKED
            ) AS before
            WHERE owners.preview_id = before.preview_id AND {member} AND NOT EXISTS (
                SELECT 1 FROM nodes WHERE id = :node AND draining <> 0
            )
            RETURNING owners.preview_id, owners.fence, owners.options, owners.wants, before.has_run,
                before.node AS node_before, before.state AS state_before, owners.losses, owners.snapshot_id,
                {now} AS taken_ms
            """  # noqa: S608
        )
        # A statement of its own: its snapshot has all lines that the former owner has stored before it lost the row.
        # Numbers that it could use for others are left out, so that no number stands for two lines. It also sees a late
        # renewal that was committed while the statement before looked for lost nodes: the former owner goes on then.
        self._begin = text(
            f"""
            UPDATE owners SET first_seq = known.next + CASE
                WHEN NOT :is_lost THEN 0
                ELSE GREATEST(known.before - known.next, 0) END
            FROM (
                SELECT GREATEST(o.first_seq, 1 + COALESCE(
                    (SELECT MAX(seq) FROM preview_logs WHERE preview_id = :preview), 0
                )) AS next, GREATEST(o.first_seq + :free, COALESCE(
                    (SELECT before_seq FROM handed_lines WHERE preview_id = :preview), 0
                )) AS before
                FROM owners AS o WHERE o.preview_id = :preview
            ) AS known
            WHERE owners.preview_id = :preview AND owners.fence = :fence AND NOT EXISTS (
                SELECT 1 FROM nodes WHERE id = CAST(:former AS text) AND until > {now}
            ) RETURNING owners.first_seq
            """  # noqa: S608
        )
        self._hand_out = text(
            """
            INSERT INTO handed_lines (preview_id, before_seq)
            SELECT * FROM unnest(CAST(:previews AS text[]), CAST(:before AS bigint[])) AS ours (id, seq) ORDER BY id
            ON CONFLICT (preview_id) DO UPDATE SET before_seq = GREATEST(handed_lines.before_seq, excluded.before_seq)
            """
        )
        self._lower = text(
            """
            UPDATE handed_lines SET before_seq = ours.seq
            FROM unnest(CAST(:previews AS text[]), CAST(:before AS bigint[]), CAST(:instead_of AS bigint[]))
                AS ours (id, seq, instead_of)
            WHERE preview_id = ours.id AND before_seq = ours.instead_of
            """
        )
        self._take_back = text("DELETE FROM handed_lines WHERE preview_id = :preview")
        self._set_patience = text("SELECT set_config('idle_in_transaction_session_timeout', :patience, true)")
        self._hold = text(
            """
            SELECT o.preview_id, set_config('idle_in_transaction_session_timeout', :patience, true)
            FROM owners AS o JOIN unnest(CAST(:previews AS text[]), CAST(:fences AS bigint[])) AS mine (id, fence)
                ON o.preview_id = mine.id AND o.fence = mine.fence
            WHERE o.node = :node AND o.state <> 'queued' FOR SHARE OF o
            """
        )
        self._release = text(
            f"""
            UPDATE owners SET state = 'over', ended_at = {now}
            WHERE preview_id = :preview AND fence = :fence AND node = :node AND state <> 'over'
            """  # noqa: S608
        )
        self._give_up = text(
            """
            UPDATE owners SET state = 'queued', node = CASE WHEN :is_stored THEN NULL ELSE node END,
                has_run = CASE WHEN :has_run THEN has_run ELSE 0 END, first_seq = GREATEST(first_seq, :next_seq)
            WHERE preview_id = :preview AND fence = :fence AND node = :node AND state = 'running'
            """
        )
        self._wants = text("SELECT wants FROM owners WHERE preview_id = :preview")
        self._owner = text(
            f"""
            SELECT o.node, n.address, o.fence, n.labels FROM owners AS o JOIN nodes AS n ON n.id = o.node
            WHERE o.preview_id = :preview AND o.state IN ('running', 'trial') AND n.until > {now}
            """  # noqa: S608
        )
        self._forget = text(f"DELETE FROM owners WHERE state = 'over' AND ended_at < {now} - :age")  # noqa: S608
        self._running = text(
            "SELECT preview_id, fence FROM owners WHERE node = :node AND state IN ('running', 'trial')"
        )
        # Waits for nodes that are taking them, and not for this node's own writes: a cut connection's lock may stay.
        self._running_for_certain = text(f"{self._running.text} FOR SHARE")
        self._lease_ms = self.patience_ms = lease_ms

    def set_patience(self, connection: Connection) -> None:
        """Let this transaction lose its locks if it stands still for a lease. Call before it locks anything."""
        connection.execute(self._set_patience, {"patience": str(self.patience_ms)})

    def claim(self, connection: Connection, member: Membership, claim: Claim, *, is_trial: bool = False) -> None:
        """Make this node the owner of a new preview, with the fence 1.

        Raises:
            AlreadyRunning: The generation has a preview in the cluster.
            LimitReached: The user has as many previews in the cluster as allowed.
            ServiceStopping: This node's lease is over.
        """
        if not is_trial:
            self.check_limit(connection, claim)
        values = {
            "preview": claim.preview_id,
            # A trial runs beside its generation's preview.
            "generation": claim.preview_id if is_trial else claim.generation_id,
            "user": claim.user_id,
            "state": OwnerState.TRIAL if is_trial else OwnerState.RUNNING,
            "node": member.name,
            "epoch": member.epoch,
            **member.server(),
            **claim.carried._asdict(),
        }
        if connection.execute(self._insert, values).scalar() is not None:
            notify(connection, f"preview:{claim.preview_id}")
            return
        taken = connection.execute(self._of_generation, {"generation": claim.generation_id}).scalar()
        if taken is None:
            raise ServiceStopping("This node has lost its lease in the cluster; try again in a moment.")
        raise _already_running(claim.generation_id, taken)

    def check_limit(self, connection: Connection, claim: Claim) -> None:
        """Check that the user may have one more preview; locks the user's launches until the commit.

        Raises:
            AlreadyRunning, LimitReached: See ``claim``.
        """
        self.set_patience(connection)
        connection.execute(self._lock_user, {"user": claim.user_id, "seed": _USER_LOCK})
        held = connection.execute(self._of_user, {"user": claim.user_id}).all()
        for one in held:
            if one.generation_id == claim.generation_id:
                raise _already_running(claim.generation_id, one.preview_id)
        if len(held) >= claim.most:
            raise LimitReached(
                f"Your tier allows {claim.most} preview(s) at a time in the whole cluster; stop {held[0].preview_id} "
                f"of the generation {held[0].generation_id!r} first.",
                limit=claim.most,
                previews=[{"preview_id": one.preview_id, "generation_id": one.generation_id} for one in held],
            )

    def take(
        self, connection: Connection, member: Membership, most: int, chosen: Sequence[str] | None = None
    ) -> list[Taken]:
        """Take queued previews and those of lost nodes; none if this node drains or is lost.

        Args:
            connection: A connection with an open transaction.
            member: This node.
            most: Maximum number.
            chosen: Takes these only, in this order; None means any, the oldest first.

        Raises:
            DatabaseUnavailable: The former owner of one has its lease again.
        """
        values = {"node": member.name, "epoch": member.epoch, "most": most, **member.server()}
        values |= {"lease": self._lease_ms, "chosen": None if chosen is None else list(chosen)}
        taken = []
        for row in connection.execute(self._take, values).all():
            is_lost = row.node_before is not None
            numbered = {"preview": row.preview_id, "fence": row.fence, "is_lost": is_lost, "free": FREE_NUMBERS}
            numbered["former"] = row.node_before if row.state_before == OwnerState.RUNNING else None
            first_seq = connection.execute(self._begin, numbered).scalar()
            if first_seq is None:
                raise DatabaseUnavailable(f"The node {row.node_before} has renewed its lease at this moment.")
            whose = (row.preview_id, row.fence, row.node_before, first_seq, bool(row.has_run), row.options)
            more = (Wants.parse(row.wants), row.losses, row.snapshot_id, from_ms(row.taken_ms))
            taken.append(Taken(*whose, *more))
            notify(connection, f"preview:{row.preview_id}")
            if is_lost:
                notify(connection, f"{LOST}:{row.preview_id}")
        return taken

    def hold(self, connection: Connection, node: str, fences: Mapping[str, int]) -> frozenset[str]:
        """Return those of the previews that the node owns with these fences; they stay its own until the commit."""
        values = {
            "previews": list(fences),
            "fences": list(fences.values()),
            "node": node,
            "patience": str(self._lease_ms),
        }
        return frozenset(row.preview_id for row in connection.execute(self._hold, values))

    def hand_out(self, connection: Connection, ends: Mapping[str, HandedEnd]) -> None:
        """Store by preview the end of the numbers that its node may use. Only after ``hold``."""
        raised = {one: end.before for one, end in ends.items() if end.instead_of is None}
        lowered = {one: end for one, end in ends.items() if end.instead_of is not None}
        if raised:
            connection.execute(self._hand_out, {"previews": list(raised), "before": list(raised.values())})
        if lowered:
            before, instead_of = zip(*lowered.values(), strict=True)
            values = {"previews": list(lowered), "before": list(before), "instead_of": list(instead_of)}
            connection.execute(self._lower, values)

    def release(self, connection: Connection, node: str, preview_id: str, fence: int) -> bool:
        """End the ownership of a preview that has ended. Returns False if it was another node's already."""
        values = {"preview": preview_id, "fence": fence, "node": node}
        released = connection.execute(self._release, values).rowcount > 0
        notify(connection, f"preview:{preview_id}")
        return released

    def give_up(
        self,
        connection: Connection,
        node: str,
        preview_id: str,
        fence: int,
        *,
        is_stored: bool = True,
        next_seq: int = 1,
        has_run: bool = True,
        invited: Sequence[str] = (),
    ) -> bool:
        """Queue a preview for another node, once its processes have ended here.

        Args:
            connection: A connection with an open transaction.
            node: The owner.
            preview_id: The preview.
            fence: Its fence.
            is_stored: Whether all its lines are stored: the next owner leaves out no numbers then.
            next_seq: The first number that it has not used.
            has_run: False for a launch that no node could start yet.
            invited: Nodes to wake; none means all.

        Returns: False if it was another node's already.
        """
        values = {"preview": preview_id, "fence": fence, "node": node, "is_stored": is_stored, "has_run": has_run}
        given = connection.execute(self._give_up, {**values, "next_seq": next_seq}).rowcount > 0
        if given and is_stored:
            connection.execute(self._take_back, {"preview": preview_id})
        notify(connection, queue_notice(invited))
        return given

    def wants(self, connection: Connection, preview_id: str) -> Wants:
        """Return a preview's constraints."""
        return Wants.parse(connection.execute(self._wants, {"preview": preview_id}).scalar())

    def owner_of(self, connection: Connection, preview_id: str) -> Owner | None:
        """Return the live node that runs the preview; None if none does."""
        row = connection.execute(self._owner, {"preview": preview_id}).first()
        if row is None:
            return None
        return Owner(row.node, row.address, row.fence, str(json.loads(row.labels).get("public_url", "")))

    def preview_of(self, connection: Connection, generation_id: str) -> str | None:
        """Return the generation's preview, on whichever node or in the queue; None if there is none."""
        found: str | None = connection.execute(self._of_generation, {"generation": generation_id}).scalar()
        return found

    def running(self, connection: Connection, node: str, *, is_late: bool = False) -> Mapping[str, int]:
        """Return fences of the previews that the node owns, for certain if the transaction renews its lease late."""
        query = self._running_for_certain if is_late else self._running
        return {row.preview_id: row.fence for row in connection.execute(query, {"node": node})}

    def forget(self, connection: Connection, age_ms: int) -> int:
        """Delete the rows of previews that ended longer ago; nothing is written for them any more."""
        return connection.execute(self._forget, {"age": age_ms}).rowcount


def _already_running(generation_id: str, preview_id: str) -> AlreadyRunning:
    return AlreadyRunning(
        f"The generation {generation_id!r} already has the preview {preview_id} on another node; "
        "use it, or stop it first.",
        preview_id=preview_id,
        generation_id=generation_id,
    )
