"""Buffers for one HTTP/2 stream's incoming and outgoing data, so that a slow stream delays no other stream.

Hypercorn passes each piece to the application while it reads the connection. An upload that is not read would block all
other streams, including the frames that let their responses continue. Here the reader puts the bytes into the stream's
inbox, and a task of the stream delivers them. The stream's flow control window (RFC 9113 section 5.2) bounds their
number: it is extended when the application has taken bytes.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import trio
from hypercorn.config import Config
from hypercorn.protocol.h2 import BUFFER_HIGH_WATER, BUFFER_LOW_WATER, BufferCompleteError, StreamBuffer
from hypercorn.typing import AppWrapper, ASGIReceiveCallable, ASGIReceiveEvent, ASGISendEvent, Scope, TaskGroup
from hypercorn.typing import Event as IOEvent

# Most messages that the application has not taken; a WebSocket may send many in one frame.
_QUEUE_MESSAGES = 10


class Inbox:
    """Received bytes of one stream, and messages for the application.

    Attributes:
        answered: Set when the response head is sent, or never will be.
        is_delivering: Whether a task delivers the frames.
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
        """Store received bytes."""
        self._bytes += data
        self._came.set()

    def end(self) -> None:
        """Note that no more bytes will arrive."""
        self._ended = True
        self._came.set()

    def close(self) -> int:
        """Close the stream and release all waiting tasks. Return the number of dropped bytes."""
        dropped = len(self._bytes)
        self._bytes.clear()
        self._over = True
        self.end()
        self._taken.set()
        self.answered.set()
        return dropped

    # The delivering task's side

    async def next_bytes(self) -> bytes:
        """Return all stored bytes, waiting for at least one; empty at the end. Cancellation: no data is lost."""
        while not self._bytes and not self._ended:
            self._came = trio.Event()
            await self._came.wait()
        data = bytes(self._bytes)
        self._bytes.clear()
        return data

    async def until_taken(self) -> None:
        """Wait until the application has taken all messages. Cancellation: no state changes."""
        await self._until_fewer(1)

    async def put(self, message: ASGIReceiveEvent) -> None:
        """Give the application a message; a disconnect never waits. Cancellation: the message is not given."""
        if not message["type"].endswith(".disconnect"):
            await self._until_fewer(_QUEUE_MESSAGES)
        self._sender.send_nowait(message)

    async def _until_fewer(self, count: int) -> None:
        while not self._over and self._sender.statistics().current_buffer_used >= count:
            self._taken = trio.Event()
            await self._taken.wait()

    # The application's side

    async def receive(self) -> ASGIReceiveEvent:
        """Return the next message. Cancellation: the message stays."""
        message = await self._receiver.receive()
        self._taken.set()
        return message


class StreamTasks:
    """Hypercorn's task group for one stream, whose application reads from an inbox.

    Attributes:
        inbox: None until the application is started.
    """

    def __init__(self, group: TaskGroup) -> None:
        self._group = group
        self.inbox: Inbox | None = None

    def spawn(self, func: Callable[..., Awaitable[None]], *args: object) -> None:
        """Run a function as a task of the connection."""
        self._group.spawn(func, *args)

    async def spawn_app(
        self,
        app: AppWrapper,
        config: Config,
        scope: Scope,
        send: Callable[[ASGISendEvent | None], Awaitable[None]],
    ) -> Callable[[ASGIReceiveEvent], Awaitable[None]]:
        """Run the application for a stream. Cancellation: as in Hypercorn."""
        inbox = self.inbox = Inbox()

        async def run(scope: Scope, receive: ASGIReceiveCallable, *more: Any) -> None:
            del receive  # Hypercorn's own channel stays empty
            await app(scope, inbox.receive, *more)

        await self._group.spawn_app(run, config, scope, send)  # type: ignore[arg-type]  # called the same way
        return inbox.put


class BoundedBuffer(StreamBuffer):
    """Data that waits for a stream's window: at most one push and two frames.

    Hypercorn's own buffer releases a pushing task at each check, even while no data may be sent. With a client that
    does not read, it would grow without limit.

    Attributes:
        gone: Set when the end of the stream is sent, or never will be.
    """

    def __init__(self, event_class: type[IOEvent]) -> None:
        super().__init__(event_class)
        self.gone = trio.Event()

    async def drain(self) -> None:
        """Wait until all data is sent, and the end of a complete stream too. Cancellation: no state changes."""
        await (self.gone.wait() if self._complete else super().drain())

    async def close(self) -> None:
        """Stop sending. Cancellation: as in Hypercorn."""
        await super().close()
        self.gone.set()

    async def push(self, data: bytes) -> None:
        """Append data, then wait until little is left. Cancellation: the data stays."""
        if self._complete:
            raise BufferCompleteError
        self.buffer.extend(data)
        await self._is_empty.clear()
        if len(self.buffer) >= BUFFER_HIGH_WATER:
            await self._paused.clear()
            await self._paused.wait()

    async def pop(self, max_length: int) -> bytes:
        """Take at most ``max_length`` bytes. Cancellation: the bytes are lost with the connection."""
        data = bytes(self.buffer[:max_length])
        del self.buffer[:max_length]
        if len(self.buffer) < BUFFER_LOW_WATER:
            await self._paused.set()
        if not self.buffer:
            await self._is_empty.set()
        return data
