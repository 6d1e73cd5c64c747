"""The rows of nodes and owners: in a real PostgreSQL with a clock that the test sets, and as a model in memory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

from sqlalchemy import Engine, text

from preview.cluster.nodes import Membership, NodeFacts, Nodes
from preview.cluster.ownership import Claim, Owners
from preview.cluster.routing import Owner
from preview.errors import AlreadyRunning, LimitReached, ServiceStopping
from preview.storage.engine import make_engine

__all__ = ["LEASE_MS", "Model", "Rows", "Tables", "open_tables"]

LEASE_MS = 2000
NOW = "(SELECT ms FROM test_clock)"


class Tables:
    """Each call is one transaction."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.nodes = Nodes(LEASE_MS, NOW)
        self.owners = Owners(LEASE_MS, NOW, up_since="0")
        # The test's process may stand still for longer than a lease.
        self.owners.patience_ms = 0

    def wait(self, ms: int) -> None:
        with self.engine.begin() as connection:
            connection.execute(text("UPDATE test_clock SET ms = ms + :more"), {"more": ms})

    def try_join(self, name: str, before: Membership | None = None) -> Membership | None:
        with self.engine.begin() as connection:
            return self.nodes.join(connection, NodeFacts(name, f"{name}:7000", "1", 10), before)

    def join(self, name: str) -> Membership:
        member = self.try_join(name)
        assert member is not None
        return member

    def renew(self, member: Membership) -> bool | None:
        with self.engine.begin() as connection:
            renewal = self.nodes.renew(connection, member, 0)
            return None if renewal is None else renewal.draining

    def renew_late(self, member: Membership) -> dict[str, int] | None:
        with self.engine.begin() as connection:
            if self.nodes.renew(connection, member, 0) is None:
                return None
            return dict(self.owners.running(connection, member.name, is_late=True))

    def claim(
        self, member: Membership, preview_id: str, generation_id: str = "g", user: str = "ann", most: int = 1
    ) -> None:
        with self.engine.begin() as connection:
            self.owners.claim(connection, member, Claim(preview_id, generation_id, user, most))
            # Taken in the order of the claims, also if no time has passed between two.
            connection.execute(
                text("UPDATE owners SET queued_at = (SELECT count(*) FROM owners) WHERE preview_id = :id"),
                {"id": preview_id},
            )

    def take(self, member: Membership, most: int = 10) -> dict[str, int]:
        with self.engine.begin() as connection:
            return {one.preview_id: one.fence for one in self.owners.take(connection, member, most)}

    def holds(self, node: str, **fences: int) -> frozenset[str]:
        with self.engine.begin() as connection:
            held = self.owners.hold(connection, node, fences)
            # The test's process may stand still for longer than a lease.
            connection.execute(text("SET LOCAL idle_in_transaction_session_timeout = 0"))
            return held

    def release(self, node: str, preview_id: str, fence: int) -> bool:
        with self.engine.begin() as connection:
            return self.owners.release(connection, node, preview_id, fence)

    def owner_of(self, preview_id: str) -> Owner | None:
        with self.engine.begin() as connection:
            return self.owners.owner_of(connection, preview_id)

    def drain(self, name: str, *, draining: bool) -> bool:
        with self.engine.begin() as connection:
            return self.nodes.drain(connection, name, draining=draining)

    def give_up(self, node: str, preview_id: str, fence: int) -> bool:
        with self.engine.begin() as connection:
            return self.owners.give_up(connection, node, preview_id, fence)

    def clear(self) -> None:
        with self.engine.begin() as connection:
            connection.execute(text("TRUNCATE nodes, owners, launch_times"))


class Rows(Protocol):
    """Each call is one transaction."""

    def wait(self, ms: int) -> None: ...
    def try_join(self, name: str, before: Membership | None = None) -> Membership | None: ...
    def renew(self, member: Membership) -> bool | None: ...
    def renew_late(self, member: Membership) -> dict[str, int] | None: ...
    def claim(
        self, member: Membership, preview_id: str, generation_id: str = "g", user: str = "ann", most: int = 1
    ) -> None: ...
    def take(self, member: Membership, most: int = 10) -> dict[str, int]: ...
    def holds(self, node: str, **fences: int) -> frozenset[str]: ...
    def release(self, node: str, preview_id: str, fence: int) -> bool: ...
    def give_up(self, node: str, preview_id: str, fence: int) -> bool: ...
    def drain(self, name: str, *, draining: bool) -> bool: ...


