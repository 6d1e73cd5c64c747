"""Additions to a launch, each made because an attempt without it failed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from preview.detection import Overrides, merge

Offer = Callable[[Sequence[str]], Awaitable[bool]]


@dataclass(slots=True)
class Mends:
    """The mends of one preview; later processes start with them, too.

    Attributes:
        overrides: Variables and requirements that they add. What somebody has given takes precedence.
        folders: Folders that they make, relative to the project.
        tried: What each of them has changed.
        offer: Offers the last lines of a program that ended before it answered, and returns whether another attempt
            follows; None if none may follow.
    """

    overrides: Overrides = field(default_factory=Overrides)
    folders: tuple[str, ...] = ()
    tried: frozenset[object] = frozenset()
    offer: Offer | None = None

    def add(self, changes: object, overrides: Overrides, folders: tuple[str, ...]) -> None:
        """Add one mend: all overrides with it, and its folders."""
        self.tried |= {changes}
        self.overrides = overrides
        self.folders = tuple(dict.fromkeys((*self.folders, *folders)))

    def under(self, given: Overrides | None) -> Overrides | None:
        """Return what was given, completed by the mends; None without either."""
        return given if self.overrides.is_empty else merge(self.overrides, given or Overrides())
