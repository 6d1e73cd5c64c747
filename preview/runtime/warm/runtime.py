"""The warm runtime: forks a process from a template if possible, otherwise starts it cold in the sandbox.

A fork is confined like a process that the sandbox starts: own user, namespaces, files, limits and filter. If a fork
cannot be confined so, or a template does not fit the project, the start is cold, and the reason is reported.
"""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import (
    AbstractAsyncContextManager,
    AsyncExitStack,
    asynccontextmanager,
    closing,
    contextmanager,
)
from dataclasses import replace
from functools import partial

import structlog
import trio

from preview.core.isolation import Network
from preview.runtime.interface import Held, InnerSocket, NoSnapshot, ProcessSpec, RunningProcess, Snapshot
from preview.runtime.kernel.linux import beside
from preview.runtime.process.ending import open_group
from preview.runtime.process.process import open_tree
from preview.runtime.sandbox.port_forwarding import open_reached
from preview.runtime.sandbox.runtime import SandboxRuntime
from preview.runtime.warm.cold_cases import check_project, check_start
from preview.runtime.warm.eligibility import why_never
from preview.runtime.warm.forks.forking import NotForked, request_fork
from preview.runtime.warm.forks.process import ForkedProcess
from preview.runtime.warm.forks.reservations import ConfinedFork, Reservations
from preview.runtime.warm.forks.snapshot import ParkedOnce, open_forking, wait_parked, watch_memory
from preview.runtime.warm.forks.speculative import SpeculativeFork, running
from preview.runtime.warm.pool import Bounds, TemplatePool
from preview.runtime.warm.template_making import open_template_for
from preview.runtime.warm.template_process import NoTemplate, Template
from preview.runtime.warm.wanted import RememberedTemplates, Wanted, wanted_by

log = structlog.get_logger(__name__)


