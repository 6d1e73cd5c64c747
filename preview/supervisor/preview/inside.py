"""Work of callers in a preview's own nursery: it ends with the preview, and with its caller."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TypeVar

import trio

from preview.data import PreviewData
from preview.errors import PreviewError, PreviewUnavailable

T = TypeVar("T")

# Work that waits, and that runs at once: each may start a program with the preview's limits.
_MOST_WAITING = 16
_AT_ONCE = 2
_LOOK_S = 0.05


@dataclass(eq=False, slots=True)
class _Work:
    run: Callable[[PreviewData], Awaitable[None]]
    scope: trio.CancelScope = field(default_factory=trio.CancelScope)
    settled: trio.Event = field(default_factory=trio.Event)
    error: Exception | None = None


class Inside:
    """Runs callers' work with a preview's data."""

    def __init__(self) -> None:
        self._send, self._receive = trio.open_memory_channel[_Work](_MOST_WAITING)
        self._taken: set[_Work] = set()
        self._closed: PreviewError | None = None
        self._paused: PreviewError | None = None
        self._idle = trio.Event()

    async def do(self, run: Callable[[PreviewData], Awaitable[T]]) -> T:
        """Run work in the preview's nursery; return its result.

        Raises:
            PreviewUnavailable: Too much work waits.
            PreviewError: The preview has ended; this is its error.
            Exception: What the work raises.

        Cancellation: the work is cancelled too.
        """
        if self._closed is not None:
            raise self._closed
        if self._paused is not None:
            raise self._paused
        if len(self._taken) >= _MOST_WAITING + _AT_ONCE:
            raise PreviewUnavailable("Another operation on this preview's data is in progress; try again in a moment.")
        results: list[T] = []

        async def keep_result(data: PreviewData) -> None:
            results.append(await run(data))

        work = _Work(keep_result)
        try:
            self._send.send_nowait(work)
        except trio.WouldBlock as error:
            raise PreviewUnavailable(
                "Another operation on this preview's data is in progress; try again in a moment."
            ) from error
        try:
            await work.settled.wait()
        finally:
            work.scope.cancel()
        if work.error is not None:
            raise work.error
        return results[0]

    async def run(self, open_data: Callable[[], PreviewData]) -> None:
        """Do the work, until cancelled.

        Args:
            open_data: Returns the preview's data, for one piece of work.

        Cancellation: running work is cancelled; ``close`` tells the callers.
        """
        limiter = trio.CapacityLimiter(_AT_ONCE)
        async with trio.open_nursery() as nursery:
            async for work in self._receive:
                self._taken.add(work)
                nursery.start_soon(self._do, work, open_data, limiter)

    async def _do(self, work: _Work, open_data: Callable[[], PreviewData], limiter: trio.CapacityLimiter) -> None:
        with work.scope:
            async with limiter:
                try:
                    await work.run(open_data())
                except Exception as error:  # noqa: BLE001  the caller's
                    work.error = error
                work.settled.set()
        self._taken.discard(work)
        if not self._taken:
            self._idle.set()

    @asynccontextmanager
    async def paused(self, error: PreviewError) -> AsyncIterator[None]:
        """End all work, and refuse more while the context is open; ``error`` is what callers get.

        Cancellation: work is possible again.
        """
        self._paused = error
        try:
            while self._taken or self._receive.statistics().current_buffer_used:
                self._idle = trio.Event()
                for work in self._taken:
                    if not work.settled.is_set():
                        work.error = error
                        work.settled.set()
                    work.scope.cancel()
                # Work that the other task has not taken yet comes a turn later.
                with trio.move_on_after(_LOOK_S):
                    await self._idle.wait()
            yield
        finally:
            self._paused = None

    def close(self, error: PreviewError) -> None:
        """Refuse all work from now on; ``error`` is what callers get, also those that wait."""
        self._closed = error
        while True:
            try:
                self._taken.add(self._receive.receive_nowait())
            except trio.WouldBlock:
                break
        for work in self._taken:
            if not work.settled.is_set():
                work.error = error
                work.settled.set()
        self._taken.clear()
