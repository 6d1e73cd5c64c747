"""The interface of a target of shipped lines."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from preview.logs.model.batch import Batch


class LinesRefused(Exception):
    """The target will never take these lines.

    Attributes:
        lines: Number of refused lines; None for all.
    """

    def __init__(self, why: str, *, lines: int | None = None) -> None:
        super().__init__(why)
        self.lines = lines


class TargetFailed(OSError):
    """The target has not taken the lines now; the text says why, without addresses and keys."""


class Sink(Protocol):
    """An open target."""

    async def send(self, data: bytes) -> None:
        """Send encoded lines.

        Raises:
            OSError, trio.BrokenResourceError: The target is gone; the lines are sent again later.
            LinesRefused: The target does not take them, nor later.

        Cancellation: some of the lines may be sent.
        """


Opener = Callable[[], AbstractAsyncContextManager[Sink]]
Encode = Callable[[Batch], bytes]
"""Returns some lines as the target takes them; the results for several batches may be joined."""
