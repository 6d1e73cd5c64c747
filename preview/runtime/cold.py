"""Shared parts of runtimes that start each process from nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio

from preview.runtime.interface import NoSnapshot, ProcessSpec, Snapshot, SpeculativeProcess


class ColdStarts:
    """The parts of ``Runtime`` that are about faster starts, for one that has none."""

    @asynccontextmanager
    async def reserve(self, _spec: ProcessSpec, *, stays: bool = False) -> AsyncIterator[trio.Event]:  # noqa: ARG002
        """See ``Runtime``: there is nothing to begin. Cancellation: nothing changes."""
        gone = trio.Event()
        gone.set()
        yield gone

    @asynccontextmanager
    async def begin(self, _spec: ProcessSpec) -> AsyncIterator[SpeculativeProcess | None]:
        """See ``Runtime``: nothing is reserved. Cancellation: nothing changes."""
        yield None

    async def wait_prepared(self, _spec: ProcessSpec) -> bool:
        """See ``Runtime``: there is no such thing. Cancellation: nothing changes."""
        await trio.lowlevel.checkpoint()
        return False

    def prepare(self, _spec: ProcessSpec) -> None:
        """See ``Runtime``: there is nothing to prepare."""

    @asynccontextmanager
    async def open_snapshot(self, _spec: ProcessSpec) -> AsyncIterator[Snapshot]:
        """See ``Runtime``: there is none. Cancellation: nothing changes."""
        await trio.lowlevel.checkpoint()
        raise NoSnapshot("each process is started from nothing")
        yield  # pragma: no cover  what makes it a generator
