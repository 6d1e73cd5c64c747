"""One ASGI request, so that its end is always sent and what it took is always given back."""

from __future__ import annotations

from contextlib import ExitStack
from typing import cast

import trio
from hypercorn.typing import ASGIReceiveCallable, ASGISendCallable, ASGISendEvent
from quart import request
from quart_trio.asgi import TrioASGIHTTPConnection

from preview.http.protocol.takeover import handover_in

# The last message is empty: it only waits where a reader is stalled, and then the server gives up on its own.
_LAST_MESSAGE_S = 5.0
_SCOPE_KEY = "preview.resources"


class RequestConnection(TrioASGIHTTPConnection):
    """Quart-trio's connection with two repairs.

    The last body message is sent under a bounded shield: the server answers it with ``http.disconnect``, upon which
    quart-trio cancels the task that is still closing the connection, so that ``Connection: close`` and the
    keep-alive timeout had no effect.

    What a handler enters into ``request_resources()`` is left when the request is over, also where the client went
    away between the handler's return and the first byte of the body. Where the connection was handed over it goes with
    that.
    """

    async def __call__(self, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        """Serve the request. Cancellation: the handler is cancelled, and its resources are given back."""

        async def send_last_shielded(message: ASGISendEvent) -> None:
            if message["type"] == "http.response.body" and not message.get("more_body", False):
                with trio.move_on_after(_LAST_MESSAGE_S, shield=True):
                    await send(message)
            else:
                await send(message)

        with ExitStack() as resources:
            cast("dict[str, object]", self.scope)[_SCOPE_KEY] = resources
            await super().__call__(receive, cast("ASGISendCallable", send_last_shielded))
            handover = handover_in(self.scope)
            if handover is not None and handover.is_taken:
                handover.give(resources.pop_all())


def request_resources() -> ExitStack:
    """The stack that is left when the current request is over, whichever way that comes."""
    return cast("ExitStack", cast("dict[str, object]", request.scope)[_SCOPE_KEY])
