"""Faults at random against a cluster in network namespaces, under load, and what must hold during and after them."""

from __future__ import annotations

import random
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import trio
from cluster_crowd import Orders, Seen, open_crowd
from cluster_load import Load, Standing, check_lines
from cluster_net import DATABASE, Net, node_address, open_net
from fault_ledger import Broken
from fault_machine import below, listening, marked, small_disk
from fault_postgres import Postgres, open_postgres
from fault_service import Service, log_faults

__all__ = ["Campaign", "Options", "open_campaign"]

# A log of all owners, written by the database itself.
_OWNER_LOG = """
CREATE TABLE owner_log (id bigserial PRIMARY KEY, at timestamptz DEFAULT clock_timestamp(), preview_id text, node text,
    fence bigint, state text);
CREATE FUNCTION log_owner() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    INSERT INTO owner_log (preview_id, node, fence, state) VALUES (new.preview_id, new.node, new.fence, new.state);
    RETURN new;
END $$;
CREATE TRIGGER owner_log AFTER INSERT OR UPDATE ON owners FOR EACH ROW EXECUTE FUNCTION log_owner();
"""
_WITHIN_S = 120.0
_DISK_MIB = 192


@dataclass(frozen=True)
class Options:
    """What to run.

    Attributes:
        nodes: Number of nodes.
        minutes: Faults are injected for so long.
        seed: Of all choices.
        lease_s: Duration of a lease.
        standing: Previews that live for the whole run.
        launch_each_s: Seconds between launches of others.
        call_each_s: Seconds between two calls of each standing preview.
        watchers: Readers of the standing previews' logs, in a process of their own.
        requests_per_s: Requests to the standing previews, offered by that process.
        line_s: Seconds between two lines of a preview.
        warm: Nodes have templates.
        isolation: ``PREVIEW_ISOLATION``.
        kinds: Only kinds whose names hold one of these; empty means all.
    """

    nodes: int = 3
    minutes: float = 10
    seed: int = 0
    lease_s: float = 2.0
    standing: int = 5
    launch_each_s: float = 6.0
    call_each_s: float = 0.3
    watchers: int = 0
    requests_per_s: float = 0
    line_s: float = 0.05
    warm: bool = False
    isolation: str = "plain"
    kinds: Sequence[str] = ()


