"""One ASGI call of an asyncio server, served by a trio application."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, MutableMapping
from functools import partial
from typing import Any, Final

import outcome
import trio

from preview.embedding.guest import GuestRun, run_in, until_done
from preview.errors import ServiceStopping

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]


async def serve_call(guest: GuestRun, app: Application, scope: Scope, receive: Receive, send: Send) -> None:
    """Serve one ASGI call from asyncio with a trio application, and raise what it raises.

    The host's own task sends all messages, so middleware whose state belongs to a task keeps working.

    Raises:
        ServiceStopping: The run is over.

    Cancellation: the application is cancelled, and this returns when its cleanup is done.
    """
    pipe = _Pipe(guest, receive, send)
    ended: asyncio.Future[outcome.Outcome[None]] = guest.loop.create_future()
    ended.add_done_callback(pipe.wake)
    trio_scope = trio.CancelScope()

    async def run() -> None:
        await run_in(trio_scope, ended.set_result, app, scope, pipe.receive, pipe.send)

    guest.start_soon(run)
    try:
        await pipe.pump(ended)
    except asyncio.CancelledError:
        trio_scope.cancel()
        pipe.refuse(ServiceStopping("The server cancelled the request."))
        await until_done(ended, lambda: None)  # noqa: ASYNC102  asyncio has no scopes; see until_done
        raise
    finally:
        pipe.close()
    ended.result().unwrap()


# A few messages wait in place of a turn of both loops for each; the host's own buffers have tens of KiB too.
_MOST_WAITING: Final = 16
_MOST_WAITING_BYTES: Final = 64 * 1024


class _Sending:
    """A message on its way out; ``task`` is the trio task that waits until it is sent."""

    __slots__ = ("message", "size", "task")

    def __init__(self, message: Message) -> None:
        self.message = message
        self.size = len(message.get("body") or message.get("bytes") or message.get("text") or b"")
        self.task: trio.lowlevel.Task | None = None


class _Pipe:
    """Messages of one call in both directions. ``receive`` and ``send`` run in trio, everything else in asyncio."""

    def __init__(self, guest: GuestRun, receive: Receive, send: Send) -> None:
        self._guest = guest
        self._receive, self._send = receive, send
        self._outgoing: deque[_Sending] = deque()
        self._waiting_bytes = 0
        self._woken = asyncio.Event()
        self._error: BaseException | None = None
        self._reading: asyncio.Task[None] | None = None
        # A message that came after the ``receive`` that asked for it was cancelled: the next one gets it.
        self._kept: outcome.Outcome[Message] | None = None
        self._reader: trio.lowlevel.Task | None = None

    async def receive(self) -> Message:
        """Return the host's next message. Cancellation: the message is kept for the next call."""
        if self._kept is not None:
            await trio.lowlevel.checkpoint()
            kept, self._kept = self._kept, None
            return kept.unwrap()
        self._reader = trio.lowlevel.current_task()

        def abort(_: object) -> trio.lowlevel.Abort:
            self._reader = None
            return trio.lowlevel.Abort.SUCCEEDED

        if self._reading is None or self._reading.done():
            self._reading = self._guest.loop.create_task(self._read())
        message: Message = await trio.lowlevel.wait_task_rescheduled(abort)
        return message

    async def send(self, message: Message) -> None:
        """Give a message to the host. Returns at once while few wait, else when the host has taken this one.

        Raises:
            BaseException: The host could not send an earlier message.

        Cancellation: the message is sent all the same, as by a server that has it in its buffer.
        """
        if self._error is not None:
            raise self._error
        sending = _Sending(message)
        self._outgoing.append(sending)
        self._waiting_bytes += sending.size
        if message["type"] != "http.response.start":
            # A start alone is not sent: its body follows at once.
            self._woken.set()
        if len(self._outgoing) < _MOST_WAITING and self._waiting_bytes < _MOST_WAITING_BYTES:
            return
        self._woken.set()
        sending.task = trio.lowlevel.current_task()

        def abort(_: object) -> trio.lowlevel.Abort:
            sending.task = None
            return trio.lowlevel.Abort.SUCCEEDED

        await trio.lowlevel.wait_task_rescheduled(abort)

    async def _read(self) -> None:
        try:
            found: outcome.Outcome[Message] = outcome.Value(await self._receive())
        except asyncio.CancelledError:
            raise
        except BaseException as error:  # noqa: BLE001  the application raises it
            found = outcome.Error(error)
        # The reader goes on at once, in this task, and may ask for the next message.
        self._reading = None
        if self._reader is None:
            self._kept = found
        else:
            reader, self._reader = self._reader, None
            self._guest.ticks.now(partial(trio.lowlevel.reschedule, reader, found))

    def wake(self, _: object) -> None:
        """Let ``pump`` look for messages."""
        self._woken.set()

    async def pump(self, ended: asyncio.Future[outcome.Outcome[None]]) -> None:
        """Send the application's messages until it has ended and all are sent. Cancellation: the rest is not sent."""
        while True:
            self._woken.clear()
            while self._outgoing:
                await self._send_one(self._outgoing[0])
                self._waiting_bytes -= self._outgoing.popleft().size
            if ended.done():
                return
            await self._woken.wait()

    async def _send_one(self, sending: _Sending) -> None:
        found: outcome.Outcome[None] = outcome.Value(None)
        try:
            await self._send(sending.message)
        except asyncio.CancelledError:
            raise
        except BaseException as error:  # noqa: BLE001  the application raises it
            self._error, found = error, outcome.Error(error)
        self._resume(sending, found)

    def refuse(self, error: BaseException) -> None:
        """Fail each ``send`` from now on, also those that wait."""
        self._error = error
        while self._outgoing:
            self._resume(self._outgoing.popleft(), outcome.Error(error))

    def close(self) -> None:
        """End the task that reads from the host."""
        if self._reading is not None:
            self._reading.cancel()

    def _resume(self, sending: _Sending, found: outcome.Outcome[None]) -> None:
        if sending.task is not None:
            task, sending.task = sending.task, None
            self._guest.ticks.now(partial(trio.lowlevel.reschedule, task, found))
