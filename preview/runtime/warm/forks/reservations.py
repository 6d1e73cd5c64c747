"""Forks that are made ready before their starts: by which preview, for how long, and how many."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from functools import partial

import structlog
import trio

from preview.core.waiting import wait_any
from preview.errors import LaunchFailed
from preview.runtime.interface import ProcessSpec
from preview.runtime.kernel.beside import beside
from preview.runtime.warm.forks.forking import NotForked
from preview.runtime.warm.forks.reservation import BEFORE_ANY, BEFORE_ANY_STAYING, ConfinedFork, ForkReservation
from preview.runtime.warm.template_process import NoTemplate, Template

log = structlog.get_logger(__name__)

# A fork that was not used is killed, and its control group removed: milliseconds.
_END_S = 5.0
# From then on it is likely that nobody will: the project is of another kind, or has packages to install.
_UNUSED_S = 5.0
# As many as start at once on two processors; each may hold some 25 MiB before its start. Those that stay are bounded
# by whoever wants them.
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
        """This preview's; the caller closes it."""
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
        # Whoever uses it has taken it out.
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
                log.debug("a fork was not made ready early", preview_id=reserved.spec.preview_id, why=str(error))
            except Exception:
                # A mistake here would end the preview that goes on beside it.
                log.exception("a fork was not made ready early", preview_id=reserved.spec.preview_id)


async def _note_end(fork: ConfinedFork, ended: trio.Event) -> None:
    """Set the event when one of its processes has ended by itself. Cancellation: nothing changes."""
    try:
        await fork.request.wait_ended()
        ended.set()
    except* OSError as error:
        # Its start looks at it again.
        log.debug("the end of what waits is not noticed", why=str(error.exceptions[0]))
