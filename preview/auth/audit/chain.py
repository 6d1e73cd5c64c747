"""The check of the chain: it names the first entry that is wrong."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from preview.auth.audit.entry import BROKEN, FIRST, SERVICE, AuditEntry, Head, chained, removed_through


@dataclass(frozen=True, slots=True)
class Fault:
    """The first thing that is wrong with a trail.

    Attributes:
        seq: Number of the entry.
        problem: One sentence about it.
    """

    seq: int
    problem: str


@dataclass(slots=True)
class ChainCheck:
    """A check of entries in the order of their numbers; later entries are ignored once one is wrong.

    Args:
        start: The last removed entry, from the newest checkpoint; None if no entries were ever removed.
        noted: A head that was written down outside the database; None if there is none.

    Attributes:
        count: Number of entries that are right.
        last: The last right entry's number and hash; ``start`` before the first entry.
        fault: The first thing that is wrong; None so far.
    """

    start: Head | None = None
    noted: Head | None = None
    count: int = 0
    fault: Fault | None = None
    last: Head = field(init=False)
    _has_checkpoint: bool = field(init=False)

    def __post_init__(self) -> None:
        self.last = self.start or Head(0, FIRST)
        self._has_checkpoint = self.start is None

    @classmethod
    def after(cls, first: AuditEntry, noted: Head | None) -> ChainCheck:
        """Return a check that takes the first entry as it is: nothing is known of those before it."""
        made = cls(None, noted)
        made.last, made.count = Head(first.seq, first.hash), 1
        return made

    def feed(self, entries: Iterable[AuditEntry]) -> None:
        """Check the next entries."""
        for entry in entries:
            if self.fault is not None:
                return
            self.fault = self._fault_of(entry)
            if self.fault is None:
                self.count += 1
                self.last = Head(entry.seq, entry.hash)
                self._has_checkpoint = self._has_checkpoint or removed_through(entry) == self.start

    def finish(self) -> Fault | None:
        """Return the first thing that is wrong, after the last entry; None if nothing is."""
        if self.fault is None and not self._has_checkpoint:
            self.fault = Fault(self.last.seq + 1, "the entry about removed old entries is missing")
        if self.fault is None and self.noted is not None and self.noted.seq > self.last.seq:
            gone = f"#{self.last.seq + 1}" if self.noted.seq == self.last.seq + 1 else f"#{self.last.seq + 1} to"
            gone += "" if self.noted.seq == self.last.seq + 1 else f" #{self.noted.seq}"
            self.fault = Fault(self.last.seq + 1, f"{gone} missing at the end: the service had written them")
        return self.fault

    def _fault_of(self, entry: AuditEntry) -> Fault | None:
        expected = self.last.seq + 1
        if entry.seq != expected:
            return Fault(expected, f"#{expected} is missing; #{entry.seq} follows instead")
        if chained(entry, entry.seq, self.last.hash).hash != entry.hash:
            return Fault(entry.seq, f"#{entry.seq} was changed, or moved")
        if self.noted is not None and entry.seq == self.noted.seq and entry.hash != self.noted.hash:
            return Fault(
                entry.seq, f"#{entry.seq} or an earlier entry was changed, and the later hashes were recalculated"
            )
        if entry.action == BROKEN and entry.via == SERVICE:
            return Fault(entry.seq, f"the service itself found at #{entry.seq}: {entry.detail}")
        return None
