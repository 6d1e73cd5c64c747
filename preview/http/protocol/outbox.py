"""What is sent on an HTTP/2 stream, kept until its flow control window lets it go: little of it."""

from __future__ import annotations

import trio
from hypercorn.protocol.h2 import BUFFER_HIGH_WATER, BUFFER_LOW_WATER, BufferCompleteError, StreamBuffer


class BoundedBuffer(StreamBuffer):
    """What waits for a stream's window: at most what is pushed at once, and twice a frame.

    Hypercorn's releases a task that waits to push each time it is looked at, also while nothing of it may be sent: a
    stream that a client does not read would grow without end.

    Attributes:
        gone: Set when the end of the stream is sent, or will never be.
    """

    gone: trio.Event

    async def drain(self) -> None:
        """Wait until all is sent; of a complete stream its end too. Cancellation: nothing changes."""
        await (self.gone.wait() if self._complete else super().drain())

    async def close(self) -> None:
        """Nothing is sent any more. Cancellation: as ever."""
        await super().close()
        self.gone.set()

    async def push(self, data: bytes) -> None:
        """Add, and wait until little is left. Cancellation: the data stays."""
        if self._complete:
            raise BufferCompleteError
        self.buffer.extend(data)
        await self._is_empty.clear()
        if len(self.buffer) >= BUFFER_HIGH_WATER:
            await self._paused.clear()
            await self._paused.wait()

    async def pop(self, max_length: int) -> bytes:
        """Take up to so many bytes. Cancellation: they are lost with the connection."""
        data = bytes(self.buffer[:max_length])
        del self.buffer[:max_length]
        if len(self.buffer) < BUFFER_LOW_WATER:
            await self._paused.set()
        if not self.buffer:
            await self._is_empty.set()
        return data


def bound(buffer: StreamBuffer) -> None:
    """Let it be one of these, before anything is in it."""
    buffer.__class__ = BoundedBuffer
    if isinstance(buffer, BoundedBuffer):  # which the type checker cannot know
        buffer.gone = trio.Event()