@dataclass
class _Node:
    until: int
    epoch: int
    draining: bool = False


@dataclass
class _Row:
    generation_id: str
    user: str
    state: str
    node: str | None
    fence: int
    order: int


class Model:
    """The same as ``Tables``, as it is meant."""

    def __init__(self) -> None:
        self._now = 1_000_000
        self._nodes: dict[str, _Node] = {}
        self._rows: dict[str, _Row] = {}

    def wait(self, ms: int) -> None:
        self._now += ms

    def _is_live(self, name: str | None) -> bool:
        return name in self._nodes and self._nodes[name].until > self._now

    def _is_member(self, member: Membership) -> bool:
        return self._is_live(member.name) and self._nodes[member.name].epoch == member.epoch

    def try_join(self, name: str, before: Membership | None = None) -> Membership | None:
        node = self._nodes.get(name)
        if node is not None and node.until > self._now and (before is None or before.epoch != node.epoch):
            return None
        epoch = 1 if node is None else node.epoch + 1
        draining = node is not None and before is not None and node.draining
        self._nodes[name] = _Node(self._now + LEASE_MS, epoch, draining)
        for row in self._rows.values():
            if row.node == name and row.state == "running":
                row.state = "queued"
        return Membership(name, epoch)

    def renew(self, member: Membership) -> bool | None:
        node = self._nodes.get(member.name)
        if node is None or node.epoch != member.epoch:
            return None
        node.until = self._now + LEASE_MS
        return node.draining

    def renew_late(self, member: Membership) -> dict[str, int] | None:
        if self.renew(member) is None:
            return None
        return {
            name: row.fence for name, row in self._rows.items() if (row.node, row.state) == (member.name, "running")
        }

    def claim(
        self, member: Membership, preview_id: str, generation_id: str = "g", user: str = "ann", most: int = 1
    ) -> None:
        live = {name: row for name, row in self._rows.items() if row.state != "over"}
        if any(row.generation_id == generation_id for row in live.values()):
            raise AlreadyRunning("")
        if sum(row.user == user for row in live.values()) >= most:
            raise LimitReached("")
        if not self._is_member(member):
            raise ServiceStopping("")
        self._rows[preview_id] = _Row(generation_id, user, "running", member.name, 1, len(self._rows))

    def take(self, member: Membership, most: int = 10) -> dict[str, int]:
        free = [
            (name, row)
            for name, row in self._rows.items()
            if row.state == "queued" or (row.state == "running" and not self._is_live(row.node))
        ]
        if not self._is_member(member) or self._nodes[member.name].draining:
            return {}
        for _, row in free[:most]:
            row.state, row.node, row.fence = "running", member.name, row.fence + 1
        return {name: row.fence for name, row in free[:most]}

    def holds(self, node: str, **fences: int) -> frozenset[str]:
        return frozenset(name for name, fence in fences.items() if self._owns(node, name, fence, "running", "over"))

    def _owns(self, node: str, name: str, fence: int, *states: str) -> bool:
        row = self._rows.get(name)
        return row is not None and (row.node, row.fence) == (node, fence) and row.state in states

    def release(self, node: str, preview_id: str, fence: int) -> bool:
        if not self._owns(node, preview_id, fence, "running", "queued"):
            return False
        self._rows[preview_id].state = "over"
        return True

    def give_up(self, node: str, preview_id: str, fence: int) -> bool:
        if not self._owns(node, preview_id, fence, "running"):
            return False
        self._rows[preview_id].state, self._rows[preview_id].node = "queued", None
        return True

    def drain(self, name: str, *, draining: bool) -> bool:
        if name not in self._nodes:
            return False
        self._nodes[name].draining = draining
        return True


@contextmanager
def open_tables(url: str) -> Iterator[Tables]:
    engine = make_engine(url)
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE test_clock (ms bigint)"))
        connection.execute(text("INSERT INTO test_clock VALUES (1000000)"))
    yield Tables(engine)
    engine.dispose()
