"""Runs before a program in its own network namespace, and forwards connections into or out of the namespace.

Usage: ``bridge.py [--serve FD PORT | --stand-in FD PORT] [--reach FD PORT,PORT…] -- PROGRAM ARGUMENT…``

``--serve``: a separate process forwards connections from the listening socket FD to PORT, where the program listens by
itself. ``--stand-in``: the same for a program that takes a listening socket by the number FD: a socket of this network
that listens on PORT gets the number. ``--reach``: makes sockets that listen on these ports, and sends them through the
unix socket FD to the service, which forwards their connections. Finally this process becomes the program.

Runs in the sandbox, under its limits, on the service's interpreter: standard library only.
"""

from __future__ import annotations

import os
import signal
import socket
import sys

_BACKLOG = 128
# The service's backlog: listening again sets it again (listen(2)).
_SERVE_BACKLOG = 512
_READ_BYTES = 64 * 1024
_LOOPBACK = ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1"))


def main(arguments: list[str]) -> None:
    """Carry out the options, then execute the program."""
    options, program = arguments[: arguments.index("--")], arguments[arguments.index("--") + 1 :]
    while options:
        option, descriptor, value, *options = options
        if option == "--reach":
            reach(int(descriptor), [int(port) for port in value.split(",")])
        elif option == "--stand-in":
            stand_in(int(descriptor), int(value))
        else:
            serve(int(descriptor), int(value))
    os.execv(program[0], program)  # noqa: S606  the preview's own program, in its sandbox


def reach(descriptor: int, ports: list[int]) -> None:
    """Listen on the ports, send the sockets to the service, and close them here."""
    listeners = [made for port in ports for family, host in _LOOPBACK if (made := listen(family, host, port))]
    with socket.socket(fileno=descriptor) as out:
        socket.send_fds(out, [b"."], [one.fileno() for one in listeners])
    for one in listeners:
        one.close()


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


def serve(descriptor: int, port: int) -> None:
    """Start the process that forwards connections; the program does not get the socket."""
    middle = os.fork()
    if middle == 0:
        # A double fork, so that the program has no child that it did not start, for example when it waits for all.
        if os.fork() == 0:
            detach()
            carry(descriptor, port)
        os._exit(0)
    os.waitpid(middle, 0)
    os.close(descriptor)


def stand_in(descriptor: int, port: int) -> None:
    """Give the program a listening socket of this network, and forward connections of the original socket to it."""
    outside = os.dup(descriptor)
    inside = listen(socket.AF_INET, "127.0.0.1", port)
    if inside is None:
        sys.exit(f"The preview cannot listen on port {port} in its own network.")
    os.dup2(inside.fileno(), descriptor)
    # The variable names the socket by number and inode (listen.cjs).
    if "PREVIEW_LISTENER" in os.environ:
        os.environ["PREVIEW_LISTENER"] = f"{descriptor}:{os.fstat(descriptor).st_ino}"
    inside.close()
    serve(outside, port)


def detach() -> None:
    """Leave the program's session and output, and ignore SIGTERM, because the program must end first."""
    os.setsid()
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    null = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(null, standard)


def carry(descriptor: int, port: int) -> None:
    """Forward connections until this process is killed with its namespace."""
    import asyncio  # noqa: PLC0415  costs more than all the rest, and only here

    hosts = [host for _, host in _LOOPBACK]

    async def reach_program() -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
        for host in list(hosts):
            try:
                streams = await asyncio.open_connection(host, port)
            except OSError:
                continue
            # A program listens on one address or on both, and does not change that: try this address first next time.
            hosts.remove(host)
            hosts.insert(0, host)
            return streams
        return None

    async def pump(reader: asyncio.StreamReader, answers: asyncio.StreamWriter, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(_READ_BYTES):
                writer.write(data)
                await writer.drain()
            writer.write_eof()
        except OSError:
            # One side has disconnected in mid-transfer: abort the other too, so that it sees an incomplete transfer.
            answers.transport.abort()
            writer.transport.abort()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # If nothing listens yet, the connection is aborted, and a waiting client tries again.
        inner = await reach_program()
        if inner is None:
            writer.transport.abort()
            return
        inner_reader, inner_writer = inner
        await asyncio.gather(pump(reader, writer, inner_writer), pump(inner_reader, inner_writer, writer))
        for one in (inner_writer, writer):
            one.close()

    async def run() -> None:
        listening = socket.socket(fileno=descriptor)
        start = asyncio.start_unix_server if listening.family == socket.AF_UNIX else asyncio.start_server
        server = await start(connected, sock=listening, backlog=_SERVE_BACKLOG)
        await server.serve_forever()

    asyncio.run(run())


if __name__ == "__main__":
    main(sys.argv[1:])
