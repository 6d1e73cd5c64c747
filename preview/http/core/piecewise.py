"""A response's body that is asked for one piece after the other."""

from __future__ import annotations

from abc import abstractmethod
from types import TracebackType
from typing import Self

from quart.wrappers.response import ResponseBody


class PiecewiseBody(ResponseBody):
    """Its own context and iterator; a subclass says what the pieces are.

    A ``ResponseBody`` rather than a generator: it gets ``__aexit__`` however the response ends, where a generator
    suspended at ``yield`` would get ``GeneratorExit`` and could await nothing. It holds nothing itself, either: what it
    reads from belongs to the request (``request_resources``).
    """

    # Nothing follows: the last piece was given, or the body was left.
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
        """Return the next piece, not empty. Cancellation: as the subclass says."""
