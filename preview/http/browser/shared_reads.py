"""Reads of the database that many requests want at the same moment."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

import trio

T = TypeVar("T")


class _Read(Generic[T]):
    """A read under way.

    Attributes:
        done: Set at its end.
        found: The result, in a list of its own; empty if the read was cancelled.
        error: Its failure.
    """

    def __init__(self) -> None:
        self.done = trio.Event()
        self.found: list[T] = []
        self.error: Exception | None = None


class SharedReads(Generic[T]):
    """One read at a time for each key, for all who ask meanwhile.

    All requests to a preview whose node is lost ask for its row. They must not keep the database's readers from those
    who start it again.
    """

    def __init__(self) -> None:
        self._reads: dict[str, _Read[T]] = {}

    async def get(self, key: str, read: Callable[[str], Awaitable[T]]) -> T:
        """Return what ``read`` returns for this key, or raise its error. It may have started before this call.

        Cancellation: others who wait read for themselves.
        """
        while (other := self._reads.get(key)) is not None:
            await other.done.wait()
            if other.error is not None:
                # Without the frames of the others who have raised it.
                raise other.error.with_traceback(None)
            if other.found:
                return other.found[0]
        own = self._reads[key] = _Read[T]()
        try:
            own.found.append(await read(key))
        except Exception as error:
            own.error = error
            raise
        finally:
            del self._reads[key]
            own.done.set()
        return own.found[0]
