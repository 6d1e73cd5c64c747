"""A trio application in an asyncio host: its lifespan, its requests, and calls in both directions."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from typing import Any, Final, TypeVar, TypeVarTuple

import structlog
import trio

from preview.embedding.guest import GuestRun, cancelled_by, open_guest, until_done
from preview.embedding.library import in_asyncio
from preview.embedding.pipe import Application, Message, Receive, Scope, Send, serve_call
from preview.errors import ServiceStopping

log = structlog.get_logger(__name__)

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

_STOPPED: Final = "The preview service is not running. The reason is in the log of the host application."
# RFC 6455, registry of close codes: try again later.
_TRY_AGAIN_LATER: Final = 1013


class AsyncioBridge:
    """Runs a trio application under an asyncio host. It does nothing under trio."""

    def __init__(self) -> None:
        # The sentence of a request's 503 while nothing runs.
        self.why_stopped = _STOPPED
        self._guest: GuestRun | None = None

    @asynccontextmanager
    async def open(self) -> AsyncIterator[GuestRun]:
        """Hold the trio run open; entered again meanwhile, this yields the same run.

        Raises:
            BaseException: What ended the run before the body did.

        Cancellation: the run is cancelled, and its cleanup is awaited.
        """
        if self._guest is not None:
            yield self._guest
            return
        async with open_guest() as guest:
            self._guest = guest
            try:
                yield guest
            finally:
                self._guest = None

    @asynccontextmanager
    async def holding(self, inner: AbstractAsyncContextManager[T]) -> AsyncIterator[T]:
        """Hold a trio context manager open from asyncio, and yield its value.

        If ``inner`` ends by an exception meanwhile, the body is cancelled.

        Raises:
            BaseException: What entering, holding or leaving ``inner`` raises.

        Cancellation: ``inner`` is left, and its cleanup is awaited.
        """
        async with self.open() as guest:
            entered: asyncio.Future[T] = guest.loop.create_future()
            leave = trio.Event()

            async def hold() -> None:
                async with inner as value:
                    if not entered.done():
                        entered.set_result(value)
                    await leave.wait()

            task = guest.loop.create_task(guest.call(hold))
            try:
                async with cancelled_by(task):
                    yield await entered
            finally:
                leave.set()
                await until_done(task, task.cancel)  # noqa: ASYNC102  asyncio has no scopes; see until_done

    async def call(self, function: Callable[[*Ts], Awaitable[T]], *arguments: *Ts) -> T:
        """Await a trio function: directly in trio, through the guest run from asyncio.

        Raises:
            ServiceStopping: The guest run is not open.

        Cancellation: the function is cancelled, and its cleanup is awaited.
        """
        if not in_asyncio():
            return await function(*arguments)
        if self._guest is None:
            raise ServiceStopping("The service is not running: enter `running()` first.")
        return await self._guest.call(function, *arguments)

    async def call_host(self, function: Callable[[*Ts], Coroutine[Any, Any, T]], *arguments: *Ts) -> T:
        """Await a function of the host from trio, in the library that the host runs.

        Cancellation: the function is cancelled, and its cleanup is awaited.
        """
        if self._guest is None:
            return await function(*arguments)
        return await self._guest.call_host(function, *arguments)

    async def serve(self, app: Application, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI scope of an asyncio host: a lifespan opens the run, anything else needs it open.

        Cancellation: the application is cancelled, and its cleanup is awaited.
        """
        if scope["type"] == "lifespan":
            await self._serve_lifespan(app, scope, receive, send)
            return
        started = False

        async def noting(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        if self._guest is not None:
            with suppress(ServiceStopping):
                await serve_call(self._guest, app, scope, receive, noting)
        if not started:
            await _refuse(scope, send, self.why_stopped)

    async def _serve_lifespan(self, app: Application, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve the host's lifespan. The last message waits for the end of the run: a server may end this task then.

        A crash is reported when the server shuts down: it would call an exception "lifespan unsupported".
        """
        started, last = False, None

        async def hold_back_last(message: Message) -> None:
            nonlocal started, last
            if message["type"] == "lifespan.shutdown.complete":
                last = message
                return
            started = started or message["type"] == "lifespan.startup.complete"
            await send(message)

        try:
            async with self.open() as guest:
                await serve_call(guest, app, scope, receive, hold_back_last)
        except Exception as error:
            log.critical("service crashed", exc_info=error)
            if started:
                while (await receive())["type"] != "lifespan.shutdown":
                    pass
            stage = "shutdown" if started else "startup"
            last = {"type": f"lifespan.{stage}.failed", "message": f"The preview service crashed: {error!r}"}
        if last is not None:
            await send(last)


async def _refuse(scope: Scope, send: Send, sentence: str) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": _TRY_AGAIN_LATER, "reason": "The service is not running."})
        return
    problem = {
        "type": "about:blank", "title": "Service Unavailable", "status": 503, "code": ServiceStopping.code,
        "detail": sentence,
    }  # fmt: skip
    headers = [(b"content-type", b"application/problem+json"), (b"retry-after", b"2")]
    await send({"type": "http.response.start", "status": 503, "headers": headers})
    await send({"type": "http.response.body", "body": json.dumps(problem).encode()})
