"""Limits the share of the event loop that the work for OTLP has, by the processor time that it has used.

The bytes of a body say little about the work: some hundred thousand fields of two bytes are small, and slow to read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import thread_time
from typing import Final, TypeVar

import trio

T = TypeVar("T")

SLICE_S: Final = 0.002
"""Work until a pause; one part of a body may take some milliseconds more."""
REST: Final = 4
"""Seconds of pause for each second of work of all previews."""


# A body in JSON is in memory as objects, which are up to thirty times as large. So many at once, of all previews.
_JSON_BODIES = 2


class LoopShare:
    """The pauses of several receivers, one after another: so their work together has a fifth of the loop at most.

    Attributes:
        json_bodies: Limits the bodies in JSON that are read at once.
    """

    def __init__(self) -> None:
        self._turn = trio.Lock()
        self.json_bodies = trio.CapacityLimiter(_JSON_BODIES)

    async def rest(self, used_s: float) -> None:
        """Pause for work that was done. Cancellation: ends the pause."""
        async with self._turn:
            await trio.sleep(used_s * REST)


_SHARE: Final = trio.lowlevel.RunVar[LoopShare]("share of OTLP")


def loop_share() -> LoopShare:
    """Return what all receivers of this event loop share."""
    try:
        return _SHARE.get()
    except LookupError:
        share = LoopShare()
        _SHARE.set(share)
        return share


class Pacer:
    """Counts the work for one preview, and pauses after it.

    Args:
        share: What the preview shares with others; None: with all of its event loop.

    Attributes:
        turn: Of the connections of the preview, one is read at a time. So all others wait for its pauses.
        received_bytes: Bytes received since the last body.
    """

    def __init__(self, share: LoopShare | None = None) -> None:
        self._share = share
        self._used_s = 0.0
        self.turn = trio.Lock()
        self.received_bytes = 0

    @property
    def share(self) -> LoopShare:
        """The share of the loop of this preview and others."""
        return loop_share() if self._share is None else self._share

    @contextmanager
    def counted(self) -> Iterator[None]:
        """Count the work of the context, which does not await."""
        began = thread_time()
        try:
            yield
        finally:
            self._used_s += thread_time() - began

    async def rest(self) -> None:
        """Pause if a slice was used up. Cancellation: ends the pause."""
        if self._used_s >= SLICE_S:
            used_s, self._used_s = self._used_s, 0.0
            await self.share.rest(used_s)
        else:
            await trio.lowlevel.checkpoint()

    async def take_each(self, parts: Iterator[T | None], take: Callable[[T], None]) -> None:
        """Take each part but None, with pauses. What the iterator and ``take`` raise is raised.

        Cancellation: parts that were read are taken.
        """
        while True:
            with self.counted():
                is_over = _take_some(parts, take)
            await self.rest()
            if is_over:
                return


def _take_some(parts: Iterator[T | None], take: Callable[[T], None]) -> bool:
    """Take parts for the time of a slice; return whether all are taken."""
    began = thread_time()
    for part in parts:
        if part is not None:
            take(part)
        if thread_time() - began >= SLICE_S:
            return False
    return True
