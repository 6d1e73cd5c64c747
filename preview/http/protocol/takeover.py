"""Takes a connection over from Hypercorn after the response head; one small task then writes the body.

This requires plain HTTP/1.1 on this service's own server; only there does the ASGI scope contain the extension.
``TakeoverBody`` ends at once, and with it Hypercorn's and Quart's tasks for the connection. The remaining task writes
chunks (RFC 9112 section 7.1) and the end directly to the socket.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from typing import Any, cast

import h11
import trio
from hypercorn.protocol.events import Body, EndBody
from hypercorn.protocol.events import Event as StreamEvent
from hypercorn.typing import AppWrapper, ASGIReceiveCallable, ASGISendCallable, Scope

from preview.http.core.piecewise import PiecewiseBody
from preview.http.protocol.strict import ConnectionArguments, StrictH11Protocol
from preview.http.protocol.strict_ws import Sends

Job = Callable[[trio.SocketStream, Sends], Awaitable[None]]
"""Writes to a connection after the head. It does not close the stream."""

LAST_CHUNK = b"0\r\n\r\n"
_EXTENSION = "preview.handover"


def chunk_of(data: bytes) -> bytes:
    """Return one chunk of a chunked body (RFC 9112 section 7.1); not the last one, which is empty."""
    return b"%x\r\n%b\r\n" % (len(data), data)


@dataclass(frozen=True, slots=True)
class TakenConnection:
    """Continuation of a connection after Hypercorn.

    Attributes:
        job: Writes the rest of the response.
        resources: Resources of the request; closed when the job ends or never starts.
        sends: Sets the time limits of writes.
    """

    job: Job
    resources: ExitStack
    sends: Sends

    async def run(self, stream: trio.SocketStream) -> None:
        """Run the job and close. Cancellation: the connection is closed at once, and the resources are released."""
        with self.resources:
            await self.job(stream, self.sends)
        with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            await stream.send_eof()
        await stream.aclose()


class Takeover:
    """Transfer of one connection from Hypercorn.

    The body starts the transfer once the head is sent; the request's resources follow at the end of the request.
    """

    __slots__ = ("_job", "_protocol", "_resources")

    def __init__(self, protocol: HandingH11Protocol) -> None:
        self._protocol = protocol
        self._job: Job | None = None
        self._resources: ExitStack | None = None

    @property
    def is_possible(self) -> bool:
        """True if the current request is complete, and no data arrived after it."""
        connection = self._protocol.connection
        # The connection is not h11's if it has become a WebSocket.
        return (
            isinstance(connection, h11.Connection)
            and connection.their_state in {h11.DONE, h11.MUST_CLOSE}
            and not connection.trailing_data[0]
        )

    @property
    def is_taken(self) -> bool:
        """True if the job owns the connection: nothing else may write to it."""
        return self._job is not None

    def take(self, job: Job) -> None:
        """Set the job, which writes everything after the head."""
        self._job = job

    def give(self, resources: ExitStack) -> None:
        """Give the request's resources to the job."""
        self._resources = resources

    def abandon(self) -> None:
        """Release the resources without running the job: the connection failed after the request."""
        if self._resources is not None:
            self._resources.close()

    def following(self, sends: Sends) -> TakenConnection | None:
        """Return the continuation once Hypercorn's tasks for the connection have ended; None if there is none."""
        if self._job is None or self._resources is None:
            return None
        return TakenConnection(self._job, self._resources, sends)


def handover_in(scope: Mapping[str, Any]) -> Takeover | None:
    """Return the takeover of this request's connection; None if impossible."""
    extensions = scope.get("extensions") or {}
    return cast("Takeover | None", extensions.get(_EXTENSION))


class TakeoverBody(PiecewiseBody):
    """A body that the job sends. The response's head must contain ``Connection: close``."""

    def __init__(self, handover: Takeover, job: Job) -> None:
        self._handover = handover
        self._job = job

    async def __anext__(self) -> bytes:
        """Start the takeover and end: called after the head was sent. Cancellation: never waits."""
        self._handover.take(self._job)
        raise StopAsyncIteration


class _OfferingApp:
    """The application, with the takeover in its scope."""

    __slots__ = ("_app", "_handover")

    def __init__(self, app: AppWrapper, handover: Takeover) -> None:
        self._app = app
        self._handover = handover

    async def __call__(
        self,
        scope: Scope,
        receive: ASGIReceiveCallable,
        send: ASGISendCallable,
        sync_spawn: Callable[..., Any],
        call_soon: Callable[..., Any],
    ) -> None:
        """Serve the scope. Cancellation: as in the application."""
        if scope["type"] == "http" and scope["http_version"] == "1.1":
            cast("dict[str, object]", scope["extensions"])[_EXTENSION] = self._handover
        await self._app(scope, receive, send, sync_spawn, call_soon)


class HandingH11Protocol(StrictH11Protocol):
    """HTTP/1.1 that does not end a body after a takeover."""

    def __init__(self, *connection: *ConnectionArguments) -> None:
        super().__init__(*connection)
        # With TLS, only Hypercorn can write to the socket.
        self.handover = None if self.ssl else Takeover(self)
        if self.handover is not None:
            self.app = _OfferingApp(self.app, self.handover)

    async def stream_send(self, event: StreamEvent) -> None:
        """Send an event of the response. Cancellation: see ``BoundedTCPServer.protocol_send``."""
        taken = self.handover is not None and self.handover.is_taken
        # The unfinished response makes Hypercorn close the connection, which then releases it.
        if not (taken and isinstance(event, Body | EndBody)):
            await super().stream_send(event)
