"""Sockets that listen in a preview's own network, and whose connections the service serves.

Used by the bridge, before a program starts, and by forks of templates. Runs in the sandbox, under its limits: standard
library only.
"""

from __future__ import annotations

import socket

_BACKLOG = 128
_READ_BYTES = 64 * 1024
# Where containers show the service's sockets: see ``runtime/container/joining.py``, ``runtime/launchers/paths.py``.
_OUT = "/run/preview-join/out-"
LOOPBACK = ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1"))


def reach(descriptor: int, ports: list[int]) -> None:
    """Listen on the ports, send the sockets through the unix socket to the service, and close them here."""
    listeners = listen_all(ports)
    with socket.socket(fileno=descriptor) as out:
        socket.send_fds(out, [b"."], [one.fileno() for one in listeners])
    for one in listeners:
        one.close()


def listen_all(ports: list[int]) -> list[socket.socket]:
    """Return sockets that listen on these ports of the loopback interface, those of them that are free."""
    tried = [listen(family, host, port) for port in ports for family, host in LOOPBACK]
    return [one for one in tried if one is not None]


def forward(listeners: list[socket.socket]) -> None:
    """Forward connections to the service's sockets, each named by its port, until this process is killed."""
    import asyncio  # noqa: PLC0415  takes long, and only gVisor needs it

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            # Without an assignment expression: a fork of a template may run on Python 3.7.
            data = await reader.read(_READ_BYTES)
            while data:
                writer.write(data)
                await writer.drain()
                data = await reader.read(_READ_BYTES)
            writer.write_eof()
        except OSError:
            writer.transport.abort()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        port = writer.get_extra_info("sockname")[1]
        try:
            far_reader, far_writer = await asyncio.open_unix_connection(f"{_OUT}{port}")
        except OSError:
            writer.transport.abort()
            return
        await asyncio.gather(pump(reader, far_writer), pump(far_reader, writer))
        for one in (far_writer, writer):
            one.close()

    async def run() -> None:
        servers = [await asyncio.start_server(connected, sock=one, backlog=_BACKLOG) for one in listeners]
        await asyncio.gather(*(one.serve_forever() for one in servers))

    asyncio.run(run())


def listen(family: int, host: str, port: int) -> socket.socket | None:
    """Return a listening socket; None if the machine lacks the address family, or the port is taken."""
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # Accepted sockets inherit the option; the service's socket has it too (runtime/listener.py).
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        listener.bind((host, port))
        listener.listen(_BACKLOG)
    except OSError:
        listener.close()
        return None
    return listener
