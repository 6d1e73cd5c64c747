"""A crowd: thousands of connections at once, log streams and idle ones, which vanish together."""

from __future__ import annotations

import random
import resource
import socket
import struct
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import trio
from fault_kinds import kind
from fault_ledger import Broken, Reading
from fault_world import World

__all__ = ["crowd"]

_SPARE = 200
# One of so many is a log stream, until there are enough of them.
_STREAM_EACH = 5
_MOST_STREAMS = 200


@contextmanager
def _many_files(count: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < count + _SPARE:
        raise RuntimeError(f"{count} connections need a limit of open files of {count + _SPARE}, and it is {hard}")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, count + _SPARE), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def crowd(world: World, rng: random.Random, count: int) -> int:
    """So many connections, up to 200 of them streams: the service answers, a reader has each line, all can vanish.

    Cancellation: they vanish.
    """
    with _many_files(count), ExitStack() as opened:
        async with world.preview(env={"QUIET": "1"}) as held:
            request = world.client.head("GET", world.client.stream_path(held.generation_id))
            for number in range(count):
                sock = opened.enter_context(socket.create_connection(world.service.address, timeout=60))
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                if number % _STREAM_EACH == 0 and number < _STREAM_EACH * _MOST_STREAMS:
                    sock.sendall(request)
                if number % 100 == 0:
                    await trio.lowlevel.checkpoint()
            with trio.fail_after(60):
                answer = await world.client.ask("GET", "/healthz")
            if answer.status != 200:
                raise Broken(f"with {count} connections: {answer}")
            reading = Reading(world.ledger, held.preview_id)
            await world.act(held, f"say/{rng.randrange(20, 100)}")
            with trio.fail_after(60):
                await world.client.follow(held.generation_id, reading, events=30)
            opened.close()
    return count


@kind("crowd of connections", "Ten thousand connections at once, 200 of them streams, all gone (RST) at one moment",
      weight=0.1, alone=True)  # fmt: skip
async def ten_thousand(world: World, rng: random.Random) -> int:
    await crowd(world, rng, 10_000)
    return 1
