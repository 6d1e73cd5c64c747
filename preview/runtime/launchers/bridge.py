"""Runs before a program in its own network namespace, and forwards connections into or out of the namespace.

Usage: ``bridge.py [--serve FD PORT | --stand-in FD PORT] [--reach FD PORT,PORT…] -- PROGRAM ARGUMENT…``

``--serve``: a separate process forwards connections from the listening socket FD to the program, which listens by
itself: on PORT, or else on the port of this network that answers HTTP. ``--stand-in``: the same for a program that
takes a listening socket by the number FD: a socket of this network that listens on PORT gets the number. ``--reach``:
makes sockets that listen on these ports, and sends them through the unix socket FD to the service, which forwards their
connections; if FD is -1, a separate process forwards them to the service's sockets. Finally this process becomes the
program.

Of an image's process, the variables come in a file: the descriptor that ``PREVIEW_VARIABLES`` names. The image may set
``LD_PRELOAD`` and the like, which are for the program alone.

Runs in the sandbox, under its limits, on the service's interpreter: standard library only.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import struct
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))  # noqa: PTH100, PTH120  isolated mode leaves it out
from preview_reach import LOOPBACK, forward, listen, listen_all, reach  # type: ignore[import-not-found]

TYPE_CHECKING = False  # typing has it too, and takes longer to import
if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

# The service's backlog: listening again sets it again (listen(2)).
_SERVE_BACKLOG = 512
_READ_BYTES = 64 * 1024
# The kernel lists listening sockets before all others (proc(5)), in lines of 150 bytes: 1,700 of them.
_TABLE_BYTES = 256 * 1024
# Addresses that are asked in one search, the lowest ports first. No real program listens on as many.
_MOST_ASKED = 64
# Time for an answer, and for another program's answer after the first one.
_ANSWER_S = 5.0
_OTHERS_S = 0.3
# Least time between two searches. A reload may change the port, and a client asks again after half a second at most.
_SEARCH_S = 0.2
# Pauses until ports that have opened later are asked too, each twice the one before.
_FIRST_LOOK_S, _LAST_LOOK_S = 1.0, 32.0


def main(arguments: list[str]) -> None:
    """Carry out the options, then execute the program."""
    options, program = arguments[: arguments.index("--")], arguments[arguments.index("--") + 1 :]
    given = list(zip(options[::3], map(int, options[1::3]), options[2::3], strict=True))
    reached = [int(port) for option, _, value in given if option == "--reach" for port in value.split(",")]
    for option, descriptor, value in given:
        if option == "--reach" and descriptor < 0:
            serve_out(reached)
        elif option == "--reach":
            reach(descriptor, reached)
        elif option == "--stand-in":
            stand_in(descriptor, int(value), reached)
        else:
            serve(descriptor, int(value), reached)
    variables = programs_variables()
    try:
        # In an image of its own a program is named as in a shell.
        os.execvpe(program[0], program, variables)  # noqa: S606  the preview's own program, in its sandbox
    except OSError as error:
        sys.exit(f"The program {program[0]} cannot be run: {error.strerror}")


def programs_variables() -> dict[str, str]:
    """Return the program's environment variables."""
    named = os.environ.get("PREVIEW_VARIABLES")
    if named is None:
        return dict(os.environ)
    with open(int(named), "rb") as file:  # noqa: PTH123  a descriptor
        return dict(json.load(file))


def serve(descriptor: int, port: int, reached: list[int]) -> None:
    """Start the process that forwards connections; the program does not get the socket.

    ``reached``: ports of this network on which the service listens, not the program.
    """
    apart(lambda: carry(descriptor, port, reached))
    os.close(descriptor)


def serve_out(reached: list[int]) -> None:
    """Start the process that forwards connections to these ports out of gVisor, which hands out no sockets."""
    listeners = listen_all(reached)
    apart(lambda: forward(listeners))
    for one in listeners:
        one.close()


def apart(task: Callable[[], None]) -> None:
    """Run a task in a process of its own, until it is killed with its namespace."""
    middle = os.fork()
    if middle == 0:
        # A double fork, so that the program has no child that it did not start, for example when it waits for all.
        if os.fork() == 0:
            detach()
            task()
        os._exit(0)
    os.waitpid(middle, 0)


