"""Nodes of the cluster: one row each, with a lease. All times are the database's: the nodes' clocks may differ.

All methods block: they run in the database's threads, each in a transaction of its caller.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from sqlalchemy import Connection, Dialect, Row, text
from sqlalchemy.exc import DBAPIError

from preview.cluster.notices import queue_notice
from preview.storage.database import CHANNEL, NOTIFY, notify

# Milliseconds since the epoch, when the statement runs and not when its transaction began.
DATABASE_NOW = "(extract(epoch FROM clock_timestamp()) * 1000)::bigint"
UP_SINCE = "(extract(epoch FROM pg_postmaster_start_time()) * 1000)::bigint"
_BY_LOG = "('x' || left(pg_walfile_name(pg_current_wal_insert_lsn()), 8))::bit(32)::bigint"
# The server's timeline: it stays the same over a restart, which loses nothing, and grows when a standby takes over.
# Services such as Amazon Aurora refuse functions of the log: there, the server's start tells one server from another.
TIMELINE = f"CASE WHEN CAST(:has_timelines AS boolean) THEN {_BY_LOG} ELSE {UP_SINCE} END"
_WAS_STANDBY = "pg_last_xact_replay_timestamp() IS NOT NULL"
_ASK_LOG = text(f"SELECT {_BY_LOG}, {_WAS_STANDBY}")

_MACHINE = frozenset({"system", "processors", "isolation"})


@dataclass(frozen=True, slots=True)
class NodeFacts:
    """Facts that a node states about itself.

    Attributes:
        name: Its name, unique in the cluster.
        address: HOST:PORT for other nodes.
        version: Version of the service.
        capacity: Number of previews that it may run.
        labels: Free words of the operator, such as a region.
        system: Name and version of its kernel.
        processors: Number of processors that it may use.
        isolation: Name of its isolation level.
        public_url: Address of this node alone for clients; empty if it has none.
    """

    name: str
    address: str
    version: str = ""
    capacity: int = 0
    labels: Mapping[str, str] = field(default_factory=dict)
    system: str = ""
    processors: int = 0
    isolation: str = ""
    public_url: str = ""

    def words(self) -> str:
        """Return what the column ``labels`` has: the labels, and the machine's facts, as JSON."""
        machine = {"system": self.system, "processors": self.processors, "isolation": self.isolation}
        return json.dumps({"labels": dict(self.labels), "machine": machine, "public_url": self.public_url})


@dataclass(frozen=True, slots=True)
class Node:
    """A node as the database has it.

    Attributes:
        facts: What it says of itself.
        load: Number of previews that it runs; 0 once its lease is over.
        is_live: Whether its lease holds.
        draining: It takes no new previews.
        left_s: Seconds until the end of its lease; negative after it.
        started_at: Milliseconds since the epoch.
    """

    facts: NodeFacts
    load: int
    is_live: bool
    draining: bool
    left_s: float
    started_at: int


@dataclass(frozen=True, slots=True)
class Membership:
    """One period of a node in the cluster: from its join until its lease is over.

    Attributes:
        name: The node.
        epoch: Grows with each join, so that an earlier process of the same name cannot renew the lease.
        joined_ms: Milliseconds since the epoch, by the database's clock.
        timeline: That of the server that the node knows. One with another timeline may lack the last rows.
        was_standby: That server has taken over from another one, at an unknown time; or may have.
        has_timelines: Servers tell their timelines. Otherwise it is the time of the server's start.
    """

    name: str
    epoch: int
    joined_ms: int = field(default=0, compare=False)
    timeline: int = field(default=0, compare=False)
    was_standby: bool = field(default=False, compare=False)
    has_timelines: bool = field(default=True, compare=False)

    def server(self) -> dict[str, Any]:
        """Return the values that tell the server in statements."""
        return {"timeline": self.timeline, "has_timelines": self.has_timelines}


class Renewal(NamedTuple):
    """The answer to a renewal.

    Attributes:
        draining: The node takes no new previews.
        now_ms: The time by the database's clock, in milliseconds since the epoch.
        timeline: That of the server that has answered.
    """

    draining: bool
    now_ms: int
    timeline: int = 0


class Forgotten(NamedTuple):
    """Nodes that do not come back.

    Attributes:
        nodes: Their names.
        trials: Previews of their replays and probes, whose rows are not ended yet.
    """

    nodes: list[str]
    trials: list[str]