class WarmRuntime:
    """See ``Runtime``. Made by ``open_warm_runtime``.

    Args:
        cold: The sandbox runtime, for cold starts and for the parameters of confinement.
        pool: The templates.
        timeout_s: Seconds for a snapshot to import its application.
        why_never: Why no warm start is possible here, as half a sentence; None if it is.

    Attributes:
        forked: Called with the seconds of each fork, until it is confined.
    """

    def __init__(
        self, cold: SandboxRuntime, pool: TemplatePool, *, timeout_s: float, why_never: str | None = None
    ) -> None:
        self._cold = cold
        self.templates = pool
        self._timeout_s = timeout_s
        # By preview id. An entry exists while its ``speculate`` is open, and no start has taken the process.
        self._speculative: dict[str, SpeculativeFork] = {}
        self._reservations = Reservations(self._fork, can_reserve=self._can_reserve, retired=pool.retired)
        self.forked: Callable[[float], None] = lambda _seconds: None
        self._why_never = why_never
        if self._why_never is not None:
            log.info("previews start cold", why=self._why_never)

    @property
    def name(self) -> str:
        """See ``Runtime``."""
        return self._cold.name

    def describe(self) -> Mapping[str, str]:
        """See ``Runtime``."""
        starts = "Python previews are forked from templates" if self.forks else f"cold: {self._why_never}"
        return {**self._cold.describe(), "starts": starts}

    def holds(self) -> frozenset[Held]:
        """See ``Runtime``."""
        return self._cold.holds()

    def network(self, wanted: Network) -> Network:
        """See ``Runtime``."""
        return self._cold.network(wanted)

    def shares_listener(self, network: Network) -> bool:
        """See ``Runtime``."""
        return self._cold.shares_listener(network)

    def open_inner_listener(self, listener: socket.socket) -> AbstractAsyncContextManager[InnerSocket | None]:
        """See ``Runtime``."""
        return self._cold.open_inner_listener(listener)

    @property
    def forks(self) -> bool:
        """True if warm starts are possible on this machine."""
        return self._why_never is None

    def prepare(self, spec: ProcessSpec) -> None:
        """See ``Runtime``."""
        if spec.warm is not None and self._why_never is None:
            self.templates.want(wanted_by(spec, spec.warm))

    @asynccontextmanager
    async def open_process(self, spec: ProcessSpec) -> AsyncIterator[RunningProcess]:
        """See ``Runtime``. Cancellation: the whole tree is ended (bounded)."""
        warm = spec.warm
        if warm is None:
            async with self._cold.open_process(spec) as process:
                yield process
            return
        async with self._open_shared(spec) as shared:
            try:
                async with self._open_fork(shared) as (process, sentence):
                    warm.tell(sentence)
                    yield process
                    return
            except (NotForked, NoTemplate) as error:
                warm.tell(f"started cold: {error}")
            async with self._cold.open_process(shared) as process:
                yield process

    @asynccontextmanager
    async def _open_shared(self, spec: ProcessSpec) -> AsyncIterator[ProcessSpec]:
        """Yield the specification with a listening socket that a fork may inherit."""
        if self._why_never is not None:
            yield spec
            return
        async with self._cold.open_serving(spec) as serving:
            yield spec if serving is spec.listener else replace(spec, listener=serving)

    @asynccontextmanager
    async def open_snapshot(self, spec: ProcessSpec) -> AsyncIterator[Snapshot]:
        """See ``Runtime``. Cancellation: the snapshot and all its forks are ended."""
        groups = self._cold.parts.groups
        warm = spec.warm
        if warm is None:
            raise NoSnapshot("it takes a template")
        parked = replace(spec, preview_id=f"{spec.instance}-snapshot", number=1, listener=None, control=None)
        try:
            async with self._open_fork(parked, parks=True) as (process, _):
                if groups is None:
                    once = ParkedOnce(process)
                    async with beside(partial(watch_memory, process, parked, once)):
                        await wait_parked(process, self._timeout_s)
                        yield once
                    return
                await wait_parked(process, self._timeout_s)
                async with open_forking(process, groups, parked) as snapshot:
                    yield snapshot
        except (NotForked, NoTemplate) as error:
            raise NoSnapshot(str(error)) from error

    async def wait_prepared(self, spec: ProcessSpec) -> bool:
        """See ``Runtime``. Cancellation: preparation continues."""
        if spec.warm is None or self._why_never is not None:
            await trio.lowlevel.checkpoint()
            return False
        return await self.templates.wait_current(wanted_by(spec, spec.warm))

    def reserve(self, spec: ProcessSpec, *, stays: bool = False) -> AbstractAsyncContextManager[trio.Event]:
        """See ``Runtime``."""
        return self._reservations.reserve(spec, stays=stays)

    @asynccontextmanager
    async def speculate(self, spec: ProcessSpec) -> AsyncIterator[SpeculativeFork | None]:
        """See ``Runtime``. Cancellation: the process is ended, unless its start has taken it."""
        template = self._template_of(spec)
        reserved = None if template is None else self._reservations.take(spec.preview_id)
        if template is None or reserved is None:
            yield None
            return
        # The start that takes the process keeps this context open too.
        async with open_reached(spec) as way_out:
            process = SpeculativeFork(spec, template, self._forks_from, way_out)
            self._speculative[spec.preview_id] = process
            try:
                async with running(process, reserved, self._cold.give_files):
                    yield process
            finally:
                self._speculative.pop(spec.preview_id, None)

    def _forks_from(self, spec: ProcessSpec, template: Template) -> bool:
        """Return whether a start would fork this template now."""
        return self._template_of(spec) is template

    def _template_of(self, spec: ProcessSpec) -> Template | None:
        """Return the template for this start; None for a cold one."""
        try:
            self._check(spec)
            assert spec.warm is not None, "it was checked"  # noqa: S101
            template = self.templates.current(wanted_by(spec, spec.warm))
            check_project(spec, spec.warm, template.told)
        except NoTemplate:
            return None
        return template

    def _can_reserve(self, spec: ProcessSpec) -> bool:
        """Return whether a fork can be reserved now; if not, the start reports the reason, if any."""
        try:
            self._check(spec)
        except NoTemplate:
            return False
        return spec.warm is not None and self.templates.is_ready(spec.warm.key)

    async def _fork(self, spec: ProcessSpec, held: AsyncExitStack) -> ConfinedFork:
        """Return a waiting fork in its own control group; ``held`` owns the fork and its use of the template."""
        warm = spec.warm
        assert warm is not None, "asked for by the caller"  # noqa: S101
        template = held.enter_context(self.templates.use(wanted_by(spec, warm)))
        started = trio.current_time()
        self._cold.restrict(spec.listener)
        asking = request_fork(
            template,
            spec,
            self._cold.parts,
            user=self._cold.inner_user(spec),
            processes=self._cold.process_limit(spec),
        )
        with self._blaming(template):
            request = held.enter_context(closing(await asking))
        # Meanwhile the fork makes its namespaces.
        group = await held.enter_async_context(open_group(self._cold.parts.groups, spec, wrappers=1))
        with self._blaming(template):
            await request.enter(spec, group)
        self.forked(trio.current_time() - started)
        return ConfinedFork(template, request, group)

    @asynccontextmanager
    async def _open_fork(self, spec: ProcessSpec, *, parks: bool = False) -> AsyncIterator[tuple[ForkedProcess, str]]:
        warm = spec.warm
        assert warm is not None, "asked for by the caller"  # noqa: S101
        async with AsyncExitStack() as held:
            started = None if parks else await self._take_speculative(spec)
            if started is not None:
                process, template, ends = started
                held.push_async_exit(ends)
                yield process, _sentence(template)
                return
            reserved = None if parks else self._reservations.take(spec.preview_id)
            if reserved is not None:
                # This start owns the reservation from here on, and ends it if it does not use it.
                held.push_async_callback(reserved.close)
            self._check(spec)
            template = self.templates.current(wanted_by(spec, warm))
            check_project(spec, warm, template.told)
            fork = None if reserved is None else await reserved.take(spec, template)
            if fork is None:
                await held.aclose()
                fork = await self._fork(spec, held)
            if fork.template is not template:
                # The template was replaced meanwhile; the new one may have imported other modules.
                check_project(spec, warm, fork.template.told)
            await self._cold.give_files(spec)
            way_out = await held.enter_async_context(open_reached(spec))
            process = await fork.request.complete(spec, fork.group, parks=parks, way_out=way_out)
            with closing(process):
                async with open_tree(process, spec):
                    yield process, _sentence(fork.template)

    async def _take_speculative(self, spec: ProcessSpec) -> tuple[ForkedProcess, Template, AsyncExitStack] | None:
        """Take the speculative process if it matches this start. Cancellation: ``speculate`` ends the process."""
        process = self._speculative.get(spec.preview_id)
        if process is None or not process.is_same(spec):
            return None
        await process.wait()
        self._speculative.pop(spec.preview_id, None)
        return process.take()

    def _check(self, spec: ProcessSpec) -> None:
        if self._why_never is not None:
            raise NoTemplate(self._why_never)
        check_start(spec)

    @contextmanager
    def _blaming(self, template: Template) -> Iterator[None]:
        try:
            yield
        except NotForked as error:
            if error.is_its_fault:
                self.templates.give_up(template, str(error))
            raise


def _sentence(template: Template) -> str:
    return f"started warm: {template.told.imported} modules preloaded"


@asynccontextmanager
async def open_warm_runtime(
    cold: SandboxRuntime, bounds: Bounds, *, remembered: RememberedTemplates, startup_timeout_s: float
) -> AsyncIterator[WarmRuntime]:
    """Open the warm runtime; the most used templates are made in the background, one after the other.

    Cancellation: the templates and all their forks are ended.
    """

    def opener(wanted: Wanted) -> AbstractAsyncContextManager[Template]:
        return open_template_for(cold, wanted, bounds, startup_timeout_s)

    async with trio.open_nursery() as nursery:
        pool = TemplatePool(nursery, opener, bounds, remembered)
        runtime = WarmRuntime(cold, pool, timeout_s=startup_timeout_s, why_never=await why_never(cold.parts))
        if runtime.forks:
            for wanted in remembered.most_used(bounds.templates):
                pool.want(wanted)
        yield runtime
        nursery.cancel_scope.cancel()
