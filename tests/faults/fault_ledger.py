"""What subscribers were told: each line once, in order, the same for everybody, and still there afterwards."""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = ["Broken", "Ledger", "Reading"]


class Broken(AssertionError):
    """An invariant does not hold; says which and what was seen."""


@dataclass
class Ledger:
    """Every line that any subscriber of any preview has received: acknowledged, so it must be there for ever.

    Attributes:
        lines: By preview, by number.
        acknowledged: How many were received, each once.
    """

    lines: dict[str, dict[int, str]] = field(default_factory=dict)

    @property
    def acknowledged(self) -> int:
        return sum(map(len, self.lines.values()))

    def note(self, preview_id: str, seq: int, message: str) -> None:
        own = self.lines.setdefault(preview_id, {})
        known = own.setdefault(seq, message)
        if known != message:
            raise Broken(f"{preview_id}: line {seq} was {known!r} and is {message!r}")

    def compare(self, preview_id: str, stored: dict[int, str], gaps: list[tuple[int, int]], what: str) -> None:
        """Hold what is stored (or told again) against what was acknowledged."""
        own = self.lines.get(preview_id, {})
        lost = [seq for seq in own if seq not in stored and not any(first <= seq <= last for first, last in gaps)]
        if lost:
            raise Broken(
                f"{preview_id}: {len(lost)} of {len(own)} acknowledged lines are not in {what}: {sorted(lost)[:5]}…, "
                f"it holds {min(stored, default=0)} to {max(stored, default=0)}"
            )
        other = [seq for seq in own if seq in stored and own[seq] != stored[seq]]
        if other:
            raise Broken(f"{preview_id}: line {other[0]} was {own[other[0]]!r}, {what} says {stored[other[0]]!r}")


@dataclass
class Reading:
    """What one subscriber sees of one preview, over any number of connections.

    Attributes:
        last: The last number it was told, in a line or as the end of a gap.
        gaps: First and last number of each.
        ended: The state that the ``end`` event named.
        goodbye: The end was only the service's going down.
    """

    ledger: Ledger
    preview_id: str
    last: int = 0
    lines: dict[int, str] = field(default_factory=dict)
    gaps: list[tuple[int, int]] = field(default_factory=list)
    ended: str | None = None

    def line(self, seq: int, message: str) -> None:
        if seq != self.last + 1:
            word = "twice" if seq <= self.last else "with a silent hole"
            raise Broken(f"{self.preview_id}: line {seq} came {word}, behind line {self.last}")
        self.last = seq
        self.lines[seq] = message
        self.ledger.note(self.preview_id, seq, message)

    def gap(self, first: int, last: int) -> None:
        if first != self.last + 1 or last < first:
            raise Broken(f"{self.preview_id}: a gap of {first} to {last} behind line {self.last}")
        self.gaps.append((first, last))
        self.last = last
