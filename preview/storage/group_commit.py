"""Combine concurrent changes into one transaction: a hundred previews that end together cost one commit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

import trio
from sqlalchemy import Connection

from preview.errors import DatabaseUnavailable
from preview.storage.database import Database

T = TypeVar("T")

# Changes in one transaction, at about 100 µs each. The bound leaves time for the log writer.
_MOST_CHANGES = 200


@dataclass(slots=True, eq=False)
class _Change(Generic[T]):
    """One caller's change.

    Invariant: ``result`` or ``error`` is set exactly when ``is_over`` is.
    """

    make: Callable[[Connection], T]
    is_over: bool = False
    result: T | None = None
    error: Exception | None = None

    def end(self, error: Exception | None = None) -> None:
        self.is_over, self.error = True, error


class GroupCommit:
    """Batches writes: the first caller writes for all that wait at that time; later callers join the next transaction.

    There is no background task: the first waiting caller writes. Changes are made in the order of arrival, so the later
    of two changes of a row is applied later.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        # In order of arrival. Bounded by the maximum number of previews, with a few changes each.
        self._waiting: list[_Change[object]] = []
        self._turn = trio.Lock()

    async def write(self, change: Callable[[Connection], T]) -> T:
        """Make the change in one transaction with other callers' changes. Each change fails independently.

        Args:
            change: Short and idempotent: if another change fails, all are made again, one by one.

        Raises:
            DatabaseUnavailable: See ``Database.write``.

        Cancellation: the change is made completely or not at all.
        """
        own: _Change[T] = _Change(change)
        self._waiting.append(own)  # type: ignore[arg-type]  # the list's users call only ``make`` and ``end``
        try:
            async with self._turn:
                while not own.is_over:
                    await self._write_some()
        finally:
            if own in self._waiting:
                self._waiting.remove(own)  # type: ignore[arg-type]  # as above
            # If another caller took this change and cannot write it, it must not be queued again.
            own.is_over = True
        if own.error is not None:
            raise _own_error(own.error)
        return own.result  # type: ignore[return-value]  # the change is over, without an error

    async def _write_some(self) -> None:
        """Write the waiting changes, up to a limit. After a cancellation, they return to the queue's front."""
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
        except Exception as error:  # noqa: BLE001  raised again by the caller that made the change
            if len(taken) == 1:
                taken[0].end(error)
                return
            for one in taken:
                await self._make([one])
        else:
            for one, one.result in zip(taken, results, strict=True):
                one.end()


def _own_error(error: Exception) -> Exception:
    """Return a copy of the error: a shared error would collect the tracebacks of all tasks that raise it."""
    if not isinstance(error, DatabaseUnavailable):
        return error
    own = DatabaseUnavailable(error.message, **error.details)
    own.__cause__ = error.__cause__
    return own
