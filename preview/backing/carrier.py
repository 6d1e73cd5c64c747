"""Carries database connections in a process of its own.

The service looks only at a connection's first messages. After them a process joins the two sockets, so that a preview
that reads or writes much in its database takes no time from the service's event loop. It also carries two to three
times as many transactions (``benchmarks/databases.py``). Without the process, the service joins the sockets itself.
"""

from __future__ import annotations

import socket
import subprocess
import sys
from contextlib import ExitStack, suppress
from pathlib import Path

import structlog
import trio

from preview.core.descriptors import wait_readable
from preview.runtime import join

log = structlog.get_logger(__name__)

_PROGRAM = Path(__file__).with_name("preview_carrier.py")
_AGAIN_S = 0.5
_END_S = 2.0


class Carrier:
    """Joins sockets while ``run`` runs. The process starts with the first pair."""

    def __init__(self) -> None:
        self._control: socket.socket | None = None
        self._theirs: socket.socket | None = None
        self._wanted = trio.Event()
        # One task at a time may wait for a socket.
        self._turn = trio.Lock()

    async def join(self, client: trio.SocketStream, server: trio.SocketStream) -> None:
        """Forward bytes in both directions until both sides have ended; the caller closes the streams.

        Cancellation: both connections are shut down.
        """
        lifeline = None
        with suppress(OSError):
            lifeline = await self._hand_over(client, server)
        if lifeline is None:
            await join(client, server)
            return
        try:
            with lifeline:
                await wait_readable(lifeline.fileno())
        finally:
            # The process has the same sockets: closing them here would leave the connections open.
            for stream in (client, server):
                with suppress(OSError):
                    stream.socket.shutdown(socket.SHUT_RDWR)

    async def _hand_over(self, client: trio.SocketStream, server: trio.SocketStream) -> socket.socket:
        """Return the lifeline, which ends when the connection has.

        Raises:
            OSError: No process takes the pair.
        """
        control = self._open_control()
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        descriptors = [client.socket.fileno(), server.socket.fileno(), theirs.fileno()]
        with theirs, ExitStack() as held:
            held.callback(ours.close)
            async with self._turn:
                while not _is_sent(control, descriptors):
                    # Closed meanwhile, it is not sent either.
                    with suppress(trio.ClosedResourceError):
                        await trio.lowlevel.wait_writable(control)
            held.pop_all()
        return ours

    def _open_control(self) -> socket.socket:
        if self._control is None:
            self._control, self._theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            self._control.setblocking(False)
            self._wanted.set()
        return self._control

    async def run(self) -> None:
        """Run the process once it is wanted, forever. Cancellation: it is ended, and all connections with it."""
        while True:
            await self._wanted.wait()
            try:
                await self._run_once()
            except OSError as error:
                log.warning("connection proxy for databases not started", why=str(error))
            finally:
                self._close()
            await trio.sleep(_AGAIN_S)

    async def _run_once(self) -> None:
        theirs = self._theirs
        assert theirs is not None, "it is wanted"  # noqa: S101
        command = [sys.executable, "-I", "-S", str(_PROGRAM), str(theirs.fileno())]
        process = await trio.lowlevel.open_process(
            command, stdin=subprocess.DEVNULL, env={}, pass_fds=[theirs.fileno()], start_new_session=True
        )
        theirs.close()
        try:
            await process.wait()
            log.error("connection proxy for databases exited", status=process.returncode)
        finally:
            with trio.move_on_after(_END_S, shield=True):
                process.kill()
                await process.wait()

    def _close(self) -> None:
        for one in (self._control, self._theirs):
            if one is not None:
                # Connections that wait to be handed over go on in the service.
                trio.lowlevel.notify_closing(one)
                one.close()
        self._control = self._theirs = None
        self._wanted = trio.Event()


def _is_sent(control: socket.socket, descriptors: list[int]) -> bool:
    """Send the descriptors; return false if the socket's queue is full."""
    try:
        socket.send_fds(control, [b"."], descriptors)
    except BlockingIOError:
        return False
    return True
