"""What the statements of a cluster's nodes cost PostgreSQL: processor time of its processes, by statement.

    uv run python benchmarks/cluster_statements.py [--nodes 200] [--previews 20000] [--rounds 200]

A real PostgreSQL, filled with running previews, and the statements of ``preview.cluster`` as nodes send them. *notice*
is one notice with 80 listening connections: PostgreSQL wakes each of them.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path

import psycopg
from sqlalchemy import Connection, text

sys.path[:0] = [str(Path(__file__).resolve().parent.parent / "tests" / part) for part in ("", "faults")]

from fault_postgres import open_postgres  # noqa: E402  found by the line above

from preview.cluster.launch_queue import LaunchQueue  # noqa: E402
from preview.cluster.nodes import NodeFacts, Nodes  # noqa: E402
from preview.cluster.ownership import Claim, Owners  # noqa: E402
from preview.runtime.kernel.proctree import descendants  # noqa: E402
from preview.storage.database import CHANNEL  # noqa: E402
from preview.storage.engine import make_engine  # noqa: E402

_LEASE_MS = 3_600_000
_TICKS = os.sysconf("SC_CLK_TCK")


def processor_s(pid: int) -> float:
    """Return the processor time of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def fill(connection: Connection, nodes: int, previews: int) -> None:
    """Let all nodes live, and run as many previews each."""
    connection.execute(
        text(
            "INSERT INTO nodes (id, address, until, epoch, version, capacity, load, labels, draining, started_at) "
            "SELECT 'n' || i, 'a', 9e15, 1, '1', 100, 0, :words, 0, 0 FROM generate_series(0, :most - 1) AS i"
        ),
        {"most": nodes, "words": NodeFacts("n", "a").words()},
    )
    connection.execute(
        text(
            "INSERT INTO owners (preview_id, generation_id, user_id, state, node, fence, first_seq, queued_at) "
            "SELECT 'p' || i, 'g' || i, 'u' || i / 10, 'running', 'n' || i % :nodes, 1, 1, i "
            "FROM generate_series(0, :most - 1) AS i"
        ),
        {"nodes": nodes, "most": previews},
    )


def measure(connection: Connection, rounds: int, statement: Callable[[Connection, int], object]) -> float:
    """Return milliseconds of processor time for one call; what it changes is rolled back."""
    pid = int(connection.execute(text("SELECT pg_backend_pid()")).scalar_one())
    for number in range(10):
        statement(connection, number)
    before = processor_s(pid)
    for number in range(rounds):
        statement(connection, 10 + number)
    spent_ms = 1000 * (processor_s(pid) - before) / rounds
    connection.rollback()
    return spent_ms


def measure_notices(url: str, listeners: int, rounds: int) -> float:
    """Return milliseconds of processor time of all of PostgreSQL for one notice."""
    listening = [psycopg.connect(url, autocommit=True) for _ in range(listeners)]
    try:
        for one in listening:
            one.execute(f"LISTEN {CHANNEL}")
        with psycopg.connect(url, autocommit=True) as sender:
            own = Path(f"/proc/{sender.info.backend_pid}/stat").read_text().rpartition(")")[2].split()
            pids = descendants(int(own[1]))
            before = sum(map(processor_s, pids))
            for number in range(rounds):
                sender.execute("SELECT pg_notify(%s, %s)", [CHANNEL, f"queue:n{number}"])
            for one in listening:
                # Until the last one has arrived.
                for notice in one.notifies(timeout=60):
                    if notice.payload == f"queue:n{rounds - 1}":
                        break
            return 1000 * (sum(map(processor_s, pids)) - before) / rounds
    finally:
        for one in listening:
            one.close()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nodes", type=int, default=200)
    parser.add_argument("--previews", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=200)
    asked = parser.parse_args()
    nodes, owners = Nodes(_LEASE_MS), Owners(_LEASE_MS, up_since="0")
    queue = LaunchQueue(owners, _LEASE_MS, up_since="0")
    with open_postgres() as server:
        engine = make_engine(server.url)
        with engine.begin() as connection:
            fill(connection, asked.nodes, asked.previews)
        with engine.connect() as connection:
            connection.execution_options(isolation_level="AUTOCOMMIT").execute(text("VACUUM ANALYZE owners"))
        with engine.begin() as connection:
            member = nodes.join(connection, NodeFacts("me", "a"))
        assert member is not None

        def add(connection: Connection, number: int) -> None:
            claim = Claim(f"q{number}", f"h{number}", f"u{number}", 99)
            queue.add(connection, member, claim, 10**9, ["n1", "n2"])

        calls: dict[str, Callable[[Connection, int], object]] = {
            "renewal of a lease": lambda one, _: nodes.renew(one, member, 0),
            "list of the node's previews": lambda one, number: owners.running(one, f"n{number % asked.nodes}"),
            "look at the queue, nothing waits": lambda one, _: queue.waiting(one, 64, {}),
            "launch into the queue": add,
            "claim of a launch": lambda one, number: owners.claim(
                one, member, Claim(f"c{number}", f"i{number}", f"u{number}", 99)
            ),
        }
        with engine.connect() as connection:
            for name, call in calls.items():
                print(f"{name}: {measure(connection, asked.rounds, call):.2f} ms", flush=True)
        with engine.begin() as connection:
            for number in range(200):
                add(connection, number)
        with engine.connect() as connection:
            spent = measure(connection, asked.rounds, lambda one, _: queue.waiting(one, 64, {}))
        print(f"look at the queue, 200 launches wait: {spent:.2f} ms")
        engine.dispose()
        print(f"notice with 80 listeners: {measure_notices(server.url, 80, 10 * asked.rounds):.3f} ms")


if __name__ == "__main__":
    main()