class Nodes:
    """The rows of ``nodes``.

    Args:
        lease_ms: Duration of a lease.
        now: SQL expression of the time.
    """

    def __init__(self, lease_ms: int, now: str = DATABASE_NOW) -> None:
        self.lease_ms = lease_ms
        self._join = text(
            f"""
            INSERT INTO nodes (id, address, until, epoch, version, capacity, load, labels, draining, started_at)
            VALUES (:id, :address, {now} + :lease, 1, :version, :capacity, 0, :labels, 0, {now})
            ON CONFLICT (id) DO UPDATE SET address = excluded.address, until = excluded.until, epoch = nodes.epoch + 1,
                version = excluded.version, capacity = excluded.capacity, load = 0, labels = excluded.labels,
                draining = CASE WHEN :epoch = 0 THEN 0 ELSE nodes.draining END, started_at = excluded.started_at
            WHERE nodes.until <= {now} OR nodes.epoch = :epoch
            RETURNING epoch, started_at, {TIMELINE} AS timeline,
                CASE WHEN CAST(:has_timelines AS boolean) THEN {_WAS_STANDBY} ELSE true END AS was_standby
            """  # noqa: S608  ``now`` is this module's or a test's
        )
        # What this node owned is over here. It goes to whichever node takes it first.
        self._give_up_all = text("UPDATE owners SET state = 'queued' WHERE node = :id AND state = 'running'")
        self._drop_trials = text(
            f"UPDATE owners SET state = 'over', ended_at = {now} WHERE node = :id AND state = 'trial'"  # noqa: S608
        )
        self._renew = text(
            f"""
            UPDATE nodes SET until = {now} + :lease, load = :load
            WHERE id = :id AND epoch = :epoch RETURNING draining, {now} AS now_ms, {TIMELINE} AS timeline
            """  # noqa: S608
        )
        self._leave = text(
            """
            UPDATE nodes SET until = 0 WHERE id = :id AND epoch = :epoch
            RETURNING EXISTS (SELECT 1 FROM owners WHERE node = nodes.id AND state = 'running')
            """
        )
        self._drain = text("UPDATE nodes SET draining = :draining WHERE id = :id RETURNING id")
        self._forget = text(f"DELETE FROM nodes WHERE id = :id AND until <= {now}")  # noqa: S608
        # ``until`` is 0 after an ordered end. What the node still owns, others have taken long ago, or take now.
        self._forget_lost = text(
            f"""
            DELETE FROM nodes WHERE GREATEST(until, started_at) <= {now} - :age AND NOT EXISTS (
                SELECT 1 FROM owners WHERE node = nodes.id AND state IN ('running', 'queued')
            ) RETURNING id
            """  # noqa: S608
        )
        self._end_trials = text(
            f"""
            UPDATE owners SET state = 'over', ended_at = {now}
            WHERE state = 'trial' AND node = ANY (CAST(:names AS text[])) RETURNING preview_id
            """  # noqa: S608
        )
        self._all = text(f"SELECT *, until - {now} AS left_ms FROM nodes ORDER BY id")  # noqa: S608

    def join(self, connection: Connection, facts: NodeFacts, before: Membership | None = None) -> Membership | None:
        """Begin a lease; what the node owned before goes back to the queue.

        Args:
            connection: A connection with an open transaction.
            facts: The node.
            before: The membership that this process had; None at its start, which ends a drain.

        Returns: The membership; None while another process has a lease with this name.
        """
        values = {
            "id": facts.name,
            "address": facts.address,
            "version": facts.version,
            "capacity": facts.capacity,
            "labels": facts.words(),
            "lease": self.lease_ms,
            "epoch": 0 if before is None else before.epoch,
            "has_timelines": (has_timelines := _has_timelines(connection)),
        }
        row = connection.execute(self._join, values).first()
        if row is None:
            return None
        given = connection.execute(self._give_up_all, {"id": facts.name}).rowcount
        connection.execute(self._drop_trials, {"id": facts.name})
        if given:
            notify(connection, queue_notice())
        return Membership(facts.name, row.epoch, row.started_at, row.timeline, row.was_standby, has_timelines)

    def renew(self, connection: Connection, member: Membership, load: int) -> Renewal | None:
        """Renew the lease. Returns None if another process has joined with this name.

        A late renewal is none: what other nodes have taken meanwhile, they keep, and its fences tell.
        """
        values = {"id": member.name, "epoch": member.epoch, "lease": self.lease_ms, "load": load}
        values["has_timelines"] = member.has_timelines
        row = connection.execute(self._renew, values).first()
        return None if row is None else Renewal(bool(row.draining), row.now_ms, row.timeline)

    def leave(self, connection: Connection, member: Membership) -> None:
        """End the lease now: other nodes take what the node still owns."""
        if connection.execute(self._leave, {"id": member.name, "epoch": member.epoch}).scalar():
            notify(connection, queue_notice())

    def last_words(self, dialect: Dialect, member: Membership) -> list[tuple[str, dict[str, Any]]]:
        """Return the statements of ``leave`` for the driver, in order, with their values."""
        leave = str(self._leave.compile(dialect=dialect)), {"id": member.name, "epoch": member.epoch}
        wake = str(NOTIFY.compile(dialect=dialect)), {"channel": CHANNEL, "payload": queue_notice()}
        return [leave, wake]

    def drain(self, connection: Connection, name: str, *, draining: bool = True) -> bool:
        """Let the node take no more previews, or take them again. Returns False if there is no such node."""
        found = connection.execute(self._drain, {"id": name, "draining": int(draining)}).scalar()
        notify(connection, f"node:{name}")
        return found is not None

    def forget(self, connection: Connection, name: str) -> bool:
        """Delete the row of a node whose lease is over."""
        return connection.execute(self._forget, {"id": name}).rowcount > 0

    def forget_lost(self, connection: Connection, age_ms: int) -> Forgotten:
        """Delete the rows of nodes whose lease has been over for ``age_ms``, unless they still own live previews.

        Their trials are over.
        """
        names = list(connection.execute(self._forget_lost, {"age": age_ms}).scalars())
        return Forgotten(names, list(connection.execute(self._end_trials, {"names": names}).scalars()))

    def all(self, connection: Connection) -> list[Node]:
        """Return all nodes, by name."""
        return [_node(row) for row in connection.execute(self._all)]


def _has_timelines(connection: Connection) -> bool:
    try:
        with connection.begin_nested():
            connection.execute(_ASK_LOG)
    except DBAPIError:
        # Without a connection the next statement fails, too.
        return False
    return True


def _node(row: Row[Any]) -> Node:
    words = json.loads(row.labels)
    # A node of a newer version may say more.
    machine = {name: value for name, value in words["machine"].items() if name in _MACHINE}
    facts = NodeFacts(row.id, row.address, row.version, row.capacity, words["labels"], **machine)
    facts = replace(facts, public_url=str(words.get("public_url", "")))
    is_live = row.left_ms > 0
    # What a lost node ran is nobody's, or another node's.
    load = row.load if is_live else 0
    return Node(facts, load, is_live, bool(row.draining), row.left_ms / 1000, row.started_at)
