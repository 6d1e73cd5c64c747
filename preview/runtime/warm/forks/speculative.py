"""A reserved fork that runs before the launch is decided; the decision is usually the expected one."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from functools import partial

import structlog
import trio

from preview.errors import LaunchFailed
from preview.runtime.interface import ProcessSpec
from preview.runtime.kernel.linux import beside
from preview.runtime.process.process import open_tree
from preview.runtime.warm.forks.forking import NotForked
from preview.runtime.warm.forks.process import ForkedProcess
from preview.runtime.warm.forks.reservations import ForkReservation
from preview.runtime.warm.template_process import Template

log = structlog.get_logger(__name__)

# Killing a tree takes up to five seconds; removing its control group comes on top.
_END_S = 10.0

# Returns whether a start would fork this template now.
Check = Callable[[ProcessSpec, Template], bool]


class SpeculativeFork:
    """See ``interface.SpeculativeProcess``. Only ``WarmRuntime.speculate`` makes one.

    Args:
        spec: Expected specification of the start.
        template: Template of the reserved fork.
        check: Returns whether a start would fork ``template`` now.
        way_out: Socket through which the process hands out listening sockets; see ``open_reached``.
    """

    def __init__(
        self, spec: ProcessSpec, template: Template, check: Check, way_out: socket.socket | None = None
    ) -> None:
        self._spec = spec
        self._way_out = way_out
        self._template = template
        self._check = check
        self._process: ForkedProcess | None = None
        self._has_run = False
        self._is_settled = trio.Event()
        self._scope = trio.CancelScope()
        # Ends the process, unless a start has taken it over.
        self._held = AsyncExitStack()

    async def wait(self) -> bool:
        """See ``interface.SpeculativeProcess``. Cancellation: the process is not affected."""
        await self._is_settled.wait()
        return self._process is not None

    @property
    def has_run(self) -> bool:
        """See ``interface.SpeculativeProcess``."""
        return self._has_run

    def is_for(self, spec: ProcessSpec) -> bool:
        """See ``interface.SpeculativeProcess``."""
        return self.is_same(spec) and self._check(spec, self._template)

    def is_same(self, spec: ProcessSpec) -> bool:
        """Return whether a start with ``spec`` would run the same program, from any template."""
        return _what_runs(spec) == _what_runs(self._spec)

    def take(self) -> tuple[ForkedProcess, Template, AsyncExitStack] | None:
        """Return the process, its template and the stack that ends it, or None if it does not run.

        The caller owns them from then on. Call it only after ``wait``.
        """
        if self._process is None:
            return None
        return self._process, self._template, self._held.pop_all()

    async def run(self, reserved: ForkReservation, give_files: Callable[[ProcessSpec], Awaitable[object]]) -> None:
        """Let the reserved fork run its program, once it is ready. Cancellation: ``end`` ends what has started."""
        self._held.push_async_callback(reserved.close)
        spec = self._spec
        try:
            with self._scope:
                fork = await reserved.take(spec, self._template)
                if fork is not None:
                    await give_files(spec)
                    self._has_run = True
                    process = await fork.request.complete(spec, fork.group, way_out=self._way_out)
                    self._held.callback(process.close)
                    self._process = await self._held.enter_async_context(open_tree(process, spec))
        except (NotForked, LaunchFailed, OSError) as error:
            log.debug("no speculative process", preview_id=spec.preview_id, why=str(error))
        except Exception:
            # An exception here would end the preview that runs in the same nursery.
            log.exception("no speculative process", preview_id=spec.preview_id)
        finally:
            self._is_settled.set()

    async def end(self) -> None:
        """See ``interface.SpeculativeProcess``. Cancellation: the process still ends (bounded)."""
        self._scope.cancel()
        with trio.move_on_after(_END_S, shield=True):
            await self._is_settled.wait()
            # Either a start has taken ``_held``, or nothing can be taken any more.
            self._process = None
            await self._held.aclose()


def _what_runs(spec: ProcessSpec) -> tuple[ProcessSpec, object]:
    """Return everything that decides what runs, without the template's own settings."""
    warm = spec.warm
    return replace(spec, warm=None), None if warm is None else (warm.key, warm.launcher, tuple(warm.anchors))


@asynccontextmanager
async def running(
    process: SpeculativeFork, reserved: ForkReservation, give_files: Callable[[ProcessSpec], Awaitable[object]]
) -> AsyncIterator[None]:
    """Run a speculative process until the body ends, or a start takes the process.

    Args:
        process: The speculative process.
        reserved: The reserved fork that it uses.
        give_files: Makes the preview's user the owner of the folders.

    Cancellation: the process is ended, unless a start has taken it (bounded).
    """
    try:
        async with beside(partial(process.run, reserved, give_files)):
            yield
    finally:
        with trio.move_on_after(_END_S, shield=True):
            await process.end()
