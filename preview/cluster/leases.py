"""A node's own view of its lease and of the database's time: its deadline comes before the one in the database.

Both are set in the thread that renews, and read in the event loop.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import datetime

from preview.core.clock import from_ms, now_ms
from preview.storage.database import FREE_NUMBERS

# Of the lease: the time between renewals, and the time after which the node ends its previews itself. The rest of the
# lease is for ending them.
RENEWED_AFTER = 0.25
ENDS_AFTER = 0.75
# Transactions of the log writer in one second.
_WRITES_PER_S, _MOST_AHEAD = 10, 100_000


def boot_clock() -> float:
    """Return seconds that go on while the machine sleeps, unlike those of ``time.monotonic``."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Lease:
    """The time until which this node may run its previews. Pure: no clock but the given one, and no database.

    Invariant: the lease in the database ends ``lease_s`` after the renewal arrived there, which is later than
    ``asked_at``. So the local deadline is before the end of the lease, whatever the clocks of other machines show.

    Args:
        lease_s: Duration of the lease in seconds.
        clock: The local clock.
        node: The node's name, for log lines.

    Attributes:
        losses: Leases that were over before the next one began.
    """

    def __init__(self, lease_s: float, clock: Callable[[], float] = boot_clock, node: str = "") -> None:
        self.lease_s, self.clock, self.node = lease_s, clock, node
        self.losses = 0
        self._deadline = float("-inf")
        self._asked_at = self._steady_at = self._trusted_at = float("-inf")
        # Reentrant: a renewal begins a lease.
        self._changes = threading.RLock()

    @property
    def holds(self) -> bool:
        """True while this node may run previews."""
        return self.clock() < self._deadline

    @property
    def left_s(self) -> float:
        """Seconds until the local deadline; negative after it."""
        return self._deadline - self.clock()

    @property
    def renewal_in_s(self) -> float:
        """Seconds until the next renewal is due; negative if it is overdue."""
        return self._asked_at + RENEWED_AFTER * self.lease_s - self.clock()

    @property
    def steady_in_s(self) -> float:
        """Seconds until a lease has passed since the last loss; negative after that, and without a loss.

        If the database was away from this node, it may have been away from others, whose leases are over too. They get
        this time to renew them.
        """
        return self._steady_at - self.clock()

    @property
    def trusted_in_s(self) -> float:
        """Seconds until what the database says of other nodes' previews may be acted on; see ``doubt``."""
        return self._trusted_at - self.clock()

    def doubt(self) -> None:
        """Note that another server answers, which may lack the last rows, as a standby that has taken over.

        Other nodes may run what this server says is free, or this node's. Within a lease from its start they have
        asked it, or their own leases are over.
        """
        with self._changes:
            self._trusted_at = self.clock() + self.lease_s
            self._steady_at = max(self._steady_at, self._trusted_at)

    def begin(self, asked_at: float) -> None:
        """Begin a new lease, which was asked for at this local time."""
        with self._changes:
            if not self.holds and self._asked_at > float("-inf"):
                self.losses += 1
                self._steady_at = max(self._steady_at, asked_at + self.lease_s)
            self._asked_at, self._deadline = asked_at, asked_at + ENDS_AFTER * self.lease_s

    def renewed(self, asked_at: float) -> bool:
        """Note a renewal that was asked for at this local time.

        Returns False if the deadline has passed already, or it was asked for before the lease began.
        """
        with self._changes:
            if not self.holds or asked_at < self._asked_at:
                return False
            self.begin(asked_at)
            return True

    def end(self) -> None:
        """End the lease at once."""
        with self._changes:
            self._deadline = float("-inf")


def numbers_ahead(lease_s: float, lines: int) -> int:
    """Return how many numbers of lines a node has in advance: for two leases, at the rate of the last transaction.

    Without a database it publishes lines as long as it has numbers. A loss leaves a gap of so many at most.

    Args:
        lease_s: Duration of a lease in seconds.
        lines: Lines of the last transaction.
    """
    return max(FREE_NUMBERS, min(_MOST_AHEAD, int(2 * lease_s * _WRITES_PER_S) * lines))


class DatabaseClock:
    """The database's time, as of the last answer and the local time since then; before the first one, this machine's.

    Args:
        clock: The local clock, which never jumps.
    """

    def __init__(self, clock: Callable[[], float] = boot_clock) -> None:
        self._clock = clock
        self.set(clock(), now_ms())

    def set(self, asked_at: float, ms: int) -> None:
        """Note an answer: milliseconds since the epoch, asked for at this local time."""
        self._answer = asked_at, ms

    def now(self) -> datetime:
        """Return the time."""
        asked_at, ms = self._answer
        return from_ms(ms + int(1000 * (self._clock() - asked_at)))
