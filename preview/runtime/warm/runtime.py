"""The warm runtime: a process is forked from a template where that can be had, and started in the sandbox where not.

A fork is held in as what the sandbox starts: its own user, namespaces, files, limits and filter. Where anything of that
cannot be given to a fork, or the project wants what a template cannot know, the start is a cold one, and says why.
"""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, ExitStack, asynccontextmanager, closing, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

import structlog
import trio

from preview.isolation import Network
from preview.runtime.cgroups import CgroupTree
from preview.runtime.groups import enter, open_group
from preview.runtime.interface import Held, NoSnapshot, ProcessSpec, RunningProcess, WarmStart
from preview.runtime.process import open_tree
from preview.runtime.sandbox.fence import fence
from preview.runtime.sandbox.filter import compile_filter
from preview.runtime.sandbox.runtime import SandboxRuntime
from preview.runtime.sandbox.view import View
from preview.runtime.warm.command import TemplateBox, template_view_paths, user_of
from preview.runtime.warm.forking import ForkRequest, NotForked, request_fork
from preview.runtime.warm.pool import Bounds, TemplatePool
from preview.runtime.warm.possible import why_never
from preview.runtime.warm.process import ForkedProcess
from preview.runtime.warm.remembered import RememberedTemplates
from preview.runtime.warm.snapshot import Snapshot, open_forking, wait_parked
from preview.runtime.warm.template_process import NoTemplate, Template, open_template
from preview.runtime.warm.wanted import Wanted

__all__ = ["WarmRuntime", "open_template_for", "open_warm_runtime", "wanted_by"]

log = structlog.get_logger(__name__)

# Its processes are forks on their way, which leave the group; none but packages that want to needs more.
_TEMPLATE_PROCESSES = 512
_TEMPLATE_CPU_CORES = 1.0
_TEMP_BYTES = 16 << 20
# It is known only once it has imported all; meanwhile it may take more.
_MEMORY_SLACK = 2
# What the interpreter and the C library read before any code runs: a template was started without them.
_READ_AT_START = ("LD_", "PYTHON", "GLIBC_", "MALLOC_", "LOCPATH", "GCONV_PATH")
# What libraries in C read when they are loaded, past Python: nobody records that.
_READ_BY_LIBRARIES = ("OPENSSL_", "OMP_", "OPENBLAS_", "MKL_", "KMP_", "GRPC_")
# How texts are encoded; read at the start as well. All of UTF-8 are one.
_ENCODINGS = ("LC_ALL", "LC_CTYPE", "LANG")
_SAME_FOR_ALL = frozenset({"PYTHONUNBUFFERED", "PYTHONDONTWRITEBYTECODE", "PYTHONPATH"})
# A preview has folders of its own: who asks for them while it is imported means those of the moment.
_OWN_PLACES = frozenset({"HOME", "PATH", "PWD", "TMPDIR"})
# Read again by whatever wants to know it: Django cannot keep that it has no settings, Flask asks for each application.
_READ_AGAIN = frozenset({"DJANGO_SETTINGS_MODULE", "FLASK_DEBUG", "FLASK_ENV"})


@dataclass(frozen=True, slots=True)
class _Reserved:
    """A fork that is on its way, of what, and what ends it and lets go of the template."""

    template: Template
    request: ForkRequest
    held: ExitStack


