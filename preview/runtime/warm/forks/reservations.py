"""Forks that are made ready before their starts: by which preview, for how long, and how many."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from functools import partial

import structlog
import trio

from preview.core.clock import wait_any
from preview.errors import LaunchFailed
from preview.runtime.cgroups import Cgroup
from preview.runtime.interface import ProcessSpec
from preview.runtime.kernel.linux import beside
from preview.runtime.warm.forks.forking import ForkRequest, NotForked
from preview.runtime.warm.template_process import NoTemplate, Template

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
        unwanted: Set when nothing will use it any more: the task that has made it ends it.
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
        """The fork, once it is ready."""
        return self._fork

    def keep(self, fork: ConfinedFork, held: AsyncExitStack) -> None:
        """Keep the ready fork; ``held`` ends it."""
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
        """Return whether it matches: a fork of the same template in the same place."""
        return _what_a_fork_is_asked_for(self.spec) == _what_a_fork_is_asked_for(spec)


def _what_a_fork_is_asked_for(spec: ProcessSpec) -> tuple[object, ...]:
    key, anchors = ("", ()) if spec.warm is None else (spec.warm.key, tuple(spec.warm.anchors))
    return key, spec.slot, spec.limits, tuple(spec.writable), tuple(spec.readable), anchors


log = structlog.get_logger(__name__)

# A fork that was not used is killed, and its control group removed: milliseconds.
_END_S = 5.0
# From then on it is likely that nobody will: the project is of another kind, or has packages to install.
_UNUSED_S = 5.0
# As many as start at once on two processors; each may hold some 25 MiB before its start. Those that stay are bounded
# by the task that wants them.
_MOST_RESERVED = 4


class Reservations:
    """One a preview, held by the task that has ``reserve`` open until its start takes it.

    Args:
        fork: Has a fork confined, kept by the stack.
        can_reserve: Whether there is something to fork from now.
        retired: Set when nothing is forked from this template any more.
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
        # By preview; each is in there only while its ``reserve`` is open, and unused.
        self._unused: dict[str, ForkReservation] = {}

    def take(self, preview_id: str) -> ForkReservation | None:
        """Take this preview's reservation; the caller closes it."""
        reserved = self._unused.pop(preview_id, None)
        if reserved is not None:
            reserved.taken.set()
        return reserved

    @asynccontextmanager
    async def reserve(self, spec: ProcessSpec, *, stays: bool) -> AsyncIterator[trio.Event]:
        """See ``Runtime``. Cancellation: what was started and not used ends."""
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
        """Of many that wait for their turn to start, most would hold memory for nothing."""
        return sum(not one.stays for one in self._unused.values()) < _MOST_RESERVED

    def _drop(self, reserved: ForkReservation) -> bool:
        """Let nobody take it any more; whether somebody could have."""
        reserved.gone.set()
        is_free = self._unused.get(reserved.spec.preview_id) is reserved
        if is_free:
            del self._unused[reserved.spec.preview_id]
        return is_free

    async def _hold_ready(self, reserved: ForkReservation) -> None:
        """Have a fork confined, for as long as it is likely to be used. Cancellation: it is ``reserve``'s to end."""
        await self._make_ready(reserved)
        if reserved.fork is not None:
            await self._wait_useless(reserved, reserved.fork)
        # The launch that uses it has taken it out.
        if self._drop(reserved) or reserved.unwanted.is_set():
            await reserved.close()

    async def _wait_useless(self, reserved: ForkReservation, fork: ConfinedFork) -> None:
        """Wait until it is taken, or of no use to anybody. Cancellation: nothing changes."""
        ends = (reserved.taken, reserved.unwanted, self._retired(fork.template))
        async with beside(partial(_note_end, fork, reserved.unwanted)):
            await wait_any(reserved.awaited, *ends)
            with trio.move_on_after(_UNUSED_S):
                await wait_any(*ends)

    async def _make_ready(self, reserved: ForkReservation) -> None:
        """Have a fork confined, before its start. Cancellation: what was started ends."""
        # As good as nothing is lost where it does not come to it: the start tries again, and says why not.
        with reserved.making():
            try:
                async with AsyncExitStack() as held:
                    fork = await self._fork(reserved.spec, held)
                    reserved.keep(fork, held.pop_all())
            except (NotForked, NoTemplate, LaunchFailed, OSError) as error:
                log.debug("fork reservation failed", preview_id=reserved.spec.preview_id, why=str(error))
            except Exception:
                # A mistake here would end the preview that goes on beside it.
                log.exception("fork reservation failed", preview_id=reserved.spec.preview_id)


async def _note_end(fork: ConfinedFork, ended: trio.Event) -> None:
    """Set the event when one of its processes has ended by itself. Cancellation: nothing changes."""
    try:
        await fork.request.wait_ended()
        ended.set()
    except* OSError as error:
        # Its start looks at it again.
        log.debug("fork exit not watched", why=str(error.exceptions[0]))
