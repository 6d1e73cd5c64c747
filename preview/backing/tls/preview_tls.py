"""Ends the encryption of connections. ``preview_tls.py SOCKET CERTIFICATE KEY``.

Each connection to the unix socket brings one descriptor: the client's connection, whose handshake comes next. What the
client then says is written to the unix connection in the clear, and the other way round.

It reads what strangers' programs send, so it runs in a sandbox. Standard library only, without the service's packages.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import sys

_HANDSHAKE_S = 20.0
_QUEUE = 128
_CHUNK_BYTES = 64 * 1024
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def serve(path: str, certificate: str, key: str) -> None:
    """Serve forever. Cancellation: all connections end."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen(_QUEUE)
        listener.setblocking(False)
        async with asyncio.TaskGroup() as group:
            while True:
                inner, _ = await asyncio.get_running_loop().sock_accept(listener)
                group.create_task(_carry(inner, context))


async def _carry(inner: socket.socket, context: ssl.SSLContext) -> None:
    """Carry one connection to its end; whatever goes wrong ends it alone."""
    outer = None
    try:
        outer = await _receive(inner)
        if outer is not None:
            await _join(await _encrypted(outer, context), await asyncio.open_connection(sock=inner))
    except Exception:  # noqa: BLE001, S110  whatever a client causes, all others go on
        pass
    finally:
        inner.close()
        if outer is not None:
            outer.close()


async def _receive(inner: socket.socket) -> socket.socket | None:
    """Return the connection that ``inner`` brings; None if it only looks whether anybody listens."""
    loop = asyncio.get_running_loop()
    readable: asyncio.Future[None] = loop.create_future()
    loop.add_reader(inner, _settle, readable)
    try:
        async with asyncio.timeout(_HANDSHAKE_S):
            await readable
    finally:
        loop.remove_reader(inner)
    _, descriptors, _, _ = socket.recv_fds(inner, 1, 1)
    if not descriptors:
        return None
    outer = socket.socket(fileno=descriptors[0])
    outer.setblocking(False)
    return outer


def _settle(readable: asyncio.Future[None]) -> None:
    if not readable.done():
        readable.set_result(None)


async def _encrypted(outer: socket.socket, context: ssl.SSLContext) -> Streams:
    """Shake hands as the server; return the streams of what is said in the clear."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(_CHUNK_BYTES)
    protocol = asyncio.StreamReaderProtocol(reader)
    transport, _ = await loop.connect_accepted_socket(
        lambda: protocol, outer, ssl=context, ssl_handshake_timeout=_HANDSHAKE_S
    )
    return reader, asyncio.StreamWriter(transport, protocol, reader, loop)


async def _join(one: Streams, other: Streams) -> None:
    """Forward in both directions until one side has ended, and what it said is written."""
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(_forward(one[0], other[1]))
            group.create_task(_forward(other[0], one[1]))
    finally:
        for _, writer in (one, other):
            writer.close()


async def _forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while chunk := await reader.read(_CHUNK_BYTES):
        writer.write(chunk)
        await writer.drain()
    # TLS has no end of one direction alone: a database's session has ended then.
    if writer.can_write_eof():
        writer.write_eof()
    else:
        writer.close()


if __name__ == "__main__":
    asyncio.run(serve(*sys.argv[1:4]))
