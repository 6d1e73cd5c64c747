"""A fork that is made ready before its start, while the rest of the preview is."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass

import trio

from preview.runtime.cgroups import Cgroup
from preview.runtime.interface import ProcessSpec
from preview.runtime.warm.forks.forking import ForkRequest
from preview.runtime.warm.template_process import Template

# In place of a process's number, which is known when it starts: there may be steps before it, whose groups are named
# by theirs. One that stays may be on its way out when another is started.
BEFORE_ANY, BEFORE_ANY_STAYING = 0, -1


@dataclass(frozen=True, slots=True)
class ConfinedFork:
    """A fork that is confined, and waits for what it is to be.

    Attributes:
        template: Of what.
        request: Asked for by this.
        group: Its own control group, where this machine has them.
    """

    template: Template
    request: ForkRequest
    group: Cgroup | None


class ForkReservation:
    """The place of one: it is being made by one task, and used by another, or ends unused.

    Args:
        spec: As far as it was known when it was started.
        stays: Whether it waits for as long as it is of use, and not for a moment.

    Attributes:
        awaited: Set when its start is under way: from then on it waits for a moment.
        unwanted: Set by whoever has no use for it any more: the task that has made it ends it.
        taken: Set by the start that has it from then on.
        gone: Set when it cannot be had any more, or is nobody's to take.
    """

    def __init__(self, spec: ProcessSpec, *, stays: bool = False) -> None:
        self.spec = spec
        self.stays = stays
        self.awaited = trio.Event()
        if not stays:
            self.awaited.set()
        self.unwanted = trio.Event()
        self.taken = trio.Event()
        self.gone = trio.Event()
        self._fork: ConfinedFork | None = None
        self._held = AsyncExitStack()
        self._scope = trio.CancelScope()
        self._is_made = trio.Event()

    @contextmanager
    def making(self) -> Iterator[None]:
        """Around its making, which ``close`` ends; however it ends, nobody waits for it any more."""
        try:
            with self._scope:
                yield
        finally:
            self._is_made.set()

    @property
    def fork(self) -> ConfinedFork | None:
        """It, once it is ready."""
        return self._fork

    def keep(self, fork: ConfinedFork, held: AsyncExitStack) -> None:
        """It is ready; ``held`` ends it."""
        self._fork, self._held = fork, held

    async def take(self, spec: ProcessSpec, template: Template) -> ConfinedFork | None:
        """Wait for it; ``close`` ends it all the same.

        Args:
            spec: What it is to be.
            template: What it would be forked from now.

        Returns:
            None where it could not be had, has ended, or is not what would be asked for now.

        Cancellation: nothing changes.
        """
        await self._is_made.wait()
        fork = self._fork
        if fork is None or fork.template is not template or fork.request.has_ended or not self.is_for(spec):
            return None
        return fork

    async def close(self) -> None:
        """End it, and its making. Cancellation: it is on its way out; call it under a bounded shield."""
        self._scope.cancel()
        if not self._is_made.is_set():
            await self._is_made.wait()
        await self._held.aclose()

    def is_for(self, spec: ProcessSpec) -> bool:
        """Whether a fork of the same template and in the same place would be asked for with this."""
        return _what_a_fork_is_asked_for(self.spec) == _what_a_fork_is_asked_for(spec)


def _what_a_fork_is_asked_for(spec: ProcessSpec) -> tuple[object, ...]:
    key, anchors = ("", ()) if spec.warm is None else (spec.warm.key, tuple(spec.warm.anchors))
    return key, spec.slot, spec.limits, tuple(spec.writable), tuple(spec.readable), anchors