class Campaign:
    """One run. Made by ``open_campaign``."""

    def __init__(self, options: Options, net: Net, server: Postgres, nodes: dict[str, Service]) -> None:
        self.options, self.net, self.server, self.nodes = options, net, server, nodes
        self.rng = random.Random(options.seed)
        self.out: set[str] = set()
        self.load = Load(nodes, self.usable, self.rng, options.line_s)
        self.crowd: Seen | None = None
        self.launching_s = 0.0
        self.faults: list[str] = []
        self._kinds: dict[str, Callable[[str], Awaitable[None]]] = {
            "kill -9": self._kill,
            "SIGSTOP 3 s": lambda name: self._stop(name, 3),
            "SIGSTOP 30 s": lambda name: self._stop(name, 30),
            "cut from PostgreSQL 8 s": self._cut_database,
            "cut between two nodes 6 s": self._cut_nodes,
            "PostgreSQL killed": self._kill_database,
            "disk full 5 s": self._fill_disk,
            "clock an hour off 10 s": self._set_clock,
            "machine lost": lambda name: self._kill(name, "machine lost"),
        }
        if options.kinds:
            chosen = {one for one in self._kinds if any(word in one for word in options.kinds)}
            self._kinds = {one: what for one, what in self._kinds.items() if one in chosen}

    def usable(self) -> list[Service]:
        """Nodes that are not killed or stopped now. Others are found by ``Load.probe``, as a load balancer does."""
        return [node for name, node in self.nodes.items() if name not in self.out]

    def rows(self, statement: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.server.url, autocommit=True) as connection:
            return connection.execute(statement).fetchall()

    # The run

    async def run(self) -> None:
        """Start the load, inject faults, and check everything at the end. Cancellation: what runs is left."""
        with psycopg.connect(self.server.url, autocommit=True) as connection:
            connection.execute(_OWNER_LOG)
        for number in range(self.options.standing):
            made = None
            while made is None:
                made = await self.load.launch(f"stands{number}")
            self.load.standing.append(Standing(f"stands{number}", *made))
        print(f"{len(self.load.standing)} previews stand", flush=True)
        async with trio.open_nursery() as nursery:
            for node in self.nodes.values():
                nursery.start_soon(self.load.probe, node)
            for one in self.load.standing:
                nursery.start_soon(self.load.call, one, self.options.call_each_s)
                nursery.start_soon(self.load.watch, one)
            nursery.start_soon(self.load.churn, self.options.launch_each_s)
            await self._served("the start")
            began = trio.current_time()
            with open_crowd(self._orders()) as found:
                await self._inject(began + self.options.minutes * 60)
            self.crowd, self.launching_s = found[0], trio.current_time() - began
            nursery.cancel_scope.cancel()
        await self._end()

    def _orders(self) -> Orders:
        owners = self.load.standing
        token = next(iter(self.nodes.values())).token
        previews = [(one.preview_id, one.generation_id, token(one.user)) for one in owners]
        urls = [node.url for node in self.nodes.values()]
        return Orders(urls, previews, self.options.watchers, self.options.requests_per_s)

    async def _inject(self, until: float) -> None:
        deck: list[str] = []
        began = trio.current_time()
        while trio.current_time() < until and len(self.load.breaches) < 20:
            if not deck:
                deck = list(self._kinds)
                self.rng.shuffle(deck)
            kind, name = deck.pop(), self.rng.choice(list(self.nodes))
            print(f"{trio.current_time() - began:6.0f} s  {kind}: {name}", flush=True)
            self.faults.append(kind)
            await self._kinds[kind](name)
            await self._served(f"{kind}: {name}")
            self._check_alive()
            await trio.sleep(self.rng.uniform(0.5, 2))

    def _check_alive(self) -> None:
        for name, node in self.nodes.items():
            if node.process is None or node.process.poll() is not None:
                self.load.breaches.append(f"the node {name} has ended by itself: {node.last_words()[-500:]}")

    async def _served(self, after: str) -> None:
        """Wait until each standing preview answers again."""
        since = trio.current_time()
        with trio.move_on_after(_WITHIN_S):
            for one in self.load.standing:
                one.lost_at = one.lost_at or since
                one.why = one.why or "others"
                # What was paused and that no other node has taken goes on. That it has not is shown by any answer of a
                # later start: this one's answers are a breach from then on.
                one.lost_start = ""
            while any(one.lost_at is not None for one in self.load.standing):  # noqa: ASYNC110  others' own time
                await trio.sleep(0.05)
        for one in self.load.standing:
            if one.lost_at is not None:
                row = self.rows(f"SELECT node, fence, state FROM owners WHERE preview_id = '{one.preview_id}'")
                said = self.rows(f"SELECT * FROM preview_instances WHERE id = '{one.preview_id}'")
                self.load.breaches.append(f"{one.preview_id} is not served {_WITHIN_S} s after {after}: {row} {said}")
                one.lost_at, one.lost_start = None, ""
            one.why = ""

    def _lose(self, name: str, why: str, seconds: float = float("inf")) -> None:
        held = {
            row[0] for row in self.rows(f"SELECT preview_id FROM owners WHERE node = '{name}' AND state = 'running'")
        }
        lost = [one for one in self.load.standing if one.preview_id in held]
        self.load.lose(lost, why, moves=seconds > self.options.lease_s)

    # Faults

    async def _kill(self, name: str, kind: str = "kill -9") -> None:
        self._lose(name, kind)
        self.out.add(name)
        if kind == "machine lost":
            self.nodes[name].kill_watch()
        await self.nodes[name].kill()
        await trio.sleep(self.rng.uniform(4, 10))
        await self.nodes[name].start()
        self.out.discard(name)

    async def _stop(self, name: str, seconds: float) -> None:
        self._lose(name, f"SIGSTOP {seconds:g} s", seconds)
        self.out.add(name)
        self.nodes[name].signal(signal.SIGSTOP)
        await trio.sleep(seconds)
        self.nodes[name].signal(signal.SIGCONT)
        self.out.discard(name)

    async def _cut_database(self, name: str) -> None:
        self._lose(name, "cut from PostgreSQL 8 s", 8)
        with self.net.cut_database(list(self.nodes).index(name)):
            await trio.sleep(8)

    async def _cut_nodes(self, name: str) -> None:
        numbers = list(range(len(self.nodes)))
        one = list(self.nodes).index(name)
        other = self.rng.choice([number for number in numbers if number != one])
        with self.net.cut(one, other):
            await trio.sleep(6)

    async def _kill_database(self, _name: str) -> None:
        await trio.to_thread.run_sync(self.server.kill)
        await trio.sleep(self.rng.uniform(0, 3))
        self.server.spawn()
        await trio.to_thread.run_sync(self.server.wait_ready)

    async def _fill_disk(self, name: str) -> None:
        filler = self.nodes[name].data.parent / "filler"
        with filler.open("wb") as file:
            try:
                while True:
                    file.write(bytes(1024 * 1024))
                    file.flush()
            except OSError:
                pass
            await trio.sleep(5)
        filler.unlink()

    async def _set_clock(self, name: str) -> None:
        self.nodes[name].set_clock(self.rng.choice((-3600, 3600)))
        await trio.sleep(10)
        self.nodes[name].set_clock(0)

    # The end

    async def _end(self) -> None:
        """Stop all previews and nodes; check what is stored and what is left."""
        for user, generation_id in sorted({(one.user, one.generation_id) for one in self.load.standing}):
            await self.load.ask("DELETE", f"/api/v1/generations/{generation_id}/preview", user)
        live = "SELECT preview_id, node, state FROM owners WHERE state <> 'over'"
        with trio.move_on_after(60):
            while self.rows(live):
                # Launches whose answer was lost are nobody's: their users would stop them.
                for preview_id, generation_id, user in self.rows(
                    "SELECT preview_id, generation_id, user_id FROM owners WHERE state <> 'over'"
                ):
                    self.load.launched.add(preview_id)
                    await self.load.ask("DELETE", f"/api/v1/generations/{generation_id}/preview", user)
                await trio.sleep(1)
        breaches = self.load.breaches
        breaches += [f"still owned: {row}" for row in self.rows(live)]
        left = self.rows("SELECT id, status FROM preview_instances WHERE status IN ('starting', 'running', 'stopping')")
        breaches += [f"not over in the database: {row}" for row in left]
        self._check_owners()
        self._join_crowd()
        self._check_logs()
        for name, node in self.nodes.items():
            found = below(node.pid)
            breaches += [f"the node {name} has processes: {found}"] if found else []
            code = await node.end()
            breaches += [f"the node {name} has ended with {code}"] if code else []
            breaches += [f"the node {name} said: {line}" for line in log_faults(node.log)][:5]
            folders = [one.name for one in (node.data / "previews").glob("preview_*")]
            breaches += [f"the node {name} left folders: {folders}"] if folders else []
        processes = marked({row[0] for row in self.rows("SELECT id FROM preview_instances")})
        breaches += [f"processes are left: {processes}"] if processes else []
        ports = listening(_FIRST_PORT, _FIRST_PORT + 40 * len(self.nodes))
        breaches += [f"ports are left: {ports}"] if ports else []

    def _check_owners(self) -> None:
        """One owner for each fence, and fences that only grow."""
        fences: dict[str, int] = {}
        owners: dict[tuple[str, int], str] = {}
        rows = self.rows("SELECT preview_id, node, fence, state FROM owner_log ORDER BY id")
        for preview_id, node, fence, state in rows:
            if fence < fences.get(preview_id, 0):
                self.load.breaches.append(f"{preview_id}: the fence {fence} came after {fences[preview_id]}")
            fences[preview_id] = fence
            if state == "running" and owners.setdefault((preview_id, fence), node) != node:
                self.load.breaches.append(f"{preview_id}: the fence {fence} belonged to two nodes")
        self.load.counts["changes of owners"] = len(rows)
        self.load.counts["owners"] = len(owners)

    def _join_crowd(self) -> None:
        """Add what the crowd was shown to what other watchers were shown: the same lines."""
        assert self.crowd is not None
        self.load.breaches += self.crowd.breaches
        for preview_id, lines in self.crowd.lines.items():
            try:
                for seq, message in lines.items():
                    self.load.ledger.note(preview_id, int(seq), message)
            except Broken as error:
                self.load.breaches.append(f"crowd: {error}")

    def _check_logs(self) -> None:
        previews = [row[0] for row in self.rows("SELECT DISTINCT preview_id FROM preview_logs")]
        for preview_id in previews:
            stored = self.rows(f"SELECT seq, message FROM preview_logs WHERE preview_id = '{preview_id}' ORDER BY seq")
            self.load.breaches += check_lines(preview_id, stored)[:5]
            self.load.counts["stored lines"] += len(stored)
            kept = dict(stored)
            for seq, message in self.load.ledger.lines.get(preview_id, {}).items():
                self.load.counts["lines shown"] += 1
                if seq not in kept:
                    self.load.counts["lines shown and not stored, in a gap"] += 1
                elif kept[seq] != message:
                    self.load.breaches.append(f"{preview_id}: line {seq} was {message!r}, and is {kept[seq]!r}")


