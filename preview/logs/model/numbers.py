"""Numbers that a preview's log may give its lines. Pure: no I/O, no clock.

In a cluster, another node may go on with the log at any moment. It begins at the number that the database has as the
end of those that were handed out. So a node hands numbers out, by a transaction, before it publishes lines with them.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

from preview.storage.database import HandedEnd

_UNBOUNDED = sys.maxsize
# Numbers are handed out again when half of them are used, and taken back when there are so many times the usual ones.
_TOO_MANY = 4
# After so many transactions without an answer, no numbers are taken back any more.
_MOST_UNSURE = 16


class Numbers:
    """Numbers of one log: those below ``before``.

    Invariant: ``before`` is at most the number in the database, whichever transactions without an answer are committed,
    and however late. For that:

    1. A smaller number counts from the beginning of its transaction on, a greater one from its end.
    2. A transaction with a smaller number changes only the number that was known before it. Once its answer is lost, no
       other transaction stores that known number again.
    3. One with a greater number leaves a still greater one in place.

    Args:
        newest: Returns the newest number, together with lines that wait for theirs.
        go_on: Called when numbers were handed out.

    Attributes:
        before: The first number that is not handed out.
        low: From this number on, the log asks for more.
    """

    def __init__(self, newest: Callable[[], int], go_on: Callable[[], None]) -> None:
        self.before = self.low = _UNBOUNDED
        self._newest, self._go_on = newest, go_on
        # In the database; None before the first transaction, and while it is not known.
        self._stored: int | None = None
        # See 2.
        self._unsure: set[int] = set()

    @property
    def is_bounded(self) -> bool:
        """True in a cluster."""
        return self.before != _UNBOUNDED

    def begin(self, first_seq: int, free: int) -> None:
        """Begin at a number; an owner may use ``free`` of them without a transaction. 0 means any number."""
        if free:
            self.before = first_seq + free
            self.low = self.before - free // 2

    def wish(self, ahead: int) -> HandedEnd | None:
        """Return the end to store; None if the one in the database will do. Call directly before the transaction.

        Args:
            ahead: How many numbers to hand out in advance.
        """
        following = self._newest() + 1
        room, before = self.before - following, following + ahead
        if 2 * room < ahead:
            return HandedEnd(max(before, *(one + 1 for one in self._unsure), 0), None)
        stored = self._stored
        if room <= _TOO_MANY * ahead or stored is None or len(self._unsure) >= _MOST_UNSURE:
            self.low = self.before - max(1, ahead // 2)
            return None
        while before in self._unsure:
            before += 1
        self._unsure.add(stored)
        self.before, self._stored = before, None
        return HandedEnd(before, stored)

    def grant(self, end: HandedEnd, ahead: int) -> None:
        """Use the numbers of ``wish``: the transaction is committed."""
        if end.instead_of is not None:
            self._unsure.discard(end.instead_of)
        self.before = self._stored = end.before
        self.low = end.before - max(1, ahead // 2)
        self._go_on()
