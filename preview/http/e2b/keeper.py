"""The service's side of a sandbox's first program (``inside/keeper.py``), which may run hostile code.

Nothing that it says is believed. The service reads from pipes only: through a unix socket, a program could pass
descriptors whose closing blocks (see ``preview.runtime.inbound``). On the one socket the service only sends.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, Final

import trio

from preview.http.e2b.errors import E2bError
from preview.http.e2b.inside import FOLDER
from preview.runtime import BASE_PYTHON, CONTROL_PLACEHOLDER, Exit, close_inbound, seal

_PIECE_BYTES = 64 * 1024
# A sandbox whose commands use all of its processor time starts the next one late.
_PATIENCE_S = 15.0
_SEND_S = 5.0
_SEND_BYTES = 4608
# Connections to ports of a sandbox at a time; each is a small process in it.
MAX_CONNECTIONS = 32
_STATUS_BYTES = 2

# Not where the service has them: a sandbox has a /tmp and a home of its own there.
_PLACE: Final = Path("/run/preview-e2b")
placed_files: Final = {_PLACE: FOLDER}
"""What the sandbox must show at another path, besides the service's interpreter."""


def keeper_command() -> list[str]:
    """Return the command line of the first program."""
    return [str(BASE_PYTHON), "-I", "-S", str(_PLACE / "keeper.py"), CONTROL_PLACEHOLDER]


class Task:
    """A started command or operation.

    Attributes:
        output: Stdout, or the answer of an operation.
        third: Stderr of a command.
    """

    def __init__(self, output: trio.lowlevel.FdStream, third: trio.lowlevel.FdStream, status: int, orders: int) -> None:
        self.output, self.third = output, third
        self._status = trio.lowlevel.FdStream(status)
        self._orders = orders

    def send_signal(self, number: int) -> None:
        """Send a signal to its process group."""
        with suppress(OSError):
            os.write(self._orders, bytes((number,)))

    async def wait(self) -> Exit | None:
        """Wait for its exit; None if that is unknown, as after the sandbox's end. Cancellation: it runs on."""
        said = b""
        while len(said) < _STATUS_BYTES and (piece := await self._status.receive_some(_STATUS_BYTES - len(said))):
            said += bytes(piece)
        if len(said) < _STATUS_BYTES:
            return None
        return Exit(code=said[1]) if said[0] == 0 else Exit(signal=said[1])


