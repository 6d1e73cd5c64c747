"""Forks made in advance for expected starts: their owner, their lifetime and their number."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from functools import partial

import structlog
import trio

from preview.errors import LaunchFailed
from preview.runtime.cgroups import Cgroup
from preview.runtime.interface import ProcessSpec
from preview.runtime.kernel.linux import beside
from preview.runtime.waiting import wait_any
from preview.runtime.warm.forks.forking import ForkRequest, NotForked
from preview.runtime.warm.template_process import NoTemplate, Template

# Used instead of a process number, which is known only at the start: earlier steps may have groups named by their
# numbers. A staying fork may still be ending when another is made, so the two kinds have two numbers.
BEFORE_ANY, BEFORE_ANY_STAYING = 0, -1


@dataclass(frozen=True, slots=True)
class ConfinedFork:
    """A confined fork that has no program yet.

    Attributes:
        template: Template that was forked.
        request: The fork's request, which completes it.
        group: The fork's control group; None without control groups.
    """

    template: Template
    request: ForkRequest
    group: Cgroup | None


class ForkReservation:
    """One fork in advance: one task makes it, and a start takes it, or it ends unused.

    Args:
        spec: The specification, as far as it is known.
        stays: Whether the fork waits without a time limit until its start is under way.

    Attributes:
        awaited: Set when the preview's start is under way: from then on the fork waits for some seconds.
        unwanted: Set when nothing will use the fork any more; the task that made it ends it.
        taken: Set when a start has taken the fork.
        gone: Set when the fork can no longer be taken.
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
        """Wrap the making of the fork, which ``close`` cancels; at the end waiters are woken in any case."""
        try:
            with self._scope:
                yield
        finally:
            self._is_made.set()

    @property
    def fork(self) -> ConfinedFork | None:
        """The fork, once it is ready."""
        return self._fork

    def keep(self, fork: ConfinedFork, held: AsyncExitStack) -> None:
        """Store the ready fork; closing ``held`` ends it."""
        self._fork, self._held = fork, held

    async def take(self, spec: ProcessSpec, template: Template) -> ConfinedFork | None:
        """Wait until the fork is made, and return it; ``close`` still ends it.

        Args:
            spec: Specification of the start.
            template: Template that the start would fork now.

        Returns:
            None if the fork failed, has ended, or does not match ``spec`` and ``template``.

        Cancellation: the fork is not affected.
        """
        await self._is_made.wait()
        fork = self._fork
        if fork is None or fork.template is not template or fork.request.has_ended or not self.is_for(spec):
            return None
        return fork

    async def close(self) -> None:
        """End the fork, or its making. Cancellation: the end has been requested; call it under a bounded shield."""
        self._scope.cancel()
        if not self._is_made.is_set():
            await self._is_made.wait()
        await self._held.aclose()

    def is_for(self, spec: ProcessSpec) -> bool:
        """Return whether a fork for ``spec`` would have the same template, slot, limits and folders."""
        return _what_a_fork_is_asked_for(self.spec) == _what_a_fork_is_asked_for(spec)


def _what_a_fork_is_asked_for(spec: ProcessSpec) -> tuple[object, ...]:
    key, anchors = ("", ()) if spec.warm is None else (spec.warm.key, tuple(spec.warm.anchors))
    return key, spec.slot, spec.limits, tuple(spec.writable), spec.around, tuple(spec.readable), anchors


log = structlog.get_logger(__name__)

# Killing an unused fork and removing its control group takes milliseconds.
_END_S = 5.0
# Later use is unlikely: the project is of another kind, or has packages to install.
_UNUSED_S = 5.0
# As many as start at once on two processors; each may use some 25 MiB before its start. The task that wants staying
# forks limits their number.
_MOST_RESERVED = 4


