"""The queue of previews that wait for a node, and each user's launches of the last minute on all nodes.

All methods block: they run in the database's threads, each in a transaction of its caller.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection, Row, text

from preview.cluster.nodes import DATABASE_NOW, UP_SINCE, Membership
from preview.cluster.notices import queue_notice
from preview.cluster.ownership import Claim, Owners
from preview.cluster.placement import Waiting, Wants, Warmth
from preview.errors import LimitReached, ServiceStopping, TooManyLaunches
from preview.storage.database import notify

_WINDOW_MS = 60_000
# Arbitrary constants: seeds of the locks of all queued launches, and of one user's launches of the last minute.
_QUEUE_LOCK = 0x71756575
_RATE_LOCK = 0x72617465
# Most previews of a user that are read to find the nodes with the environments: the newest, ended ones of the last
# hour among them.
_MOST_KNOWN = 200


class Place(NamedTuple):
    """The place of a launch in the queue.

    Attributes:
        place: 1 for the next launch.
        waiting: Number of launches in the queue.
    """

    place: int
    waiting: int


class Outlook(NamedTuple):
    """The next events of the queue.

    Attributes:
        has_late: A launch has waited too long, whatever it wants.
        left_s: Seconds until the first lease of all nodes ends, if it is not renewed.
    """

    has_late: bool
    left_s: float


class LaunchQueue:
    """The rows of ``owners`` that no node runs.

    Args:
        owners: Checks limits.
        lease_ms: Duration of a lease.
        now: SQL expression of the time.
        up_since: SQL expression of the server's start.
    """

    def __init__(self, owners: Owners, lease_ms: int, now: str = DATABASE_NOW, up_since: str = UP_SINCE) -> None:
        self._owners = owners
        self._lease_ms = lease_ms
        # The turn of a launch: see ``placement.in_turn``. A test compares both.
        ranked = """
            SELECT free.*, CASE WHEN has_run > 0 THEN 0 ELSE COALESCE(mine.running, 0) + row_number() OVER (
                PARTITION BY free.user_id, has_run ORDER BY queued_at, preview_id
            ) END AS turn
            FROM free LEFT JOIN (
                SELECT user_id, count(*) AS running FROM owners
                WHERE state = 'running' AND user_id IN (SELECT user_id FROM free WHERE has_run = 0) GROUP BY user_id
            ) AS mine ON mine.user_id = free.user_id
        """
        in_turn = "has_run DESC, turn, queued_at, preview_id"
        # Every node looks often: what runs on live nodes costs nothing. A node has a row while it owns something.
        # OFFSET keeps the planner from reading all that runs.
        lost = f"""
            (SELECT id FROM nodes WHERE until <= (SELECT {now}) AND :lost AND (SELECT {up_since} + :lease < {now}))
                AS dead
            CROSS JOIN LATERAL (SELECT * FROM owners WHERE node = dead.id AND state = 'running' OFFSET 0) AS o
        """  # noqa: S608
        self._waiting = text(
            f"""
            WITH free AS (
                SELECT preview_id, generation_id, user_id, wants, has_run, queued_at, invited FROM owners
                WHERE state = 'queued'
                UNION ALL
                SELECT preview_id, generation_id, user_id, wants, has_run, queued_at, NULL FROM {lost}
            ), ranked AS ({ranked}), head AS (
                SELECT * FROM ranked WHERE (wants IS NULL OR CAST(wants AS jsonb) -> 'labels' <@ CAST(:labels AS jsonb))
                    AND preview_id <> ALL (CAST(:left AS text[]))
                ORDER BY {in_turn} LIMIT :most
            )
            SELECT head.*, {now} - head.queued_at AS waited_ms, record.project_id
            FROM head LEFT JOIN preview_instances AS record ON record.id = head.preview_id ORDER BY {in_turn}
            """  # noqa: S608  only this module's texts and a test's clock
        )
        self._place = text(
            f"""
            WITH free AS (
                SELECT preview_id, user_id, has_run, queued_at FROM owners WHERE state = 'queued' AND has_run = 0
            ), ranked AS ({ranked}),
            placed AS (
                SELECT preview_id, row_number() OVER (ORDER BY {in_turn}) AS place, count(*) OVER () AS waiting
                FROM ranked
            )
            SELECT place, waiting FROM placed WHERE preview_id = :preview
            """  # noqa: S608
        )
        self._count = text("SELECT count(*) FROM owners WHERE state = 'queued' AND has_run = 0")
        self._lock = text("SELECT pg_advisory_xact_lock(:seed)")
        self._insert = text(
            f"""
            INSERT INTO owners (
                preview_id, generation_id, user_id, state, node, fence, first_seq, queued_at, options, wants, has_run,
                invited
            )
            SELECT CAST(:preview AS text), CAST(:generation AS text), CAST(:user AS text), 'queued', NULL, 0, 1, {now},
                CAST(:options AS text), CAST(:wants AS text), 0, CAST(:invited AS text)
            WHERE EXISTS (SELECT 1 FROM nodes WHERE id = :node AND epoch = :epoch AND until > {now})
            ON CONFLICT DO NOTHING RETURNING preview_id
            """  # noqa: S608
        )
        is_lost = f"""(state = 'running' AND {up_since} + :lease < {now} AND NOT EXISTS (
            SELECT 1 FROM nodes WHERE id = o.node AND until > {now}
        ))"""  # noqa: S608
        # A lost node that comes back owns nothing of it: the fence is a later one.
        out = f"state = 'over', ended_at = {now}, fence = fence + CASE WHEN state = 'running' THEN 1 ELSE 0 END"
        self._cancel = text(
            f"""
            UPDATE owners AS o SET {out}
            WHERE generation_id = :generation AND preview_id = COALESCE(CAST(:only AS text), preview_id)
                AND (state = 'queued' OR {is_lost})
            RETURNING preview_id
            """  # noqa: S608
        )
        self._end_expired = text(
            f"""
            UPDATE owners AS o SET {out} WHERE preview_id IN (
                SELECT one.preview_id FROM owners AS one JOIN preview_instances AS record ON record.id = one.preview_id
                WHERE one.preview_id IN (
                    SELECT preview_id FROM owners WHERE state = 'queued' UNION ALL SELECT o.preview_id FROM {lost}
                ) AND one.has_run > 0 AND record.expires_at < {now} LIMIT 100 FOR UPDATE OF one SKIP LOCKED
            ) AND (state = 'queued' OR {is_lost}) RETURNING preview_id
            """  # noqa: S608
        )
        self._outlook = text(
            f"""
            SELECT EXISTS (
                SELECT 1 FROM owners WHERE state = 'queued' AND has_run = 0 AND queued_at < {now} - :age
            ) AS has_late, (SELECT min(until) - {now} FROM nodes WHERE until > {now}) AS left_ms
            """  # noqa: S608
        )
        self._give_up_late = text(
            f"""
            UPDATE owners SET state = 'over', ended_at = {now} WHERE preview_id IN (
                SELECT preview_id FROM owners WHERE state = 'queued' AND has_run = 0 AND queued_at < {now} - :age
                ORDER BY queued_at LIMIT 100 FOR UPDATE SKIP LOCKED
            ) RETURNING preview_id
            """  # noqa: S608
        )
        self._known = text(
            """
            SELECT o.node, o.state, record.project_id
            FROM owners AS o LEFT JOIN preview_instances AS record ON record.id = o.preview_id
            WHERE o.user_id = :user AND o.node IS NOT NULL ORDER BY o.queued_at DESC LIMIT :most
            """
        )
        self._lock_rate = text("SELECT pg_advisory_xact_lock(hashtextextended(:user, :seed))")
        self._times = text(f"SELECT {now} AS now, (SELECT times FROM launch_times WHERE user_id = :user) AS times")  # noqa: S608
        self._keep_times = text(
            """
            INSERT INTO launch_times (user_id, times) VALUES (:user, :times)
            ON CONFLICT (user_id) DO UPDATE SET times = excluded.times
            """
        )
        self._unstored_ends = text(
            f"""
            SELECT o.preview_id FROM preview_instances AS record JOIN owners AS o ON o.preview_id = record.id
            WHERE o.state = 'over' AND o.ended_at < {now} - :age
                AND record.status IN ('starting', 'running', 'stopping')
            """  # noqa: S608
        )
        # The last time is the newest one.
        self._forget_times = text(
            f"DELETE FROM launch_times WHERE CAST(regexp_replace(times, '^.*,', '') AS bigint) <= {now} - :window"  # noqa: S608
        )

    def waiting(
        self,
        connection: Connection,
        most: int,
        labels: Mapping[str, str],
        left: Collection[str] = (),
        *,
        lost: bool = True,
    ) -> list[Waiting]:
        """Return the previews that wait for a node, in turn.

        Args:
            connection: A connection with an open transaction.
            most: Maximum number.
            labels: Those of the node; previews that want others are left out.
            left: Previews that are left out, too.
            lost: With those of lost nodes.
        """
        values = {"most": most, "lease": self._lease_ms, "labels": json.dumps(dict(labels)), "left": list(left)}
        values["lost"] = lost
        return [_waiting(row) for row in connection.execute(self._waiting, values)]

    def known(self, connection: Connection, user_id: str, project_id: str) -> tuple[dict[str, Warmth], Counter[str]]:
        """Return by node what is known of a project's environment there, and the number of its user's previews."""
        rows = connection.execute(self._known, {"user": user_id, "most": _MOST_KNOWN}).all()
        warmth = {row.node: Warmth.CACHED for row in rows if row.project_id == project_id}
        return warmth, Counter(row.node for row in rows if row.state == "running")

    def add(
        self, connection: Connection, member: Membership, claim: Claim, most: int, invited: Sequence[str] = ()
    ) -> None:
        """Add a launch to the queue.

        Args:
            connection: A connection with an open transaction.
            member: This node.
            claim: The launch.
            most: Maximum number of launches in the queue.
            invited: Nodes to wake; none means all.

        Raises:
            AlreadyRunning: The generation has a preview in the cluster.
            LimitReached: The user has as many previews as allowed, or the queue is full.
            ServiceStopping: This node's lease is over.
        """
        self._owners.check_limit(connection, claim)
        connection.execute(self._lock, {"seed": _QUEUE_LOCK})
        if self.length(connection) >= most:
            raise LimitReached(
                f"No node can take this launch now, and {most} launches wait already, the maximum "
                "(PREVIEW_QUEUE_LIMIT); try again when some have started.",
                limit=most,
                setting="PREVIEW_QUEUE_LIMIT",
                previews=[],
            )
        values = {
            "preview": claim.preview_id,
            "generation": claim.generation_id,
            "user": claim.user_id,
            **claim.carried._asdict(),
            "node": member.name,
            "epoch": member.epoch,
            "invited": " ".join(invited) or None,
        }
        if connection.execute(self._insert, values).scalar() is None:
            raise ServiceStopping("This node has lost its lease in the cluster; try again in a moment.")
        notify(connection, queue_notice(invited))

    def place(self, connection: Connection, preview_id: str) -> Place | None:
        """Return the place of a launch; None if it does not wait."""
        row = connection.execute(self._place, {"preview": preview_id}).first()
        return None if row is None else Place(row.place, row.waiting)

    def length(self, connection: Connection) -> int:
        """Return the number of launches that wait."""
        return int(connection.execute(self._count).scalar_one())

    def cancel(self, connection: Connection, generation_id: str, only: str | None = None) -> str | None:
        """Take the generation's preview out of the queue, also a lost node's. Returns its id; None if none waits.

        Args:
            connection: A connection with an open transaction.
            generation_id: The generation.
            only: Nothing but this preview of it.
        """
        values = {"generation": generation_id, "only": only, "lease": self._lease_ms}
        found: str | None = connection.execute(self._cancel, values).scalar()
        if found is not None:
            notify(connection, f"preview:{found}")
        return found

    def outlook(self, connection: Connection, age_ms: int) -> Outlook:
        """Return the next events. ``age_ms``: the longest wait of a launch."""
        row = connection.execute(self._outlook, {"age": age_ms}).one()
        return Outlook(row.has_late, math.inf if row.left_ms is None else row.left_ms / 1000)

    def end_expired(self, connection: Connection) -> Sequence[str]:
        """Take previews out of the queue whose time has passed after the loss of their node; return their ids."""
        found = list(connection.execute(self._end_expired, {"lease": self._lease_ms, "lost": True}).scalars())
        for preview_id in found:
            notify(connection, f"preview:{preview_id}")
        return found

    def give_up_late(self, connection: Connection, age_ms: int) -> Sequence[str]:
        """Take launches out of the queue that have waited longer; return their ids."""
        found = list(connection.execute(self._give_up_late, {"age": age_ms}).scalars())
        for preview_id in found:
            notify(connection, f"preview:{preview_id}")
        return found

    # Launches of the last minute

    def count_launch(self, connection: Connection, user_id: str, per_minute: int) -> None:
        """Count a launch of the user; the count is exact for all nodes.

        Raises:
            TooManyLaunches: The user has launched as often as allowed within the last minute; nothing is counted.
        """
        self._owners.set_patience(connection)
        connection.execute(self._lock_rate, {"user": user_id, "seed": _RATE_LOCK})
        recent, now = self.check_launch(connection, user_id, per_minute)
        kept = ",".join(str(one) for one in [*recent, now])
        connection.execute(self._keep_times, {"user": user_id, "times": kept})

    def check_launch(self, connection: Connection, user_id: str, per_minute: int) -> tuple[list[int], int]:
        """Check that the user may launch now; return the times of the last minute's launches, and of now.

        Raises:
            TooManyLaunches: See ``count_launch``.
        """
        row = connection.execute(self._times, {"user": user_id}).one()
        times = [int(one) for one in (row.times or "").split(",") if one]
        recent = [one for one in times if one > row.now - _WINDOW_MS]
        if len(recent) >= per_minute:
            wait_s = max(1, math.ceil((recent[0] + _WINDOW_MS - row.now) / 1000))
            raise TooManyLaunches(
                f"You have launched {len(recent)} times within a minute, the maximum; try again in {wait_s} s.",
                limit=per_minute,
                retry_after_s=wait_s,
            )
        return recent, row.now

    def give_back(self, connection: Connection, node: str, rows: Mapping[str, int], ran: Collection[str]) -> None:
        """Queue previews that their node does not know: their fences, and those that have run there."""
        for one, fence in rows.items():
            # What never ran here has no lines that are not stored; without an earlier node it never ran.
            is_new, has_run = one not in ran, one in ran or fence > 1
            if not self._owners.give_up(connection, node, one, fence, is_stored=is_new, has_run=has_run):
                # A trial, which no other node takes.
                self._owners.release(connection, node, one, fence)

    def forget(self, connection: Connection, age_ms: int, stored_within_ms: int) -> Sequence[str]:
        """Delete the rows of previews that ended longer ago.

        Returns previews that ended longer ago than ``stored_within_ms``, and whose last node was lost before it stored
        their end.
        """
        unstored = connection.execute(self._unstored_ends, {"age": stored_within_ms}).scalars().all()
        self._owners.forget(connection, age_ms)
        self.forget_times(connection)
        return unstored

    def forget_times(self, connection: Connection) -> int:
        """Delete the rows of users without a launch in the last minute; return their number."""
        return connection.execute(self._forget_times, {"window": _WINDOW_MS}).rowcount


def _waiting(row: Row[Any]) -> Waiting:
    return Waiting(
        row.preview_id,
        row.generation_id,
        row.user_id,
        row.project_id or "",
        Wants.parse(row.wants),
        not row.has_run,
        row.waited_ms / 1000,
        tuple((row.invited or "").split()),
    )
