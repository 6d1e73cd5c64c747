"""Goes before a program in a network of its own: brings connections in to its port, or out to ports of the machine.

Usage: ``bridge.py [--serve FD PORT | --stand-in FD PORT] [--reach FD PORT,PORT…] -- PROGRAM ARGUMENT…``

``--serve``: what connects to the listening socket FD is carried to PORT, where the program listens by itself, by a
process beside it. ``--stand-in``: the same, for a program that takes a listening socket under the number FD: one that
listens at PORT in this network takes the number. ``--reach``: sockets that listen on these ports are made and handed
out through unix socket FD, to the service, which carries what connects to them. Then this process becomes the program.

Runs in the sandbox, under its limits, on the service's own interpreter: the standard library and nothing else.
"""

from __future__ import annotations

import os
import signal
import socket
import sys

_BACKLOG = 128
# As the service itself listens with: to listen again is to set it again (listen(2)).
_SERVE_BACKLOG = 512
_READ_BYTES = 64 * 1024
_LOOPBACK = ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1"))


def main(arguments: list[str]) -> None:
    """Do what the options say, then execute the program."""
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
    """Listen on the ports, hand the sockets out, and forget them."""
    listeners = [made for port in ports for family, host in _LOOPBACK if (made := listen(family, host, port))]
    with socket.socket(fileno=descriptor) as out:
        socket.send_fds(out, [b"."], [one.fileno() for one in listeners])
    for one in listeners:
        one.close()


def listen(family: int, host: str, port: int) -> socket.socket | None:
    """Return a listening socket; None if the machine has no such addresses."""
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # As the service's own (runtime/listener.py): what is accepted inherits it.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        listener.bind((host, port))
        listener.listen(_BACKLOG)
    except OSError:
        listener.close()
        return None
    return listener


def serve(descriptor: int, port: int) -> None:
    """Start the process that carries connections; the program does not get the socket."""
    middle = os.fork()
    if middle == 0:
        # An orphan: the program has no child that it did not start, and may wait for all it has.
        if os.fork() == 0:
            detach()
            carry(descriptor, port)
        os._exit(0)
    os.waitpid(middle, 0)
    os.close(descriptor)


def stand_in(descriptor: int, port: int) -> None:
    """Give the program a listening socket of this network, and carry to it what connects to the one that was there."""
    outside = os.dup(descriptor)
    inside = listen(socket.AF_INET, "127.0.0.1", port)
    if inside is None:
        sys.exit(f"The preview cannot listen on port {port} in its own network.")
    os.dup2(inside.fileno(), descriptor)
    # Names the socket by its number and inode (listen.cjs).
    if "PREVIEW_LISTENER" in os.environ:
        os.environ["PREVIEW_LISTENER"] = f"{descriptor}:{os.fstat(descriptor).st_ino}"
    inside.close()
    serve(outside, port)


def detach() -> None:
    """Leave the program's group and output: it is not asked to end before the program has."""
    os.setsid()
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    null = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(null, standard)


def carry(descriptor: int, port: int) -> None:
    """Carry connections until this process is killed with its namespace."""
    import asyncio  # noqa: PLC0415  costs more than all the rest, and only here

    hosts = [host for _, host in _LOOPBACK]

    async def reach_program() -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
        for host in list(hosts):
            try:
                streams = await asyncio.open_connection(host, port)
            except OSError:
                continue
            # A program listens on one or on both, and stays with that.
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
            # One side is gone in the middle of something: the other has to learn that it will not be finished.
            answers.transport.abort()
            writer.transport.abort()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # While nothing listens there the connection ends unanswered, and a waiting client tries again.
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
