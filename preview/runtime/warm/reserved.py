"""A fork that is made ready ahead of its start, while the rest of the preview is."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass

import trio

from preview.runtime.cgroups import Cgroup
from preview.runtime.interface import ProcessSpec
from preview.runtime.warm.forking import ForkRequest
from preview.runtime.warm.template_process import Template

__all__ = ["HeldIn", "Reserved"]


@dataclass(frozen=True, slots=True)
class HeldIn:
    """A fork that is held in, and waits for what it is to be.

    Attributes:
        template: Of what.
        request: Asked for by this.
        group: Its own control group, where this machine has them.
    """

    template: Template
    request: ForkRequest
    group: Cgroup | None


class Reserved:
    """The place of one: it is being made by one task, and taken by another, or ends unused.

    Args:
        spec: As far as it was known when it was begun.
    """

    def __init__(self, spec: ProcessSpec) -> None:
        self.spec = spec
        self._fork: HeldIn | None = None
        self._held = AsyncExitStack()
        self._is_over = trio.Event()

    def is_for(self, spec: ProcessSpec) -> bool:
        """Whether a start by this specification would have asked for the very same."""
        mine, its = ((one.slot, one.limits, tuple(one.writable), tuple(one.readable)) for one in (self.spec, spec))
        return mine == its

    @contextmanager
    def closing(self) -> Iterator[None]:
        """Around its making: however that ends, nobody waits for it any more."""
        try:
            yield
        finally:
            self._is_over.set()

    def keep(self, fork: HeldIn, held: AsyncExitStack) -> None:
        """It is ready; ``held`` ends it."""
        self._fork, self._held = fork, held

    async def take(self, held: AsyncExitStack) -> HeldIn | None:
        """Wait for it; it ends with ``held`` from here on. None where it could not be had.

        Cancellation: nothing changes.
        """
        await self._is_over.wait()
        fork, self._fork = self._fork, None
        held.push_async_exit(self._held.pop_all())
        return fork

    async def close(self) -> None:
        """End it, unless it was taken. Cancellation: it is on its way out; call it under a bounded shield."""
        await self._held.aclose()