class Reservations:
    """One reservation per preview, owned by the open ``reserve`` until a start takes it.

    Args:
        fork: Makes a confined fork; the given stack ends it.
        can_reserve: Whether a template for the specification is ready now.
        retired: Returns the event that is set when the template is not forked any more.
    """

    def __init__(
        self,
        fork: Callable[[ProcessSpec, AsyncExitStack], Awaitable[ConfinedFork]],
        *,
        can_reserve: Callable[[ProcessSpec], bool],
        retired: Callable[[Template], trio.Event],
    ) -> None:
        self._fork = fork
        self._can_reserve = can_reserve
        self._retired = retired
        # By preview id. An entry exists only while its ``reserve`` is open and nothing has taken it.
        self._unused: dict[str, ForkReservation] = {}

    def take(self, preview_id: str) -> ForkReservation | None:
        """Remove and return this preview's reservation, or None; the caller closes it."""
        reserved = self._unused.pop(preview_id, None)
        if reserved is not None:
            reserved.taken.set()
        return reserved

    @asynccontextmanager
    async def reserve(self, spec: ProcessSpec, *, stays: bool) -> AsyncIterator[trio.Event]:
        """See ``Runtime``. Cancellation: an unused fork ends."""
        before = self._unused.get(spec.preview_id)
        if before is not None and before.is_for(spec):
            before.awaited.set()
            yield before.gone
            return
        if not self._can_reserve(spec) or not (stays or self._has_room()):
            gone = trio.Event()
            gone.set()
            yield gone
            return
        number = BEFORE_ANY_STAYING if stays else BEFORE_ANY
        if before is not None:
            before.unwanted.set()
        self._unused[spec.preview_id] = reserved = ForkReservation(replace(spec, number=number), stays=stays)
        try:
            async with beside(partial(self._hold_ready, reserved)):
                yield reserved.gone
        finally:
            self._drop(reserved)
            with trio.move_on_after(_END_S, shield=True):
                await reserved.close()

    def _has_room(self) -> bool:
        """Limit the forks in advance: most launches in a long queue would hold memory for nothing."""
        return sum(not one.stays for one in self._unused.values()) < _MOST_RESERVED

    def _drop(self, reserved: ForkReservation) -> bool:
        """Prevent further use; return whether the reservation was still unused."""
        reserved.gone.set()
        is_free = self._unused.get(reserved.spec.preview_id) is reserved
        if is_free:
            del self._unused[reserved.spec.preview_id]
        return is_free

    async def _hold_ready(self, reserved: ForkReservation) -> None:
        """Make a confined fork, and keep it while use is likely. Cancellation: ``reserve`` ends the fork."""
        await self._make_ready(reserved)
        if reserved.fork is not None:
            await self._wait_useless(reserved, reserved.fork)
        # A launch that uses the fork has removed it from ``_unused``.
        if self._drop(reserved) or reserved.unwanted.is_set():
            await reserved.close()

    async def _wait_useless(self, reserved: ForkReservation, fork: ConfinedFork) -> None:
        """Wait until the fork is taken or useless. Cancellation: the fork is not affected."""
        ends = (reserved.taken, reserved.unwanted, self._retired(fork.template))
        async with beside(partial(_note_end, fork, reserved.unwanted)):
            await wait_any(reserved.awaited, *ends)
            with trio.move_on_after(_UNUSED_S):
                await wait_any(*ends)

    async def _make_ready(self, reserved: ForkReservation) -> None:
        """Make a confined fork in advance. Cancellation: a fork in the making ends."""
        # A failure here costs little: the start tries again, and reports the reason.
        with reserved.making():
            try:
                async with AsyncExitStack() as held:
                    fork = await self._fork(reserved.spec, held)
                    reserved.keep(fork, held.pop_all())
            except (NotForked, NoTemplate, LaunchFailed, OSError) as error:
                log.debug("fork reservation failed", preview_id=reserved.spec.preview_id, why=str(error))
            except Exception:
                # An exception here would end the preview that runs in the same nursery.
                log.exception("fork reservation failed", preview_id=reserved.spec.preview_id)


async def _note_end(fork: ConfinedFork, ended: trio.Event) -> None:
    """Set the event when a process of the fork has ended by itself. Cancellation: the fork is not affected."""
    try:
        await fork.request.wait_ended()
        ended.set()
    except* OSError as error:
        # The start checks the fork again.
        log.debug("fork exit not watched", why=str(error.exceptions[0]))