class WarmRuntime:
    """See ``Runtime``. Made by ``open_warm_runtime``.

    Args:
        cold: Starts what cannot be forked, and says how a process is held in.
        pool: Has the templates.
        timeout_s: Seconds for a snapshot to import its application.
    """

    def __init__(self, cold: SandboxRuntime, pool: TemplatePool, *, timeout_s: float) -> None:
        self._cold = cold
        self._pool = pool
        self._timeout_s = timeout_s
        # By preview; each is in there only while its ``reserve`` is open, and unused.
        self._reserved: dict[str, _Reserved] = {}
        self._why_never = why_never(cold.parts)
        if self._why_never is not None:
            log.info("previews start cold", why=self._why_never)

    @property
    def name(self) -> str:
        """See ``Runtime``."""
        return self._cold.name

    def describe(self) -> Mapping[str, str]:
        """See ``Runtime``."""
        starts = "Python's are forked from templates" if self.forks else f"from nothing: {self._why_never}"
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

    @property
    def forks(self) -> bool:
        """Whether anything can be started warm."""
        return self._why_never is None

    @property
    def templates(self) -> TemplatePool:
        """What it forks from."""
        return self._pool

    def prepare(self, spec: ProcessSpec) -> None:
        """See ``Runtime``."""
        if spec.warm is not None and self._why_never is None:
            self._pool.want(wanted_by(spec, spec.warm))

    @asynccontextmanager
    async def open_process(self, spec: ProcessSpec) -> AsyncIterator[RunningProcess]:
        """See ``Runtime``. Cancellation: the whole tree is gone (bounded)."""
        warm = spec.warm
        if warm is None:
            async with self._cold.open_process(spec) as process:
                yield process
            return
        try:
            async with self._open_fork(spec) as (process, sentence):
                warm.tell(sentence)
                yield process
                return
        except (NotForked, NoTemplate) as error:
            warm.tell(f"started cold: {error}")
        async with self._cold.open_process(spec) as process:
            yield process

    @asynccontextmanager
    async def open_snapshot(self, spec: ProcessSpec) -> AsyncIterator[Snapshot]:
        """See ``Runtime``. Cancellation: it is gone, and all that was forked from it."""
        groups = self._cold.parts.groups
        warm = spec.warm
        if warm is None or groups is None:
            raise NoSnapshot("it takes a template, and control groups")
        parked = replace(spec, preview_id=f"{spec.instance}-snapshot", number=1, listener=None, control=None)
        try:
            async with self._open_fork(parked, parks=True) as (process, _):
                await wait_parked(process, self._timeout_s)
                async with open_forking(process, groups, parked) as snapshot:
                    yield snapshot
        except (NotForked, NoTemplate) as error:
            raise NoSnapshot(str(error)) from error

    @asynccontextmanager
    async def reserve(self, spec: ProcessSpec) -> AsyncIterator[None]:
        """See ``Runtime``. Cancellation: what was begun and not used ends."""
        warm = spec.warm
        with ExitStack() as held:
            if warm is not None and self._pool.is_ready(warm.key):
                # As good as nothing is lost where it does not come to it: the start says why.
                with suppress(NotForked, NoTemplate):
                    self._check(spec)
                    self._reserved[spec.preview_id] = await self._request(spec, warm, held)
            try:
                yield
            finally:
                self._reserved.pop(spec.preview_id, None)

    async def _request(self, spec: ProcessSpec, warm: WarmStart, held: ExitStack) -> _Reserved:
        """Ask for a fork; template and request are held by ``held``."""
        template = held.enter_context(self._pool.use(wanted_by(spec, warm)))
        # It is of the machine's network; a snapshot's forks get the very same one.
        if spec.listener is not None:
            fence(spec.listener)
        asking = request_fork(
            template,
            spec,
            user=None if self._cold.uid_of(spec) is None else user_of(spec.slot),
            processes=self._cold.process_limit(spec),
            filter_=self._cold.parts.filter,
        )
        with self._blaming(template):
            request = held.enter_context(closing(await asking))
        return _Reserved(template, request, held)

    @asynccontextmanager
    async def _open_fork(self, spec: ProcessSpec, *, parks: bool = False) -> AsyncIterator[tuple[ForkedProcess, str]]:
        warm = spec.warm
        assert warm is not None, "asked for by the caller"  # noqa: S101
        with ExitStack() as held:
            reserved = None if parks else self._reserved.pop(spec.preview_id, None)
            if reserved is not None:
                # This start's own from here on: what does not come to be, or is not held in, ends with it.
                held.enter_context(reserved.held.pop_all())
            self._check(spec)
            template = self._pool.current(wanted_by(spec, warm))
            self._check_project(spec, warm, template)
            if reserved is None or reserved.template is not template:
                reserved = await self._request(spec, warm, held)
            # While these are made the fork makes its namespaces.
            await self._cold.give_files(spec)
            async with open_group(self._cold.parts.groups, spec, wrappers=1) as group:
                with self._blaming(template):
                    process = await reserved.request.complete(spec, group, parks=parks)
                with closing(process):
                    async with open_tree(process, spec):
                        yield process, f"started warm: {template.told.imported} modules were there already"

    @contextmanager
    def _blaming(self, template: Template) -> Iterator[None]:
        try:
            yield
        except NotForked as error:
            if error.is_its_fault:
                self._pool.give_up(template, str(error))
            raise

    def _check(self, spec: ProcessSpec) -> None:
        """What only a cold start does, whatever the template."""
        if self._why_never is not None:
            raise NoTemplate(self._why_never)
        if spec.warm is None or list(spec.argv[1:2]) != [str(spec.warm.launcher)]:
            raise NoTemplate("it is started by a command of its own")
        if spec.network is not Network.NONE:
            raise NoTemplate(f"its network is {spec.network}, and templates have none")
        if spec.port is not None:
            raise NoTemplate("connections are carried to it")
        for name, value in spec.environment.items():
            if _counts_from_the_start(name, value):
                raise NoTemplate(f"{name} is set, which counts from the interpreter's start")

    def _check_project(self, spec: ProcessSpec, warm: WarmStart, template: Template) -> None:
        """What this project must not find done already."""
        shadowed = sorted(warm.own & template.told.loaded)
        if shadowed:
            raise NoTemplate(f"the project has a module of its own named {shadowed[0]}, as a package has")
        for name, value in template.told.reads.items():
            if name not in _OWN_PLACES | _READ_AGAIN and spec.environment.get(name) != value:
                raise NoTemplate(f"{name} is set, which a package reads when it is imported")


