"""Additions to a launch, each made because an attempt without it failed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from math import inf
from types import MappingProxyType

from preview.detection import OWN_BUILD, Overrides, Step, merge

Offer = Callable[[Sequence[str]], Awaitable[bool]]


@dataclass(slots=True)
class Mends:
    """The mends of one preview; later processes start with them, too.

    Attributes:
        overrides: Variables and requirements that they add. What somebody has given takes precedence.
        folders: Folders that they make, relative to the project.
        links: Links that they make: path to target, both relative to the project.
        left_out: Names that the preview's copy of ``.env`` loses.
        tried: What each of them has changed.
        said: One sentence for each of them.
        before: The mends without the newest one; None if it cannot be taken back.
        until: Time of trio's clock after which no attempt follows.
        failure_of_sources: The error after which the output of the project's build was started; None without one.
        is_found_start: Whether the found application is being started, in place of the project's own command.
        found_steps: Steps that such starts have run.
        offer: Offers the last lines of a program that ended before it answered, and returns whether another attempt
            follows; None if none may follow.
        offer_step: The same for the last lines of an optional step that makes tables.
    """

    overrides: Overrides = field(default_factory=Overrides)
    folders: tuple[str, ...] = ()
    links: Mapping[str, str] = field(default_factory=dict)
    left_out: tuple[str, ...] = ()
    tried: frozenset[object] = frozenset()
    offer: Offer | None = None
    offer_step: Offer | None = None
    said: tuple[str, ...] = ()
    before: Mends | None = None
    until: float = inf
    failure_of_sources: str | None = None
    is_found_start: bool = False
    found_steps: tuple[Step, ...] = ()

    def add(
        self,
        changes: object,
        overrides: Overrides,
        folders: tuple[str, ...],
        why: str,
        links: Mapping[str, str] = MappingProxyType({}),
        *,
        left_out: tuple[str, ...] = (),
    ) -> None:
        """Add one mend: all overrides with it, its folders, links and left-out names, and its sentence."""
        self.tried |= {changes}
        self.before = replace(self, before=None)
        self.said = (*self.said, why)
        self.overrides = overrides
        self.folders = tuple(dict.fromkeys((*self.folders, *folders)))
        self.links = {**self.links, **links}
        self.left_out = tuple(dict.fromkeys((*self.left_out, *left_out)))

    def take_back(self) -> bool:
        """Take the newest mend back if it changes packages, which cannot be installed. Return whether it did.

        Another entry may have other manifests.
        """
        if self.before is None or _packages(self.before.overrides) == _packages(self.overrides):
            return False
        before = self.before
        self.overrides, self.folders, self.links = before.overrides, before.folders, before.links
        self.left_out, self.said = before.left_out, before.said
        self.before = None
        return True

    def leave_build(self) -> bool:
        """Start the sources again, and not the output of the project's build. Return whether that was started."""
        if not self.overrides.is_built:
            return False
        self.overrides = replace(self.overrides, is_built=False)
        self.said, self.before = tuple(one for one in self.said if OWN_BUILD not in one), None
        return True

    @contextmanager
    def found_start(self) -> Iterator[None]:
        """Start what is detected, and not the project's own command; for good, unless the block raises."""
        own = self.overrides
        self.overrides, self.is_found_start = replace(own, is_own_start=False), True
        try:
            yield
        except BaseException:
            self.overrides = own
            raise
        finally:
            self.is_found_start = False

    def note_steps(self, steps: Sequence[Step]) -> None:
        """Remember the steps that a start of the found application has run."""
        if self.is_found_start:
            self.found_steps = (*self.found_steps, *(step for step in steps if step not in self.found_steps))

    def under(self, given: Overrides | None) -> Overrides | None:
        """Return what was given, completed by the mends; None without either."""
        return given if self.overrides.is_empty else merge(self.overrides, given or Overrides())


def _packages(overrides: Overrides) -> tuple[object, ...]:
    return overrides.extra_requirements, overrides.is_dated, overrides.is_own_start