_FIRST_PORT = 23_000


@asynccontextmanager
async def open_campaign(folder: Path, options: Options) -> AsyncIterator[Campaign]:
    """Open the namespaces, PostgreSQL and the nodes; all gone at the end. Needs root. Cancellation: likewise."""
    with ExitStack() as stack:
        net = stack.enter_context(open_net(options.nodes))
        server = stack.enter_context(open_postgres(DATABASE))
        nodes: dict[str, Service] = {}
        for number in range(options.nodes):
            name, address = f"n{number + 1}", node_address(number)
            disk = stack.enter_context(small_disk(folder / name / "disk", _DISK_MIB))
            assert disk is not None, "no file system can be mounted"
            variables = {
                "CLUSTER": "true",
                "CLUSTER_SECRET": "one secret of all nodes of this cluster",
                "DATABASE_URL": f"postgresql://preview@{DATABASE}/postgres",
                "NODE_NAME": name,
                "NODE_ADDRESS": f"{address}:7000",
                "NODE_LEASE_S": str(options.lease_s),
                "ALLOWED_HOSTS": address,
                "ISOLATION": options.isolation,
                "USAGE_INTERVAL": "2",
                # More than a preview in real life sees.
                "NODE_CHANGES": "100000",
                "MAX_LOG_LINES": "5000",
                "WARM_TEMPLATES": "2" if options.warm else "0",
            }
            nodes[name] = Service(
                folder / name,
                folder / "cache",
                _FIRST_PORT + 40 * number,
                {f"PREVIEW_{key}": value for key, value in variables.items()},
                data_folder=disk / "data",
                bind=f"{address}:8000",
                prefix=net.prefix(number),
            )
        try:
            async with trio.open_nursery() as nursery:
                for node in nodes.values():
                    nursery.start_soon(node.start)
            yield Campaign(options, net, server, nodes)
        finally:
            for node in nodes.values():
                if node.process is not None and node.process.poll() is None:
                    node.signal(signal.SIGCONT)
                node.kill_now()
