"""The service's side of the broker: starts it, asks it, and replaces it when it has ended.

The broker is a process of the service, in its own user namespace; see ``preview_broker``. No code of a preview runs in
it, and no preview can reach it: its socket is passed to nobody else.
"""

from __future__ import annotations

import errno
import json
import os
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import ExitStack, asynccontextmanager, suppress
from pathlib import Path

import structlog
import trio

from preview.core.descriptors import retry_on_fd_exhaustion, wait_readable, waited_on

log = structlog.get_logger(__name__)

_PROGRAM = Path(__file__).resolve().parent / "preview_broker.py"
_PACKET_BYTES = 4096
# The broker answers within a millisecond. On a machine that is out of memory or processor time it takes longer.
_PATIENCE_S = 5.0
_END_S = 1.0
# Brokers that one request is given to, one after the other; each may be killed.
_TRIES = 3


class NoBroker(Exception):
    """The kernel refuses a broker; the message gives the reason, in half a sentence."""


class BrokerGone(OSError):
    """The broker has ended, and no other could be started."""


class Broker:
    """Asks the broker. Made by ``open_broker``."""

    def __init__(self) -> None:
        self._turn = trio.Lock()
        self._running: _Running | None = None
        # Kept over the broker's end: its networks belong to this user namespace, which the next broker joins.
        self._namespace: int | None = None

    async def mount(self, folder: Path) -> int:
        """Return a detached mount of the folder (see ``preview_broker.detached_mount``); the caller closes it.

        Raises:
            OSError: The folder does not exist, or the kernel refuses.

        Cancellation: no descriptor is lost.
        """
        return (await self._ask({"do": "mount", "path": str(folder)}, most=1))[0]

    async def listen(self, host: str, port: int) -> int:
        """Return the descriptor of a socket that listens in a network namespace of its own; the caller closes it.

        Args:
            host: A loopback address.
            port: Any port: nobody else is in that network.

        Raises:
            OSError: The kernel refuses, for example because there are too many network namespaces.

        Cancellation: no descriptor is lost.
        """
        return (await self._ask({"do": "listen", "host": host, "port": port}, most=1))[0]

    async def connectable(self, listener: int, count: int) -> list[int]:
        """Return unconnected sockets in the network namespace of a socket made by ``listen``; the caller closes them.

        Raises:
            OSError: The kernel refuses.

        Cancellation: no descriptor is lost.
        """
        return await self._ask({"do": "connect", "count": count}, (listener,), most=count)

    async def start(self, probed: Path) -> None:
        """Start the broker, and try what forks need. Cancellation: ``close`` ends it.

        Args:
            probed: A folder to attach elsewhere.

        Raises:
            NoBroker: The kernel refuses.
        """
        try:
            await self._ask({"do": "probe", "path": str(probed)}, most=0)
        except OSError as error:
            what = error.filename or "its start"
            raise NoBroker(f"the kernel refuses {what} to an ordinary user ({error.strerror})") from error

    async def close(self) -> None:
        """End the broker. Cancellation: it still ends; call it under a bounded shield."""
        if self._namespace is not None:
            os.close(self._namespace)
            self._namespace = None
        await self._end()

    async def _ask(self, request: dict[str, object], descriptors: Sequence[int] = (), *, most: int) -> list[int]:
        async with self._turn:
            # An answer that comes after a cancellation would be taken for that of the next request.
            with trio.move_on_after(_PATIENCE_S, shield=True):
                return await self._ask_some_broker(request, descriptors, most)
            with trio.move_on_after(2 * _END_S, shield=True):
                await self._end()
            raise BrokerGone(errno.ETIMEDOUT, f"the broker did not answer within {_PATIENCE_S:g} s")
        raise AssertionError("unreachable")

    async def _ask_some_broker(self, request: dict[str, object], descriptors: Sequence[int], most: int) -> list[int]:
        """Ask the running broker; if it has ended, ask a new one, and so on a few times."""
        for _ in range(_TRIES):
            with suppress(_Ended):
                return await self._ask_once(request, descriptors, most)
            log.warning("broker ended unexpectedly")
            await self._end()
        raise BrokerGone(errno.ECONNRESET, "the broker has ended")

    async def _ask_once(self, request: dict[str, object], descriptors: Sequence[int], most: int) -> list[int]:
        if self._running is None:
            self._running = _Running(self._namespace)
        if self._namespace is None:
            # Unknown if no descriptor was free for it. A later broker could not enter this one's networks.
            (self._namespace,) = await self._running.ask({"do": "start"}, (), 1)
        return await self._running.ask(request, descriptors, most)

    async def _end(self) -> None:
        running, self._running = self._running, None
        if running is not None:
            await running.end()


class _Ended(Exception):
    """The broker has closed its socket."""


class _Running:
    """One broker process."""

    def __init__(self, namespace: int | None) -> None:
        with ExitStack() as held:
            self._ours, theirs = map(held.enter_context, socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET))
            passed = [theirs.fileno(), *(() if namespace is None else (namespace,))]
            self._popen = subprocess.Popen(
                [sys.executable, "-I", "-S", str(_PROGRAM), *map(str, passed)],
                cwd="/",
                env={"LANG": "C.UTF-8"},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
                pass_fds=passed,
            )
            theirs.close()
            self._ours.setblocking(False)
            held.pop_all()

    async def ask(self, request: dict[str, object], descriptors: Sequence[int], most: int) -> list[int]:
        # If it has ended, an answer may be there that says why.
        with suppress(ConnectionError):
            socket.send_fds(self._ours, [json.dumps(request).encode()], descriptors)
        has_reset = False
        while True:
            # A broker that answers at once is not waited for.
            try:
                packet, found, flags, _ = socket.recv_fds(self._ours, _PACKET_BYTES, most, socket.MSG_CMSG_CLOEXEC)
                break
            except BlockingIOError:
                await wait_readable(self._ours.fileno())
            except ConnectionResetError:
                # Raised once if the broker has ended without reading; an answer that says why may come next (unix(7)).
                if has_reset:
                    raise _Ended from None
                has_reset = True
            except OSError as error:
                raise _Ended from error
        if not packet:
            raise _Ended
        if flags & socket.MSG_CTRUNC:
            # The kernel has passed as many as this process may still open.
            for one in found:
                os.close(one)
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        answer = json.loads(packet)
        if "errno" in answer:
            raise OSError(answer["errno"], os.strerror(answer["errno"]), answer["what"])
        return found

    async def end(self) -> None:
        self._ours.close()
        with trio.move_on_after(_END_S):
            await retry_on_fd_exhaustion(self._wait)
        if self._popen.poll() is None:
            self._popen.kill()
            await retry_on_fd_exhaustion(self._wait)

    async def _wait(self) -> None:
        while self._popen.poll() is None:
            with waited_on(os.pidfd_open(self._popen.pid)) as descriptor:
                await wait_readable(descriptor)


@asynccontextmanager
async def open_broker(probed: Path) -> AsyncIterator[Broker]:
    """Open a broker that works on this machine.

    Args:
        probed: A folder of the service, which the probe attaches elsewhere.

    Raises:
        NoBroker: The kernel refuses.

    Cancellation: the broker is ended.
    """
    broker = Broker()
    try:
        await broker.start(probed)
        yield broker
    finally:
        with trio.move_on_after(2 * _END_S, shield=True):
            await broker.close()
