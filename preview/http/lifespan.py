"""The service opened around the ASGI lifespan, where a plain ASGI server runs the app."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import structlog
from hypercorn.typing import ASGIReceiveCallable, ASGISendCallable
from quart_trio.asgi import TrioASGILifespan

from preview.errors import PreviewError

if TYPE_CHECKING:
    from preview.http.app import PreviewApp

log = structlog.get_logger(__name__)


class ServiceLifespan(TrioASGILifespan):
    """Opens the service before start-up is answered, and closes it before the shutdown is.

    Around the lifespan and not in ``while_serving``: a nursery opened there is on the wrong stack. Nothing happens
    where the app runs already (our own server, or a host that entered ``app.running()``).
    """

    async def __call__(self, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        """Serve the lifespan. Cancellation: the service is closed."""
        app = cast("PreviewApp", self.app)
        if app.is_running:
            await super().__call__(receive, send)
            return
        opened, last = False, None

        async def hold_back_last(message: Any) -> None:
            # The server cancels this task upon the last message: first everything is closed.
            nonlocal last
            if message["type"] == "lifespan.shutdown.complete":
                last = message
            else:
                await send(message)

        try:
            async with app.running():
                opened = True
                await super().__call__(receive, cast("ASGISendCallable", hold_back_last))
        except* PreviewError as group:
            if opened:
                raise
            sentence = "; ".join(str(error) for error in _leaves(group))
            log.exception("service start failed", why=sentence)
            await receive()
            await send(cast("Any", {"type": "lifespan.startup.failed", "message": sentence}))
        if last is not None:
            await send(last)


def _leaves(group: BaseExceptionGroup[PreviewError]) -> list[PreviewError]:
    found: list[PreviewError] = []
    for error in group.exceptions:
        found += _leaves(error) if isinstance(error, BaseExceptionGroup) else [error]
    return found
