"""Several services as nodes of one cluster, on one PostgreSQL."""

from __future__ import annotations

import itertools
import os
import signal
import socket
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import fault_project
import psycopg
import trio
from fault_client import Answer, Client
from fault_postgres import Postgres
from fault_service import Service

__all__ = ["World", "open_nodes", "until"]

# Each process of a test run has ports of its own, and so has each node.
_PORTS = itertools.count(21_000 + os.getpid() % 50 * 200, 20)
_PATIENCE_S = 90
# A busy machine gives a node its turn late.
LEASE_S = 6.0


async def until(what: str, holds: Callable[[], Any]) -> Any:
    """What ``holds`` returns, as soon as it is something. Cancellation: nothing changes."""
    with trio.move_on_after(_PATIENCE_S):
        while True:
            found = holds()
            if found:
                return found
            await trio.sleep(0.02)
    raise AssertionError(f"{what}: not within {_PATIENCE_S} s")


def _free_address(host: str) -> str:
    """An address that nothing listens on. It may stay so: the kernel gives out ports of this range in turn."""
    with socket.create_server((host, 0)) as sock:
        return f"{host}:{sock.getsockname()[1]}"


@dataclass
class World:
    server: Postgres
    nodes: dict[str, Service]

    def rows(self, statement: str, **values: object) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.server.url, autocommit=True) as connection:
            return connection.execute(statement, values).fetchall()

    def owner(self, preview_id: str) -> tuple[Any, ...]:
        found = self.rows("SELECT node, fence, state FROM owners WHERE preview_id = %(id)s", id=preview_id)
        return found[0] if found else ()

    def status(self, preview_id: str) -> str:
        found = self.rows("SELECT status FROM preview_instances WHERE id = %(id)s", id=preview_id)
        return str(found[0][0]) if found else ""

    def lines(self, preview_id: str) -> list[tuple[int, str]]:
        return self.rows("SELECT seq, message FROM preview_logs WHERE preview_id = %(id)s ORDER BY seq", id=preview_id)

    async def push(self, node: str, user: str = "ann") -> str:
        """Store a generation through a node; its id. Cancellation: it is stored or not."""
        client = Client(self.nodes[node], user)
        try:
            answer = await client.ask("POST", "/api/v1/generations", {"files": fault_project.files()})
            assert answer.status == 201, answer
            return str(answer.body["id"])
        finally:
            await client.aclose()

    async def ask(self, node: str, method: str, path: str, user: str = "ann", wait_s: int = 0) -> Answer:
        """One request to a node. Cancellation: it is cut."""
        client = Client(self.nodes[node], user)
        try:
            return await client.ask(method, path, {} if method == "POST" else None, {"Prefer": f"wait={wait_s}"})
        finally:
            await client.aclose()

    async def launch(self, node: str, generation_id: str, user: str = "ann") -> str:
        """Launch through a node; the preview's id, when it serves. Cancellation: it may go on."""
        answer = await self.ask(node, "POST", f"/api/v1/generations/{generation_id}/preview/launch", user, 60)
        assert answer.status == 201, answer
        return str(answer.body["id"])

    async def serves(self, node: str, preview_id: str) -> None:
        """Wait until the node runs the preview. Cancellation: nothing changes."""
        await until(
            f"{preview_id} runs on {node}",
            lambda: self.owner(preview_id)[:1] == (node,) and self.status(preview_id) == "running",
        )


@asynccontextmanager
async def open_nodes(
    tmp_path: Path,
    cache: Path,
    server: Postgres,
    *names: str,
    prefixes: Mapping[str, Sequence[str]] = MappingProxyType({}),
    **settings: str,
) -> AsyncIterator[World]:
    """Started nodes, each with the prefix of its name; they are killed at the end. Cancellation: likewise."""
    nodes = {}
    for number, name in enumerate(names):
        variables = {
            "PREVIEW_CLUSTER": "true",
            "PREVIEW_CLUSTER_SECRET": "one secret of all nodes of this cluster",
            "PREVIEW_DATABASE_URL": server.url,
            "PREVIEW_NODE_NAME": name,
            "PREVIEW_NODE_ADDRESS": _free_address(f"127.0.0.{number + 2}"),
            "PREVIEW_NODE_LEASE_S": str(LEASE_S),
        }
        more = {f"PREVIEW_{key}": value for key, value in settings.items()}
        nodes[name] = Service(tmp_path / name, cache, next(_PORTS), {**variables, **more}, ports=20)
        nodes[name].prefix = prefixes.get(name, ())
    try:
        async with trio.open_nursery() as nursery:
            for node in nodes.values():
                nursery.start_soon(node.start)
        yield World(server, nodes)
    finally:
        for node in nodes.values():
            if node.process is not None and node.process.poll() is None:
                node.signal(signal.SIGCONT)
            node.kill_now()
