"""Spare slots: folders, a port and a confined fork, made before the launch that uses them.

The next launch of the same environment takes one (``benchmarks/launch.py``: a third of a small launch).
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
from preview.supervisor.life.preview_slot import PreviewSlot
from preview.supervisor.limits.disk import check_free_disk
from preview.supervisor.manager.registry import PreviewRegistry

log = structlog.get_logger(__name__)

# A launch that has just noted what it starts in begins in this moment, and goes first.
_PAUSE_S = 0.05


class SpareSlots:
    """Gives slots to launches. A spare one is kept for each environment that was used last, up to ``PREVIEW_SPARES``.

    Invariant: each is taken once, or ends by its task, which the manager's nursery holds.

    Args:
        context: Has the history of starts.
        registry: Says which ports are taken.
        run: Runs a slot's task; returns at once.
    """

    def __init__(
        self, context: SupervisorContext, registry: PreviewRegistry, run: Callable[[PreviewSlot], None]
    ) -> None:
        self._context = context
        self._registry = registry
        self._run = run
        # The spare ones, by the key of the template; the least recently used first.
        self._spares: dict[str, PreviewSlot] = {}
        self._is_closed = False

    def has(self, preview_id: str) -> bool:
        """Return True for the id of a spare slot."""
        return any(slot.id == preview_id for slot in self._spares.values())

    def claim(self, generation_id: str, whose: Whose) -> PreviewSlot:
        """Claim a slot for a launch of this generation; its port listens. The caller takes it at once.

        Raises:
            NoPortFree: There is none.
        """
        return self._claim_spare(generation_id, whose) or self._new()

    def _new(self) -> PreviewSlot:
        try:
            listener = self._bind()
        except NoPortFree:
            if not self._end_oldest():
                raise
            listener = self._bind()
        slot = PreviewSlot(new_preview_id(), listener)
        self._run(slot)
        return slot

    def _bind(self, *, listens: bool = True) -> socket.socket:
        settings = self._context.settings
        return bind_in_range(
            settings.preview_host, settings.port_min, settings.port_max, held=self._registry.ports, listens=listens
        )

    def _claim_spare(self, generation_id: str, whose: Whose) -> PreviewSlot | None:
        """Claim the spare slot of the generation's likely environment, listening; None where there is none."""
        expected = self._context.history.find(generation_id, whose)
        slot = None if expected is None else self._spares.get(template_key(expected.environment, expected.whose))
        if expected is None or slot is None or not slot.is_ready:
            return None
        if prepared_spec(self._context.settings, expected) is None:
            # In the same environment, but nothing that is forked.
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
        """End the spare slot that was not used for longest: its port is free at once. Whether there was one."""
        slot = next(iter(self._spares.values()), None)
        if slot is None:
            return False
        self.forget(slot)
        slot.listener.close()
        slot.scope.cancel()
        return True

    def close(self) -> None:
        """End all spare slots, and make no more."""
        self._is_closed = True
        while self._end_oldest():
            pass

    def forget(self, slot: PreviewSlot) -> None:
        """Forget a slot that was taken, or has ended."""
        self._spares = {key: one for key, one in self._spares.items() if one is not slot}

    async def keep(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Have one for what was started in last, again and again, while nothing else starts; until cancelled.

        One task, in the manager's nursery. Cancellation: what was made is its own task's to end.
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
                # A mistake here would leave this task for the nursery that all previews share.
                log.exception("no spare slot")

    async def _have(self, start: StartRecord) -> None:
        """Make one slot. Cancellation: there is one, or not."""
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
