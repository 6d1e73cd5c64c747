"""Changes that come at the same moment are made in one transaction: a hundred previews that end cost one commit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

import trio
from sqlalchemy import Connection

from preview.errors import DatabaseUnavailable
from preview.storage.database import Database

T = TypeVar("T")

# One transaction: 100 µs each, so that the log writer gets its turn.
_MOST_CHANGES = 200


@dataclass(slots=True, eq=False)
class _Change(Generic[T]):
    """One caller's part.

    Invariant: ``result`` or ``error`` is set exactly when ``is_over`` is.
    """

    make: Callable[[Connection], T]
    is_over: bool = False
    result: T | None = None
    error: Exception | None = None

    def end(self, error: Exception | None = None) -> None:
        self.is_over, self.error = True, error


class GroupCommit:
    """The first call writes for all that wait by then; later ones wait for the next transaction.

    There is no task of its own: the first of those who wait is the one that writes. They take turns in the order in
    which they came, so the later of two changes of a row is made later.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        # In the order in which they came. Bounded by the previews that the service may run, some changes each.
        self._waiting: list[_Change[object]] = []
        self._turn = trio.Lock()

    async def write(self, change: Callable[[Connection], T]) -> T:
        """Make the change, in one transaction with others'; each fails for itself.

        Args:
            change: Short, and bears to be made twice: when another's fails, all are made once more, one by one.

        Raises:
            DatabaseUnavailable: See ``Database.write``.

        Cancellation: the change is made as a whole, or not at all.
        """
        own: _Change[T] = _Change(change)
        self._waiting.append(own)  # type: ignore[arg-type]  # only ``make`` and ``end`` are used there
        try:
            async with self._turn:
                while not own.is_over:
                    await self._write_some()
        finally:
            if own in self._waiting:
                self._waiting.remove(own)  # type: ignore[arg-type]  # as above
            # Where somebody else has taken it and cannot write it, it does not wait again for nobody.
            own.is_over = True
        if own.error is not None:
            raise _own_error(own.error)
        return own.result  # type: ignore[return-value]  # it is over, without an error

    async def _write_some(self) -> None:
        """Write those who wait, up to a bound; who is not done (a cancellation) waits on, in the same place."""
        taken = self._waiting[:_MOST_CHANGES]
        del self._waiting[:_MOST_CHANGES]
        try:
            await self._make(taken)
        finally:
            self._waiting[:0] = [one for one in taken if not one.is_over]

    async def _make(self, taken: list[_Change[object]]) -> None:
        def make_all(connection: Connection) -> list[object]:
            return [one.make(connection) for one in taken]

        try:
            results = await self._database.write(make_all)
        except DatabaseUnavailable as error:
            for one in taken:
                one.end(error)
        except Exception as error:  # noqa: BLE001  raised again by the caller whose it is
            if len(taken) == 1:
                taken[0].end(error)
                return
            for one in taken:
                await self._make([one])
        else:
            for one, one.result in zip(taken, results, strict=True):
                one.end()


def _own_error(error: Exception) -> Exception:
    """Return a copy of the error: one that several tasks raise would collect the traceback of each."""
    if not isinstance(error, DatabaseUnavailable):
        return error
    own = DatabaseUnavailable(error.message, **error.details)
    own.__cause__ = error.__cause__
    return own
