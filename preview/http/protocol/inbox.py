"""Data from an HTTP/2 stream's peer, kept until the application reads it. Only that stream waits.

Hypercorn hands each piece to the application itself while it reads the connection: an upload that is not read would
hold up all other streams, also the frames that let their answers go on. Here the reader leaves the bytes in the
stream's inbox, and a task of the stream hands them on. How many there can be is bounded by the stream's flow control
window (RFC 9113 section 5.2): room in it is given back when the application has taken them.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import trio
from hypercorn.config import Config
from hypercorn.protocol.h2 import BUFFER_HIGH_WATER, BUFFER_LOW_WATER, BufferCompleteError, StreamBuffer
from hypercorn.typing import AppWrapper, ASGIReceiveCallable, ASGIReceiveEvent, ASGISendEvent, Scope, TaskGroup
from hypercorn.typing import Event as IOEvent

# Messages that the application has not taken; a WebSocket may send many in one frame.
_QUEUE_MESSAGES = 10


class Inbox:
    """Of one stream: bytes that came, and messages for the application.

    Attributes:
        answered: Set when the head of the answer is sent, or never will be.
        is_delivering: Whether a task hands the frames on.
    """

    def __init__(self) -> None:
        self.answered = trio.Event()
        self.is_delivering = False
        self._bytes = bytearray()
        self._ended = False
        self._over = False
        self._came = trio.Event()
        self._taken = trio.Event()
        self._sender, self._receiver = trio.open_memory_channel[ASGIReceiveEvent](float("inf"))

    # The reader's side

    def add(self, data: bytes) -> None:
        """Keep what came."""
        self._bytes += data
        self._came.set()

    def end(self) -> None:
        """Nothing more will come."""
        self._ended = True
        self._came.set()

    def close(self) -> int:
        """Close the stream: nobody waits any more. Return the number of dropped bytes."""
        dropped = len(self._bytes)
        self._bytes.clear()
        self._over = True
        self.end()
        self._taken.set()
        self.answered.set()
        return dropped

    # The delivering task's side

    async def next_bytes(self) -> bytes:
        """All that came, at least one byte; none at the end. Cancellation: nothing is lost."""
        while not self._bytes and not self._ended:
            self._came = trio.Event()
            await self._came.wait()
        data = bytes(self._bytes)
        self._bytes.clear()
        return data

    async def until_taken(self) -> None:
        """Wait until the application has all messages. Cancellation: nothing changes."""
        await self._until_fewer(1)

    async def put(self, message: ASGIReceiveEvent) -> None:
        """Give the application a message; its end never waits. Cancellation: it is not given."""
        if not message["type"].endswith(".disconnect"):
            await self._until_fewer(_QUEUE_MESSAGES)
        self._sender.send_nowait(message)

    async def _until_fewer(self, count: int) -> None:
        while not self._over and self._sender.statistics().current_buffer_used >= count:
            self._taken = trio.Event()
            await self._taken.wait()

    # The application's side

    async def receive(self) -> ASGIReceiveEvent:
        """Return the next message. Cancellation: it stays."""
        message = await self._receiver.receive()
        self._taken.set()
        return message


class StreamTasks:
    """Hypercorn's task group for one stream, whose application reads from an inbox.

    Attributes:
        inbox: None until the application was started.
    """

    def __init__(self, group: TaskGroup) -> None:
        self._group = group
        self.inbox: Inbox | None = None

    def spawn(self, func: Callable[..., Awaitable[None]], *args: object) -> None:
        """Run it as a task of the connection."""
        self._group.spawn(func, *args)

    async def spawn_app(
        self,
        app: AppWrapper,
        config: Config,
        scope: Scope,
        send: Callable[[ASGISendEvent | None], Awaitable[None]],
    ) -> Callable[[ASGIReceiveEvent], Awaitable[None]]:
        """Run the application for a stream. Cancellation: as Hypercorn does it."""
        inbox = self.inbox = Inbox()

        async def run(scope: Scope, receive: ASGIReceiveCallable, *more: Any) -> None:
            del receive  # Hypercorn's own channel stays empty
            await app(scope, inbox.receive, *more)

        await self._group.spawn_app(run, config, scope, send)  # type: ignore[arg-type]  # called the same way
        return inbox.put


class BoundedBuffer(StreamBuffer):
    """Data that waits for a stream's window: at most one push, and two frames.

    Hypercorn's releases a task that waits to push each time it is looked at, also while nothing of it may be sent: a
    stream that a client does not read would grow without end.

    Attributes:
        gone: Set when the end of the stream is sent, or will never be.
    """

    def __init__(self, event_class: type[IOEvent]) -> None:
        super().__init__(event_class)
        self.gone = trio.Event()

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