def _counts_from_the_start(name: str, value: str) -> bool:
    if name in _ENCODINGS:
        return value not in ("", "C", "POSIX") and not value.lower().replace("-", "").endswith("utf8")
    return name.startswith((*_READ_AT_START, *_READ_BY_LIBRARIES)) and name not in _SAME_FOR_ALL


def wanted_by(spec: ProcessSpec, warm: WarmStart) -> Wanted:
    """What the template of such a process is made of."""
    return Wanted(
        key=warm.key,
        python=Path(spec.argv[0]),
        launchers=warm.launcher.parent,
        readable=tuple(spec.readable),
        modules=frozenset(warm.modules),
        anchors=tuple(warm.anchors),
    )


@asynccontextmanager
async def open_warm_runtime(
    cold: SandboxRuntime, bounds: Bounds, *, remembered: RememberedTemplates, startup_timeout_s: float
) -> AsyncIterator[WarmRuntime]:
    """The warm runtime; templates that were used most are being made, one after the other.

    Args:
        cold: See ``WarmRuntime``.
        bounds: Of the templates.
        remembered: What was used before, and where to note it.
        startup_timeout_s: Seconds for a template to import all.

    Cancellation: the templates are gone, and all their forks.
    """

    def opener(wanted: Wanted) -> AbstractAsyncContextManager[Template]:
        return open_template_for(cold, wanted, bounds, startup_timeout_s)

    async with trio.open_nursery() as nursery:
        pool = TemplatePool(nursery, opener, bounds, remembered)
        runtime = WarmRuntime(cold, pool, timeout_s=startup_timeout_s)
        if runtime.forks:
            for wanted in remembered.most_used(bounds.templates):
                pool.want(wanted)
        yield runtime
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def open_template_for(
    cold: SandboxRuntime, wanted: Wanted, bounds: Bounds, timeout_s: float
) -> AsyncIterator[Template]:
    """A template in a sandbox like a preview's, and in a control group of its own; see ``open_template``.

    Cancellation: it is gone (bounded).
    """
    parts = cold.parts
    readable = template_view_paths((*wanted.readable, wanted.launchers))
    view = View(readable, (), parts.etc, Network.NONE, _TEMP_BYTES, covered=wanted.anchors)
    box = TemplateBox(view, own_users=parts.own_users, filter=compile_filter(for_template=True))
    async with (
        _open_group(parts.groups, wanted.key, bounds) as prefix,
        open_template(box, wanted, prefix=prefix, timeout_s=timeout_s) as template,
    ):
        yield template


@asynccontextmanager
async def _open_group(groups: CgroupTree | None, key: str, bounds: Bounds) -> AsyncIterator[list[str]]:
    """A control group for the template, and what stands ahead of its command line."""
    if groups is None:
        yield []
        return
    async with groups.open(
        f"template-{key}-{secrets.token_hex(4)}",
        memory_bytes=_MEMORY_SLACK * bounds.memory_bytes,
        cpu_cores=_TEMPLATE_CPU_CORES,
        processes=_TEMPLATE_PROCESSES,
    ) as group:
        yield enter(group)
