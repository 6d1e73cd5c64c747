"""A listener for which a machine short of descriptors is a reason to wait, not to fail."""

from __future__ import annotations

import errno
import os

import structlog
import trio

log = structlog.get_logger(__name__)

# What accept(2) says when the process or the machine has no descriptor or memory left. Trio's own ``serve_listeners``
# waits too, but writes a traceback to the log each time.
_SHORT = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS})
_PAUSE_S = 0.1


class PatientListener(trio.abc.Listener[trio.abc.Stream]):
    """Accepts connections; while nothing is left to accept one with, they wait in the kernel's queue.

    Args:
        inner: Closed with this one.
    """

    def __init__(self, inner: trio.abc.Listener[trio.abc.Stream]) -> None:
        self._inner = inner
        # Said once, until a connection is accepted again.
        self._told = False

    async def accept(self) -> trio.abc.Stream:
        """The next connection. Cancellation: none is lost."""
        while True:
            try:
                stream = await self._inner.accept()
            except OSError as error:
                if error.errno not in _SHORT:
                    raise
                self._tell(os.strerror(error.errno))
                await trio.sleep(_PAUSE_S)
            else:
                self._told = False
                return stream

    async def aclose(self) -> None:
        """Close it. Cancellation: it is closed all the same."""
        await self._inner.aclose()

    def _tell(self, why: str) -> None:
        if not self._told:
            advice = "raise the service's limit of open files, or lower PREVIEW_MAX_CONNECTIONS"
            log.warning("connections wait", why=why, advice=advice)
        self._told = True
