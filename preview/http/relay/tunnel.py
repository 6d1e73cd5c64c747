"""Bytes both ways, of a protocol that the relay does not read (WebSocket, RFC 6455)."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING

import trio

from preview.proxy.relay import BrokenLink, Link, Upstream

if TYPE_CHECKING:
    from preview.http.relay.connection import Connection

_YIELD_BYTES = 1024 * 1024


async def run_tunnel(connection: Connection, upstream: Upstream) -> None:
    """Carry bytes both ways until both sides have ended, or one is lost, or nothing has come for too long.

    An end on one side is passed on, and the other direction stays open. A side that takes nothing is not read for.

    Cancellation: both directions end where they are.
    """
    connection.is_tunnel = True
    client = connection.link
    async with trio.open_nursery() as nursery:
        for source, sink in ((client, upstream), (upstream, client)):
            nursery.start_soon(_carry, connection, source, sink, nursery.cancel_scope)


async def _carry(connection: Connection, source: Link, sink: Link, scope: trio.CancelScope) -> None:
    relay = connection.relay
    data = memoryview(source.rest)
    source.rest = b""
    unyielded = 0
    try:
        while True:
            connection.deadline = monotonic() + relay.idle_s
            rest = sink.send_now((data,)) if data else data
            while rest:
                rest = await sink.send_on(rest)
            unyielded += len(data)
            if unyielded > _YIELD_BYTES:
                unyielded = 0
                await trio.lowlevel.checkpoint()
            size = await source.receive_into(relay.buffer)
            if not size:
                sink.end()
                return
            data = relay.buffer[:size]
    except BrokenLink:
        scope.cancel()