def stand_in(descriptor: int, port: int, reached: list[int]) -> None:
    """Give the program a listening socket of this network, and forward connections of the original socket to it.

    ``reached``: see ``serve``.
    """
    outside = os.dup(descriptor)
    inside = listen(socket.AF_INET, "127.0.0.1", port)
    if inside is None:
        sys.exit(f"The preview cannot listen on port {port} in its own network.")
    os.dup2(inside.fileno(), descriptor)
    # The variable names the socket by number and inode (listen.cjs).
    if "PREVIEW_LISTENER" in os.environ:
        os.environ["PREVIEW_LISTENER"] = f"{descriptor}:{os.fstat(descriptor).st_ino}"
    inside.close()
    serve(outside, port, reached)


def detach() -> None:
    """Leave the program's session and output, and ignore SIGTERM, because the program must end first."""
    os.setsid()
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    null = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(null, standard)


def listening_addresses(tables: tuple[str, ...] = ("tcp", "tcp6")) -> set[tuple[str, int]]:
    """Return host and port of each TCP socket that listens in this network; a wildcard address counts as loopback."""
    found: set[tuple[str, int]] = set()
    for table in tables:
        try:
            with open(f"/proc/net/{table}", encoding="ascii", errors="replace") as file:  # noqa: PTH123
                lines = file.read(_TABLE_BYTES).splitlines()
        except OSError:  # The machine has no IPv6.
            continue
        found |= {address for line in lines if (address := listening_address(line)) is not None}
    return found


def listening_address(line: str) -> tuple[str, int] | None:
    """Return host and port of a line of ``/proc/net/tcp`` or ``tcp6``; None if it is no listening socket."""
    fields = line.split()
    if len(fields) < 4 or fields[3] != "0A":
        return None
    digits, _, port = fields[1].partition(":")
    try:
        # Each group of eight digits is one number in the machine's byte order.
        packed = b"".join(struct.pack("=I", int(digits[at : at + 8], 16)) for at in range(0, len(digits), 8))
        family = socket.AF_INET if len(packed) == 4 else socket.AF_INET6
        host = socket.inet_ntop(family, packed)
        number = int(port, 16)
    except (ValueError, OSError, struct.error):
        return None
    wildcards = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  an address to compare with
    return wildcards.get(host, host), number


class Elsewhere:
    """Address of a program that does not listen on PORT: the lowest port of this network that answers HTTP.

    Args:
        excluded: Ports of this network on which the service listens.
    """

    def __init__(self, excluded: list[int]) -> None:
        import asyncio  # noqa: PLC0415  see ``carry``

        self._excluded = frozenset(excluded)
        self._turn = asyncio.Lock()
        self._answering: set[tuple[str, int]] = set()
        self._found: tuple[str, int] | None = None
        self._searched = 0.0
        self._pause_s = _FIRST_LOOK_S
        self._looking: asyncio.Task[None] | None = None
        self._doubting: asyncio.Task[None] | None = None
        # Connections to an address that has not answered, by the client's transport.
        self._doubtful: dict[asyncio.WriteTransport, tuple[tuple[str, int], asyncio.WriteTransport]] = {}

    async def find(self, *, again: bool) -> tuple[str, int] | None:
        """Return the address, or None. ``again``: the last one accepts no connection. Cancellation: the search ends."""
        if self._found is not None and not again:
            self._look_later()
            return self._found
        await self._search_in_turn(time.monotonic() - _SEARCH_S)
        return self._found

    def doubt(self, address: tuple[str, int], client: asyncio.WriteTransport, inner: asyncio.WriteTransport) -> None:
        """Abort both sides of a connection once another address answers; until then, search again and again.

        Does nothing if this address has answered.
        """
        import asyncio  # noqa: PLC0415  see ``carry``

        if address in self._answering:
            return
        self._doubtful[client] = address, inner
        if self._doubting is None or self._doubting.done():
            self._doubting = asyncio.ensure_future(self._look_again())

    def trust(self, client: asyncio.WriteTransport) -> None:
        """Leave this connection alone: its program has sent something, or it has ended."""
        self._doubtful.pop(client, None)

    async def _look_again(self) -> None:
        import asyncio  # noqa: PLC0415  see ``carry``

        pause_s = _FIRST_LOOK_S
        while self._doubtful:
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, _LAST_LOOK_S)
            await self._search_in_turn(time.monotonic())

    async def _search_in_turn(self, since: float) -> None:
        """Search unless somebody has since then: one search at a time."""
        async with self._turn:
            if self._searched < since:
                await self._search()

    def _look_later(self) -> None:
        """Search again without a wait: a program may open a port for figures before its own."""
        import asyncio  # noqa: PLC0415  see ``carry``

        is_due = time.monotonic() - self._searched > self._pause_s
        if is_due and self._pause_s <= _LAST_LOOK_S and (self._looking is None or self._looking.done()):
            self._pause_s *= 2
            self._looking = asyncio.ensure_future(self._search_in_turn(time.monotonic()))

    async def _search(self) -> None:
        open_now = {one for one in listening_addresses() if one[1] not in self._excluded}
        self._answering &= open_now
        unknown = sorted(open_now - self._answering, key=_by_port)[:_MOST_ASKED]
        answers = await ask_all(unknown)
        self._answering |= {one for one, answers_well in answers.items() if answers_well}
        # The only program that listens may need long for its first answer.
        silent = [one for one in unknown if one not in answers]
        self._found = min(self._answering or silent[: len(silent) == 1], key=_by_port, default=None)
        self._searched = time.monotonic()
        for client, (address, inner) in list(self._doubtful.items()):
            if self._answering and address not in self._answering:
                client.abort()
                inner.abort()
                self.trust(client)


