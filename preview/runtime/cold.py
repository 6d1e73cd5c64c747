"""Implementation shared by runtimes that have no faster start than a new process."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio

from preview.runtime.interface import InnerSocket, NoSnapshot, ProcessSpec, Snapshot, SpeculativeProcess


class ColdStarts:
    """Methods of ``Runtime`` for a runtime without warm starts, whose processes inherit the host's own socket."""

    @asynccontextmanager
    async def open_inner_listener(self, _listener: socket.socket) -> AsyncIterator[InnerSocket | None]:
        """Yield None: processes inherit the given socket. Cancellation: no effect."""
        yield None

    @asynccontextmanager
    async def reserve(self, _spec: ProcessSpec, *, stays: bool = False) -> AsyncIterator[trio.Event]:  # noqa: ARG002
        """Yield a set event: nothing can be reserved. Cancellation: no effect."""
        gone = trio.Event()
        gone.set()
        yield gone

    @asynccontextmanager
    async def speculate(self, _spec: ProcessSpec) -> AsyncIterator[SpeculativeProcess | None]:
        """Yield None: nothing is reserved. Cancellation: no effect."""
        yield None

    async def wait_prepared(self, _spec: ProcessSpec) -> bool:
        """Return False: there are no templates. Cancellation: no effect."""
        await trio.lowlevel.checkpoint()
        return False

    def prepare(self, _spec: ProcessSpec) -> None:
        """Do nothing: there are no templates."""

    @asynccontextmanager
    async def open_snapshot(self, _spec: ProcessSpec) -> AsyncIterator[Snapshot]:
        """Raise ``NoSnapshot``. Cancellation: no effect."""
        await trio.lowlevel.checkpoint()
        raise NoSnapshot("each process is started cold")
        yield  # pragma: no cover  what makes it a generator
