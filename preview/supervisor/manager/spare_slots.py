"""Spare slots: folders, a port and a confined fork, created before the launch that uses them.

The next launch with the same environment takes one (``benchmarks/launch.py``: saves a third of a small launch).
"""

from __future__ import annotations

import socket
from collections import Counter
from collections.abc import Callable

import structlog
import trio

from preview.core.ids import new_preview_id
from preview.errors import NoPortFree, PreviewError
from preview.runtime import bind_in_range, listen_at_last
from preview.supervisor.launch.start_history import StartRecord, prepared_spec
from preview.supervisor.launch.start_queue import SupervisorContext
from preview.supervisor.launch.warming import Whose, template_key
from preview.supervisor.life.preview_slot import PreviewSlot
from preview.supervisor.limits.disk import check_free_disk
from preview.supervisor.manager.registry import PreviewRegistry

log = structlog.get_logger(__name__)

# The launch that has just recorded its environment is starting now, and goes first.
_PAUSE_S = 0.05


class SpareSlots:
    """Provides slots for launches. Keeps a spare slot for each recently used environment, up to ``PREVIEW_SPARES``.

    Invariant: each spare slot is taken at most once; its task runs in the manager's nursery.

    Args:
        context: Provides the history of starts.
        registry: Provides the ports in use.
        run: Starts a slot's task; returns at once.

    Attributes:
        claimed: Slots that launches got: ``spare`` ones and ``new`` ones.
    """

    def __init__(
        self, context: SupervisorContext, registry: PreviewRegistry, run: Callable[[PreviewSlot], None]
    ) -> None:
        self._context = context
        self._registry = registry
        self._run = run
        # Spare slots by template key; the least recently used first.
        self._spares: dict[str, PreviewSlot] = {}
        self._is_closed = False
        self.claimed = Counter(spare=0, new=0)

    def __len__(self) -> int:
        return len(self._spares)

    def has(self, preview_id: str) -> bool:
        """Return True for the id of a spare slot."""
        return any(slot.id == preview_id for slot in self._spares.values())

    def is_warm(self, start: StartRecord) -> bool:
        """Return whether a spare slot is ready for this start's environment."""
        slot = self._spares.get(template_key(start.environment, start.whose))
        return slot is not None and slot.is_ready

    def claim(self, generation_id: str, whose: Whose) -> PreviewSlot:
        """Return a slot for a launch of this generation; its port listens. The caller must take it at once.

        Raises:
            NoPortFree: No port is free.
        """
        spare = self._claim_spare(generation_id, whose)
        slot = spare or self.new(self._run)
        self.claimed["new" if spare is None else "spare"] += 1
        return slot

    def new(self, run: Callable[[PreviewSlot], None], preview_id: str | None = None) -> PreviewSlot:
        """Return a new slot; its port listens. The caller must take it at once.

        Args:
            run: Starts the slot's task; returns at once.
            preview_id: Id of a preview that comes from another node; None for a new one.

        Raises:
            NoPortFree: No port is free.
        """
        try:
            listener = self._bind()
        except NoPortFree:
            if not self._end_oldest():
                raise
            listener = self._bind()
        slot = PreviewSlot(preview_id or new_preview_id(), listener)
        run(slot)
        return slot

    def _bind(self, *, listens: bool = True) -> socket.socket:
        settings = self._context.settings
        return bind_in_range(
            settings.preview_host, settings.port_min, settings.port_max, held=self._registry.ports, listens=listens
        )

    def _claim_spare(self, generation_id: str, whose: Whose) -> PreviewSlot | None:
        """Return the spare slot for the generation's likely environment, listening; None if there is none."""
        expected = self._context.history.find(generation_id, whose)
        slot = None if expected is None else self._spares.get(template_key(expected.environment, expected.whose))
        if expected is None or slot is None or not slot.is_ready:
            return None
        if prepared_spec(self._context.settings, expected) is None:
            # The environment is the same, but this kind of application is not forked.
            return None
        self.forget(slot)
        try:
            listen_at_last(slot.listener)
        except OSError as error:
            log.info("spare slot failed", preview_id=slot.id, why=error.strerror or str(error))
            slot.scope.cancel()
            return None
        return slot

    def _end_oldest(self) -> bool:
        """End the least recently used spare slot and free its port; return False if there is none."""
        slot = next(iter(self._spares.values()), None)
        if slot is None:
            return False
        self.forget(slot)
        slot.listener.close()
        slot.scope.cancel()
        return True

    def close(self) -> None:
        """End all spare slots and create no more."""
        self._is_closed = True
        while self._end_oldest():
            pass

    def forget(self, slot: PreviewSlot) -> None:
        """Remove a slot that was taken or has ended."""
        self._spares = {key: one for key, one in self._spares.items() if one is not slot}

    async def keep(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Keep a spare slot for the environment of each new start, until cancelled; yields to other starts.

        One task, in the manager's nursery. Cancellation: the slots' own tasks end them.
        """
        task_status.started()
        while self._context.settings.spares:
            start = await self._context.history.wait_noted()
            await trio.sleep(_PAUSE_S)
            try:
                await self._have(start)
            except (PreviewError, OSError) as error:
                log.debug("no spare slot", why=str(error))
            except Exception:
                # An error that leaves this task would cancel the nursery of all previews.
                log.exception("no spare slot")

    async def _have(self, start: StartRecord) -> None:
        """Create a slot for this start, or mark its slot as recently used. Cancellation: the slot may exist or not."""
        context = self._context
        key = template_key(start.environment, start.whose)
        spec = prepared_spec(context.settings, start)
        if spec is None or not await context.runtime.wait_prepared(spec):
            return
        await context.start_queue.wait_idle()
        if self._is_closed:
            return
        slot = self._spares.pop(key, None)
        self._spares[key] = self._make(start) if slot is None else slot

    def _make(self, start: StartRecord) -> PreviewSlot:
        settings = self._context.settings
        check_free_disk(settings)
        slot = PreviewSlot(new_preview_id(), self._bind(listens=False), start)
        if len(self._spares) >= settings.spares:
            self._end_oldest()
        self._run(slot)
        return slot