class Keeper:
    """Asks a sandbox's first program.

    Attributes:
        theirs: The program's end of the socket; closed once it has started.
        user: Owner of the pipes' inner ends, so that programs can open ``/dev/stdout``; None means this service's user.

    Args:
        nursery: The sandbox's own.
    """

    def __init__(self, nursery: trio.Nursery, ours: socket.socket, theirs: socket.socket) -> None:
        self.theirs = theirs
        self.user: int | None = None
        self._ours = ours
        self._nursery = nursery
        self._turn = trio.Lock()
        self._connections = 0

    @asynccontextmanager
    async def command(self, argv: Sequence[str], env: Mapping[str, str], cwd: str) -> AsyncIterator[Task]:
        """Start a command; its process group is killed at the context's end.

        Raises:
            E2bError: The sandbox has ended, or does not take it.

        Cancellation: it is killed.
        """
        asked = {"argv": list(argv), "env": dict(env), "cwd": cwd}
        async with self._task("run", asked, reads_third=True) as (task, _):
            yield task

    @asynccontextmanager
    async def operation(self, asked: Mapping[str, Any]) -> AsyncIterator[tuple[Task, trio.lowlevel.FdStream]]:
        """Start an operation; yields it, and the stream for its content. It is killed at the context's end.

        Raises:
            E2bError: The sandbox has ended, or does not take it.

        Cancellation: it is killed.
        """
        async with self._task("file", asked, reads_third=False) as (task, source):
            yield task, source

    @asynccontextmanager
    async def _task(
        self, kind: str, asked: Mapping[str, Any], *, reads_third: bool
    ) -> AsyncIterator[tuple[Task, trio.lowlevel.FdStream]]:
        with ExitStack() as theirs, ExitStack() as ours:
            memory = os.memfd_create("task", os.MFD_CLOEXEC)
            theirs.callback(os.close, memory)
            # A file of memory takes all of it at once.
            os.pwrite(memory, json.dumps(asked).encode(), 0)
            out = _pipe(ours, theirs)
            third = _pipe(ours, theirs) if reads_third else _pipe(theirs, ours)
            status, orders = _pipe(ours, theirs), _pipe(theirs, ours)
            os.set_blocking(orders[1], False)
            if self.user is not None:
                for one in (out[1], third[1]):
                    os.fchown(one, self.user, -1)
            passed = [memory, out[1], third[1] if reads_third else third[0], status[1], orders[0]]
            await self._send({"do": kind}, passed)
            theirs.close()
            ours.pop_all()
        task = Task(
            trio.lowlevel.FdStream(out[0]), trio.lowlevel.FdStream(third[0 if reads_third else 1]), status[0], orders[1]
        )
        try:
            yield task, task.third
        finally:
            os.close(orders[1])
            for stream in (task.output, task.third, task._status):  # noqa: SLF001  its own class's neighbour
                with trio.CancelScope(shield=True, deadline=trio.current_time() + 1):
                    await stream.aclose()

    async def connect(self, port: int) -> socket.socket:
        """Return a connection to a port of the sandbox, which the caller closes.

        Raises:
            ConnectionRefusedError: Nothing listens there.
            E2bError: The sandbox has ended, or has too many connections.

        Cancellation: no connection is left.
        """
        if self._connections >= MAX_CONNECTIONS:
            raise E2bError("resource_exhausted", f"The sandbox has {MAX_CONNECTIONS} connections open; try again.")
        self._connections += 1
        try:
            near: socket.socket = await self._nursery.start(self._carry, port)
        finally:
            self._connections -= 1
        return near

    async def _carry(self, port: int, *, task_status: trio.TaskStatus[socket.socket]) -> None:
        """Carry one connection to its end."""
        with ExitStack() as theirs, ExitStack() as ours:
            outwards, inwards = _pipe(ours, theirs), _pipe(theirs, ours)
            await self._send({"do": "join", "port": port}, [inwards[0], outwards[1]])
            theirs.close()
            ours.pop_all()
        async with trio.lowlevel.FdStream(outwards[0]) as source, trio.lowlevel.FdStream(inwards[1]) as sink:
            answer = b""
            with trio.move_on_after(_PATIENCE_S):
                answer = bytes(await source.receive_some(1))
            if answer != b"+":
                raise ConnectionRefusedError(f"Nothing listens on port {port}.")
            near, far = socket.socketpair()
            near.setblocking(False)
            self._connections += 1
            try:
                task_status.started(near)
                async with trio.SocketStream(trio.socket.from_stdlib_socket(far)) as stream:
                    await _join(stream, source, sink)
            finally:
                self._connections -= 1

    async def _send(self, said: Mapping[str, Any], descriptors: Sequence[int]) -> None:
        with trio.move_on_after(_SEND_S):
            async with self._turn:
                while True:
                    try:
                        socket.send_fds(self._ours, [json.dumps(said).encode()], descriptors)
                    except BlockingIOError:
                        await trio.lowlevel.wait_writable(self._ours)
                    except OSError as error:
                        raise E2bError("unavailable", "The sandbox has ended.") from error
                    else:
                        return
        raise E2bError("unavailable", "The sandbox does not answer; kill it, and create another.")


@contextmanager
def open_keeper(nursery: trio.Nursery) -> Iterator[Keeper]:
    """Open the socket for a sandbox's first program. Connections are carried by the nursery's tasks."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        seal(ours)
        # A keeper that reads nothing holds some twelve packets with their descriptors, not hundreds.
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BYTES)
        try:
            yield Keeper(nursery, ours, theirs)
        finally:
            close_inbound(ours)


def _pipe(reader: ExitStack, writer: ExitStack) -> tuple[int, int]:
    """Return a pipe's ends; each is closed with its owner."""
    ends = os.pipe2(os.O_CLOEXEC)
    reader.callback(os.close, ends[0])
    writer.callback(os.close, ends[1])
    return ends


async def _join(near: trio.SocketStream, source: trio.abc.ReceiveStream, sink: trio.abc.SendStream) -> None:
    """Pass bytes on until the sandbox's side ends, or the caller has closed its own."""
    async with trio.open_nursery() as nursery:

        async def until_end(work: Callable[[], Any]) -> None:
            with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
                await work()
            nursery.cancel_scope.cancel()

        nursery.start_soon(until_end, partial(_pump, source, near.send_all))
        nursery.start_soon(until_end, partial(_pump, near, sink.send_all))


async def _pump(source: trio.abc.ReceiveStream, send: Callable[[bytes], Any]) -> None:
    while piece := await source.receive_some(_PIECE_BYTES):
        await send(bytes(piece))
