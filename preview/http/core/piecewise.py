"""A response body that is produced piece by piece on demand."""

from __future__ import annotations

from abc import abstractmethod
from types import TracebackType
from typing import Self

from quart.wrappers.response import ResponseBody


class PiecewiseBody(ResponseBody):
    """A response body that is its own context and iterator; a subclass produces the pieces.

    A generator suspended at ``yield`` would get ``GeneratorExit`` and could await nothing. A ``ResponseBody`` gets
    ``__aexit__`` however the response ends. It owns no resources: its source belongs to the request
    (``request_resources``).
    """

    # No piece follows: the last one was returned, or the body was left.
    _over = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._over = True

    def __aiter__(self) -> Self:
        return self

    @abstractmethod
    async def __anext__(self) -> bytes:
        """Return the next piece, not empty. Cancellation: defined by the subclass."""
