"""The process that gives up a killed node's lease: started with the node, and told of each lease."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import structlog
import trio
from sqlalchemy import Engine

from preview.cluster.nodes import Membership, Nodes
from preview.runtime.kernel.proctree import MARKER, SERVICE_MARKER, identify

log = structlog.get_logger(__name__)

_PROGRAM = Path(__file__).with_name("preview_crash.py")
_AGAIN_S, _END_S = 5.0, 1.0


class CrashWatch:
    """Keeps a process that outlives a killed service, and then ends its lease; see ``preview_crash``.

    Other nodes take the previews at once then, and not after the rest of the lease. The process has the database's
    address, as the service has it. No preview can reach it: it listens to one end of a socket pair, and the service
    alone has the other.

    Args:
        engine: The node's database.
        nodes: Gives the statements that end the lease.
        folders: Folders whose subfolders have the names of this node's previews.
        lease_s: Seconds after which the lease ends by itself.
    """

    def __init__(self, engine: Engine, nodes: Nodes, folders: Sequence[Path], lease_s: float) -> None:
        self._engine, self._nodes = engine, nodes
        self._folders, self._lease_s = folders, lease_s
        self._told: bytes | None = None
        self._input: socket.socket | None = None

    def tell(self, member: Membership) -> None:
        """Tell it the lease that the node has now."""
        _, values = self._engine.dialect.create_connect_args(self._engine.url)
        # Objects of the driver among them concern Python's types alone.
        connect = {name: value for name, value in values.items() if isinstance(value, str | int)}
        service = identify(os.getpid())
        told = {
            "statements": self._nodes.last_words(self._engine.dialect, member),
            "connect": connect,
            "folders": [str(one.absolute()) for one in self._folders],
            "marker": MARKER,
            "service": f"{SERVICE_MARKER}={os.getpid()}",
            "since": 0 if service is None else service.start_ticks,
            "within_s": self._lease_s,
            "path": sys.path,
        }
        self._told = json.dumps(told).encode() + b"\n"
        self._send()

    async def run(self) -> None:
        """Keep the process; start another one if it ends. Cancellation: it is killed."""
        while True:
            try:
                await self._run_once()
            except OSError as error:
                log.warning("no crash watch", reason=str(error))
            await trio.sleep(_AGAIN_S)

    async def _run_once(self) -> None:
        ours, theirs = socket.socketpair()
        with ours, theirs, _own_pidfd() as own:
            ours.setblocking(False)
            process = await trio.lowlevel.open_process(
                [sys.executable, "-I", "-S", str(_PROGRAM), str(own)],
                stdin=theirs,
                pass_fds=[own],
                stdout=subprocess.DEVNULL,
                # Signals to the service's group are not for it.
                start_new_session=True,
            )
            self._input = ours
            try:
                self._send()
                await process.wait()
                log.warning("crash watch ended", exit_code=process.returncode)
            finally:
                self._input = None
                process.kill()
                with trio.move_on_after(_END_S, shield=True):
                    await process.wait()

    def _send(self) -> None:
        if self._told is None or self._input is None:
            return
        try:
            self._input.send(self._told)
        except OSError as error:
            log.warning("crash watch not told", reason=str(error))


@contextmanager
def _own_pidfd() -> Iterator[int]:
    descriptor = os.pidfd_open(os.getpid())
    try:
        yield descriptor
    finally:
        os.close(descriptor)
