"""A reserved fork that runs already, as what its start is likely to be: mostly that is what is decided then."""

from __future__ import annotations

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

# A tree is killed within five seconds, and its control group is removed.
_END_S = 10.0

# Says whether a start would be forked from this template.
Check = Callable[[ProcessSpec, Template], bool]


class SpeculativeFork:
    """See ``interface.SpeculativeFork``. Made by ``open_begun`` alone.

    Args:
        spec: What it runs as.
        template: Of what it is a fork.
        check: See ``Check``.
    """

    def __init__(self, spec: ProcessSpec, template: Template, check: Check) -> None:
        self._spec = spec
        self._template = template
        self._check = check
        self._process: ForkedProcess | None = None
        self._has_run = False
        self._is_settled = trio.Event()
        # Ends it, unless a start has it by then.
        self._held = AsyncExitStack()

    async def wait(self) -> bool:
        """See ``interface.SpeculativeFork``. Cancellation: nothing changes."""
        await self._is_settled.wait()
        return self._process is not None

    @property
    def has_run(self) -> bool:
        """See ``interface.SpeculativeFork``."""
        return self._has_run

    def is_for(self, spec: ProcessSpec) -> bool:
        """See ``interface.SpeculativeFork``."""
        return self.is_same(spec) and self._check(spec, self._template)

    def is_same(self, spec: ProcessSpec) -> bool:
        """Return whether this start would run just the same, from any template."""
        return _what_runs(spec) == _what_runs(self._spec)

    def take(self) -> tuple[ForkedProcess, Template, AsyncExitStack] | None:
        """Return the process, its template, and its end, which then belong to the caller; None if it does not run.

        To be asked for when it is settled.
        """
        if self._process is None:
            return None
        return self._process, self._template, self._held.pop_all()

    async def run(self, reserved: ForkReservation, give_files: Callable[[ProcessSpec], Awaitable[object]]) -> None:
        """Let the fork go on, once it is ready. Cancellation: ``close`` ends what has started."""
        self._held.push_async_callback(reserved.close)
        spec = self._spec
        try:
            fork = await reserved.take(spec, self._template)
            if fork is not None:
                await give_files(spec)
                self._has_run = True
                process = await fork.request.complete(spec, fork.group)
                self._held.callback(process.close)
                self._process = await self._held.enter_async_context(open_tree(process, spec))
        except (NotForked, LaunchFailed, OSError) as error:
            log.debug("speculative process failed", preview_id=spec.preview_id, why=str(error))
        except Exception:
            # A mistake here would end the preview that goes on beside it.
            log.exception("speculative process failed", preview_id=spec.preview_id)
        finally:
            self._is_settled.set()

    async def close(self) -> None:
        """End it, unless a start has it. Cancellation: call it under a bounded shield."""
        await self._held.aclose()


def _what_runs(spec: ProcessSpec) -> tuple[ProcessSpec, object]:
    """All of it but what concerns the template alone."""
    warm = spec.warm
    return replace(spec, warm=None), None if warm is None else (warm.key, warm.launcher, tuple(warm.anchors))


@asynccontextmanager
async def open_begun(
    begun: SpeculativeFork, reserved: ForkReservation, give_files: Callable[[ProcessSpec], Awaitable[object]]
) -> AsyncIterator[None]:
    """Let a process run for as long as the body lasts, or its start has it.

    Args:
        begun: What it runs as.
        reserved: The fork.
        give_files: Gives the process its folders.

    Cancellation: it is gone, unless a start has it (bounded).
    """
    try:
        async with beside(partial(begun.run, reserved, give_files)):
            yield
    finally:
        with trio.move_on_after(_END_S, shield=True):
            await begun.close()
