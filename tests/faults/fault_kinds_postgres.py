"""Faults of a PostgreSQL server under load: restarted, killed, reached but not answering."""

from __future__ import annotations

import random
import signal

import trio
from fault_kinds import Kind
from fault_kinds_shortage import shortage_under_load
from fault_postgres import Postgres
from fault_world import World

__all__ = ["postgres_kinds"]


def postgres_kinds(server: Postgres) -> list[Kind]:
    """The kinds for a world whose database this server is."""

    async def restart(world: World, rng: random.Random) -> int:
        async def shortage() -> None:
            await trio.to_thread.run_sync(server.end, rng.choice([signal.SIGINT, signal.SIGQUIT]))
            await trio.sleep(rng.random() * 2)
            server.spawn()
            await trio.to_thread.run_sync(server.wait_ready)

        await shortage_under_load(world, rng, shortage)
        return 1

    async def freeze(world: World, rng: random.Random) -> int:
        async def shortage() -> None:
            server.send(signal.SIGSTOP)
            await trio.sleep(rng.random() * 3)
            server.send(signal.SIGCONT)

        await shortage_under_load(world, rng, shortage)
        return 1

    return [
        Kind("PostgreSQL gone and back", "The server is restarted or killed, and back after a while", restart, 2, True),
        Kind("PostgreSQL does not answer", "SIGSTOP to the whole server, SIGCONT up to three seconds later",
             freeze, 1, True),
    ]  # fmt: skip
