"""Find the best isolation level of this machine: try each level, and what it requires.

The plain runtime is defined here too. It starts an ordinary process in a new session, with rlimits and no new
privileges. The process inherits only the socket and the pipe, and no environment variables of the service. The runtime
ends the whole tree. The process has the user's files and network, and can send signals to the service.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from preview.core.isolation import Isolation, Network
from preview.errors import ConfigurationError, RootWithoutSandbox
from preview.runtime.cgroups import (
    Cgroup,
    CgroupTree,
    MigrationLockWarmer,
    NoCgroups,
    open_cgroups,
    open_lock_warmer,
)
from preview.runtime.cold import ColdStarts
from preview.runtime.container import ContainerRuntime, is_named, open_containers
from preview.runtime.interface import Held, Limits, ProcessSpec, Runtime
from preview.runtime.process.adopted import Adopted
from preview.runtime.process.ending import described_limits, enter, held_by, open_group
from preview.runtime.process.process import TreeProcess, open_tree
from preview.runtime.process.spawning import (
    inherited,
    limit_prefix,
    number_in,
    output_pipe,
    spawn,
    tasks_on_machine,
    tool,
)
from preview.runtime.sandbox import (
    Refusal,
    SandboxRuntime,
    advise_own_users,
    check_extra_calls,
    open_broker_if_needed,
    probe_sandbox,
)
from preview.runtime.warm import Bounds, RememberedTemplates, open_warm_runtime
from preview.settings import Settings


def _prefix(limits: Limits) -> list[str]:
    """Return the command prefix of the program: limits, then no new privileges, then ``exec``.

    RLIMIT_NPROC counts all tasks of the real user, not of the tree, so the user's current tasks are added. The limit
    does not apply to root (getrlimit(2)).
    """
    return [
        *limit_prefix(limits, processes=tasks_on_machine() + limits.processes),
        tool("setpriv"),
        "--no-new-privs",
        # If the service is killed, the kernel kills the leader at once.
        "--pdeathsig=KILL",
        "--",
    ]


def _spawn(spec: ProcessSpec, group: Cgroup | None, adopted: Adopted) -> TreeProcess:
    with inherited(spec.listener) as fd, inherited(spec.control) as control, output_pipe() as pipe:
        argv, environment = number_in(spec, fd, control, pipe[1])
        descriptors = [one for one in (fd, control) if one is not None]
        popen, output = spawn(
            spec, [*enter(group), *_prefix(spec.limits), *argv], environment, spec.directory, descriptors, pipe
        )
    return TreeProcess(popen, output, spec, group, adopted=adopted)


class PlainRuntime(ColdStarts):
    """See ``Runtime``.

    Args:
        groups: Control groups that limit whole trees; None without control groups.
    """

    def __init__(self, groups: CgroupTree | None = None) -> None:
        self._groups = groups
        self._adopted = Adopted()

    @property
    def name(self) -> str:
        """See ``Runtime``."""
        return "plain"

    def describe(self) -> Mapping[str, str]:
        """See ``Runtime``."""
        return {
            "processes": "own session; the whole tree ends with the preview",
            "privileges": "no new privileges; the service's own user",
            "files": "not isolated: the user's own file system",
            "network": "not isolated",
            "limits": described_limits(self._groups),
        }

    def holds(self) -> frozenset[Held]:
        """See ``Runtime``."""
        # RLIMIT_NPROC does not apply to root.
        return held_by(self._groups) or frozenset({"processes"} if os.getuid() != 0 else ())

    def network(self, _wanted: Network) -> Network:
        """See ``Runtime``."""
        return Network.HOST

    def shares_listener(self, _network: Network) -> bool:
        """See ``Runtime``."""
        return True

    @asynccontextmanager
    async def open_process(self, spec: ProcessSpec) -> AsyncIterator[TreeProcess]:
        """See ``Runtime``. Cancellation: the whole tree is ended (bounded)."""
        async with (
            open_group(self._groups, spec) as group,
            open_tree(_spawn(spec, group, self._adopted), spec) as process,
        ):
            yield process


@dataclass(frozen=True, slots=True)
class IsolationLevel:
    """One isolation level, and whether this machine has it.

    Attributes:
        name: ``plain``, ``sandbox``, ``control groups`` or ``containers``.
        holds: Whether previews get this level.
        found: Half a sentence: what the level does, or why it is not available.
        advice: What to install or set for this level, or for more of it; empty if nothing.
    """

    name: str
    holds: bool
    found: str
    advice: str = ""


@dataclass(frozen=True, slots=True)
class IsolationSupport:
    """Isolation that this service gives its previews.

    Attributes:
        runtime: Runtime of the best available level, or of the level that the operator chose.
        rungs: All levels, lowest first.
        groups: This service's control groups, also for processes beside the previews; None if unavailable.
        migration_lock: Warms the lock of these groups before a process enters one; None without groups.
        further: Other runtimes that a launch may get in place of ``runtime``, by name.
    """

    runtime: Runtime
    rungs: tuple[IsolationLevel, ...]
    groups: CgroupTree | None = None
    migration_lock: MigrationLockWarmer | None = None
    further: Mapping[str, Runtime] = field(default_factory=dict)


@asynccontextmanager
async def open_ladder(
    settings: Settings, *, name: Path | None = None, check: bool = True
) -> AsyncIterator[IsolationSupport]:
    """Try each isolation level, and open the best; first ends control groups of an earlier run.

    Args:
        settings: The wanted isolation, and the data folder, which must exist and belong to this process.
        name: Names the control groups instead of the data folder, for a caller that only inspects.
        check: Whether less isolation than the operator requires is an error.

    Raises:
        RootWithoutSandbox: ``PREVIEW_ISOLATION=auto``, and previews would be root on this machine.
        ConfigurationError: ``PREVIEW_ISOLATION=require``, and this machine offers less; or the settings allow a system
            call that may not be allowed.

    Cancellation: everything that was opened is closed.
    """
    if settings.isolation is Isolation.PLAIN:
        yield IsolationSupport(PlainRuntime(), (_PLAIN, *_not_wanted()))
        return
    async with open_cgroups(name or settings.data_dir) as groups:
        limited = None if isinstance(groups, NoCgroups) else groups
        if limited is not None:
            await limited.remove_leftovers()
        # Checked before the probe: there, an invalid setting would silently lead to less isolation.
        calls = check_extra_calls(settings.syscalls_allowed)
        etc = settings.data_dir / "sandbox"
        async with AsyncExitStack() as held:
            broker = await held.enter_async_context(open_broker_if_needed(etc))
            sandbox = await probe_sandbox(etc, limited, calls, broker)
            contains = settings.isolation is Isolation.CONTAINER or is_named(settings.container_engine)
            if isinstance(sandbox, Refusal) and not contains:
                # Only sandboxes and containers need it.
                await held.aclose()
            found = await held.enter_async_context(open_containers(settings, calls, broker)) if contains else None
            rungs = (_PLAIN, _sandbox_rung(sandbox, calls), _groups_rung(groups), *_container_rungs(found))
            containers = found if isinstance(found, ContainerRuntime) else None
            if settings.isolation is Isolation.CONTAINER:
                if check:
                    _require_containers(found)
                yield IsolationSupport(containers or PlainRuntime(limited), rungs, limited)
                return
            if check and settings.isolation is Isolation.REQUIRE:
                _require(rungs)
            if check and settings.isolation is Isolation.AUTO and isinstance(sandbox, Refusal) and os.geteuid() == 0:
                raise _root_without(sandbox)
            async with _open_best(settings, sandbox, limited) as runtime:
                further = _further(settings, runtime, limited, containers)
                if limited is None:
                    yield IsolationSupport(runtime, rungs, further=further)
                    return
                async with open_lock_warmer() as warmer:
                    yield IsolationSupport(runtime, rungs, limited, warmer, further)


def _further(
    settings: Settings, runtime: Runtime, groups: CgroupTree | None, containers: Runtime | None
) -> dict[str, Runtime]:
    """Return the runtimes that some launches may get: containers, and for trusted code what is below the best."""
    further: dict[str, Runtime] = {}
    if settings.isolation is Isolation.TRUSTED and runtime.name != "plain":
        further["plain"] = PlainRuntime(groups)
    # A project may ask for a container. Where kernel limits are required, it must not get out of them by that.
    if containers is not None and (settings.isolation is not Isolation.REQUIRE or containers.holds() >= _KERNEL_LIMITS):
        further["container"] = containers
    return further


def _require_containers(found: ContainerRuntime | Refusal | None) -> None:
    if isinstance(found, Refusal):
        raise ConfigurationError(
            f"PREVIEW_ISOLATION=container, and previews get no container: {found.reason} (to do: {found.advice})."
        )


def _container_rungs(found: ContainerRuntime | Refusal | None) -> Iterator[IsolationLevel]:
    if isinstance(found, Refusal):
        yield IsolationLevel("containers", holds=False, found=found.reason, advice=found.advice)
    elif found is not None:
        yield IsolationLevel("containers", holds=True, found=found.describe()["processes"])


@asynccontextmanager
async def _open_best(
    settings: Settings, sandbox: SandboxRuntime | Refusal, groups: CgroupTree | None
) -> AsyncIterator[Runtime]:
    if isinstance(sandbox, Refusal):
        yield PlainRuntime(groups)
        return
    if not settings.warm_templates:
        yield sandbox
        return
    bounds = Bounds(settings.warm_templates, settings.warm_memory_mb << 20, settings.warm_max_age_s)
    remembered = RememberedTemplates(settings.data_dir.absolute() / "templates")
    async with open_warm_runtime(
        sandbox, bounds, remembered=remembered, startup_timeout_s=settings.startup_timeout_s
    ) as runtime:
        yield runtime


_KERNEL_LIMITS: Final[frozenset[Held]] = frozenset({"memory", "processes"})
_PLAIN = IsolationLevel("plain", holds=True, found="own session, clean environment, rlimits, no new privileges")


def _sandbox_rung(sandbox: SandboxRuntime | Refusal, allowed: frozenset[str]) -> IsolationLevel:
    if isinstance(sandbox, Refusal):
        return IsolationLevel("sandbox", holds=False, found=sandbox.reason, advice=sandbox.advice)
    found = f"own namespaces, files and network; {sandbox.describe()['privileges']}"
    if allowed:
        found += f"; system calls allowed besides: {', '.join(sorted(allowed))}"
    advice = "" if sandbox.own_users else advise_own_users()
    return IsolationLevel("sandbox", holds=True, found=found, advice=advice)


def _groups_rung(groups: CgroupTree | NoCgroups) -> IsolationLevel:
    if isinstance(groups, NoCgroups):
        reason, _, advice = groups.reason.partition("; ")
        return IsolationLevel("control groups", holds=False, found=reason.rstrip("."), advice=advice.rstrip("."))
    found = f"version {groups.version}, for the whole tree: memory, processes"
    if groups.without_cpu is None:
        return IsolationLevel("control groups", holds=True, found=f"{found}, processor time")
    reason, _, advice = groups.without_cpu.partition("; ")
    return IsolationLevel(
        "control groups", holds=True, found=f"{found}; not processor time: {reason}", advice=advice.rstrip(".")
    )


def _not_wanted() -> tuple[IsolationLevel, ...]:
    found, advice = "not wanted: PREVIEW_ISOLATION=plain", "set PREVIEW_ISOLATION=auto"
    return tuple(
        IsolationLevel(name, holds=False, found=found, advice=advice) for name in ("sandbox", "control groups")
    )


def _root_without(sandbox: Refusal) -> RootWithoutSandbox:
    return RootWithoutSandbox(
        "The service runs as root and would give previews root's rights: there is no sandbox, because "
        f"{sandbox.reason}. To fix that: {sandbox.advice}. Alternatively, start the service as an ordinary user, "
        "or set PREVIEW_ISOLATION=trusted if all launched code is your own."
    )


def _require(rungs: tuple[IsolationLevel, ...]) -> None:
    missing = [rung for rung in rungs if not rung.holds and rung.name != "containers"]
    if missing:
        said = "; ".join(f"no {rung.name}, because {rung.found} (to do: {rung.advice})" for rung in missing)
        raise ConfigurationError(
            f"PREVIEW_ISOLATION=require, but this machine cannot isolate previews fully: {said}. See `preview "
            "doctor`. PREVIEW_ISOLATION=auto uses what is available."
        )
