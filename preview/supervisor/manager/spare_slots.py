"""The places of previews: made at their launch, or before it with a fork that is confined and waits for its code.

Of one made in advance all is there that a launch would make first: folders, a port, a process in its sandbox that has
made its own the memory that it will write to. The next launch of the same environment takes it
(``benchmarks/launch.py``).
"""

from __future__ import annotations

import socket
from collections.abc import Callable

import structlog
import trio

from preview.core.ids import new_preview_id
from preview.errors import NoPortFree, PreviewError
from preview.runtime import bind_in_range, listen_at_last
from preview.supervisor.launch.start_history import StartRecord, prepared_spec
from preview.supervisor.launch.start_queue import SupervisorContext
from preview.supervisor.launch.warming import Whose, template_key
from preview.supervisor.life.reserving import PreviewSlot
from preview.supervisor.limits.disk import check_free_disk
from preview.supervisor.manager.registry import PreviewRegistry

log = structlog.get_logger(__name__)

# A launch that has just noted what it starts in begins in this moment, and goes first.
_PAUSE_S = 0.05


class SpareSlots:
    """Hands them out. One is made in advance for each environment that was started in last, up to ``PREVIEW_SPARES``.

    Invariant: each is taken once, or ends by its task, which the manager's nursery holds.

    Args:
        context: Says what is started in which environment.
        roster: Says which ports are taken.
        run: Runs a place's task; returns at once.
    """

    def __init__(
        self, context: SupervisorContext, registry: PreviewRegistry, run: Callable[[PreviewSlot], None]
    ) -> None:
        self._context = context
        self._registry = registry
        self._run = run
        # Those made in advance, by the key of the template; the least recently used first.
        self._places: dict[str, PreviewSlot] = {}
        self._is_closed = False

    def holds(self, preview_id: str) -> bool:
        """Return whether this is a spare slot's id."""
        return any(place.id == preview_id for place in self._places.values())

    def claim(self, generation_id: str, whose: Whose) -> PreviewSlot:
        """Return a slot for the launch of a generation of this project, to be used at once; its port listens.

        Raises:
            NoPortFree: There is none.
        """
        return self._made_ahead(generation_id, whose) or self._new()

    def _new(self) -> PreviewSlot:
        try:
            listener = self._bind()
        except NoPortFree:
            if not self._give_way():
                raise
            listener = self._bind()
        place = PreviewSlot(new_preview_id(), listener)
        self._run(place)
        return place

    def _bind(self, *, listens: bool = True) -> socket.socket:
        settings = self._context.settings
        return bind_in_range(
            settings.preview_host, settings.port_min, settings.port_max, held=self._registry.ports, listens=listens
        )

    def _made_ahead(self, generation_id: str, whose: Whose) -> PreviewSlot | None:
        """Return the slot for this generation's likely environment, listening; None without one."""
        expected = self._context.known.find(generation_id, whose)
        place = None if expected is None else self._places.get(template_key(expected.environment, expected.whose))
        if expected is None or place is None or not place.is_ready:
            return None
        if prepared_spec(self._context.settings, expected) is None:
            # In the same environment, but nothing that is forked.
            return None
        self.forget(place)
        try:
            listen_at_last(place.listener)
        except OSError as error:
            log.info("spare slot cannot listen", preview_id=place.id, why=error.strerror or str(error))
            place.scope.cancel()
            return None
        return place

    def _give_way(self) -> bool:
        """End the one that was not used for longest: its port is free at once. Whether there was one."""
        place = next(iter(self._places.values()), None)
        if place is None:
            return False
        self._end(place)
        return True

    def close(self) -> None:
        """End all that are made in advance, and make no more."""
        self._is_closed = True
        while self._give_way():
            pass

    def forget(self, place: PreviewSlot) -> None:
        """Forget a slot that is taken or ended."""
        self._places = {key: one for key, one in self._places.items() if one is not place}

    async def keep(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Have one for what was started in last, again and again, while nothing else starts; until cancelled.

        One task, in the manager's nursery. Cancellation: what was made is its own task's to end.
        """
        task_status.started()
        while self._context.settings.spares:
            start = await self._context.known.wait_noted()
            await trio.sleep(_PAUSE_S)
            try:
                await self._have(start)
            except (PreviewError, OSError) as error:
                log.debug("spare slot not made", why=str(error))
            except Exception:
                # A mistake here would leave this task for the nursery that all previews share.
                log.exception("spare slot not made")

    async def _have(self, start: StartRecord) -> None:
        """Make one slot. Cancellation: there is one, or not."""
        context = self._context
        key = template_key(start.environment, start.whose)
        spec = prepared_spec(context.settings, start)
        if spec is None or not await context.runtime.wait_prepared(spec):
            return
        await context.starting.wait_idle()
        if self._is_closed:
            return
        known = self._places.pop(key, None)
        if known is None:
            known = self._make(start)
        self._places[key] = known

    def _make(self, start: StartRecord) -> PreviewSlot:
        settings = self._context.settings
        check_free_disk(settings)
        place = PreviewSlot(new_preview_id(), self._bind(listens=False), start)
        if len(self._places) >= settings.spares:
            self._give_way()
        self._run(place)
        return place

    def _end(self, place: PreviewSlot) -> None:
        self.forget(place)
        place.listener.close()
        place.scope.cancel()