def _by_port(address: tuple[str, int]) -> tuple[int, int, str]:
    return address[1], len(address[0]), address[0]


async def ask_all(addresses: list[tuple[str, int]]) -> dict[tuple[str, int], bool]:
    """Ask all addresses at once; return for each whether it answers HTTP. Ends soon after the first that does.

    Cancellation: the connections are closed.
    """
    import asyncio  # noqa: PLC0415  see ``carry``

    tasks = {asyncio.ensure_future(answers_http(host, port)): (host, port) for host, port in addresses}
    waiting, deadline = set(tasks), time.monotonic() + _ANSWER_S
    found: dict[tuple[str, int], bool] = {}
    try:
        while waiting and (left := deadline - time.monotonic()) > 0:
            done, waiting = await asyncio.wait(waiting, timeout=left, return_when=asyncio.FIRST_COMPLETED)
            found |= {tasks[one]: one.result() for one in done}
            if any(one.result() for one in done):
                deadline = min(deadline, time.monotonic() + _OTHERS_S)
    finally:
        for one in waiting:
            one.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    return found


async def answers_http(host: str, port: int) -> bool:
    """Return whether a server at this address answers with HTTP. Cancellation: the connection is closed."""
    import asyncio  # noqa: PLC0415  see ``carry``

    try:
        reader, writer = await asyncio.open_connection(host, port, limit=_READ_BYTES)
    except OSError:
        return False
    try:
        head = f"GET / HTTP/1.1\r\nHost: localhost:{port}\r\nUser-Agent: preview-probe\r\nAccept: */*\r\n"
        writer.write(f"{head}Connection: close\r\n\r\n".encode())
        return await reader.readexactly(5) == b"HTTP/"
    except (OSError, EOFError):
        return False
    finally:
        writer.transport.abort()


def carry(descriptor: int, port: int, reached: list[int]) -> None:
    """Forward connections until this process is killed with its namespace."""
    import asyncio  # noqa: PLC0415  costs more than all the rest, and only here

    hosts = [host for _, host in LOOPBACK]
    elsewhere = Elsewhere(reached)

    async def connect(host: str, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
        try:
            return await asyncio.open_connection(host, port)
        except OSError:
            return None

    async def reach_program(client: asyncio.StreamWriter) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
        for host in list(hosts):
            streams = await connect(host, port)
            if streams is None:
                continue
            # A program listens on one address or on both, and does not change that: try this address first next time.
            hosts.remove(host)
            hosts.insert(0, host)
            return streams
        for again in (False, True):
            address = await elsewhere.find(again=again)
            if address is not None and (streams := await connect(*address)) is not None:
                elsewhere.doubt(address, client.transport, streams[1].transport)
                return streams
        return None

    async def pump(reader: asyncio.StreamReader, answers: asyncio.StreamWriter, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(_READ_BYTES):
                elsewhere.trust(writer.transport)
                writer.write(data)
                await writer.drain()
            writer.write_eof()
        except OSError:
            # One side has disconnected in mid-transfer: abort the other too, so that it sees an incomplete transfer.
            answers.transport.abort()
            writer.transport.abort()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # If nothing listens yet, the connection is aborted, and a waiting client tries again.
        inner = await reach_program(writer)
        if inner is None:
            writer.transport.abort()
            return
        inner_reader, inner_writer = inner
        await asyncio.gather(pump(reader, writer, inner_writer), pump(inner_reader, inner_writer, writer))
        elsewhere.trust(writer.transport)
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
