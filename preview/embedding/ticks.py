"""Turns of a guest run without a thread: trio's descriptor is one more descriptor of the host's loop.

``trio.lowlevel.start_guest_run`` waits for sockets in a thread. To wake that thread for a request, and the host's loop
from the thread, costs more processor time than the request itself. Here the host's loop waits for trio's epoll
descriptor, which is readable when one of trio's own descriptors is (epoll(7)). And a turn that the host's side needs
is taken at once, in the caller.

Trio has no public name for that descriptor. So this looks at the object that trio passes to its host's callback; if it
is not as expected, as in another version of trio or on another system, the run goes on with the thread.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final

import outcome
import sniffio
import trio

# Attributes of ``trio._core._run.GuestState`` that are used here, in trio 0.33 to 0.35.
_STATE: Final = ("runner", "unrolled_run_gen", "unrolled_run_next_send", "done_callback", "guest_tick")
_FOREVER_S: Final = 86400.0


class Ticks:
    """Schedules the turns of a guest run.

    Args:
        loop: The host's loop.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        # Trio's object; None before the first turn.
        self._state: Any = None
        self._descriptor = -1
        self._timer: asyncio.TimerHandle | None = None
        # Invariant: true exactly while no turn runs and none is scheduled.
        self._waits = False

    @property
    def is_threadless(self) -> bool:
        """True while the run waits in the host's loop."""
        return self._descriptor >= 0

    def soon(self, tick: Callable[[], object]) -> None:
        """Schedule a turn: trio's ``run_sync_soon_not_threadsafe``."""
        if self._state is None:
            self._state = getattr(tick, "__self__", None)
            self._descriptor = _descriptor_of(self._state)
            if self._descriptor >= 0:
                self._loop.add_reader(self._descriptor, self._ready)
        self._loop.call_soon(self._turn if self._descriptor >= 0 else tick)

    def now(self, act: Callable[[], object]) -> None:
        """Do something on the host's side that lets a trio task go on, and take the turn at once if none is due."""
        if not self._waits:
            act()
            return
        runner = self._state.runner
        # Else trio would wake its descriptor.
        runner.guest_tick_scheduled = True
        try:
            act()
        except BaseException:
            runner.guest_tick_scheduled = False
            raise
        self._ready()

    def end(self) -> None:
        """Stop waiting; call it when the run is over."""
        self._waits = False
        if self._descriptor >= 0:
            self._loop.remove_reader(self._descriptor)
            self._descriptor = -1
        if self._timer is not None:
            self._timer.cancel()

    def _ready(self) -> None:
        # Trio marks a turn as scheduled before it wakes the descriptor, so its own mark says nothing here.
        if not self._waits:
            return
        self._waits = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._collect()
        self._turn()

    def _collect(self) -> None:
        runner = self._state.runner
        runner.guest_tick_scheduled = True
        self._state.unrolled_run_next_send = outcome.capture(runner.io_manager.get_events, 0)

    def _turn(self) -> None:
        state, library = self._state, sniffio.thread_local
        before, library.name = library.name, "trio"
        try:
            timeout: float = state.unrolled_run_next_send.send(state.unrolled_run_gen)
        except StopIteration:
            state.done_callback(state.runner.main_task_outcome)
            return
        except trio.TrioInternalError as error:
            state.done_callback(outcome.Error(error))
            return
        finally:
            library.name = before
        if timeout <= 0:
            self._collect()
            self._loop.call_soon(self._turn)
            return
        state.runner.guest_tick_scheduled = False
        self._waits = True
        if timeout < _FOREVER_S:
            self._timer = self._loop.call_later(timeout, self._ready)


def _descriptor_of(state: Any) -> int:
    """Return the descriptor that trio waits for; -1 if this is unknown."""
    if not all(hasattr(state, name) for name in _STATE):
        return -1
    try:
        return int(state.runner.io_manager._epoll.fileno())  # noqa: SLF001  see the module
    except (AttributeError, OSError, ValueError):
        return -1
